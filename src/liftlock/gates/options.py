"""What the options of several gates have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from liftlock.pipeline.kinds import Duration
from liftlock.release.durations import seconds

__all__ = ["MAX_TIMEOUT", "Timeout"]

MAX_TIMEOUT = 300
"""Seconds that a gate may take for one answer. What takes longer is work of its own: a gate asks how far it is."""


def _within(text: str) -> str:
    if not 0 < seconds(text) <= MAX_TIMEOUT:
        raise ValueError(f"{text} is not between 1s and {MAX_TIMEOUT // 60}m")
    return text


Timeout = Annotated[Duration, AfterValidator(_within)]
"""How long a gate waits for what it asks, at most `MAX_TIMEOUT`."""
