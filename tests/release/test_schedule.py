"""A schedule is read whole or refused, and says when it comes next, summer time included."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.errors import UsageError
from liftlock.release.schedule import next_after, parse


@pytest.mark.parametrize(
    ("text", "after", "then"),
    [
        ("0 6 * * 1-5 Europe/Berlin", "2026-03-27 05:00", "2026-03-30 04:00"),  # Friday 6:00 is over; then summer time
        ("0 6 * * 1-5 Europe/Berlin", "2026-03-27 04:59", "2026-03-27 05:00"),
        ("30 2 * * * Europe/Berlin", "2026-03-28 12:00", "2026-03-29 01:00"),  # 2:30 is left out: it comes right after
        ("30 2 * * * Europe/Berlin", "2026-10-25 00:30", "2026-10-26 01:30"),  # 2:30 comes twice, and counts once
        ("*/15 * * * * UTC", "2026-01-01 00:00", "2026-01-01 00:15"),
        ("0 0 29 2 * America/New_York", "2026-01-01 00:00", "2028-02-29 05:00"),
    ],
)
def test_the_next_time_is_that_of_its_zone(text: str, after: str, then: str) -> None:
    found = next_after(text, dt.datetime.fromisoformat(f"{after}+00:00"))

    assert (found, found.tzinfo) == (dt.datetime.fromisoformat(f"{then}+00:00"), dt.UTC)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 6 * * 1-5", "is no schedule"),
        ("0 0 6 * * 1-5 Europe/Berlin", "is no schedule"),
        ("@daily UTC", "is no schedule"),
        ("", "is no schedule"),
        ("61 * * * * UTC", "bad minute"),
        ("0 24 * * * UTC", "bad hour"),
        ("0 0 30 2 * UTC", "bad day-of-month"),
        ("0 6 * * 1-5 Europe/Berln", "'Europe/Berln' is no time zone"),
        ("0 6 * * 1-5 ../../etc/passwd", "is no time zone"),
        (f"{'9' * 5000} * * * * UTC", "is no schedule"),
    ],
)
def test_what_is_no_schedule_is_refused_with_a_hint(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert said in caught.value.message
    assert caught.value.hint


FIELD = st.text(alphabet="0123456789*/,-#LWMONJA٣²", min_size=1, max_size=6)


@given(st.tuples(FIELD, FIELD, FIELD, FIELD, FIELD), st.sampled_from(["UTC", "Europe/Berlin", "Africa", "x"]))
def test_any_text_is_a_schedule_that_comes_or_is_refused(fields: tuple[str, ...], zone: str) -> None:
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    try:
        parse(f"{' '.join(fields)} {zone}")
    except UsageError:
        return
    assert start < next_after(f"{' '.join(fields)} {zone}", start)
