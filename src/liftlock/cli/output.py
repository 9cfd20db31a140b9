"""How results are written to stdout: aligned text for people, versioned JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

from liftlock.typed import Any

__all__ = ["bytes_text", "count", "document", "fields", "line", "printable", "table"]

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def document(kind: str, content: Mapping[str, Any], *, compact: bool = False) -> None:
    """One JSON document; ``compact`` for a line of ndjson."""
    import json

    indent = None if compact else 2
    # Escaped to ASCII, so that it is the same in every locale.
    sys.stdout.write(f"{json.dumps({'apiVersion': 'liftlock/v1', 'kind': kind, **content}, indent=indent)}\n")


def line(text: str) -> None:
    """One line of text, without the control characters that content of others could hide in it."""
    sys.stdout.write(f"{printable(text)}\n")


def fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Names and values, the values below each other; pairs without a value are left out."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        line(f"{name:<{width}}  {value}")


def table(rows: Sequence[Sequence[str]], indent: str = "") -> None:
    """Columns below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line(indent + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def bytes_text(size: float) -> str:
    """``12.3 MB``: decimal units, as registries and networks count."""
    for unit in _UNITS:
        if abs(size) < 999.95 or unit == _UNITS[-1]:
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def count(number: int, noun: str) -> str:
    """``1 tag``, ``2 tags``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def printable(text: str) -> str:
    """The text as one line that can steer neither a terminal nor the CI system that reads it.

    Azure Pipelines obeys ``##vso[`` and ``##[`` anywhere in a line, GitHub Actions ``::`` where a line begins; a
    registry's answer could hold either.
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    if "##" in text:
        text = text.replace("##vso[", "## vso[").replace("##[", "## [")
    return text.replace("::", ": :", 1) if text.lstrip().startswith("::") else text
