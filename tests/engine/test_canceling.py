"""A request to cancel reaches whoever works on the attempt, also in the middle of a copy that stands still."""

from __future__ import annotations

import pytest

from liftlock.engine import decisions, setup
from liftlock.engine.worker import Worker
from tests.conftest import MakeFront
from tests.engine.conftest import MakeWorks
from tests.engine.works import ANNA, Works
from tests.support.front import Exchange, Front
from tests.support.registry import Registry

PIPELINE = """\
pipeline: demo
images: [web]
registries: {{"{host}": {{plain-http: true}}}}
stages:
  - {{name: dev, to: "{host}/{repo}", tags: ["{{build}}"]}}
"""


def silent(exchange: Exchange) -> None:
    """Say nothing until the test is over."""
    exchange.front.ending.wait()


@pytest.fixture
def front(make_front: MakeFront, registry: Registry) -> Front:
    return make_front(registry)


@pytest.mark.parametrize(
    ("method", "pattern"), [("POST", "/blobs/uploads/"), ("PUT", "/manifests/sha256:"), ("PUT", "/manifests/1$")]
)
def test_a_copy_that_stands_still_is_canceled(
    make_works: MakeWorks, front: Front, repo: str, method: str, pattern: str
) -> None:
    works = make_works(PIPELINE.format(host=front.host, repo=repo))
    promotion = works.request(works.release("1"), "dev")
    stalled = front.rule(method, pattern, silent, times=None)

    with Worker(works.workplace()) as worker:
        assert worker.run_until(stalled.reached.is_set, seconds=30)
        cancel(works, promotion.id)
        # The front says nothing for as long as it lives: only closed sockets end this.
        assert worker.run_until(works.over(promotion), seconds=30)

    last = works.get(promotion).last
    assert last is not None
    assert (last.execution.value, last.reason) == ("canceled", "canceled by local:anna")
    front.clear()
    with works.store.begin() as tx:
        decisions.retry(tx, promotion.id, ANNA)
    with Worker(works.workplace()) as worker:
        assert worker.run_until(works.over(promotion), seconds=30)
    assert works.get(promotion).state == "succeeded"


def test_what_was_asked_for_between_two_steps_is_heard(make_works: MakeWorks, front: Front, repo: str) -> None:
    works = make_works(PIPELINE.format(host=front.host, repo=repo))
    promotion = works.request(works.release("1"), "dev")

    def boundary(name: str) -> None:
        if name == "begun":
            cancel(works, promotion.id)

    with Worker(works.workplace(boundary)) as worker:
        assert worker.run_until(works.over(promotion), seconds=30)

    assert works.get(promotion).state == "canceled"
    assert front.requests() == []


def test_what_waits_for_its_turn_to_be_copied_is_canceled_at_once(
    make_works: MakeWorks, front: Front, repo: str
) -> None:
    works = make_works(PIPELINE.format(host=front.host, repo=repo))
    promotion = works.request(works.release("1"), "dev")

    with Worker(works.workplace(), queues=["promotions"]) as worker:  # nobody copies
        assert worker.run_until(lambda: works.get(promotion).state == "running", seconds=30)
        cancel(works, promotion.id)
        assert worker.run_until(works.over(promotion), seconds=30)
    assert works.get(promotion).state == "canceled"

    with Worker(works.workplace()) as worker:
        assert worker.run_until(lambda: (run := setup.run_of("copy:1:1:0")) is not None and run.ended, seconds=30)
    assert front.requests() == []


def cancel(works: Works, promotion: int) -> None:
    with works.store.begin() as tx:
        decisions.cancel(tx, promotion, ANNA)
