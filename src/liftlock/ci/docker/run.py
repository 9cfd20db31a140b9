"""One run of the command: its environment, its store, its session, and how signals end it."""

from __future__ import annotations

import _thread
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from types import FrameType

from liftlock.ci.docker.words import Said
from liftlock.transfer.events import Cancel
from liftlock.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from liftlock.ci.docker.store import Store
    from liftlock.services.session import Session

__all__ = ["Run"]


class Run:
    """What a command works with. ``path`` is how it was called, for its messages: ``docker image push``."""

    def __init__(self, env: Mapping[str, str], path: str, *, debug: bool = False) -> None:
        self.env = env
        self.path = path
        self.debug = debug
        self.cancel = Cancel()
        self.signal = 0
        """The signal that asked to stop; 0 while none did."""

    @cached_property
    def store(self) -> Store:
        from liftlock.ci.docker.store import Store, store_path

        return Store(store_path(self.env))

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Registries, archives and the store, opened by name. While inside, SIGINT and SIGTERM stop it cleanly."""
        from liftlock.services.session import Session

        session = Session(self.env, on_request=self._requested if self.debug else None)
        with session, self._stopped_by_signals(), self.cancel.waking(session.abort):
            session.targets.add(self.store)
            yield session

    def refuse_trust(self) -> None:
        """Raise `Said` where docker was told to check signatures by Notary v1, which is not done here."""
        if self.env.get("DOCKER_CONTENT_TRUST", "") not in ("", "0", "false"):
            raise Said(
                "DOCKER_CONTENT_TRUST is set, and liftlock-docker does not verify Notary's signatures",
                hint="unset it; signatures that are attached to images travel with them",
            )

    def say(self, line: str) -> None:
        """One line of stdout, written at once: whoever reads a CI log waits for it."""
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def warn(self, line: str) -> None:
        """One line of stderr, after what went to stdout before."""
        with suppress(OSError):  # it may be stdout that the line is about
            sys.stdout.flush()
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def _requested(self, line: str) -> None:
        self.warn(f"level=debug msg={line!r}")

    @contextmanager
    def _stopped_by_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        if self.signal:
            os._exit(128 + number)
        self.signal = number
        # In a thread of its own: whoever was interrupted may hold the very locks that closing sockets needs.
        _thread.start_new_thread(self.cancel.request, ())
