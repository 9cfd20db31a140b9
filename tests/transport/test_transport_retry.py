"""Retries, pauses, rates and slots, on a clock that the test turns."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.errors import (
    AccessDenied,
    Cancelled,
    CorruptContent,
    LiftlockError,
    RegistryError,
    Throttled,
    TransportError,
)
from liftlock.transport.limits import Limits, Slot
from liftlock.transport.messages import Headers
from liftlock.transport.retry import MOST_SECONDS, Retrier, retry_after
from tests.support.waiting import until


class Clock:
    """Time passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return False

    def wait_on(self, condition: threading.Condition, seconds: float | None) -> None:
        assert seconds is not None, "nobody would ever wake this thread"
        self.wait(seconds)


class Failing:
    """Fails with these errors, one after the other, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def temporary() -> LiftlockError:
    return TransportError("reset")


def make(clock: Clock, random: Callable[[], float] = lambda: 1.0, **options: float) -> tuple[Retrier, Limits]:
    limits = Limits(8, clock=clock, wait=clock.wait_on)
    attempts = int(options.pop("attempts", 5))
    return Retrier(limits, attempts=attempts, wait=clock.wait, random=random, **options), limits


def test_temporary_failures_are_repeated_with_doubling_waits() -> None:
    clock = Clock()
    retrier, _ = make(clock)
    attempt = Failing(temporary(), temporary(), RegistryError("500", status=500), RegistryError("408", status=408))

    assert retrier.run("h", attempt) == "done"
    assert attempt.calls == 5
    assert clock.waits == [0.25, 0.5, 1.0, 2.0]


def test_the_fifth_failure_is_raised_and_says_how_often_it_was_tried() -> None:
    clock = Clock()
    retrier, _ = make(clock)
    attempt = Failing(*[temporary() for _ in range(9)])

    with pytest.raises(TransportError) as caught:
        retrier.run("h", attempt)

    assert attempt.calls == 5
    assert "5 attempts" in caught.value.hint


@pytest.mark.parametrize(
    "error",
    [
        TransportError("bad certificate", temporary=False),
        RegistryError("404", status=404),
        AccessDenied("no"),
        Cancelled("stop"),
        KeyError("a bug"),
    ],
)
def test_final_failures_are_not_repeated(error: Exception) -> None:
    clock = Clock()
    retrier, _ = make(clock)
    attempt = Failing(error)

    with pytest.raises(type(error)):
        retrier.run("h", attempt)

    assert (attempt.calls, clock.waits) == (1, [])


def test_corrupt_content_gets_one_fresh_attempt() -> None:
    retrier, _ = make(Clock())

    assert retrier.run("h", Failing(CorruptContent("once"))) == "done"
    attempt = Failing(CorruptContent("once"), CorruptContent("twice"))
    with pytest.raises(CorruptContent, match="twice"):
        retrier.run("h", attempt)
    assert attempt.calls == 2


@given(st.lists(st.sampled_from([0.0, 0.125, 0.5, 0.75, 1.0]), min_size=4, max_size=4))
def test_jitter_is_full_and_waits_are_bounded(draws: list[float]) -> None:
    clock = Clock()
    numbers = iter(draws)
    retrier, _ = make(clock, random=lambda: next(numbers))
    retrier.run("h", Failing(*[temporary() for _ in range(4)]))

    assert clock.waits == [draw * 0.25 * 2**step for step, draw in enumerate(draws)]


def test_backoff_is_shared_by_a_host_and_decays_with_success() -> None:
    clock = Clock()
    retrier, _ = make(clock)
    with pytest.raises(TransportError):
        retrier.run("ailing", Failing(*[temporary() for _ in range(5)]))
    clock.waits.clear()

    retrier.run("healthy", Failing(temporary()))
    assert clock.waits == [0.25]
    clock.waits.clear()
    retrier.run("ailing", Failing(temporary()))
    assert clock.waits[0] > 2.0
    for _ in range(5):
        retrier.run("ailing", Failing())
    clock.waits.clear()
    retrier.run("ailing", Failing(temporary()))
    assert clock.waits == [0.25]


def test_no_wait_of_our_own_choice_is_longer_than_the_bound() -> None:
    clock = Clock()
    retrier, _ = make(clock, attempts=20)
    retrier.run("h", Failing(*[temporary() for _ in range(19)]))

    assert max(clock.waits) == MOST_SECONDS


def test_retry_after_is_honoured_fully_and_pauses_the_whole_host() -> None:
    clock = Clock()
    retrier, limits = make(clock, random=lambda: 0.0)
    failed_at = clock.now

    def attempt() -> float:
        limits.leave(limits.enter("h"))
        if clock.now == failed_at:
            raise Throttled("slowly", status=429, retry_after=120)
        return clock.now

    assert retrier.run("h", attempt) >= failed_at + 120


def test_other_threads_wait_out_the_pause_of_their_host_and_only_theirs() -> None:
    clock = Clock()
    retrier, limits = make(clock, random=lambda: 0.0)
    started = clock.now
    retrier._wait = lambda seconds: True
    with pytest.raises(Cancelled):
        retrier.run("h", Failing(Throttled("slowly", status=503, retry_after=30)))

    limits.leave(limits.enter("other"))
    assert clock.now == started
    limits.leave(limits.enter("h"))
    assert clock.now == started + 30


def test_a_pause_beyond_the_bound_fails_at_once() -> None:
    clock = Clock()
    retrier, _ = make(clock, longest_pause=60)
    attempt = Failing(Throttled("slowly", status=429, retry_after=3600))

    with pytest.raises(Throttled) as caught:
        retrier.run("h", attempt)

    assert (attempt.calls, clock.waits) == (1, [])
    assert "3600 s" in caught.value.hint


def test_throttling_without_retry_after_pauses_the_host_for_the_backoff() -> None:
    clock = Clock()
    retrier, limits = make(clock)
    retrier._wait = lambda seconds: False
    started = clock.now
    retrier.run("h", Failing(Throttled("slowly", status=429)))
    limits.leave(limits.enter("h"))

    assert clock.now == started + 0.25


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 10),
        ("Sun, 06 Nov 1994 08:49:00 GMT", 0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 99999999999999 08:49:37 GMT", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after(Headers([("Retry-After", value)]), clock=lambda: 784111777.0 - 10) == seconds


# --- slots and rates --------------------------------------------------------------------------------------------------


def test_large_requests_leave_a_slot_to_small_ones() -> None:
    limits = Limits(3)
    entered = [Started(lambda: limits.enter("h", large=True)) for _ in range(3)]
    until(lambda: sum(each.done for each in entered) == 2, "two large requests")
    small = Started(lambda: limits.enter("h"))
    small.join()

    assert sum(each.done for each in entered) == 2
    limits.leave(next(each for each in entered if each.done).slot())
    until(lambda: all(each.done for each in entered), "the third")


def test_a_thread_that_holds_a_slot_never_waits_for_another() -> None:
    """Else two copies in opposite directions would wait for each other for ever."""
    limits = Limits(1)
    source = limits.enter("a", large=True)
    destination = limits.enter("a", large=True)
    other = Started(lambda: limits.enter("a"))
    limits.leave(destination)
    assert not other.done
    limits.leave(source)
    other.join()


def test_a_slot_can_be_given_back_by_another_thread() -> None:
    limits = Limits(1)
    slot = limits.enter("h")
    thread = threading.Thread(target=limits.leave, args=(slot,))
    thread.start()
    thread.join()

    assert Started(lambda: limits.enter("h")).join().slot()


class Started:
    """`enter` on a thread of its own."""

    def __init__(self, enter: Callable[[], Slot]) -> None:
        self.done = False
        self._slot: Slot | None = None
        self._thread = threading.Thread(target=self._run, args=(enter,), daemon=True)
        self._thread.start()

    def _run(self, enter: Callable[[], Slot]) -> None:
        self._slot = enter()
        self.done = True

    def join(self) -> Started:
        self._thread.join(20)
        assert self.done
        return self

    def slot(self) -> Slot:
        assert self._slot is not None
        return self._slot


def test_concurrency_halves_once_per_burst_of_429_and_grows_back() -> None:
    clock = Clock()
    limits = Limits(8, clock=clock)
    for _ in range(5):
        limits.slow_down("h")
    assert limits.at_once("h") == 4
    clock.now += 2
    limits.slow_down("h")
    assert limits.at_once("h") == 2
    for _ in range(10):
        clock.now += 2
        limits.slow_down("h")
    assert limits.at_once("h") == 1
    assert limits.at_once("other") == 8
    for _ in range(100):
        limits.speed_up("h")
    assert limits.at_once("h") == 8


@given(rate=st.floats(0.1, 50), requests=st.integers(1, 60))
def test_a_rate_is_kept_over_any_number_of_requests(rate: float, requests: int) -> None:
    clock = Clock()
    limits = Limits(8, rate, clock=clock, wait=clock.wait_on)
    started = clock.now
    for _ in range(requests):
        limits.leave(limits.enter("h"))

    took = clock.now - started
    burst = max(rate, 1.0)
    assert took >= (requests - burst) / rate - 1e-6
    assert took <= max(0.0, (requests - burst) / rate) + 2 / rate
