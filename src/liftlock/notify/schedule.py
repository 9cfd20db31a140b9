"""When a message that did not arrive is sent again."""

from __future__ import annotations

import datetime as dt

__all__ = ["GIVE_UP", "PAUSES", "next_try"]

PAUSES = (10, 60, 5 * 60, 15 * 60, 60 * 60, 4 * 60 * 60)
"""Seconds between one try and the next: the first after the first try, and so on; the last for all that follow."""

GIVE_UP = 24 * 60 * 60
"""Seconds after a message's making in which it is tried. Whoever can be reached again by then is told."""


def next_try(
    tries: int, created_at: dt.datetime, now: dt.datetime, retry_after: float | None = None
) -> dt.datetime | None:
    """The time of the next try after ``tries`` (at least one) that failed temporarily; None to give up.

    ``retry_after``: the seconds of patience that the receiver asked for, where they are more than the pause. The last
    try is made at the very end of the time; one who asks for patience beyond it is not told.
    """
    pause = PAUSES[min(max(tries, 1), len(PAUSES)) - 1]
    end = created_at + dt.timedelta(seconds=GIVE_UP)
    if now >= end:
        return None
    patience = max(0.0, retry_after or 0.0)
    if patience > (end - now).total_seconds():
        return None
    return min(now + dt.timedelta(seconds=max(pause, patience)), end)
