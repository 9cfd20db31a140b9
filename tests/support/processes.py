"""The product as a process of its own, as a user starts it: `python -m liftlock …` with a clean environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT = 50.0
"""Seconds after which a run is ended: just before a test's own end, so that its output is seen."""

_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "COVERAGE_PROCESS_START")


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    arguments: tuple[str, ...]
    code: int
    """The exit code; the negative signal when it was killed."""
    out: str
    err: str

    def json(self) -> Any:
        """stdout as one JSON document."""
        return json.loads(self.out)

    def lines(self) -> list[Any]:
        """stdout as JSON documents, one per line."""
        return [json.loads(line) for line in self.out.splitlines()]

    def __str__(self) -> str:
        return f"liftlock {' '.join(self.arguments)} ended with {self.code}\n{self.out}{self.err}"


def environment(home: Path | None = None, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """A small environment: the search path, `home` (else the test's own HOME), `more`, and no one's credentials."""
    env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    env["HOME"] = str(home) if home is not None else os.environ["HOME"]
    env["PYTHONWARNINGS"] = "error"
    return {**env, **(more or {})}


def command(arguments: Sequence[str | Path]) -> list[str]:
    """The command line of a run."""
    return [sys.executable, "-m", "liftlock", *map(str, arguments)]


def liftlock(
    *arguments: str | Path,
    home: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: str | bytes | None = None,  # noqa: A002 - as `subprocess.run` has it
    check: bool = True,
    timeout: float = TIMEOUT,
) -> Result:
    """Run a command to its end; with `check` anything but exit code 0 fails the test and shows what was said."""
    data = input.encode() if isinstance(input, str) else input
    done = subprocess.run(
        command(arguments),
        env=environment(home, env),
        cwd=cwd,
        input=data or b"",
        capture_output=True,
        check=False,
        timeout=timeout,
    )
    result = Result(tuple(map(str, arguments)), done.returncode, done.stdout.decode(), done.stderr.decode())
    assert not check or result.code == 0, str(result)
    return result


@contextmanager
def started(
    *arguments: str | Path,
    home: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command and leave it running, to be killed or interrupted; what is left is killed at the end."""
    process = subprocess.Popen(
        command(arguments),
        env=environment(home, env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def loaded_modules(*arguments: str | Path, home: Path | None = None) -> set[str]:
    """The modules that a run of `liftlock` has loaded when it ends well."""
    # Not after the run: the command leaves by `os._exit`, but not without the functions of `atexit`.
    program = (
        "import atexit, runpy, sys\n"
        "sys.argv = ['liftlock', *sys.argv[1:]]\n"
        "atexit.register(lambda: print(*sorted(sys.modules), sep='\\n', file=sys.stderr, flush=True))\n"
        "runpy.run_module('liftlock', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return set(done.stderr.splitlines())
