"""The gate that is a program: what it is given, what its end means, and that nothing of it stays."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from liftlock.errors import Cancelled
from liftlock.gates.ask import ask
from liftlock.gates.command import CommandOptions
from liftlock.gates.testing import question
from liftlock.kinds.tools import Tools
from liftlock.release.conditions import Outcome, Verdict
from liftlock.release.stage import GateRule
from tests.support.waiting import until

PASS, WAIT, FAIL = Outcome.PASS, Outcome.WAIT, Outcome.FAIL


def asked(
    arguments: list[str],
    folder: Path,
    options: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Verdict:
    given = {"PATH": os.environ["PATH"], "HOME": "/home/worker", **(environment or {})}
    rule = GateRule(kind="command", options={"run": arguments, **(options or {})})
    return ask(question(), [rule], Tools(folder=folder, environment=given, cancelled=cancelled))[0]


def shell(script: str, folder: Path, options: Mapping[str, Any] | None = None, **environment: str) -> Verdict:
    return asked(["sh", "-c", script], folder, options, environment=environment)


@pytest.mark.parametrize(
    ("script", "outcome", "reason"),
    [
        ("echo first; echo all is well", PASS, "all is well"),
        ("echo not yet; exit 8", WAIT, "not yet"),
        ("echo two CVEs; exit 1", FAIL, "two CVEs"),
        ("echo out; echo err >&2; exit 2", FAIL, "out"),
        ("echo what went wrong >&2; exit 2", FAIL, "what went wrong"),
        ("echo warning >&2", PASS, "sh ended with status 0"),
        ("exit 3", FAIL, "sh ended with status 3"),
        ("kill -9 $$", FAIL, "sh was ended by signal 9"),
        ("printf 'last\\n\\n  \\n'", PASS, "last"),
        ("printf 'a\\033[31mb\\r'", PASS, "a [31mb"),
        ("printf '\\377bytes'", PASS, "\ufffdbytes"),
    ],
)
def test_how_it_ends_is_the_answer(script: str, outcome: Outcome, reason: str, tmp_path: Path) -> None:
    assert shell(script, tmp_path) == Verdict(outcome=outcome, reason=reason)


def test_what_it_is_given(tmp_path: Path) -> None:
    script = (
        "import json, os, sys; json.dump([dict(os.environ), json.load(sys.stdin), os.getcwd()], open('given', 'w'))"
    )

    asked(
        [sys.executable, "-c", script],
        tmp_path,
        {"env": {"MODE": "strict", "TOKEN": "env:OURS"}},
        environment={"OURS": "t0k3n"},
    )

    environment, sent, folder = json.loads((tmp_path / "given").read_text())
    release = question().release
    environment.pop("LC_CTYPE", None)  # Python's own
    assert environment == {
        "PATH": os.environ["PATH"],
        "HOME": "/home/worker",
        "MODE": "strict",
        "TOKEN": "t0k3n",
        "LIFTLOCK_PIPELINE": "demo",
        "LIFTLOCK_STAGE": "prod",
        "LIFTLOCK_RELEASE": str(release.id),
        "LIFTLOCK_ARTIFACT": str(release.artifact.id),
        "LIFTLOCK_BUILD": "42",
        "LIFTLOCK_COMMIT": "5f2c1e0",
    }
    assert sent == question().to_json()
    assert folder == str(tmp_path)


def test_a_relative_path_starts_from_the_pipeline_files_folder(tmp_path: Path) -> None:
    script = tmp_path / "check.sh"
    script.write_text('#!/bin/sh\necho "$# $1"\n')
    script.chmod(0o755)

    assert asked(["./check.sh", "a b; $HOME"], tmp_path).reason == "1 a b; $HOME"


def test_a_program_that_is_not_there_waits(tmp_path: Path) -> None:
    verdict = asked(["./not-there"], tmp_path)

    assert verdict.outcome is WAIT
    assert "not-there cannot be run" in verdict.reason


def test_a_secret_that_it_prints_does_not_show(tmp_path: Path) -> None:
    verdict = shell(
        'echo "used $TOKEN"; echo "with $TOKEN" >&2', tmp_path, {"env": {"TOKEN": "env:OURS"}}, OURS="t0k3n"
    )

    assert verdict == Verdict(outcome=PASS, reason="used ***")


def test_a_secret_at_the_edge_of_a_long_line_does_not_show_in_part(tmp_path: Path) -> None:
    script = 'printf "%0300d%s" 0 "$TOKEN" >&2; exit 1'
    for padding in range(0, 30, 3):
        verdict = shell(
            script.replace("300", str(470 + padding)), tmp_path, {"env": {"TOKEN": "env:OURS"}}, OURS="t0k3nt0k3n"
        )
        assert "t0" not in verdict.reason


def test_one_that_hangs_waits_and_is_ended_with_its_children(tmp_path: Path) -> None:
    verdict = shell("sleep 1000 & echo $! > child; wait", tmp_path, {"timeout": "1s"})

    assert verdict == Verdict(outcome=WAIT, reason="sh does not end within 1 s")
    child = Path(f"/proc/{int((tmp_path / 'child').read_text())}")
    until(lambda: not child.exists() or child.joinpath("stat").read_text().split()[2] == "Z", "the child's end")


def test_who_asks_to_stop_ends_it(tmp_path: Path) -> None:
    began = tmp_path / "began"

    with pytest.raises(Cancelled):
        asked(["sh", "-c", "echo $$ > began.new; mv began.new began; sleep 1000"], tmp_path, cancelled=began.exists)

    process = Path(f"/proc/{int(began.read_text())}")
    until(lambda: not process.exists(), "the program's end")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"run": []}, "at least 1 item"),
        ({"run": [""]}, "at least 1 character"),
        ({"run": "./check.sh --strict"}, "valid list"),
        ({"run": ["true"], "env": {"A-B": "x"}}, "'A-B' cannot name a variable"),
        ({"run": ["true"], "timeout": "1h"}, "between 1s and 5m"),
        ({"run": ["true"], "shell": "yes"}, "not permitted"),
    ],
)
def test_mistakes_are_found_when_the_pipeline_is_read(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CommandOptions.model_validate(options)
