"""The log of a build, as CodeBuild writes it: what commands print, and between it lines that begin with [Container]."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from liftlock.ci.buildspec.masking import Mask
from liftlock.ci.buildspec.surroundings import Output, Stream

__all__ = ["Log"]

_LONGEST = 64 * 1024
"""Bytes after which a line is shown though it has not ended: somebody may print a gigabyte without a line's end."""


class Log:
    """Cuts output into lines without secrets."""

    def __init__(self, output: Output, mask: Mask, clock: Callable[[], datetime]) -> None:
        self._output, self._mask, self._clock = output, mask, clock
        self._masked = mask.stream()
        self._line = bytearray()

    def printed(self, data: bytes) -> None:
        """What a command wrote."""
        self._add(self._masked.feed(data))

    def end_of_command(self) -> None:
        """Show what has no line's end."""
        self._add(self._masked.end())
        if self._line:
            self._show(bytes(self._line))
            self._line.clear()

    def container(self, text: str) -> None:
        """A message of our own."""
        first, *more = self._mask.text(text).splitlines() or [""]
        self._output(f"[Container] {self._clock():%Y/%m/%d %H:%M:%S} {first}", "container")
        for line in more:
            self._output(line, "container")

    def _add(self, data: bytes) -> None:
        self._line += data
        *lines, rest = self._line.split(b"\n")
        self._line = rest
        for line in lines:
            self._show(bytes(line))
        while len(self._line) > _LONGEST:
            self._show(bytes(self._line[:_LONGEST]))
            del self._line[:_LONGEST]

    def _show(self, line: bytes) -> None:
        stream: Stream = "command"
        for start in range(0, len(line) or 1, _LONGEST):
            piece = line[start : start + _LONGEST].removesuffix(b"\r")
            self._output(piece.decode("utf-8", "replace"), stream)
