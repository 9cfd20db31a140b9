"""`init` writes a file that is good as it is, and whose switched-off keys are good too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from liftlock.gates.table import GATES
from liftlock.notify.table import NOTIFIERS
from liftlock.pipeline.load import load
from liftlock.release.check import doubts
from tests.support.processes import liftlock


def test_the_file_is_valid_and_raises_no_doubt(tmp_path: Path) -> None:
    done = liftlock("init", cwd=tmp_path)
    checked = liftlock("validate", cwd=tmp_path)

    assert "liftlock.yaml" in done.out
    assert checked.out == "liftlock.yaml is valid: pipeline my-app, 1 image, 3 stages\n"
    assert checked.err == ""


@pytest.mark.parametrize("what", ["a pipeline", "a broken link"])
def test_what_is_there_stays(tmp_path: Path, what: str) -> None:
    file = tmp_path / "ci.yaml"
    if what == "a pipeline":
        file.write_text("mine")
    else:
        file.symlink_to("nowhere")

    done = liftlock("init", file, "-o", "json", check=False)

    assert (done.code, done.out) == (6, "")
    assert f"{file} is there already" in done.err
    assert not (tmp_path / "nowhere").exists()
    assert what == "a broken link" or file.read_text() == "mine"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = liftlock("init", tmp_path / "none" / "liftlock.yaml", check=False)

    assert done.code == 1
    assert "none/liftlock.yaml cannot be written: No such file or directory" in done.err


def test_every_key_that_is_switched_off_can_be_switched_on(tmp_path: Path) -> None:
    file = tmp_path / "liftlock.yaml"
    liftlock("init", file)
    text, switched = re.subn(r"^( *)#(?=\S| {2})", r"\1", file.read_text(), flags=re.MULTILINE)

    pipeline = load(text, "liftlock.yaml", GATES, NOTIFIERS)

    assert switched >= 20
    assert [gate.kind for gate in pipeline.stage("test").gates] == ["soak", "http"]
    assert pipeline.stage("prod").rollback_without == ("approvals", "freeze")
    assert list(doubts(pipeline)) == []
