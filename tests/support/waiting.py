"""Waiting for a condition with a deadline: the one place in the tests where time passes on purpose."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, *, seconds: float = 15.0) -> T:
    """Ask `condition` until it answers something true, and return that; fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = 0.001
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)
