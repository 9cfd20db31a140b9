"""One program on behalf of a pipeline file: an argument list without a shell, with a deadline and bounded output."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from liftlock.errors import Cancelled, ConfigError, LiftlockError, TransportError
from liftlock.kinds.tools import Tools

__all__ = ["MAX_OUTPUT", "Finished", "run", "surroundings"]

MAX_OUTPUT = 1024 * 1024
"""Bytes of each of the two outputs that are kept; what comes after is thrown away."""

_PIECE = 64 * 1024
_LOOK = 0.1
"""Seconds between two looks at the deadline and at whether somebody asked to stop."""
_GRACE = 2.0
"""Seconds that a program has for its own ending, before it is killed."""
_PASSED_ON = ("PATH", "HOME")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a program ended."""

    status: int
    """Its exit status; negative: the signal that ended it."""
    output: bytes
    errors: bytes

    @property
    def complaint(self) -> str:
        """The last line that it wrote to its standard error, for people; at most 300 printable characters."""
        lines = [line.strip() for line in self.errors.decode(errors="replace").splitlines() if line.strip()]
        return "".join(each for each in (lines[-1] if lines else "") if each.isprintable())[:300]


def run(
    arguments: Sequence[str],
    tools: Tools,
    *,
    timeout: float,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    folder: str = "",
) -> Finished:
    """Run it to its end, in ``folder`` (the pipeline file's) and with ``environment`` (the worker's).

    At its end, after ``timeout`` seconds and when somebody asks to stop, whatever it started in its process group is
    ended too. Raises `ConfigError` when it cannot be started, `TransportError` (temporary) when it takes too long,
    `Cancelled`. Any exit status is an answer.
    """
    given = tools.environment if environment is None else environment
    where = folder or str(tools.folder)
    name = Path(arguments[0]).name
    with tempfile.TemporaryFile() as source:
        source.write(stdin)
        source.seek(0)
        try:
            process = subprocess.Popen(
                [_found(arguments[0], where, given), *arguments[1:]],
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=where,
                env=dict(given),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "its arguments hold a zero byte"
            raise ConfigError(f"{name} cannot be run: {why}", hint="is it installed where the worker runs?") from None
    try:
        output, errors = _follow(process, tools, time.monotonic() + timeout, name, timeout)
    finally:
        _end(process)
    return Finished(status=process.returncode, output=output, errors=errors)


def surroundings(tools: Tools, variables: Mapping[str, str], facts: Mapping[str, str]) -> dict[str, str]:
    """The environment for a program of the user's: `PATH` and `HOME`, ``variables`` with their secrets, and ``facts``.

    Nothing else of the worker's, which holds the database's URL and registry tokens. Raises `ConfigError` for a secret
    that is not there.
    """
    return {
        **{name: tools.environment[name] for name in _PASSED_ON if name in tools.environment},
        **{name: tools.secret(value).reveal() for name, value in variables.items()},
        **facts,
    }


def _found(program: str, folder: str, environment: Mapping[str, str]) -> str:
    """A name is looked for on the given ``PATH``, a path is relative to the folder."""
    if os.sep in program:
        return str(Path(folder).absolute() / program)
    return shutil.which(program, path=environment.get("PATH", os.defpath)) or program


def _follow(
    process: subprocess.Popen[bytes], tools: Tools, deadline: float, name: str, timeout: float
) -> tuple[bytes, bytes]:
    """Both outputs, read until the program has ended; what it left running may keep them open."""
    kept: dict[int, bytearray] = {}
    end = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as waiting:
            waiting.register(end, selectors.EVENT_READ)
            for stream in (process.stdout, process.stderr):
                assert stream is not None  # noqa: S101 - both are pipes
                waiting.register(stream, selectors.EVENT_READ)
                kept[stream.fileno()] = bytearray()
            first, second = kept
            while True:
                ready = {key.fd: key for key, _ in waiting.select(_LOOK)}
                ended = ready.pop(end, None) is not None
                for key in ready.values():
                    piece = os.read(key.fd, _PIECE)
                    if not piece:
                        waiting.unregister(key.fileobj)
                    kept[key.fd] += piece[: MAX_OUTPUT - len(kept[key.fd])]
                if ended and not any(fd in waiting.get_map() for fd in ready):
                    return bytes(kept[first]), bytes(kept[second])
                _look(tools, deadline, name, timeout)
    finally:
        os.close(end)


def _look(tools: Tools, deadline: float, name: str, timeout: float) -> None:
    stop: LiftlockError | None = None
    if tools.cancelled():
        stop = Cancelled("cancelled")
    elif time.monotonic() >= deadline:
        stop = TransportError(f"{name} does not end within {timeout:g} s")
    if stop is not None:
        raise stop


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Asked without reaping it: as long as it is not reaped, its group's number belongs to nobody else."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole process group: politely when its leader still runs, then for good."""
    if not _has_ended(process):
        _signal(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        while not _has_ended(process) and time.monotonic() < deadline:
            time.sleep(0.01)
    _signal(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody of it is left
        os.killpg(group, number)
