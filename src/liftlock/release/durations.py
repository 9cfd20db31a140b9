"""Lengths of time, as people write them."""

from __future__ import annotations

import re

from liftlock.errors import UsageError

__all__ = ["seconds", "written"]

LONGEST = 10 * 366 * 86_400
"""Seconds; what is longer is a mistake, and a date that far away may not exist."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds(text: str) -> int:
    """How many seconds ``90s``, ``15m``, ``2h``, ``7d`` or ``1w`` are; raises `UsageError`, for ages too."""
    match = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if not match:
        raise UsageError(f"{text!r} is no duration", hint="write 90s, 15m, 2h, 7d or 1w")
    length = int(match[1]) * _UNITS[match[2]]
    if length > LONGEST:
        raise UsageError(f"{text!r} is longer than ten years", hint="write 90s, 15m, 2h, 7d or 1w")
    return length


def written(length: float) -> str:
    """The same for people, in its two largest units: ``1 h 12 m``; less than a second is ``0 s``."""
    left = int(length)
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, _UNITS[unit])
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
