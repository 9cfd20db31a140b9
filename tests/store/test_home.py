"""The home's folder, and its locks."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from liftlock.errors import LiftlockError
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.release.artifact import Artifact
from liftlock.store.home import Home
from liftlock.store.locks import exclusively


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
