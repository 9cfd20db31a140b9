"""Worker processes that can be stopped at each boundary of an effect, killed there, and replaced.

`Crew` is what a test uses. It starts one process that has imported everything (``python -m tests.engine.crew``), which
forks the workers: so a worker costs a tenth of a second, and the test's own process, with its threads, is never forked.
A worker writes each boundary that it comes to into a file, and waits at the one it was told to.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.engine.works import Works
from tests.support.waiting import until

__all__ = ["Crew", "Member"]

PATIENCE = 40.0
"""Seconds in which a worker gets to where it is expected, on a busy machine."""


@dataclass
class Member:
    """One worker process."""

    pid: int
    log: Path
    """A line for each boundary, ``waiting`` when it waits there, and at last how it ended."""

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def boundaries(self) -> list[str]:
        """The names of the boundaries that it came to, in order."""
        return [line.removeprefix("at ") for line in self.lines() if line.startswith("at ")]

    def waits(self) -> Member:
        """Wait until it waits at its boundary."""
        until(lambda: "waiting" in self.lines() or self._died(), "a worker to reach its boundary", seconds=PATIENCE)
        assert "waiting" in self.lines(), self.log.read_text()
        return self

    def ends(self) -> Member:
        """Wait until it has ended by itself, and well."""
        until(self._died, "a worker to end", seconds=PATIENCE)
        assert self.lines()[-1] == "ended", self.log.read_text()
        return self

    def warns(self, pattern: str) -> None:
        """Wait until it has warned of something."""
        until(
            lambda: any(line.startswith("warning ") and re.search(pattern, line) for line in self.lines()),
            f"a warning of {pattern}",
            seconds=PATIENCE,
        )

    def go_on(self) -> None:
        """Let it pass its boundary."""
        self.log.with_suffix(".go").touch()

    def kill(self) -> None:
        """``kill -9``."""
        self.signal(signal.SIGKILL)
        until(self._gone, "a killed worker to be gone", seconds=PATIENCE)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def _died(self) -> bool:
        return self.lines()[-1:] in (["ended"], ["failed"]) or self._gone()

    def _gone(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        return False


class Crew:
    """Starts workers of projects; what is left of them is killed at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._members: list[Member] = []
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.engine.crew"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def start(self, works: Works, *, stop_at: str = "", ttl: float = 15.0, reap: bool = True) -> Member:
        """A worker that works until nothing is due, or waits when it comes to a boundary whose name this finds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        log = self._folder / f"worker{next(self._numbers)}.log"
        order = {
            "folder": str(works.folder),
            "url": works.url,
            "environment": works.environment or {},
            "log": str(log),
            "stop_at": stop_at,
            "ttl": ttl,
            "reap": reap,
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        self._members.append(Member(int(self._process.stdout.readline()), log))
        return self._members[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self._members:
            if not member._died():
                member.kill()
        self._process.communicate()


def _serve() -> None:
    """Fork a worker for each line that comes."""
    import liftlock.engine.workflows
    import liftlock.gates.ask
    import liftlock.notify.webhook
    import liftlock.targets.layout
    import liftlock.targets.registry  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the dead: they are gone at once
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _work(json.loads(line))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _work(order: dict[str, Any]) -> None:
    from liftlock.engine import reaper, worker

    log = Path(order["log"])
    code = 1
    with log.open("a", buffering=1) as file:
        try:
            if not order["reap"]:
                reaper.Reaper.__call__ = lambda self: None  # type: ignore[method-assign]
            logging.getLogger("liftlock").addHandler(_Log(file.write))
            works = Works(Path(order["folder"]), order["url"], environment=order["environment"])
            boundary = _boundary(file.write, order["stop_at"], log.with_suffix(".go"))
            with worker.Worker(works.workplace(boundary), ttl=order["ttl"]) as at_work:
                at_work.run_until(lambda: at_work.idle)
            file.write("ended\n")
            code = 0
        except BaseException:  # noqa: BLE001 - the test is shown it
            file.write(traceback.format_exc() + "failed\n")
    os._exit(code)


class _Log(logging.Handler):
    """What a worker warns of is a line of its log."""

    def __init__(self, write: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        self._write(f"warning {' '.join(record.getMessage().split())}\n")


def _boundary(write: Callable[[str], object], stop_at: str, go: Path) -> Callable[[str], None]:
    lock = threading.Lock()
    stopped: list[str] = []

    def boundary(name: str) -> None:
        with lock:
            write(f"at {name}\n")
            stops = bool(stop_at) and not stopped and re.search(stop_at, name) is not None
            if stops:
                stopped.append(name)
                write("waiting\n")
        while stops and not go.exists():
            time.sleep(0.01)

    return boundary


if __name__ == "__main__":
    _serve()
