"""A lease holds until it lapses, is lost for good then, and a killed process is known to be dead at once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable

import pytest

from liftlock.engine import lease as module
from liftlock.engine.lease import Lease
from liftlock.engine.shift import Abandoned, Shift
from tests.engine.conftest import MakeWorks
from tests.engine.works import Works

PIPELINE = """\
pipeline: demo
images: [web]
stages:
  - {name: dev, to: "oci:dev", tags: ["{build}"]}
"""


class Clock:
    """This machine's clock, as the lease sees it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "_now", made)
    return made


@pytest.fixture
def works(make_works: MakeWorks, database_url: str) -> Works:
    return make_works(PIPELINE, database_url)


def alive(works: Works) -> frozenset[str]:
    with works.store.read() as tx:
        return tx.workers.alive()


def test_it_holds_as_long_as_it_is_renewed(works: Works, clock: Clock) -> None:
    lease = Lease(works.store, None, ttl=15)
    lease.take()

    for _ in range(10):
        clock.now += 10
        assert lease.held
        lease.beat()
    assert alive(works) == {lease.id}

    lease.drop()
    assert not lease.held
    assert alive(works) == set()


def test_one_that_lapsed_is_lost_for_good(works: Works, clock: Clock) -> None:
    lease = Lease(works.store, None, ttl=15)
    lease.take()
    shift = Shift(works.workplace(), lease)
    shift.own()

    clock.now += 15

    assert lease.lost
    lease.beat()
    assert not lease.held
    for effect in (shift.own, lambda: shift.boundary("tag"), lambda: shift.patiently(lambda: pytest.fail("begun"))):
        with pytest.raises(Abandoned):
            effect()


def test_one_that_lapsed_while_it_was_renewed_is_lost(
    works: Works, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = Lease(works.store, None, ttl=15)
    lease.take()
    begin: Callable[[], object] = works.store.begin

    def late() -> object:
        clock.now += 10  # this process is stopped, and others may have taken over
        return begin()

    monkeypatch.setattr(works.store, "begin", late)
    clock.now += 10

    lease.beat()

    assert lease.lost
    assert not lease.held


def test_a_process_that_died_is_known_to_be_dead_before_its_lease_lapses(works: Works) -> None:
    folder = works.folder / "workers"
    mine, theirs = Lease(works.store, str(folder)), Lease(works.store, str(folder))
    mine.take()
    theirs.take()
    assert mine.dead({mine.id, theirs.id, "unknown"}) == {"unknown"}
    mine.bury()
    assert alive(works) == {mine.id, theirs.id}

    assert theirs._file is not None
    os.close(theirs._file)  # as the kernel does for who dies

    assert mine.dead({mine.id, theirs.id}) == {theirs.id}
    mine.bury()
    assert alive(works) == {mine.id}
    assert list(folder.iterdir()) == [folder / f"{mine.id}.worker"]
    theirs._file = None
    mine.drop()
    assert list(folder.iterdir()) == []


def test_a_process_that_is_stopped_is_dead_when_its_lease_lapses(works: Works) -> None:
    folder = works.folder / "workers"
    mine, theirs = Lease(works.store, str(folder)), Lease(works.store, str(folder), ttl=0)
    mine.take()
    theirs.take()

    assert mine.dead({theirs.id}) == {theirs.id}
    assert theirs._file is not None
    with (folder / f"{theirs.id}.worker").open("rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    mine.bury()
    assert alive(works) == {mine.id}
    theirs.drop()
    mine.drop()
