"""A freeze is closed exactly when its wall clock says so, also where the clocks change, and opens when all are open."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from liftlock.errors import UsageError
from liftlock.release.freeze import closed, closes, parse

WEEKEND = "fri 16:00 - mon 08:00 Europe/Berlin"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEK = 7 * 24 * 60


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(f"{text}+00:00")


def until(now: str, *windows: str) -> str | None:
    """When a stage with these windows opens: ``open`` when it is, None when it never does."""
    found = closed([parse(each) for each in windows], at(now))
    if found is None:
        return "open"
    return found.until.strftime("%Y-%m-%d %H:%M") if found.until else None


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("2031-05-09 13:59", "open"),  # Friday, 15:59 in Berlin
        ("2031-05-09 14:00", "2031-05-12 06:00"),
        ("2031-05-11 22:30", "2031-05-12 06:00"),  # Monday there, Sunday in UTC
        ("2031-05-12 05:59", "2031-05-12 06:00"),
        ("2031-05-12 06:00", "open"),
    ],
)
def test_a_weekly_window_is_closed_from_its_first_minute_and_open_at_its_last(now: str, then: str) -> None:
    assert until(now, WEEKEND) == then


@pytest.mark.parametrize(
    ("now", "window", "then"),
    [
        # Summer time begins on 2031-03-30: the weekend is an hour shorter, and opens on the same wall clock.
        ("2031-03-29 12:00", WEEKEND, "2031-03-31 06:00"),
        # It ends on 2031-10-26: an hour longer.
        ("2031-10-25 12:00", WEEKEND, "2031-10-27 07:00"),
        # 02:30 does not exist that night: closed from the change on at the latest, until after it at the earliest.
        ("2031-03-30 00:59", "sun 02:30 - sun 12:00 Europe/Berlin", "2031-03-30 10:00"),
        ("2031-03-30 01:29", "sat 12:00 - sun 02:30 Europe/Berlin", "2031-03-30 01:30"),
        ("2031-03-30 01:30", "sat 12:00 - sun 02:30 Europe/Berlin", "open"),
        # 02:30 comes twice: closed from the first, open after the second.
        ("2031-10-26 00:30", "sun 02:30 - sun 12:00 Europe/Berlin", "2031-10-26 11:00"),
        ("2031-10-26 00:29", "sun 02:30 - sun 12:00 Europe/Berlin", "open"),
        ("2031-10-26 01:29", "sat 12:00 - sun 02:30 Europe/Berlin", "2031-10-26 01:30"),
        ("2031-10-26 01:30", "sat 12:00 - sun 02:30 Europe/Berlin", "open"),
        ("2031-11-02 12:00", "sat 00:00 - mon 00:00 America/New_York", "2031-11-03 05:00"),
    ],
)
def test_where_the_clocks_change_the_longer_reading_holds(now: str, window: str, then: str) -> None:
    assert until(now, window) == then


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("2031-12-19 22:59", "open"),
        ("2031-12-19 23:00", "2032-01-02 07:00"),
        ("2032-01-02 07:00", "open"),
        ("2032-12-24 12:00", "open"),
    ],
)
def test_a_window_with_dates_happens_once(now: str, then: str) -> None:
    assert until(now, "2031-12-20 00:00 - 2032-01-02 08:00 Europe/Berlin") == then


def test_windows_that_touch_or_overlap_open_together() -> None:
    holidays = "2031-12-20 00:00 - 2032-01-02 18:00 Europe/Berlin"  # ends on a Friday, after the weekend has begun

    assert until("2031-12-24 12:00", holidays, WEEKEND) == "2032-01-05 07:00"
    assert until("2031-05-06 12:00", "tue 10:00 - wed 10:00 UTC", "wed 10:00 - thu 10:00 UTC") == "2031-05-08 10:00"
    assert until("2031-05-06 12:00", "tue 10:00 - wed 10:00 UTC", "wed 10:01 - thu 10:00 UTC") == "2031-05-07 10:00"


def test_windows_that_leave_no_gap_never_open() -> None:
    week = ("mon 00:00 - thu 00:00 UTC", "thu 00:00 - mon 00:00 UTC")

    assert until("2031-05-06 12:00", *week) is None
    assert until("2031-05-06 12:00", *week, "2031-05-01 00:00 - 2033-01-01 00:00 UTC") is None


def test_a_long_window_with_dates_is_waited_for_and_the_weekly_one_after_it() -> None:
    assert until("2031-05-06 12:00", WEEKEND, "2031-05-01 00:00 - 2033-01-01 00:00 UTC") == "2033-01-03 07:00"


def test_the_moment_is_told_on_the_windows_own_clock() -> None:
    found = closed([parse(WEEKEND)], at("2031-05-10 12:00"))

    assert found is not None
    assert found.until is not None
    assert found.window.written(found.until) == "Mon 2031-05-12 08:00 Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no freeze window"),
        ("fri 16:00 - mon 08:00", "is no freeze window"),
        ("fri 16:00-mon 08:00 Europe/Berlin", "is no freeze window"),
        ("fri 24:00 - mon 08:00 Europe/Berlin", "is no freeze window"),
        ("fri 1:00 - mon 08:00 Europe/Berlin", "is no freeze window"),
        ("friday 16:00 - mon 08:00 Europe/Berlin", "is no freeze window"),
        ("fri 16:00 - 2031-12-20 08:00 Europe/Berlin", "mixes a weekday and a date"),
        ("fri 16:00 - fri 16:00 Europe/Berlin", "ends when or before it begins"),
        ("2031-12-20 00:00 - 2031-12-19 00:00 Europe/Berlin", "ends when or before it begins"),
        ("2031-02-29 00:00 - 2031-03-02 00:00 Europe/Berlin", "there is no 2031-02-29 00:00"),
        ("fri 16:00 - mon 08:00 Europe/Berln", "'Europe/Berln' is no time zone"),
        ("fri 16:00 - mon 08:00 Europe", "is no time zone"),
        ("fri 16:00 - mon 08:00 localtime", "is no time zone"),
        ("fri 16:00 - mon 08:00 ../../etc/passwd", "is no time zone"),
    ],
)
def test_what_is_no_window_is_refused_with_a_hint(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert said in caught.value.message
    assert caught.value.hint


@given(st.text(max_size=60))
def test_any_text_is_a_window_or_refused(text: str) -> None:
    try:
        window = parse(text)
    except UsageError:
        return
    assert window.begin < window.end


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
MINUTE = st.integers(0, WEEK - 1)
NOW = st.integers(0, 2 * 365 * 86_400).map(lambda seconds: at("2030-01-01 00:00") + dt.timedelta(seconds=seconds))


def text_of(begin: int, end: int, zone: str) -> str:
    first, last = (f"{DAYS[each // 1440]} {each % 1440 // 60:02}:{each % 60:02}" for each in (begin, end))
    return f"{first} - {last} {zone}"


@given(begin=MINUTE, end=MINUTE, zone=ZONES, now=NOW)
def test_a_weekly_window_agrees_with_the_clock_on_the_wall(begin: int, end: int, zone: str, now: dt.datetime) -> None:
    assume(begin != end)
    local = now.astimezone(ZoneInfo(zone))
    # Near a change of the clocks the longer reading holds, which the fixed examples show.
    day = dt.timedelta(days=1)
    offsets = {moment.astimezone(ZoneInfo(zone)).utcoffset() for moment in (now - day, now, now + day)}
    assume(len(offsets) == 1)
    minute = local.weekday() * 1440 + local.hour * 60 + local.minute
    inside = begin <= minute < end if begin < end else not end <= minute < begin

    assert (closes(parse(text_of(begin, end, zone)), now) is not None) is inside


@given(windows=st.lists(st.tuples(MINUTE, MINUTE, ZONES), min_size=1, max_size=4), now=NOW)
def test_it_opens_when_every_window_is_open_and_not_before(
    windows: list[tuple[int, int, str]], now: dt.datetime
) -> None:
    parsed = [parse(text_of(*each)) for each in windows if each[0] != each[1]]
    found = closed(parsed, now)

    if found is None:
        assert all(closes(each, now) is None for each in parsed)
    elif found.until is not None:
        assert found.until > now
        assert all(closes(each, found.until) is None for each in parsed)
        just_before = found.until - dt.timedelta(minutes=1)
        assert any(closes(each, max(just_before, now)) is not None for each in parsed)
