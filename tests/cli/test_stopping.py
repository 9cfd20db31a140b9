"""SIGINT and SIGTERM: once stops cleanly, twice at once; the same command goes on later."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import MakeFront, NewRepository
from tests.support import faults, remote
from tests.support.front import Rule
from tests.support.images import Image
from tests.support.processes import command, environment, liftlock, started
from tests.support.registry import Registry
from tests.support.waiting import until

pytestmark = pytest.mark.acceptance


def until_stalled(process: subprocess.Popen[bytes], rule: Rule) -> None:
    """Wait until the process hangs in the rule's request; show what it said when it ends before."""
    until(lambda: rule.hits or process.poll() is not None, "a request that stalls", seconds=40)
    assert process.poll() is None, process.communicate()


def until_asleep(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process waits for something: a signal is lost on Python just before it begins to read."""
    stat = Path(f"/proc/{process.pid}/stat")
    until(lambda: stat.read_text().rpartition(") ")[2][0] == "S", "a process that waits")


def interrupted(process: subprocess.Popen[bytes]) -> int:
    """The exit code after Ctrl-C, pressed again where it was lost: what sleeps may not have begun to read yet."""
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return process.wait(4)
    process.kill()
    return process.wait()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("where", ["/manifests/v1", "/blobs/sha256"])
def test_a_stalled_copy_stops_when_asked(
    *,
    registry: Registry,
    repo: str,
    image: Image,
    make_front: MakeFront,
    new_repo: NewRepository,
    number: signal.Signals,
    code: int,
    where: str,
) -> None:
    front = make_front(registry)
    stalled = front.rule("GET", where, faults.Stall())
    destination = new_repo()
    pair = (f"{front.host}/{repo}:v1", f"{registry.host}/{destination}:v1")

    with started("copy", *pair) as process:
        until_stalled(process, stalled)
        process.send_signal(number)
        out, err = process.communicate()

    assert process.returncode == code, err
    assert out == b""
    assert b"error: " in err
    assert b"Traceback" not in err
    assert remote.digest_of(registry, destination, "v1") is None

    front.clear()
    assert image.digest in liftlock("copy", *pair).out


def test_asked_twice_it_ends_at_once(
    registry: Registry, repo: str, image: Image, make_front: MakeFront, new_repo: NewRepository
) -> None:
    """A first request that takes its time (here: a stopped process wakes to both) does not keep the second waiting."""
    assert image.digest
    front = make_front(registry)
    stalled = front.rule("GET", "/blobs/sha256", faults.Stall(), times=None)

    with started("copy", f"{front.host}/{repo}:v1", f"{registry.host}/{new_repo()}:v1") as process:
        until_stalled(process, stalled)
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        process.communicate()

    assert process.returncode in {130, 143}


def test_a_stalled_listing_stops_too(registry: Registry, repo: str, image: Image, make_front: MakeFront) -> None:
    assert image.digest
    front = make_front(registry)
    stalled = front.rule("GET", "/tags/list", faults.Stall())

    with started("ls", f"{front.host}/{repo}", "-o", "json") as process:
        until_stalled(process, stalled)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()

    assert (process.returncode, out) == (130, b"")
    assert b'"code": "cancelled"' in err


def test_interrupting_a_question_answers_no(registry: Registry, repo: str, image: Image) -> None:
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        command(["delete", f"{registry.host}/{repo}@{image.digest}"]),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment(),
        start_new_session=True,
    )
    os.close(terminal)
    shown = bytearray()

    def asked() -> bool:
        shown.extend(os.read(controller, 4096))
        return b"Delete" in shown

    until(asked, "the question")
    until_asleep(process)

    assert interrupted(process) == 130
    os.close(controller)
    assert remote.digest_of(registry, repo, "v1") == image.digest
