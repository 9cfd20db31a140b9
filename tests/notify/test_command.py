"""A program of one's own as a notifier."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from liftlock.errors import ConfigError, LiftlockError
from liftlock.kinds.tools import Tools
from liftlock.notify.command import Command, CommandOptions
from liftlock.notify.testing import sample


def send(folder: Path, script: str, timeout: str = "30s", **env: str) -> None:
    options = CommandOptions.model_validate({"run": [sys.executable, "-c", script], "timeout": timeout, "env": env})
    given = {"PATH": os.environ["PATH"], "HOME": "/home/worker", "OURS": "t0k3n", "LIFTLOCK_DATABASE_URL": "sqlite://"}
    tools = Tools(folder=folder, environment=given)
    Command().send(sample(), options, tools)


def test_what_it_is_given(tmp_path: Path) -> None:
    send(
        tmp_path,
        "import json, os, sys; said = json.load(sys.stdin);json.dump([said, dict(os.environ)], open('out.json', 'w'))",
        MODE="loud",
        TOKEN="env:OURS",
    )

    said, environment = json.loads((tmp_path / "out.json").read_text())
    assert said == sample().to_json()
    environment.pop("LC_CTYPE", None)  # Python's own
    assert environment == {
        "PATH": os.environ["PATH"],
        "HOME": "/home/worker",
        "MODE": "loud",
        "TOKEN": "t0k3n",
        "LIFTLOCK_OCCASION": "success",
        "LIFTLOCK_KEY": sample().key,
        "LIFTLOCK_PIPELINE": "shop",
        "LIFTLOCK_STAGE": "prod",
        "LIFTLOCK_RELEASE": "42",
        "LIFTLOCK_PROMOTION": "17",
        "LIFTLOCK_STATE": "succeeded",
    }


def test_a_name_that_cannot_name_a_variable() -> None:
    with pytest.raises(ValueError, match="'A-B' cannot name a variable"):
        CommandOptions.model_validate({"run": ["true"], "env": {"A-B": "x"}})


@pytest.mark.parametrize(("status", "temporary"), [(75, True), (1, False), (2, False)])
def test_its_exit_status_decides(tmp_path: Path, status: int, temporary: bool) -> None:
    with pytest.raises(LiftlockError, match=f"ends with status {status}") as caught:
        send(tmp_path, f"import sys; sys.stderr.write('s3cret'); sys.exit({status})")

    assert caught.value.temporary is temporary
    assert "s3cret" not in str(caught.value)


def test_a_signal_is_final(tmp_path: Path) -> None:
    with pytest.raises(LiftlockError, match="is ended by signal 9") as caught:
        send(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")

    assert not caught.value.temporary


def test_one_that_takes_too_long_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(LiftlockError, match="does not end within 1 s") as caught:
        send(tmp_path, "import time; time.sleep(1000)", timeout="1s")

    assert caught.value.temporary


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    options = CommandOptions.model_validate({"run": ["no-such-program"]})
    with pytest.raises(ConfigError, match="no-such-program cannot be run"):
        Command().send(sample(), options, Tools(folder=tmp_path, environment={}))
