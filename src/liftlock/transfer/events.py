"""What a running copy tells those who watch, and how they stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from liftlock.errors import Cancelled
from liftlock.typed import Literal, NamedTuple

__all__ = ["Cancel", "Event", "OnEvent", "ignore"]


class Event(NamedTuple):
    """One thing that happened. Draw a bar from it, write a log line, or send it to a page."""

    kind: Literal["phase", "blob", "progress", "manifest", "tag", "note"]
    """``phase``: a new phase begins (``subject`` its name, ``total`` its steps, or bytes for ``blobs``).
    ``progress``: ``done`` more bytes of the blob ``subject`` arrived (a negative number: a fresh attempt began).
    ``blob``, ``manifest``, ``tag``: one is finished; ``detail`` says how. ``note``: something worth telling."""
    subject: str
    detail: str = ""
    done: int = 0
    total: int = 0


OnEvent = Callable[[Event], None]
"""Called from many threads; it must be quick and must not raise."""


def ignore(event: Event) -> None:
    """The watcher that does not watch."""


class Cancel:
    """A request to stop, made from any thread or signal handler.

    A flag cannot wake a stalled read, so whoever owns sockets adds a callback that closes them.
    """

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []

    @property
    def requested(self) -> bool:
        return self._requested.is_set()

    def request(self) -> None:
        """Ask to stop; returns at once when asked before."""
        with self._lock:
            if self._requested.is_set():
                return
            self._requested.set()
            callbacks = tuple(self._callbacks)
        for callback in callbacks:
            callback()

    def check(self) -> None:
        """Raise `Cancelled` when somebody asked to stop."""
        if self._requested.is_set():
            raise Cancelled("stopped on request", hint="run the same command again to go on where it stopped")

    def wait(self, seconds: float) -> None:
        """Sleep, at most this long, unless asked to stop: then raise `Cancelled`."""
        self._requested.wait(seconds)
        self.check()

    @contextmanager
    def waking(self, *callbacks: Callable[[], None]) -> Iterator[None]:
        """While inside, a request to stop calls these as well (at once when it was already made)."""
        with self._lock:
            self._callbacks.extend(callbacks)
            late = self._requested.is_set()
        try:
            if late:
                for callback in callbacks:
                    callback()
            yield
        finally:
            with self._lock:
                for callback in callbacks:
                    self._callbacks.remove(callback)
