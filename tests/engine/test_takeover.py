"""Workers that are stopped and go on, that nobody stands in for, whose database goes away or whose disk is full."""

from __future__ import annotations

import signal

import pytest

from tests.engine.conftest import MakeCase
from tests.support.crew import Crew
from tests.support.waiting import until

pytestmark = pytest.mark.crash

TTL = 4.0
"""Seconds of a lease: a worker on a busy machine must not lose it."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    return "" if request.param == "sqlite" else str(request.getfixturevalue("shared_database"))


@pytest.mark.parametrize(
    "boundary",
    ["journaled", pytest.param("content of", marks=pytest.mark.slow), pytest.param("tag", marks=pytest.mark.slow)],
)
def test_a_worker_that_was_stopped_does_nothing_any_more_when_it_goes_on(
    crew: Crew, make_case: MakeCase, url: str, boundary: str
) -> None:
    case = make_case(url)
    zombie = crew.start(case.works, stop_at=f"^{boundary} ?", ttl=TTL).waits()
    zombie.signal(signal.SIGSTOP)
    crew.start(case.works, ttl=TTL).ends()
    case.assert_done_once(alone=False)
    newer = case.works.release("2", ("web", "db"))
    later = case.works.request(newer, "dev")
    crew.start(case.works, ttl=TTL).ends()
    before = len(zombie.boundaries)

    zombie.go_on()
    zombie.signal(signal.SIGCONT)
    zombie.ends()

    assert len(zombie.boundaries) == before
    assert case.works.get(later).state == "succeeded"
    for name, image in newer.artifact.images.items():
        assert case.held(name, "latest") == image.digest
        assert case.puts(name, "1") == 1
        assert case.puts(name, "latest") == 2
    assert case.works.get(case.promotion).state == "succeeded"


def test_without_a_reaper_nobody_stands_in(crew: Crew, make_case: MakeCase) -> None:
    case = make_case()
    crew.start(case.works, stop_at="^recheck$").waits().kill()
    idle = crew.start(case.works, reap=False)

    with pytest.raises(TimeoutError):
        until(case.works.over(case.promotion), "a promotion that nobody finishes", seconds=5)

    assert idle.boundaries == []
    idle.kill()
    crew.start(case.works).ends()
    case.assert_done_once()
