"""`login` and `logout` as processes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.conftest import MakeRegistry
from tests.support import images, remote
from tests.support.processes import command, environment, liftlock
from tests.support.waiting import until

pytestmark = pytest.mark.acceptance

PASSWORD = "correct horse: battery"


def test_login_opens_the_registry_and_logout_closes_it(make_registry: MakeRegistry, home: Path, tmp_path: Path) -> None:
    locked = make_registry(user="alice", password=PASSWORD)
    image = images.make_image(tmp_path / "l", "v1")
    remote.push(tmp_path / "l", "v1", locked, "app")
    reference = f"{locked.host}/app:v1"

    login = liftlock("login", locked.host, "-u", "alice", "--password-stdin", input=f"{PASSWORD}\n")

    config = home / ".docker" / "config.json"
    assert str(config) in login.out
    assert "unencrypted" in login.err
    assert PASSWORD not in login.out + login.err
    assert list(json.loads(config.read_text())["auths"]) == [locked.host]
    assert liftlock("digest", reference).out == f"{image.digest}\n"

    assert str(config) in liftlock("logout", locked.host).out
    assert liftlock("digest", reference, check=False).code == 4
    assert "no credentials" in liftlock("logout", locked.host).out


def test_a_refused_login_stores_nothing(make_registry: MakeRegistry, home: Path) -> None:
    locked = make_registry(user="alice", password=PASSWORD)

    done = liftlock("login", locked.host, "-u", "alice", "--password-stdin", input="wrong", check=False)

    assert (done.code, done.out) == (4, "")
    assert not (home / ".docker").exists()


def test_login_without_a_terminal_names_the_flag(make_registry: MakeRegistry) -> None:
    done = liftlock("login", "a.example", "-u", "alice", check=False)

    assert done.code == 2
    assert "--password-stdin" in done.err


def test_an_empty_password_is_refused() -> None:
    done = liftlock("login", "a.example", "-u", "alice", "--password-stdin", input="\n", check=False)

    assert done.code == 2
    assert "password is empty" in done.err


def test_a_password_that_is_no_text_is_refused() -> None:
    done = liftlock("login", "a.example", "-u", "alice", "--password-stdin", input=b"p\xffss", check=False)

    assert done.code == 2
    assert "UTF-8" in done.err


def test_a_password_cannot_be_an_option() -> None:
    assert liftlock("login", "a.example", "-u", "alice", "--password", PASSWORD, check=False).code == 2


def test_a_person_types_the_password_unseen(make_registry: MakeRegistry) -> None:
    locked = make_registry(user="alice", password=PASSWORD)
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        command(["login", locked.host, "-u", "alice"]),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment(),
        start_new_session=True,
    )
    os.close(terminal)
    shown = bytearray()

    def read() -> bool:
        try:
            shown.extend(os.read(controller, 4096))
        except OSError:  # the other end has closed
            return True
        return b"Password" in shown

    until(read, "the question for the password")
    os.write(controller, f"{PASSWORD}\n".encode())
    until(lambda: read() and process.poll() is not None, "the end of the login")
    os.close(controller)

    assert process.returncode == 0, shown
    assert b"logged in" in shown
    assert PASSWORD.encode() not in shown
