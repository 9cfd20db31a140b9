"""What a worker does when things do not go well: errors that pass and that do not, conditions that change, receivers
that do not answer, and work that came to grief in a way that nobody foresaw."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace

import pytest

from liftlock.engine import attempts, decisions, reaper, sweep
from liftlock.engine.shift import Abandoned
from liftlock.engine.worker import Worker
from liftlock.release.promotion import Execution
from tests.conftest import MakeFront
from tests.engine.conftest import MakeWorks
from tests.engine.works import ANNA, Works, now
from tests.support import faults
from tests.support.front import Front
from tests.support.receiver import Receiver, Reply
from tests.support.registry import Registry

PIPELINE = """\
pipeline: demo
images: [web]
registries: {{"{host}": {{plain-http: true}}}}
stages:
  - {{name: dev, to: "{host}/{repo}", tags: ["{{build}}"]{more}}}
"""


SCHEDULED = """\
pipeline: demo
images: [web]
stages:
  - {name: dev, to: "oci:dev", tags: ["{build}"]}
  - {name: nightly, after: [dev], trigger: {schedule: "0 3 * * * UTC"}, to: "oci:nightly", tags: [latest]}
"""


@pytest.fixture
def front(make_front: MakeFront, registry: Registry) -> Front:
    return make_front(registry)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def worked(works: Works, *promotions: int) -> None:
    with Worker(works.workplace()) as worker:
        assert worker.run_until(works.over(*(works.get(each) for each in promotions)), seconds=40)


def test_an_error_that_passes_is_tried_again(
    make_works: MakeWorks, front: Front, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "PAUSES", (0.01, 0.01))
    works = make_works(PIPELINE.format(host=front.host, repo=repo, more=""))
    promotion = works.request(works.release("1"), "dev")
    refused = front.rule("PUT", "/manifests/1$", faults.error(503), times=2)

    worked(works, promotion.id)

    assert works.get(promotion).state == "succeeded"
    assert refused.hits == 2


def test_an_error_that_stays_ends_the_attempt(
    make_works: MakeWorks, front: Front, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "PAUSES", (0.01,))
    works = make_works(PIPELINE.format(host=front.host, repo=repo, more=""))
    promotion = works.request(works.release("1"), "dev")
    front.rule("POST", "/blobs/uploads/", faults.error(403, "DENIED", "not you"), times=None)

    worked(works, promotion.id)

    ended = works.get(promotion)
    assert ended.state == "errored"
    assert ended.last is not None
    assert "not you" in ended.last.reason
    assert front.count("PUT", "/manifests/1$") == 0


def test_what_changed_before_the_tags_fails_the_attempt(make_works: MakeWorks, front: Front, repo: str) -> None:
    works = make_works(PIPELINE.format(host=front.host, repo=repo, more=""))
    promotion = works.request(works.release("1"), "dev")

    def boundary(name: str) -> None:
        if name == "recheck":
            with works.store.begin() as tx:
                decisions.hold(tx, works.pipeline, "dev", ANNA, "the pump is broken")

    with Worker(works.workplace(boundary)) as worker:
        assert worker.run_until(works.over(promotion), seconds=40)

    ended = works.get(promotion)
    assert ended.state == "failed"
    assert ended.last is not None
    assert "the pump is broken" in ended.last.reason
    assert front.count("PUT", "/manifests/1$") == 0
    assert front.count("PUT", "/manifests/sha256:") == 1


def test_a_gate_that_passed_and_does_not_pass_now_fails_the_attempt(
    make_works: MakeWorks, front: Front, repo: str, receiver: Receiver
) -> None:
    gate = f', gates: [{{http: {{url: "{receiver.url}", allow-private: true}}}}]'
    works = make_works(PIPELINE.format(host=front.host, repo=repo, more=gate))
    receiver.next(Reply(200))
    receiver.always(Reply(404))
    promotion = works.request(works.release("1"), "dev")

    worked(works, promotion.id)

    ended = works.get(promotion)
    assert ended.state == "failed"
    assert front.count("PUT", "/manifests/1$") == 0


def test_a_worker_that_ends_while_a_gate_is_asked_leaves_the_question_to_the_next(
    make_works: MakeWorks, front: Front, repo: str, receiver: Receiver
) -> None:
    gate = f', gates: [{{http: {{url: "{receiver.url}", allow-private: true}}}}]'
    works = make_works(PIPELINE.format(host=front.host, repo=repo, more=gate))
    receiver.next(Reply(how="hang"))
    promotion = works.request(works.release("1"), "dev")

    with Worker(works.workplace()) as worker:
        assert worker.run_until(lambda: bool(receiver.requests), seconds=40)
    assert works.get(promotion).state == "waiting"

    worked(works, promotion.id)

    assert works.get(promotion).state == "succeeded"
    with works.store.read() as tx:
        assert len(tx.samples.of(promotion.id)) == 1


def test_a_receiver_that_fails_is_told_again_with_the_same_key(
    make_works: MakeWorks, front: Front, repo: str, receiver: Receiver
) -> None:
    hook = f', notify: [{{webhook: {{url: "{receiver.url}", allow-private: true}}}}]'
    clock = [now()]
    works = make_works(PIPELINE.format(host=front.host, repo=repo, more=hook), clock=lambda: clock[0])
    receiver.next(Reply(503), Reply(503))
    promotion = works.request(works.release("1"), "dev")

    with Worker(works.workplace()) as worker:
        for count in (1, 2, 3):
            assert worker.run_until(lambda: len(receiver.requests) == count and worker.idle, seconds=40)  # noqa: B023
            clock[0] += dt.timedelta(hours=1)

    with works.store.read() as tx:
        (told,) = tx.notifications.of(promotion.id)
    assert (told.state, told.tries) == ("delivered", 3)
    assert len({each.headers["webhook-id"] for each in receiver.requests}) == 1


def test_a_clock_that_jumps_makes_nothing_happen_twice(make_works: MakeWorks, front: Front, repo: str) -> None:
    clock = [now()]
    works = make_works(PIPELINE.format(host=front.host, repo=repo, more=""), clock=lambda: clock[0])
    promotion = works.request(works.release("1"), "dev")
    jumps = iter([-86_400, 864_000, -3600, 7200] * 10)

    def boundary(_name: str) -> None:
        clock[0] += dt.timedelta(seconds=next(jumps, 0))

    with Worker(works.workplace(boundary)) as worker:
        assert worker.run_until(works.over(promotion), seconds=40)

    assert works.get(promotion).state == "succeeded"
    assert front.count("PUT", "/manifests/1$") == 1
    assert works.kinds_on_ledger().count("attempt.ended") == 1


def test_a_run_that_came_to_grief_is_started_anew(
    make_works: MakeWorks, front: Front, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "AGAIN", (0.01, 0.01))
    monkeypatch.setattr(sweep, "REMEMBERED", 0.0)
    works = make_works(PIPELINE.format(host=front.host, repo=repo, more=""))
    promotion = works.request(works.release("1"), "dev")
    griefs: list[str] = []

    def boundary(name: str) -> None:
        if name in ("begun", "end") and griefs.count(name) < 2:
            griefs.append(name)
            raise OSError(28, "No space left on device")

    with Worker(works.workplace(boundary)) as worker:
        assert worker.run_until(works.over(promotion), seconds=40)

    assert griefs.count("begun") == griefs.count("end") == 2
    assert works.get(promotion).last.execution is Execution.SUCCEEDED  # type: ignore[union-attr]
    assert works.kinds_on_ledger().count("attempt.started") == 1
    assert front.count("PUT", "/manifests/1$") == 1


def test_a_schedule_asks_for_what_may_come_when_its_time_has_come(make_works: MakeWorks) -> None:
    clock = [dt.datetime(2031, 5, 6, 1, tzinfo=dt.UTC)]
    works = make_works(SCHEDULED, clock=lambda: clock[0])
    first = works.request(works.release("1"), "dev")

    with Worker(replace(works.workplace(), pipeline=works.pipeline)) as worker:
        assert worker.run_until(works.over(first), seconds=40)
        assert worker.run_until(lambda: worker.idle, seconds=40)
        assert works.tags("nightly") == {}

        clock[0] += dt.timedelta(hours=4)
        assert worker.run_until(lambda: works.tags("nightly") == {"latest": works.tags("dev")["1"]}, seconds=40)
        clock[0] += dt.timedelta(days=1)
        assert worker.run_until(lambda: worker.idle, seconds=40)

    assert works.kinds_on_ledger().count("promotion.requested") == 2


def test_what_counts_as_this_workers_own_and_does_not_run_is_put_back(
    make_works: MakeWorks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper, "MISSING", 0.5)
    works = make_works(SCHEDULED)
    promotion = works.request(works.release("1"), "dev")
    stuck: list[str] = []

    def boundary(name: str) -> None:
        if name == "begin" and not stuck:
            stuck.append(name)
            # As if the disk were full: the thread dies, and cannot write down that it failed.
            raise Abandoned

    with Worker(works.workplace(boundary)) as worker:
        assert worker.run_until(works.over(promotion), seconds=40)

    assert works.get(promotion).state == "succeeded"
    assert stuck
