"""Times whole processes, several commands in turn, and keeps what the operating system says of each."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Command", "Sample", "Series", "interleave"]


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
            before()
            sample = _run(command)
            if turn:
                kept.samples.append(sample)
        print(".", end="", file=sys.stderr, flush=True)
    return series


def _run(command: Command) -> Sample:
    arguments = [str(argument) for argument in command.arguments]
    start = time.perf_counter()
    process = subprocess.Popen(
        arguments, env={**os.environ, **command.env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)}\nfailed with {process.returncode}:\n{said}")
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
