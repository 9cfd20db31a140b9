"""Types of options that several kinds of notifiers have."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from liftlock.pipeline.kinds import Duration
from liftlock.release.durations import seconds

__all__ = ["MAX_TIMEOUT", "Timeout"]

MAX_TIMEOUT = 15 * 60
"""Seconds that one try may take: a worker delivers only so many messages at a time."""


def _within(text: str) -> str:
    if not 0 < seconds(text) <= MAX_TIMEOUT:
        raise ValueError(f"{text} is not between 1s and {MAX_TIMEOUT // 60}m")
    return text


Timeout = Annotated[Duration, AfterValidator(_within)]
"""How long a try, or a part of it, may take; at most `MAX_TIMEOUT`."""
