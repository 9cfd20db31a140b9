"""Freezes: the windows in which nothing is admitted to a stage.

A window is weekly (``fri 16:00 - mon 08:00 Europe/Berlin``) or happens once
(``2031-12-20 00:00 - 2032-01-02 08:00 Europe/Berlin``). It is closed from its first minute on and open at its last. The
zone is always named: a window that means another hour on another machine protects nothing. Where the clocks change, a
time that happens twice, or never, is read so that the window is closed for longer.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from liftlock.errors import UsageError
from liftlock.release.zones import zone

__all__ = ["Closed", "Window", "closed", "closes", "parse"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEK = dt.timedelta(days=7)
_MARGIN = dt.timedelta(days=15)
"""Weekly windows that leave no gap in two weeks, clock changes included, leave none in any."""

_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_WEEKLY = rf"(?:{'|'.join(_DAYS)}) {_TIME}"
_ONCE = rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}} {_TIME}"
_WINDOW = re.compile(rf"({_WEEKLY}|{_ONCE}) - ({_WEEKLY}|{_ONCE}) (\S+)", re.IGNORECASE)

_HINT = "write fri 16:00 - mon 08:00 Europe/Berlin, or 2031-12-20 00:00 - 2032-01-02 08:00 Europe/Berlin"

_MONDAY = dt.datetime(2001, 1, 1)  # noqa: DTZ001  # a wall clock's: weekly windows are kept as times of its week


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One window, in wall-clock times of its zone."""

    text: str
    """As written."""
    zone: ZoneInfo
    weekly: bool
    begin: dt.datetime
    """Naive: a wall clock's. Of a weekly window, within some week."""
    end: dt.datetime
    """Naive, and after `begin`."""

    def written(self, when: dt.datetime) -> str:
        """A moment for people, on the clocks of the window's zone: ``Mon 2031-05-12 08:00 Europe/Berlin``."""
        local = when.astimezone(self.zone)
        return f"{_DAYS[local.weekday()].title()} {local:%Y-%m-%d %H:%M} {self.zone.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A stage is frozen now."""

    window: Window
    """The one that opens last."""
    until: dt.datetime | None
    """When all windows are open, UTC; None: never, together they close every hour of the week."""


def parse(text: str) -> Window:
    """The window that a text means; raises `UsageError` with the form it should have."""
    match = _WINDOW.fullmatch(text)
    if not match:
        raise UsageError(f"{text[:80]!r} is no freeze window", hint=_HINT)
    first, last = match[1].lower(), match[2].lower()
    weekly = first[0].isalpha()
    if weekly is not last[0].isalpha():
        raise UsageError(f"{text!r} mixes a weekday and a date", hint=_HINT)
    begin, end = _wall(first, text), _wall(last, text)
    if weekly and end < begin:
        end += _WEEK
    if end <= begin:
        raise UsageError(f"{text!r} ends when or before it begins", hint=_HINT)
    return Window(text=text, zone=zone(match[3]), weekly=weekly, begin=begin, end=end)


def closes(window: Window, now: dt.datetime) -> dt.datetime | None:
    """Until when a window keeps its stage closed, UTC; None while it is open."""
    ends = [end for begin, end in _times(window, now) if begin <= now < end]
    return max(ends, default=None)


def closed(windows: Iterable[Window], now: dt.datetime) -> Closed | None:
    """Whether any window is closed, and when all are open: windows that touch or overlap count as one."""
    every = tuple(windows)
    once = [window.end.replace(tzinfo=window.zone) for window in every if not window.weekly]
    until = now.astimezone(dt.UTC)
    horizon = max([until, *once]) + _MARGIN
    last: Window | None = None
    while until < horizon:
        found = [(end, window) for window in every if (end := closes(window, until)) is not None]
        if not found:
            return Closed(window=last, until=until) if last else None
        until, last = max(found, key=lambda each: each[0])
    return Closed(window=last, until=None) if last else None


def _wall(text: str, whole: str) -> dt.datetime:
    if text[0].isalpha():
        day, _, time = text.partition(" ")
        return dt.datetime.combine(_MONDAY + dt.timedelta(days=_DAYS.index(day)), dt.time.fromisoformat(time))
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{whole!r}: there is no {text}", hint=_HINT) from None


def _times(window: Window, now: dt.datetime) -> Iterator[tuple[dt.datetime, dt.datetime]]:
    """The window's begin and end in UTC, for each time it happens that may include now."""
    weeks = [0]
    if window.weekly:
        passed = now.astimezone(window.zone).replace(tzinfo=None) - window.begin
        weeks = [passed // _WEEK + each for each in (-1, 0, 1)]
    for week in weeks:
        begin, end = (each + week * _WEEK for each in (window.begin, window.end))
        # Both readings of a time that clocks show twice or skip: the window is the longest of them.
        yield min(_utc(begin, window.zone)), max(_utc(end, window.zone))


def _utc(wall: dt.datetime, where: ZoneInfo) -> tuple[dt.datetime, dt.datetime]:
    early, late = (wall.replace(tzinfo=where, fold=fold).astimezone(dt.UTC) for fold in (0, 1))
    return early, late
