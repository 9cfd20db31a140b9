"""Sizes, times and tables as docker shows them (docker/go-units, docker/cli ``formatter``)."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["since", "size_text", "table"]

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size_text(size: float) -> str:
    """``7.83MB``: three digits, as docker shows sizes (docker/go-units ``HumanSizeWithPrecision``)."""
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            break
        size /= 1000
    return f"{size:.3g}{unit}" if size < 1000 else f"{size:.0f}{unit}"


def since(created: str) -> str:
    """``3 weeks ago`` (docker/go-units ``HumanDuration``, in its largest unit)."""
    from datetime import UTC, datetime

    try:
        then = datetime.fromisoformat(created)
    except ValueError:
        return "N/A"
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    hours = (datetime.now(UTC) - then).total_seconds() / 3600
    for unit, length, least in (("year", 8760, 2), ("month", 720, 2), ("week", 168, 2), ("day", 24, 2), ("hour", 1, 1)):
        if hours >= length * least:
            count = int(hours / length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "Less than an hour ago"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns below each other, three blanks apart and ten wide at least (docker/cli ``formatter``'s tabwriter)."""
    widths = [max(10, 3 + max(map(len, column))) for column in zip(*rows, strict=True)]
    return ["".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
