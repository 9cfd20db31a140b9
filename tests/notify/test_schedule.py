"""When a message is sent again."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.notify.schedule import GIVE_UP, next_try

START = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)


def after(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def test_a_receiver_that_never_answers() -> None:
    tries: list[dt.datetime] = []
    now = START
    while True:
        following = next_try(len(tries) + 1, START, now)
        if following is None:
            break
        tries.append(following)
        now = following

    minutes = [(each - START).total_seconds() / 60 for each in tries]
    assert [round(each, 2) for each in minutes[:5]] == [0.17, 1.17, 6.17, 21.17, 81.17]
    assert [round((minutes[n + 1] - minutes[n]) / 60, 2) for n in range(4, len(minutes) - 1)] == [4, 4, 4, 4, 4, 2.65]
    assert minutes[-1] == 24 * 60


@pytest.mark.parametrize(
    ("tries", "asked", "expected"),
    [(1, None, 10), (1, 5, 10), (1, 90, 90), (2, 30, 60), (3, -5, 300), (1, 3600 * 12, 3600 * 12)],
)
def test_patience_that_is_asked_for(tries: int, asked: float | None, expected: float) -> None:
    assert next_try(tries, START, START, asked) == after(expected)


def test_who_asks_for_too_much_patience_is_given_up() -> None:
    assert next_try(1, START, START, GIVE_UP + 1) is None
    assert next_try(1, START, after(GIVE_UP), None) is None


@given(st.integers(0, 50), st.floats(0, 2 * GIVE_UP), st.none() | st.floats(0, 2 * GIVE_UP))
def test_the_next_try_is_later_and_in_time(tries: int, since: float, asked: float | None) -> None:
    now = after(since)
    at = next_try(tries, START, now, asked)

    assert at is None or now < at <= after(GIVE_UP)
    if at is not None and asked is not None:
        assert at >= now + dt.timedelta(seconds=asked) - dt.timedelta(milliseconds=1)
