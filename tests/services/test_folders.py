"""Where a user's own files go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from liftlock.errors import ConfigError
from liftlock.services.folders import Folders


def test_below_home(tmp_path: Path) -> None:
    folders = Folders.from_environment({"HOME": str(tmp_path)})

    assert folders.cache == str(tmp_path / ".cache" / "liftlock")
    assert folders.state == str(tmp_path / ".local" / "state" / "liftlock")
    assert folders.config == str(tmp_path / ".config" / "liftlock")
    assert list(tmp_path.iterdir()) == []


def test_where_xdg_says_when_that_is_absolute(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "c"), "XDG_STATE_HOME": "relative/state"}

    folders = Folders.from_environment(env)

    assert folders.cache == str(tmp_path / "c" / "liftlock")
    assert folders.state == str(tmp_path / "home" / ".local" / "state" / "liftlock")


@pytest.mark.parametrize("home", [None, "", "relative", "/dev/null"])
def test_without_a_usable_home_state_has_a_folder_of_its_own(tmp_path: Path, home: str | None) -> None:
    env = {"TMPDIR": str(tmp_path)} | ({} if home is None else {"HOME": home})

    folders = Folders.from_environment(env)

    assert folders.cache is None
    assert folders.state == str(tmp_path / f"liftlock-{os.getuid()}")
    assert os.lstat(folders.state).st_mode & 0o777 == 0o700
    assert Folders.from_environment(env) == folders


@pytest.mark.parametrize("kind", ["link", "file", "open"])
def test_a_temporary_folder_that_another_could_have_made_is_refused(tmp_path: Path, kind: str) -> None:
    place = tmp_path / f"liftlock-{os.getuid()}"
    if kind == "link":
        (tmp_path / "theirs").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "theirs")
    elif kind == "file":
        place.touch(mode=0o600)
    else:
        place.mkdir()
        place.chmod(0o777)

    with pytest.raises(ConfigError, match="not a folder of this user alone") as caught:
        Folders.from_environment({"TMPDIR": str(tmp_path)})

    assert "XDG_STATE_HOME" in caught.value.hint
