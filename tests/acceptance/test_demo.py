"""The demo: the main job on this machine alone."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.workshop import Workshop
from tests.support import images
from tests.support.processes import liftlock

ROOT = Path(__file__).parents[2]
PROOF = "The same images at every level, as the manifests in each stage's layout hash to:"

pytestmark = pytest.mark.acceptance


def _digests(output: str) -> dict[str, dict[str, str]]:
    """The table at the end: by image and stage."""
    found: dict[str, dict[str, str]] = {}
    for image, stage, digest in re.findall(
        r"^  (\w+) +(\w+) +(sha256:[0-9a-f]{64})$", output.partition(PROOF)[2], re.MULTILINE
    ):
        found.setdefault(image, {})[stage] = digest
    return found


def test_it_shows_equal_digests_and_leaves_nothing_behind(home: Path, tmp_path: Path) -> None:
    """Even where a CI system surrounds it."""
    surrounding = {"GITHUB_RUN_ID": "1", "TMPDIR": str(tmp_path)}

    shown = liftlock("demo", env=surrounding, cwd=tmp_path)

    found = _digests(shown.out)
    assert set(found) == {"web", "worker"}
    for stages in found.values():
        assert list(stages) == ["dev", "test", "prod"]
        assert len(set(stages.values())) == 1
    assert "$ liftlock promote 42 --to prod" in shown.out
    assert "build url" not in shown.out
    assert shown.err == ""
    assert all(len(line) <= 140 for line in shown.out.splitlines())
    assert list(tmp_path.iterdir()) == []
    assert list(home.iterdir()) == []


def test_what_it_keeps_can_be_played_with(tmp_path: Path) -> None:
    shown = liftlock("demo", "--keep", tmp_path / "kept")

    kept = Workshop(tmp_path / "kept")
    assert kept.states() == {"42": {"dev": "here", "test": "here", "prod": "here"}}
    tags = images.tags(tmp_path / "kept" / "prod" / "web")
    assert {blob.digest for blob in tags.values()} == {_digests(shown.out)["web"]["prod"]}
    assert kept.run("promote", "42", "--to", "prod").code == 0

    again = liftlock("demo", "--keep", tmp_path / "kept", check=False)
    assert (again.code, "exists already" in again.err) == (2, True)


def test_script_demo_is_the_same(home: Path) -> None:
    """In a checkout whose environment `script/test` has made; on a fresh machine it makes its own."""
    if not (ROOT / ".venv" / "stamp-base").exists():
        pytest.skip("there is no environment made by script/test")
    done = subprocess.run(
        [ROOT / "script" / "demo"],
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert set(_digests(done.stdout)) == {"web", "worker"}
