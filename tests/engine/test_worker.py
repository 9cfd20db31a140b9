"""A worker in this process: what it does with what is due, on both databases."""

from __future__ import annotations

import threading

import pytest

from liftlock.engine import decisions
from liftlock.engine.worker import Worker
from tests.engine.conftest import MakeWorks
from tests.engine.works import ANNA, Works

TWO_STAGES = """\
pipeline: demo
images: [web, db]
stages:
  - {name: dev, to: "oci:dev-{image}", tags: ["{build}", latest]}
  - {name: test, after: [dev], trigger: on-success, to: ["oci:test-{image}", "oci:far-{image}"], tags: ["{build}"]}
"""
ONE_STAGE = """\
pipeline: demo
images: [web]
stages:
  - {name: dev, to: "oci:dev", tags: ["{build}"]}
"""


def in_use(works: Works) -> list[str]:
    with works.store.read() as tx:
        return [*tx.workers.alive(), *tx.workers.dead()]


def test_a_release_goes_from_stage_to_stage_by_itself(make_works: MakeWorks, database_url: str) -> None:
    works = make_works(TWO_STAGES, database_url)
    release = works.release("1", ("web", "db"))
    first = works.request(release, "dev")

    with Worker(works.workplace()) as worker:
        assert worker.run_until(lambda: works.kinds_on_ledger().count("attempt.ended") == 2, seconds=30)

    assert works.get(first).state == "succeeded"
    assert works.get(first.id + 1).state == "succeeded"
    digests = {name: str(image.digest) for name, image in release.artifact.images.items()}
    for stage, tags in (("dev", ("1", "latest")), ("test", ("1",)), ("far", ("1",))):
        for name, digest in digests.items():
            assert works.tags(f"{stage}-{name}") == dict.fromkeys(tags, digest)
    one = ["promotion.requested", "promotion.admitted", "attempt.queued", "attempt.started", "attempt.ended"]
    assert sorted(works.kinds_on_ledger()) == sorted(one * 2)
    assert in_use(works) == []


def test_what_a_worker_leaves_the_next_one_finishes(make_works: MakeWorks, database_url: str) -> None:
    works = make_works(ONE_STAGE, database_url)
    promotion = works.request(works.release("1"), "dev")
    reached, go_on = threading.Event(), threading.Event()

    def stall(name: str) -> None:
        if name == "journaled":
            reached.set()
            go_on.wait()

    with Worker(works.workplace(stall)) as worker:
        assert worker.run_until(reached.is_set, seconds=30)
        worker.stop()
        threading.Timer(0.1, go_on.set).start()
    assert works.get(promotion).state == "running"
    assert works.tags("dev") == {}

    with Worker(works.workplace()) as worker:
        assert worker.run_until(works.over(promotion), seconds=30)

    assert works.get(promotion).state == "succeeded"
    assert [works.kinds_on_ledger().count(kind) for kind in ("attempt.started", "attempt.ended")] == [1, 1]


@pytest.mark.parametrize(("left_at", "outcome"), [("tags", "failed"), ("journaled", "succeeded")])
def test_who_takes_over_just_before_the_tags_asks_for_the_conditions_again(
    make_works: MakeWorks, left_at: str, outcome: str
) -> None:
    """What held when a worker died need not hold days later; tags that may have begun to move are moved to the end."""
    works = make_works(ONE_STAGE)
    promotion = works.request(works.release("1"), "dev")
    reached, go_on = threading.Event(), threading.Event()

    def stall(name: str) -> None:
        if name == left_at:
            reached.set()
            go_on.wait()

    with Worker(works.workplace(stall)) as worker:
        assert worker.run_until(reached.is_set, seconds=30)
        worker.stop()
        threading.Timer(0.1, go_on.set).start()
    with works.store.begin() as tx:
        decisions.hold(tx, works.pipeline, "dev", ANNA, "the pump is broken")

    with Worker(works.workplace()) as worker:
        assert worker.run_until(works.over(promotion), seconds=30)

    last = works.get(promotion).last
    assert last is not None
    assert (last.execution.value, "the pump is broken" in last.reason) == (outcome, outcome == "failed")
    assert bool(works.tags("dev")) == (outcome == "succeeded")
