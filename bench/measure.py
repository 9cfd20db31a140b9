"""Times whole processes, several commands in turn, and keeps what the operating system says of each."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Command", "Sample", "Series", "interleave"]

LOOK_EVERY = 0.02
"""Seconds between two looks at how much memory a process has used at most."""
ATTEMPTS = 3
"""Old skopeo fails at random now and then; a run that failed is made again, and not counted."""

_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """One contestant: its name in the table, and what is run."""

    tool: str
    arguments: Sequence[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """One run: seconds on the wall clock, seconds of processor (user and system), peak memory in bytes."""

    wall: float
    cpu: float
    memory: int


@dataclass
class Series:
    """All runs of one command."""

    tool: str
    samples: list[Sample] = field(default_factory=list)

    @property
    def wall(self) -> float:
        return statistics.median(sample.wall for sample in self.samples)

    @property
    def cpu(self) -> float:
        return statistics.median(sample.cpu for sample in self.samples)

    @property
    def memory(self) -> int:
        return max(sample.memory for sample in self.samples)


def interleave(commands: Sequence[Command], *, runs: int, before: Callable[[], None] = lambda: None) -> list[Series]:
    """Run the commands in turn, ``runs`` times each after one warm-up, with ``before`` before every single run."""
    series = [Series(command.tool) for command in commands]
    for turn in range(runs + 1):
        for command, kept in zip(commands, series, strict=True):
            sample = _measure(command, before)
            if turn:
                kept.samples.append(sample)
        print(".", end="", file=sys.stderr, flush=True)
    return series


def _measure(command: Command, before: Callable[[], None]) -> Sample:
    said = ""
    for _ in range(ATTEMPTS):
        before()
        sample, said = _run(command)
        if sample is not None:
            return sample
        print("!", end="", file=sys.stderr, flush=True)
    raise SystemExit(f"{' '.join(map(str, command.arguments))}\nfailed {ATTEMPTS} times:\n{said}")


def _run(command: Command) -> tuple[Sample | None, str]:
    """One run, None when it failed; and what it said on stderr."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(argument) for argument in command.arguments],
        env={**os.environ, **command.env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak = _Peak(process.pid)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    memory = peak.end()
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    sample = Sample(wall, usage.ru_utime + usage.ru_stime, memory)
    return None if process.returncode else sample, said


class _Peak:
    """Looks at a process while it runs: what the system says at its end counts the memory of its parent, too."""

    def __init__(self, pid: int) -> None:
        self._path = Path(f"/proc/{pid}/status")
        self._over = threading.Event()
        self._bytes = 0
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def end(self) -> int:
        """The most bytes that were in memory at once."""
        self._over.set()
        self._thread.join()
        return self._bytes

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY):
            try:
                found = _PEAK.search(self._path.read_text())
            except OSError:
                return
            if found:  # a process that has ended, and was not waited for yet, has none
                self._bytes = int(found[1]) * 1024
