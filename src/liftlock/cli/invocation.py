"""One run of the command: what its common options said, the session it works with, and how signals end it."""

from __future__ import annotations

import _thread
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType

from liftlock.cli.output import count
from liftlock.transfer.events import Cancel
from liftlock.typed import TYPE_CHECKING, Concatenate, Literal, ParamSpec, TypeVar

if TYPE_CHECKING:
    from liftlock.auth.access import RegistryAccess
    from liftlock.services.session import Session
    from liftlock.transport.client import Transport

__all__ = ["Format", "Invocation", "pass_invocation"]

P = ParamSpec("P")
R = TypeVar("R")

Format = Literal["text", "json", "ndjson"]


class Invocation:
    """Travels as click's context object; options that many commands share are stored here as they are read."""

    def __init__(self, begun: Transport | None = None) -> None:
        self._begun = begun
        self.output: Format = "text"
        self.debug = False
        self.verbose = False
        self.plain_http: tuple[str, ...] = ()
        self.ca_file = ""
        self.client_cert = ""
        self.client_key = ""
        self.cancel = Cancel()
        self.summary = ""
        """What was moved, for ``--verbose``."""
        self.signal = 0
        """The signal that asked to stop; 0 while none did."""
        self.code = 0
        """What the command ends with when it ends well: 0, or 8 when something waits."""

    @contextmanager
    def session(
        self,
        *,
        verify: Literal["auto", "destination", "client"] = "auto",
        registries: Mapping[str, RegistryAccess] | None = None,
    ) -> Iterator[Session]:
        """A session with this run's options. While inside, signals stop it: once cleanly, twice at once."""
        session = self.new_session(verify=verify, registries=registries, begun=self._begun)
        self._begun = None
        with session, self.stopped_by_signals(), self.cancel.waking(session.abort):
            try:
                yield session
            finally:
                if self.verbose:
                    _say(", ".join(filter(None, (count(session.requests, "request"), self.summary))))

    def new_session(
        self,
        *,
        verify: Literal["auto", "destination", "client"] = "auto",
        registries: Mapping[str, RegistryAccess] | None = None,
        begun: Transport | None = None,
    ) -> Session:
        """A session with this run's options, which no signal stops."""
        from liftlock.services.session import Session

        return Session(
            os.environ,
            plain_http=self.plain_http,
            ca_file=self.ca_file,
            registries=registries,
            client_cert=self.client_cert,
            client_key=self.client_key,
            verify=verify,
            on_request=_say if self.verbose else None,
            begun=begun,
        )

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """While inside, the first SIGINT, SIGTERM or SIGHUP makes the request to stop; the second ends the process."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        if self.signal:
            os._exit(128 + number)
        self.signal = number
        if self.output == "text":
            # Not by `sys.stderr`: the signal may have interrupted a write to it.
            with suppress(OSError):  # its terminal may be gone
                os.write(2, b"stopping; once more to stop at once\n")
        # In a thread of its own: whoever was interrupted may hold the very locks that closing sockets needs.
        # Not by `threading.Thread` either, whose start takes locks.
        _thread.start_new_thread(self.cancel.request, ())


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def pass_invocation(command: Callable[Concatenate[Invocation, P], R]) -> Callable[P, R]:
    """Give a click command its `Invocation` as first argument."""
    import click  # whoever needs this has it

    return click.make_pass_decorator(Invocation, ensure=True)(command)
