"""What explain says is what a request meets; and what people say is kept as text, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from liftlock.engine import decisions
from liftlock.errors import RefusedError, UsageError
from liftlock.release.conditions import Outcome
from liftlock.release.people import Actor
from liftlock.release.promotion import Execution
from liftlock.services import decide
from liftlock.services.explain import explain
from liftlock.services.project import Project
from liftlock.services.promote import ask
from tests.services.conftest import ANNA, MakeRelease

BEN = Actor(person="ben")

ONE_AT_A_TIME = """\
pipeline: demo
images: [web]
groups: {leads: [anna, ben]}
stages:
  - {name: prod, to: "oci:prod", tags: [latest], queue: reject, approvals: {from: [leads]}, override: {from: [leads]}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "liftlock.yaml").write_text(ONE_AT_A_TIME)
    return tmp_path / "project"


def test_a_stage_that_takes_one_at_a_time_says_so_before_anybody_asks(project: Project, released: MakeRelease) -> None:
    first = ask(project, released("1"), "prod", ANNA).promotion
    second = released("2")

    told = explain(project, "2", "prod")
    with pytest.raises(RefusedError) as refused:
        ask(project, second, "prod", ANNA)

    reason = next(each.reason for each in told.conditions if each.kind == "queue" and not each.met)
    assert told.outcome is Outcome.FAIL
    assert f"promotion {first.id} of release" in reason
    assert reason in refused.value.message


def test_what_would_be_tried_again_is_explained_as_that(project: Project, released: MakeRelease) -> None:
    """It was approved, and the registry was away: `promote` goes at once."""
    release = released("1")
    broken = ask(project, release, "prod", ANNA).promotion
    decide.approve(project, "1", "prod", BEN, approved=True)
    with project.home.store.begin() as tx:
        decisions.started(tx, broken.id)
        decisions.ended(tx, broken.id, Execution.ERRORED, "the registry was gone")

    told = explain(project, "1", "prod")
    again = ask(project, release, "prod", ANNA).promotion

    assert (again.id, again.state) == (broken.id, "queued")
    assert (told.outcome, told.promotion and told.promotion.id) == (Outcome.PASS, broken.id)
    approvals = next(each for each in told.conditions if each.kind == "approvals")
    assert approvals.reason == "1 of 1 approvals: ben"


Say = Callable[[Project, str], object]


@pytest.mark.parametrize(
    "say",
    [
        lambda project, text: decide.hold(project, "prod", BEN, text),
        lambda project, text: decide.override(project, "1", "prod", BEN, text),
        lambda project, text: decide.approve(project, "1", "prod", BEN, approved=True, comment=text),
    ],
    ids=["hold", "override", "approve"],
)
def test_what_is_no_text_is_not_taken(project: Project, released: MakeRelease, say: Say) -> None:
    """A byte of an argument that is no UTF-8 comes as half a character, which no database takes."""
    ask(project, released("1"), "prod", ANNA)

    with pytest.raises(UsageError, match="is no text"):
        say(project, "a\udcffb")
