"""What is shown of running copies: docker's lines for everyone, a moving line for terminals only."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from liftlock.ci.docker.texts import size_text
from liftlock.transfer.events import Event, OnEvent

__all__ = ["watching"]

REDRAW = 0.1
"""Seconds between two drawings of the line."""


@contextmanager
def watching(quiet: bool, tell: Callable[[Event], None] | None = None) -> Iterator[OnEvent]:
    """A watcher of a copy: ``tell`` gets each event, one at a time; a terminal sees the bytes. Nothing when quiet."""
    line = _Line(tell)
    if quiet:
        yield lambda _: None
        return
    try:
        yield line
    finally:
        line.clear()


class _Line:
    def __init__(self, tell: Callable[[Event], None] | None) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._terminal = sys.stderr.isatty()
        self._done = self._total = 0
        self._drawn = 0.0

    def __call__(self, event: Event) -> None:
        with self._lock:
            if event.kind == "phase":
                self._done, self._total = 0, event.total
            elif event.kind == "progress":
                self._done += event.done
                self._draw()
            elif self._tell is not None:
                self._erase()
                self._tell(event)

    def clear(self) -> None:
        """Leave a clean terminal behind."""
        with self._lock:
            self._erase()

    def _draw(self) -> None:
        now = time.monotonic()
        if self._terminal and now - self._drawn >= REDRAW:
            self._drawn = now
            of = f" of {size_text(self._total)}" if self._total else ""
            sys.stderr.write(f"\r\x1b[K{size_text(self._done)}{of}")
            sys.stderr.flush()

    def _erase(self) -> None:
        if self._drawn:
            self._drawn = 0.0
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
