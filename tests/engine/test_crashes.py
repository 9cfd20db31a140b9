"""A worker dies at each boundary of an effect: another finishes, and nothing is done twice that the world can see."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.engine.conftest import MakeCase
from tests.engine.crew import Crew
from tests.support.waiting import until

pytestmark = pytest.mark.crash

BOUNDARIES = (
    "look", "asked", "looked",
    "begin", "begun",
    "content of", "content at",
    "recheck", "rechecked",
    "tags", "journal", "journaled", "tag", "tag .*:latest", "moved", "tagged",
    "end", "ended",
    "notify", "sent", "notified",
)  # fmt: skip
"""Every boundary there is, as a pattern of its name; a test sees that there are no others."""


SAMPLE = ("asked", "content at", "journaled", "tag", "sent")
"""Where a worker on PostgreSQL dies in an ordinary run; with --all it does everywhere."""


def test_every_boundary_is_known(crew: Crew, make_case: MakeCase) -> None:
    case = make_case()

    passed = crew.start(case.works).ends().boundaries

    case.assert_done_once()
    unknown = [name for name in passed if not any(re.match(f"{each}( |$)", name) for each in BOUNDARIES)]
    assert not unknown
    assert not [each for each in BOUNDARIES if not any(re.match(f"{each}( |$)", name) for name in passed)]
    assert max(Counter(passed).values()) == 1


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_what_a_killed_worker_leaves_another_finishes(crew: Crew, make_case: MakeCase, boundary: str) -> None:
    case = make_case()
    crew.start(case.works, stop_at=f"^{boundary}( |$)").waits().kill()

    crew.start(case.works).ends()

    case.assert_done_once()


@pytest.mark.parametrize(
    "boundary", [each if each in SAMPLE else pytest.param(each, marks=pytest.mark.slow) for each in BOUNDARIES]
)
def test_on_postgresql_others_who_are_at_work_finish_it(
    crew: Crew, make_case: MakeCase, shared_database: str, boundary: str
) -> None:
    case = make_case(shared_database)
    killed = crew.start(case.works, stop_at=f"^{boundary}( |$)", ttl=4).waits()
    others = [crew.start(case.works, ttl=4) for _ in range(2)]

    killed.kill()

    for each in others:
        each.ends()
    until(lambda: not case.leases(), "the dead worker's lease to lapse")
    crew.start(case.works).ends()
    case.assert_done_once()
