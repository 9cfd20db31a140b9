"""When the clock asks for a promotion: five cron fields and a time zone, ``0 6 * * 1-5 Europe/Berlin``.

Times that a change to summer time leaves out come right after it; those that a change back repeats come once (as
Debian's cron does, and cronsim after it).
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from dataclasses import dataclass

from cronsim import CronSim, CronSimError

from liftlock.errors import UsageError
from liftlock.release.names import is_clean

__all__ = ["Schedule", "parse"]

_SOME_DAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A checked schedule; make one with `parse`."""

    fields: str
    """Minute, hour, day of the month, month, day of the week."""
    zone: zoneinfo.ZoneInfo

    def next(self, after: dt.datetime) -> dt.datetime:
        """The first time later than ``after`` (both aware), in UTC."""
        return next(CronSim(self.fields, after.astimezone(self.zone))).astimezone(dt.UTC)


def parse(text: str) -> Schedule:
    """Raises `UsageError` for what is no schedule, an unknown zone, and a time that never comes."""
    *fields, zone = text.split() or [""]
    if len(fields) != 5 or not is_clean(text, 200):
        raise UsageError(
            f"{text[:200]!r} is no schedule",
            hint="write five cron fields and a time zone: 0 6 * * 1-5 Europe/Berlin",
        )
    try:
        schedule = Schedule(fields=" ".join(fields), zone=zoneinfo.ZoneInfo(zone))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"{zone!r} is no time zone", hint="use a name of the tz database: Europe/Berlin, America/New_York, UTC"
        ) from None
    try:
        schedule.next(_SOME_DAY)
    except CronSimError as error:
        raise UsageError(
            f"{text!r} is no schedule: {str(error).lower()}",
            hint="the fields are minute, hour, day of the month, month and day of the week",
        ) from None
    except StopIteration:
        raise UsageError(f"the schedule {text!r} names a time that never comes") from None
    return schedule
