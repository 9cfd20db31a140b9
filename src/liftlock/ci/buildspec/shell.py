"""The one shell that runs all commands of a build.

The shell runs a short program, always the same (`_DRIVER`), which takes one command after the other. A command's text
never is a part of a program or of an argument: it is a file of its own, which the shell reads with ``.``, so that the
folder, variables and functions that it leaves are there for the next one. The two talk through named pipes in a folder
that only this user may enter:

``next``   to the shell: the file to read, whether the build is succeeding, the last exit status
``done``   from the shell, when the command is over: its exit status, the folder, and the environment, each ended by a
           zero byte; one more zero byte ends the message
``log``    what commands write to stdout and stderr, in the order in which they write it

The shell opens each of them for one line or one command only, and nothing that a command starts inherits the first two:
whatever a command prints, closes or reads cannot be taken for a message. stdin is empty. As we keep both ends of the
pipes open ourselves, a process that a command left behind cannot make us wait.

AWS documents one shell. Its agent in fact gives each command a shell that takes over folder and environment, with all
variables exported (which is why arrays get lost there: aws/aws-cdk#26694). Where scripts can tell, this does as the
agent does: all variables are exported (``set -a``), what a command changes with ``set`` lasts until its end, and a
command that ends the shell (``exit 3``, ``exec``, an error under ``set -e``, a signal) has only ended itself: the next
one starts in a new shell, with the folder and environment that the last finished command left.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import shutil
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from liftlock.ci.buildspec.model import Shell
from liftlock.errors import Cancelled, ConfigError, LiftlockError
from liftlock.transfer.events import Cancel

__all__ = ["ShellSession", "opened"]

_DRIVER = r"""
_liftlock_room=$1 _liftlock_env=$2
shift 2
_liftlock_done() {
  { set RESET; } 2>/dev/null
  { command printf '%s\0' "$1" ".$PWD"; "$_liftlock_env" -0; command printf '\0'; } >"$_liftlock_room/done"
}
while :; do
  exec </dev/null >"$_liftlock_room/log" 2>&1
  IFS=' ' command read -r _liftlock_file CODEBUILD_BUILD_SUCCEEDING CODEBUILD_LAST_EXIT <"$_liftlock_room/next" || exit
  case $_liftlock_file in end) exit 0 ;; esac
  set -a
  . "$_liftlock_room/$_liftlock_file"
  { _liftlock_done "$?"; } 2>/dev/null
