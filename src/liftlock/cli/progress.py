"""Draws a copy's events on stderr: one redrawn line on a terminal, few plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from liftlock.cli.output import bytes_text, count, document
from liftlock.transfer.events import Event
from liftlock.typed import Literal, Protocol, Self, TextIO

__all__ = ["Events", "Line", "Lines", "Mode", "Silence", "Watcher", "watcher"]

Mode = Literal["auto", "tty", "plain", "none"]

REDRAW = 0.1
"""Seconds between two drawings of the line."""
REPORT = 30.0
"""Seconds between two plain lines of one phase: enough to show a CI log that it lives."""

_DOING = {
    "compression": "compressing",
    "blobs": "copying",
    "manifests": "storing manifests",
    "verification": "verifying",
    "tags": "setting tags",
}
"""What is shown for a phase; others are shown by their name."""


_IN_BYTES = ("compression", "blobs")


class Watcher(Protocol):
    """Takes events from many threads while it is entered; leaves a clean terminal behind."""

    def __call__(self, event: Event) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def watcher(mode: Mode, output: str, env: Mapping[str, str], stream: TextIO) -> Watcher:
    """The watcher for this output and terminal.

    ``auto`` draws a line where a person watches a capable terminal, writes plain lines elsewhere (`NO_COLOR`,
    ``TERM=dumb``, `CI`, no terminal), and is silent for JSON, whose reader expects nothing but errors on stderr.
    """
    if output == "ndjson":
        return Events()
    if mode == "auto":
        if output != "text":
            mode = "none"
        elif not stream.isatty() or env.get("TERM") == "dumb" or env.get("NO_COLOR") or env.get("CI"):
            mode = "plain"
        else:
            mode = "tty"
    if mode == "none":
        return Silence()
    return Line(stream) if mode == "tty" else Lines(stream)


class Silence:
    """Shows nothing."""

    def __call__(self, event: Event) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class _Counting(Silence):
    """Counts what the events say of the running phase; what is shown of it is up to the heirs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._phase = ""
        self._total = 0
        self._bytes = 0
        self._steps = 0
        self._began = self._shown = clock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            if event.kind == "phase":
                self._phase, self._total = event.subject, event.total
                self._bytes = self._steps = 0
                self._began = self._shown = self._clock()
            elif event.kind == "progress":
                self._bytes += event.done
            elif event.kind != "note":
                self._steps += 1
            self._show(event)

    def _show(self, event: Event) -> None:
        """Called with the lock held."""
        raise NotImplementedError

    def _due(self, seconds: float) -> bool:
        now = self._clock()
        if now - self._shown < seconds:
            return False
        self._shown = now
        return True

    def _state(self) -> str:
        doing = _DOING.get(self._phase, self._phase)
        if self._phase not in _IN_BYTES:
            return f"{doing} {self._steps}/{self._total}" if self._total else doing
        speed = self._bytes / max(self._clock() - self._began, 0.001)
        if not self._total:
            return f"{doing} {bytes_text(self._bytes)}, {bytes_text(speed)}/s"
        moved = f"{bytes_text(self._bytes)} of {bytes_text(self._total)}"
        return f"{doing} {moved}, {bytes_text(speed)}/s, {count(self._steps, 'blob')} done"


class Line(_Counting):
    """One line of a terminal, drawn over itself at most ten times a second."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._stream = stream
        self._drawn = False

    def _show(self, event: Event) -> None:
        if event.kind == "note":
            self._write(f"\r\x1b[K{event.subject}\n")
        elif event.kind == "phase" or self._due(REDRAW):
            self._write(f"\r\x1b[K{self._state()[: self._width()]}")
            self._drawn = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._drawn:
                self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _width(self) -> int:
        import os

        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except OSError:
            columns = 0
        return (columns or 80) - 1  # some pseudo-terminals do not say how wide they are


class Lines(_Counting):
    """A plain line per phase, and one every half minute."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._stream = stream

    def _show(self, event: Event) -> None:
        if event.kind == "note":
            self._stream.write(f"note: {event.subject}\n")
        elif event.kind == "phase" and (event.total or event.subject == "compression"):
            size = bytes_text(event.total) if event.subject in _IN_BYTES else str(event.total)
            said = f" ({size})" if event.total else ""
            self._stream.write(f"{_DOING.get(event.subject, event.subject)}{said}\n")
        elif self._due(REPORT):
            self._stream.write(f"{self._state()}\n")
        else:
            return
        self._stream.flush()


class Events(_Counting):
    """Events as ndjson on stdout; bytes are summed up, once a second."""

    def _show(self, event: Event) -> None:
        if event.kind == "progress":
            if self._due(1.0):
                document("Progress", {"bytes": self._bytes, "total": self._total}, compact=True)
                sys.stdout.flush()
            return
        content = {"event": event.kind, "subject": event.subject, "detail": event.detail, "total": event.total}
        document("Event", {key: value for key, value in content.items() if value}, compact=True)
        sys.stdout.flush()
