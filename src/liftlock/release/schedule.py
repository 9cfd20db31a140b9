"""Schedules: when a stage asks for its newest release by itself (``0 6 * * 1-5 Europe/Berlin``).

Five cron fields and a time zone, which is always named. Where the clocks change, a schedule of fixed hours happens once
a day, as Debian's cron has it: a time that does not exist happens when the clocks have moved, one that exists twice
happens the first time.
"""

from __future__ import annotations

import datetime as dt

from cronsim import CronSim, CronSimError

from liftlock.errors import UsageError
from liftlock.release.names import is_clean
from liftlock.release.zones import zone

__all__ = ["next_after", "parse"]

_FIELDS = 5
_HINT = "write five cron fields and a time zone: 0 6 * * 1-5 Europe/Berlin"

_ANY_DAY = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)


def parse(text: str) -> None:
    """Raise `UsageError` unless this is a schedule that will ever come."""
    next_after(text, _ANY_DAY)


def next_after(text: str, now: dt.datetime) -> dt.datetime:
    """The next time of a schedule, later than ``now`` (aware), in UTC; raises `UsageError` when it is none."""
    parts = text.split()
    if len(parts) != _FIELDS + 1 or not is_clean(text, 200):
        raise UsageError(f"{text[:80]!r} is no schedule", hint=_HINT)
    where = zone(parts[-1])
    try:
        for each in CronSim(" ".join(parts[:_FIELDS]), now.astimezone(where)):
            # In an hour that the clocks show twice, the library may answer with the first one again.
            if (when := each.astimezone(dt.UTC)) > now:
                return when
    except CronSimError as error:
        raise UsageError(f"{text[:80]!r} is no schedule: {str(error).lower()}", hint=_HINT) from None
    raise UsageError(f"the schedule {text[:80]!r} never comes", hint=_HINT)
