"""What goes wrong in one part of a worker stops none of the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from liftlock.engine import decisions
from liftlock.engine.lease import Lease
from liftlock.engine.shift import Shift
from liftlock.engine.worker import Worker
from liftlock.errors import CorruptContent
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
