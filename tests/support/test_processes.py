"""Runs of the product: their output, exit code, environment and end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.processes import Result, environment, liftlock, loaded_modules, started


def test_gives_output_and_exit_code(home: Path) -> None:
    assert liftlock("--version").out.startswith("liftlock ")
    assert 2 == liftlock("no-such-command", check=False).code
    with pytest.raises(AssertionError, match="no-such-command ended with 2"):
        liftlock("no-such-command")


def test_the_environment_is_small(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    env = environment(more={"CI": "true"})

    assert "AWS_SECRET_ACCESS_KEY" not in env
    assert (str(home), "true") == (env["HOME"], env["CI"])


def test_reads_results() -> None:
    result = Result(("x",), 0, '{"a": 1}\n', "")

    assert {"a": 1} == result.json()
    assert [json.loads(result.out)] == result.lines()


def test_looks_into_a_run() -> None:
    assert {"sys", "liftlock"} <= loaded_modules("--version")
    assert {"sys", "liftlock", "click"} <= loaded_modules("--help")


def test_what_is_left_running_is_ended() -> None:
    with started("--version") as process:
        pass

    assert process.returncode is not None
