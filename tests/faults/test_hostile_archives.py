"""Hostile tars through whole commands: a typed error and its exit code, and nothing anywhere that should not be."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.support import images
from tests.support.hostile import HOSTILE, REFERENCE, SECRET, Hostile
from tests.support.processes import Result, liftlock
from tests.support.registry import Registry

pytestmark = [pytest.mark.fault, pytest.mark.acceptance]

EVIL = Path("/tmp/liftlock-evil.tar")
"""Where the members of some archives want to go."""

CODES = {1, 2, 5, 6}
"""Failed, not understood, not found, conflict: with a hostile file, nobody is refused or denied."""

COPIED = {
    "symlink_leaves_the_archive",
    "hardlink_leaves_the_archive",
    "layer_path_leaves_the_archive",
    "member_name_leaves_the_archive",
    "member_name_is_absolute",
    "config_is_a_link_out",
    "links_in_a_cycle",
    "layer_is_a_device",
    "duplicate_layer_entries",
    "duplicate_layer_the_last_is_wrong",
    "layer_is_not_what_the_config_says",
    "manifest_is_deeply_nested",
    "cut_in_a_member",
    "cut_in_a_header",
    "size_beyond_64_bits",
    "sparse_member_of_gnu",
    "sparse_member_is_a_bomb",
    "gzip_is_cut",
    "oci_digest_leaves_the_archive",
    "oci_blob_is_not_what_its_name_says",
    "oci_blob_is_a_link_out",
}
"""Some of each sort, for the ordinary run; each archive is met by the tests of what reads it as well."""

PUBLISHED = {
    "symlink_leaves_the_archive",
    "member_name_leaves_the_archive",
    "layer_is_not_what_the_config_says",
    "sparse_member_is_a_bomb",
    "gzip_is_cut",
    "oci_blob_is_not_what_its_name_says",
}
"""Fewer: publishing loads more."""


class Place:
    """A folder with the archive, a home and folders of its own, and a look at all of it."""

    def __init__(self, root: Path, hostile: Hostile) -> None:
        self.work = root / "work"
        self.home = root / "home"
        self.temporary = root / "temporary"
        for folder in (self.work, self.home, self.temporary):
            folder.mkdir()
        self.archive = self.work / "hostile.tar"
        hostile.write(self.archive)
        self.source = f"{hostile.kind}:{self.archive}"
        self.root = root
        self._digest = hashlib.sha256(self.archive.read_bytes()).hexdigest()

    def run(self, *arguments: str) -> Result:
        done = liftlock(*arguments, home=self.home, cwd=self.work, env={"TMPDIR": str(self.temporary)}, check=False)
        assert "Traceback" not in done.err, str(done)
        assert not list(self.temporary.iterdir())
        assert not EVIL.exists()
        assert sorted(path.name for path in self.root.iterdir()) == ["home", "temporary", "work"]
        assert hashlib.sha256(self.archive.read_bytes()).hexdigest() == self._digest
        return done

    def holds_no_secret(self) -> None:
        secret = SECRET.read_bytes()
        for path in self.root.rglob("*"):
            if path.is_file() and path.stat().st_size == len(secret):
                assert path.read_bytes() != secret, path


def failed(done: Result, hostile: Hostile) -> bool:
    """Whether it failed, as it must unless the archive is harmless; then in one error document."""
    if done.code == 0:
        assert hostile.harmless, str(done)
        return False
    assert done.code in CODES, str(done)
    assert done.out == ""
    said = json.loads(done.err.splitlines()[-1])
    assert said["kind"] == "Error"
    assert said["exitCode"] == done.code
    assert "hostile.tar" in said["message"], said
    return True


def no_tags(layout: Path) -> None:
    if (layout / "index.json").exists():
        assert not json.loads((layout / "index.json").read_text())["manifests"]
    assert not [path for path in layout.rglob("*") if path.name.endswith(".partial")]


@pytest.mark.parametrize(
    "hostile",
    [pytest.param(each, marks=() if each.name in COPIED else pytest.mark.slow) for each in HOSTILE],
    ids=str,
)
def test_copied_into_a_layout(tmp_path: Path, hostile: Hostile) -> None:
    place = Place(tmp_path, hostile)
    reference = REFERENCE if hostile.kind == "docker-archive" else "1.0"

    done = place.run("copy", f"{place.source}:{reference}", "oci:out:v1", "-o", "json", "--progress", "none")

    if failed(done, hostile):
        no_tags(place.work / "out")
    else:
        assert "v1" in images.tags(place.work / "out")
    place.holds_no_secret()
    assert {path.name for path in place.work.iterdir()} <= {"hostile.tar", "out"}


@pytest.mark.parametrize(
    "hostile",
    [pytest.param(each, marks=() if each.name in PUBLISHED else pytest.mark.slow) for each in HOSTILE],
    ids=str,
)
def test_published(tmp_path: Path, hostile: Hostile) -> None:
    place = Place(tmp_path, hostile)
    (place.work / "liftlock.yaml").write_text(
        "pipeline: app\nimages: [web]\nstore: ./artifacts\n"
        "stages: [{name: dev, to: 'oci:stages/{image}', tags: [v1]}]\n"
    )
    before = {"hostile.tar", "liftlock.yaml"}

    done = place.run("artifact", "publish", f"web={place.source}", "--build", "7", "-o", "json")

    store = place.work / "artifacts"
    layouts = [path.parent for path in store.rglob("index.json")] if store.exists() else []
    if failed(done, hostile):
        for layout in layouts:
            no_tags(layout)
        listed = place.run("artifact", "list", "-o", "json")
        assert listed.code == 0
        assert '"7"' not in listed.out
    else:
        assert any(images.tags(layout) for layout in layouts)
    place.holds_no_secret()
    assert {path.name for path in place.work.iterdir()} <= before | {"artifacts", ".liftlock"}


@pytest.mark.parametrize(
    "name",
    [
        "layer_is_not_what_the_config_says",
        "oci_blob_is_missing",
        pytest.param("cut_in_a_member", marks=pytest.mark.slow),
        pytest.param("gzip_is_cut", marks=pytest.mark.slow),
    ],
)
def test_copied_into_a_registry(tmp_path: Path, registry: Registry, repo: str, name: str) -> None:
    hostile = next(each for each in HOSTILE if each.name == name)
    place = Place(tmp_path, hostile)
    reference = REFERENCE if hostile.kind == "docker-archive" else "1.0"

    done = place.run("copy", f"{place.source}:{reference}", f"{registry.host}/{repo}:v1", "-o", "json")

    assert failed(done, hostile)
    assert not (registry.folder / "data/docker/registry/v2/repositories" / repo / "_manifests" / "tags").exists()