done
"""
_RESET = {Shell.SH: "+aefuvxC", Shell.BASH: "+aefuvxCET +o pipefail"}
"""What commands commonly switch on with ``set``."""

_PIECE = 64 * 1024
_GRACE = 2.0
"""Seconds that a stopped build has for its own ending, before it is killed."""
_SHELLS_OWN = ("_",)


@contextmanager
def opened(
    kind: Shell,
    *,
    room: Path,
    folder: Path,
    environment: Mapping[str, str],
    output: Callable[[bytes], None],
    cancel: Cancel,
) -> Iterator[ShellSession]:
    """A shell that starts in ``folder`` with ``environment``; ``room`` is a private, empty folder for its files.

    At the end, whatever commands left running in the background is killed. Raises `ConfigError` when there is no such
    shell here.
    """
    session = ShellSession(kind, room=room, folder=folder, environment=environment, output=output, cancel=cancel)
    try:
        with cancel.waking(session.wake):
            yield session
    finally:
        session.close()


class ShellSession:
    """Runs commands. Not for threads, but for `wake`."""

    def __init__(
        self,
        kind: Shell,
        *,
        room: Path,
        folder: Path,
        environment: Mapping[str, str],
        output: Callable[[bytes], None],
        cancel: Cancel,
    ) -> None:
        path, env = shutil.which(kind.value), shutil.which("env")
        if path is None or env is None:
            raise ConfigError(f"there is no {kind.value if path is None else 'env'} here", hint="install it")
        self.environment = dict(environment)
        """As the last finished command left it."""
        self._arguments = [path, "-c", _DRIVER.replace("RESET", _RESET[kind]), kind.value, str(room), env]
        self._room, self._start, self._folder = room, folder, folder
        self._output, self._cancel = output, cancel
        self._shells: list[subprocess.Popen[bytes]] = []
        """Those that ended are not reaped before the end, so that the numbers of their groups stay theirs."""
        self._end = -1
        self._waking = threading.Lock()
        self._woken = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._next, self._done, self._log = (_pipe(room / name) for name in ("next", "done", "log"))

    def wake(self) -> None:
        """Notice a request to stop at once; from any thread, also one that comes late."""
        with self._waking:
            if self._woken >= 0:
                os.eventfd_write(self._woken, 1)

    def run(self, text: str, name: str, *, succeeding: bool, last: int) -> int:
        """Run one command, and tell its exit status; one that a signal ended has 128 and the signal's number.

        ``name`` is what the shell calls it in its messages. ``succeeding`` and ``last`` (the exit status of the command
        before) become variables. Raises `Cancelled` when somebody asks to stop.
        """
        self._cancel.check()
        try:
            (self._room / name).write_text(f"{text}\n", encoding="utf-8")
            if not self._is_alive():
                self._begin()
            os.write(self._next, f"{name} {int(succeeding)} {last}\n".encode())
            return self._follow()
        except OSError as error:
            if error.filename is None:
                raise  # of whoever takes the output
            raise LiftlockError(
                f"the build's own files are out of reach: {error.filename}: {error.strerror}",
                hint="does a command remove temporary files?",
            ) from None

    def finish(self) -> None:
        """Let the shell end, and with it what ``trap … EXIT`` says. Raises `Cancelled`."""
        if self._is_alive():
            os.write(self._next, b"end 1 0\n")
            self._follow()

    def close(self) -> None:
        """End every process of the build: politely when the shell still runs, then for good."""
        if self._is_alive():
            self._signal(signal.SIGTERM)
            deadline = time.monotonic() + _GRACE
            while self._is_alive() and time.monotonic() < deadline:
                # What is written meanwhile is read, because a full pipe would hold up who wants to end.
                with selectors.DefaultSelector() as waiting:
                    waiting.register(self._end, selectors.EVENT_READ)
                    waiting.register(self._log, selectors.EVENT_READ)
                    waiting.select(deadline - time.monotonic())
                _drain(self._log)
        self._signal(signal.SIGKILL)
        for shell in self._shells:
            shell.wait()
        with self._waking:
            woken, self._woken = self._woken, -1
        for each in (self._next, self._done, self._log, woken, self._end):
            if each >= 0:
                os.close(each)

    def _begin(self) -> None:
        """A new shell, where the last one left off."""
        for pipe in (self._next, self._done):
            _drain(pipe)  # what a shell did not take, or did not finish, before it ended
        folder = self._folder if self._folder.is_dir() else self._start
        try:
            shell = subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env=self.environment,
                start_new_session=True,
            )
        except OSError as error:
            raise LiftlockError(f"the shell cannot be started: {error.strerror}") from None
        self._shells.append(shell)
        if self._end >= 0:
            os.close(self._end)
        self._end = os.pidfd_open(shell.pid)

    def _follow(self) -> int:
        """Pass the output on until the command is over, or the shell."""
        said = bytearray()
        with selectors.DefaultSelector() as waiting:
            for each in (self._log, self._done, self._woken, self._end):
                waiting.register(each, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in waiting.select()}
                if self._log in ready:
                    self._output(os.read(self._log, _PIECE))
                if self._cancel.requested:
                    raise Cancelled("stopped on request")
                if self._done in ready:
                    said += _drain(self._done)
                    if said.endswith(b"\0\0"):
                        self._output(_drain(self._log))  # all of the command's is there: it was written before
                        return self._note(bytes(said))
                elif self._end in ready:
                    self._output(_drain(self._log))
                    return _status(self._shells[-1].pid)

    def _note(self, said: bytes) -> int:
        status, folder, *variables = said.removesuffix(b"\0\0").split(b"\0")
        self._folder = Path(os.fsdecode(folder[1:]))
        pairs = (os.fsdecode(each).partition("=") for each in variables)
        self.environment = {name: value for name, _, value in pairs if name not in _SHELLS_OWN}
        return int(status)

    def _is_alive(self) -> bool:
        if not self._shells:
            return False
        return os.waitid(os.P_PID, self._shells[-1].pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def _signal(self, number: signal.Signals) -> None:
        for shell in self._shells:
            with suppress(ProcessLookupError, PermissionError):  # nobody of it is left
                os.killpg(shell.pid, number)


def _pipe(path: Path) -> int:
    """A named pipe with both ends open here, so that nobody waits for the other side, and nobody meets an end."""
    os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def _drain(pipe: int) -> bytes:
    """What is in a pipe now."""
    waiting: int = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]
    return os.read(pipe, waiting) if waiting else b""


def _status(pid: int) -> int:
    """How a process ended that is not reaped yet."""
    end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert end is not None  # noqa: S101 - without WNOHANG it waits
    return end.si_status if end.si_code == os.CLD_EXITED else 128 + end.si_status
