"""Workers that are stopped and go on, that nobody stands in for, whose database goes away or whose disk is full."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator

import pytest
from sqlalchemy import make_url

from liftlock.engine import setup
from liftlock.store.store import upgrade
from tests.engine.conftest import MakeCase
from tests.engine.crew import Crew
from tests.support.postgres import Postgres
from tests.support.waiting import until

pytestmark = pytest.mark.crash

TTL = 4.0
"""Seconds of a lease: a worker on a busy machine must not lose it."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    return "" if request.param == "sqlite" else str(request.getfixturevalue("shared_database"))


@pytest.fixture
def own_postgres() -> Iterator[tuple[Postgres, str]]:
    """A server that may be stopped, and the URL of a database in it that has all tables."""
    with Postgres() as server:
        url = server.url(server.create())
        upgrade(url)
        setup.upgrade(make_url(url))
        yield server, url


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


@pytest.mark.parametrize("boundary", ["content at", "journaled"])
def test_a_database_that_is_started_anew_is_waited_for(
    crew: Crew, make_case: MakeCase, own_postgres: tuple[Postgres, str], boundary: str
) -> None:
    server, url = own_postgres
    case = make_case(url)
    member = crew.start(case.works, stop_at=f"^{boundary} ?").waits()

    server.kill()
    member.go_on()
    member.warns("database|worker")
    server.start()

    member.ends()
    case.assert_done_once()


def test_a_disk_without_room_is_waited_for(crew: Crew, make_case: MakeCase) -> None:
    case = make_case()
    member = crew.start(case.works, stop_at="^journal$").waits()

    # No file grows beyond this: the database's are larger, the log of the test is not.
    unlimited = resource.prlimit(member.pid, resource.RLIMIT_FSIZE, (16 * 1024, resource.RLIM_INFINITY))
    member.go_on()
    member.warns("full|disk I/O error")
    assert case.works.get(case.promotion).state == "running"
    resource.prlimit(member.pid, resource.RLIMIT_FSIZE, unlimited)

    member.ends()
    case.assert_done_once()
