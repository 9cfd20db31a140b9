"""The home's folder, its locks, and the store of artifacts in a folder."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from liftlock.errors import CorruptContent, LiftlockError, NotFound
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.release.artifact import Artifact
from liftlock.store.artifact_store import ArtifactStore
from liftlock.store.home import Home
from liftlock.store.locks import exclusively
from liftlock.targets.layout import LayoutTarget


def now() -> dt.datetime:
    return dt.datetime(2031, 5, 6, tzinfo=dt.UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "project" / ".liftlock", now)


ARTIFACT = Artifact(
    images={"web": Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(b"web"), 3)}, build="1"
)


def test_a_home_is_made_when_it_is_used_and_keeps_itself_out_of_git(home: Home) -> None:
    assert not home.folder.exists()
    with home.store.begin() as tx:
        tx.artifacts.publish(ARTIFACT, "", {})
    home.close()

    again = Home(home.folder, now)
    with again.store.read() as tx:
        assert [each.artifact for each in tx.artifacts.all()] == [ARTIFACT]
    again.close()
    subprocess.run(["git", "init", "-q", home.folder.parent], check=True)
    status = ["git", "-C", str(home.folder.parent), "status", "--porcelain"]
    assert subprocess.run(status, check=True, capture_output=True).stdout == b""


def test_with_a_database_elsewhere_only_artifacts_make_a_folder(tmp_path: Path, postgres: str) -> None:
    home = Home(tmp_path / ".liftlock", now, postgres)
    assert home.upgrade()[0] is None
    with home.store.begin() as tx:
        tx.artifacts.publish(ARTIFACT, "", {})
    assert not home.folder.exists()

    home.artifacts().put(ARTIFACT)
    assert (home.folder / ".gitignore").read_text() == "*\n"
    home.close()


def test_a_home_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(LiftlockError, match="cannot be made"):
        _ = Home(tmp_path / "file" / ".liftlock", now).store


def test_a_lock_is_one_holders_and_comes_back_when_that_dies(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from liftlock.store.locks import exclusively\n"
        f"with exclusively(pathlib.Path({str(tmp_path)!r}), 'name'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    order: list[str] = []

    def wait() -> None:
        with exclusively(tmp_path, "name"):
            order.append("mine")

    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with exclusively(tmp_path, "other name"):
            pass
        waiting = threading.Thread(target=wait)
        waiting.start()
        order.append("theirs")
        holder.kill()
        waiting.join()
    assert order == ["theirs", "mine"]


@pytest.mark.contract
class TestArtifactStore:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "artifacts"

    @pytest.fixture
    def artifacts(self, home: Home, folder: Path) -> ArtifactStore:
        return home.artifacts(folder)

    def test_what_is_put_is_got_and_putting_it_again_changes_nothing(
        self, artifacts: ArtifactStore, folder: Path
    ) -> None:
        artifacts.put(ARTIFACT)
        before = (folder / f"{ARTIFACT.id.hex}.json").stat()
        artifacts.put(ARTIFACT)

        assert artifacts.get(ARTIFACT.id) == ARTIFACT
        assert (folder / f"{ARTIFACT.id.hex}.json").stat() == before
        assert Digest.of((folder / f"{ARTIFACT.id.hex}.json").read_bytes()) == ARTIFACT.id

    def test_what_was_not_put_is_not_found(self, artifacts: ArtifactStore) -> None:
        with pytest.raises(NotFound):
            artifacts.get(ARTIFACT.id)

    def test_a_changed_document_is_refused_when_it_is_read_and_when_it_is_put_again(
        self, artifacts: ArtifactStore, folder: Path
    ) -> None:
        artifacts.put(ARTIFACT)
        (folder / f"{ARTIFACT.id.hex}.json").write_bytes(ARTIFACT.document.replace(b'"1"', b'"2"'))

        with pytest.raises(CorruptContent):
            artifacts.get(ARTIFACT.id)
        with pytest.raises(CorruptContent):
            artifacts.put(ARTIFACT)

    def test_images_are_in_a_layout_that_lives_beside_the_documents(
        self, artifacts: ArtifactStore, folder: Path
    ) -> None:
        artifacts.put(ARTIFACT)
        name = artifacts.target("web")
        assert name == f"oci:{folder}"
        layout = LayoutTarget(name.removeprefix("oci:"))
        index = Manifest.build({"schemaVersion": 2, "manifests": []})
        layout.put_manifest(index, artifacts.tag(ARTIFACT, "web"))

        assert list(layout.tags()) == [artifacts.tag(ARTIFACT, "web")]
        assert artifacts.get(ARTIFACT.id) == ARTIFACT

    def test_no_two_images_share_a_tag(self, artifacts: ArtifactStore) -> None:
        """Whatever their names: neither `a-b` of build `c`, and `a` of build `b-c`, nor two pipelines' build 1."""
        image = ARTIFACT.images["web"]
        several = [
            Artifact(images={"a-b": image, "a": image}, build="c"),
            Artifact(images={"a-b": image, "a": image}, build="b-c"),
        ]

        tags = {artifacts.tag(each, name) for each in several for name in each.images}
        assert len(tags) == 4

    def test_a_folder_of_other_things_is_not_written_to(self, artifacts: ArtifactStore, folder: Path) -> None:
        folder.mkdir()
        (folder / "thesis.txt").write_text("years of work")

        with pytest.raises(LiftlockError, match="no image layout"):
            artifacts.put(ARTIFACT)
        assert [each.name for each in folder.iterdir()] == ["thesis.txt"]
