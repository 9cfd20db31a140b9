from __future__ import annotations

import threading

import pytest

from liftlock.errors import Cancelled, NotFound
from liftlock.transfer.events import Cancel
from liftlock.transfer.pool import LARGE_AT_ONCE, Job, gather, run


def test_answers_come_in_the_order_of_the_items() -> None:
    assert gather(lambda item: item * 2, range(100)) == [item * 2 for item in range(100)]


def test_the_first_failure_is_raised_and_nothing_more_is_started() -> None:
    started: list[int] = []

    def work(item: int) -> None:
        started.append(item)
        if item == 3:
            raise NotFound("three")

    with pytest.raises(NotFound, match="three"):
        gather(work, range(10), workers=1)

    assert started == [0, 1, 2, 3]


def test_a_cause_counts_more_than_its_echo() -> None:
    """When one job breaks and somebody stops the rest, the break is what is told."""
    both = threading.Barrier(2)

    def broken() -> None:
        both.wait(10)
        raise NotFound("the cause")

    def echo() -> None:
        both.wait(10)
        raise Cancelled("stopped")

    with pytest.raises(NotFound, match="the cause"):
        run([Job(echo), Job(broken)])


def test_jobs_may_bring_more_jobs() -> None:
    done: list[str] = []

    def parent() -> list[Job]:
        return [Job(lambda: done.append("child")) for _ in range(5)]

    run([Job(parent), Job(parent)])

    assert done == ["child"] * 10


def test_large_blobs_share_few_places_and_small_ones_pass_them() -> None:
    lock = threading.Lock()
    now = 0
    most = 0
    small_done = threading.Event()

    def large() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        assert small_done.wait(10), "a small job ran while the large ones did"
        with lock:
            now -= 1

    run([*(Job(large, large=True) for _ in range(12)), Job(small_done.set)], workers=16)

    assert most == LARGE_AT_ONCE


def test_a_request_to_stop_ends_it() -> None:
    cancel = Cancel()
    done: list[int] = []

    def work(item: int) -> None:
        done.append(item)
        cancel.request()

    with pytest.raises(Cancelled):
        gather(work, range(10), workers=1, cancel=cancel)

    assert done == [0]


def test_callbacks_are_called_once_and_late_ones_at_once() -> None:
    cancel = Cancel()
    called: list[str] = []
    with cancel.waking(lambda: called.append("a")):
        cancel.request()
        cancel.request()
    with cancel.waking(lambda: called.append("late")):
        pass

    assert called == ["a", "late"]
