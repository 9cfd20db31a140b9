"""What goes wrong in one part of a worker stops none of the others."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from liftlock.engine import asking, decisions, sweep, telling
from liftlock.engine.lease import Lease
from liftlock.engine.shift import Shift
from liftlock.engine.worker import Worker
from liftlock.errors import CorruptContent
from liftlock.store.notifications import Notifications
from liftlock.store.promotions import Promotions
from tests.engine.conftest import MakeWorks

PIPELINE = """\
pipeline: demo
images: [web]
stages:
  - {name: dev, to: "oci:dev", tags: ["{build}"]}
"""


@pytest.mark.parametrize("error", [CorruptContent("it was made by a newer Liftlock"), KeyError("stages")])
def test_schedules_that_cannot_be_kept_hold_up_nothing_else(
    make_works: MakeWorks, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def grief(*_: object) -> None:
        raise error

    monkeypatch.setattr(decisions, "schedule_due", grief)
    works = make_works(PIPELINE)
    promotion = works.request(works.release("1"), "dev")

    with Worker(replace(works.workplace(), pipeline=works.pipeline)) as worker:
        assert worker.run_until(works.over(promotion), seconds=30)

    assert works.get(promotion).state == "succeeded"


@pytest.mark.parametrize(("kind", "name"), [(Lease, "beat"), (Shift, "watch")])
def test_a_mistake_does_not_end_the_renewal_of_the_lease_nor_the_watch_for_cancels(
    make_works: MakeWorks, monkeypatch: pytest.MonkeyPatch, kind: type, name: str
) -> None:
    calls: list[object] = []

    def grief(self: object) -> None:
        calls.append(self)
        raise RuntimeError("dictionary changed size during iteration")

    monkeypatch.setattr(kind, name, grief)

    with Worker(make_works(PIPELINE).workplace()) as worker:
        assert worker.run_until(lambda: len(calls) > 1, seconds=30)


GATED = """\
pipeline: demo
images: [web]
stages:
  - {name: dev, to: "oci:dev", tags: ["{build}"], gates: [{command: ["true"]}], notify: [{command: ["true"]}]}
  - {name: test, to: "oci:test", tags: ["{build}"], gates: [{command: ["true"]}], notify: [{command: ["true"]}]}
"""

GRIEF = CorruptContent("it was made by a newer Liftlock")


def test_a_look_that_cannot_be_made_does_not_hide_the_others(
    make_works: MakeWorks, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = make_works(GATED)
    release = works.release("1")
    broken, fine = works.request(release, "dev"), works.request(release, "test")
    look, due = asking.look, Promotions.due

    def looked(shift: Shift, promotion: int, looks: int) -> None:
        if promotion == broken.id:
            raise GRIEF
        look(shift, promotion, looks)

    monkeypatch.setattr(asking, "look", looked)
    monkeypatch.setattr(Promotions, "due", lambda self: due(self, limit=1))
    monkeypatch.setattr(sweep, "REMEMBERED", 0.0)

    with Worker(works.workplace()) as worker:
        assert worker.run_until(works.over(fine), seconds=30)

    assert works.get(broken).state == "waiting"


def test_a_message_that_cannot_be_made_does_not_hide_the_others(
    make_works: MakeWorks, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = make_works(GATED)
    release = works.release("1")
    asked = [works.request(release, "dev"), works.request(release, "test")]
    deliver, due = telling.deliver, Notifications.due

    def delivered(shift: Shift, notification: int, tries: int) -> None:
        if notification == 1:
            raise GRIEF
        deliver(shift, notification, tries)

    def states() -> dict[int, str]:
        with works.store.read() as tx:
            return {each.id: each.state for promotion in asked for each in tx.notifications.of(promotion.id)}

    monkeypatch.setattr(telling, "deliver", delivered)
    monkeypatch.setattr(Notifications, "due", lambda self: due(self, limit=1))
    monkeypatch.setattr(sweep, "REMEMBERED", 0.0)

    with Worker(works.workplace()) as worker:
        assert worker.run_until(lambda: states() == {1: "pending", 2: "delivered"}, seconds=30)


def test_gates_that_hang_hold_up_no_other_pipeline(make_works: MakeWorks) -> None:
    stage = '  - {name: s0, to: "oci:s0", tags: ["{build}"], gates: [{command: [cat, pipe]}]}\n'
    stages = [stage.replace("s0", f"s{number}") for number in range(16)]
    works = make_works(f"pipeline: hanging\nimages: [web]\nstages:\n{''.join(stages)}")
    os.mkfifo(works.folder / "pipe")  # who reads it waits for a writer
    release = works.release("1")
    for number in range(16):
        works.request(release, f"s{number}")
    works.write(GATED)
    promotion = works.request(works.release("2"), "dev")

    with Worker(works.workplace()) as worker:
        assert worker.run_until(works.over(promotion), seconds=30)

    assert works.get(promotion).state == "succeeded"
