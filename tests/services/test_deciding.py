"""What people say and ask for, and what is told of it: in one process, and mostly without a worker."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from liftlock.engine import decisions
from liftlock.errors import Conflict, NotFound, RefusedError, UsageError, WaitRanOut
from liftlock.release.conditions import Outcome, Verdict
from liftlock.release.people import Actor
from liftlock.release.promotion import Decision, Execution
from liftlock.services import decide
from liftlock.services.actor import local_actor, publisher
from liftlock.services.explain import explain
from liftlock.services.project import OpenImages, Project
from liftlock.services.promote import Wait, ask, promote
from liftlock.services.publish import Build, publish
from liftlock.services.session import Session
from liftlock.services.status import status
from liftlock.transfer.events import Event
from tests.services.conftest import ANNA, MakeRelease
from tests.support import images

BEN, CLEO = Actor(person="ben"), Actor(person="cleo")

RULES = """\
pipeline: demo
images: [web]
groups: {leads: [anna, ben], on-call: [cleo]}
stages:
  - {name: dev, to: "oci:dev", tags: [latest]}
  - name: approved
    to: "oci:approved"
    tags: [latest]
    approvals: {from: [leads]}
    override: {from: [on-call]}
  - {name: green, to: "oci:green", tags: [latest], gates: [{command: {run: ["test", "-e", "green"]}}]}
  - name: frozen
    to: "oci:frozen"
    tags: [latest]
    freeze: ["2001-01-01 00:00 - 2999-01-01 00:00 Europe/Berlin"]
  - {name: later, after: [dev], to: "oci:later", tags: [latest]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "liftlock.yaml").write_text(RULES)
    return tmp_path / "project"


@pytest.fixture
def project(folder: Path) -> Iterator[Project]:
    with Project(str(folder / "liftlock.yaml")) as opened:
        yield opened


def cell(project: Project, stage: str) -> tuple[str, str]:
    (row,) = status(project).rows
    return next((each.state, each.reason) for each in row.cells if each.stage == stage)


# -- people


def test_the_last_approval_admits(project: Project, released: MakeRelease) -> None:
    waits = ask(project, released("1"), "approved", ANNA).standing

    admitted = decide.approve(project, "1", "approved", BEN, approved=True, comment="green")

    assert [each.kind for each in waits.unmet] == ["approvals"]
    assert (admitted.promotion.decision, admitted.promotion.state) == (Decision.ADMITTED, "queued")
    assert admitted.unmet == ()


def test_who_asked_may_not_approve(project: Project, released: MakeRelease) -> None:
    ask(project, released("1"), "approved", ANNA)

    with pytest.raises(RefusedError, match="anna asked for this promotion") as error:
        decide.approve(project, "1", "approved", ANNA, approved=True)

    assert "ben" in error.value.hint
    assert cell(project, "approved") == ("waiting", "0 of 1 approvals")


def test_a_no_ends_it(project: Project, released: MakeRelease) -> None:
    ask(project, released("1"), "approved", ANNA)

    refused = decide.approve(project, "1", "approved", BEN, approved=False, comment="incident 7")

    assert refused.promotion.decision is Decision.REFUSED
    state, reason = cell(project, "approved")
    assert state == "refused"
    assert "incident 7" in reason


def test_a_word_that_comes_too_late_does_not_count(folder: Path, released: MakeRelease) -> None:
    release = released("1")
    now = dt.datetime.now(dt.UTC)
    with Project(str(folder / "liftlock.yaml"), clock=lambda: now) as then:
        ask(then, release, "approved", ANNA)
    later = now + dt.timedelta(days=8)
    with Project(str(folder / "liftlock.yaml"), clock=lambda: later) as project:
        with pytest.raises(RefusedError, match="too late"):
            decide.approve(project, "1", "approved", BEN, approved=True)

        assert cell(project, "approved")[0] == "expired", "what was found stays found"


def test_an_override_is_for_its_own_group(project: Project, released: MakeRelease) -> None:
    ask(project, released("1"), "approved", ANNA)

    with pytest.raises(RefusedError, match="ben may not override"):
        decide.override(project, "1", "approved", BEN, "because")

    assert decide.override(project, "1", "approved", CLEO, "incident 7").promotion.state == "queued"


def test_what_nobody_asked_for_cannot_be_approved(project: Project, released: MakeRelease) -> None:
    released("1")

    with pytest.raises(NotFound, match="nobody has asked for release 1 to go to 'approved'") as error:
        decide.approve(project, "1", "approved", BEN, approved=True)

    assert error.value.hint == "first: liftlock promote 1 --to approved --no-wait"
    with pytest.raises(NotFound, match="no stage 'aproved'"):
        decide.approve(project, "1", "aproved", BEN, approved=True)


def test_a_hold_keeps_out_until_it_is_released(project: Project, released: MakeRelease) -> None:
    decide.hold(project, "dev", ANNA, "incident 7")
    decide.hold(project, "", BEN, "holidays")
    waits = ask(project, released("1"), "dev", ANNA).standing

    assert [each.reason for each in waits.unmet] == ["held by local:anna: incident 7", "held by local:ben: holidays"]
    found = status(project)
    assert [len(column.holds) for column in found.columns] == [2, 1, 1, 1, 1]
    assert [each["reason"] for each in found.to_json()["holds"]] == ["incident 7", "holidays"]

    assert [each.reason for each in decide.unhold(project, "dev", ANNA)] == ["incident 7"]
    decide.unhold(project, "", ANNA)

    assert not explain(project, "1", "dev").promotion or cell(project, "dev")[0] in ("queued", "waiting")
    with pytest.raises(NotFound, match="not held"):
        decide.unhold(project, "dev", ANNA)
    with pytest.raises(NotFound, match="no stage 'prd'"):
        decide.hold(project, "prd", ANNA, "")


def test_the_only_open_promotion_need_not_be_named(project: Project, released: MakeRelease) -> None:
    release = released("1")
    ask(project, release, "approved", ANNA)
    ask(project, release, "frozen", ANNA)

    with pytest.raises(UsageError, match="several promotions to take back: in approved and frozen"):
        decide.cancel(project, "1", None, ANNA)
    decide.cancel(project, "1", "frozen", ANNA)
    assert decide.cancel(project, "1", None, ANNA).promotion.stage == "approved"
    with pytest.raises(NotFound, match="nothing to take back"):
        decide.cancel(project, "1", None, ANNA)
    with pytest.raises(Conflict, match="canceled already"):
        decide.cancel(project, "1", "approved", ANNA)


def test_what_was_canceled_before_it_began_can_be_tried_again(project: Project, released: MakeRelease) -> None:
    ask(project, released("1"), "dev", ANNA)
    assert decide.cancel(project, "1", None, ANNA).promotion.state == "canceled"

    again = decide.retry(project, "1", None, BEN)

    assert (again.promotion.state, len(again.promotion.attempts)) == ("queued", 2)
    with pytest.raises(NotFound, match="nothing to try again"):
        decide.retry(project, "1", None, BEN)


def test_waiting_for_people_is_told_and_bounded(
    project: Project, open_images: OpenImages, released: MakeRelease
) -> None:
    release = released("1")
    seen: list[Event] = []
    wait = Wait(people=True, seconds=0.1)

    at_once = promote(project, open_images, release, "approved", ANNA)
    with pytest.raises(WaitRanOut, match=r"it is waiting; approvals: 0 of 1 approvals") as error:
        promote(project, open_images, release, "approved", ANNA, wait=wait, on_event=seen.append)

    assert at_once.promotion.decision is Decision.WAITING
    assert [event.subject for event in seen if event.kind == "note"] == [
        "waits: 0 of 1 approvals; still needed: 1 of leads"
    ]
    assert "liftlock release cancel 1 --to approved" in error.value.hint
    assert cell(project, "approved")[0] == "waiting"


def test_who_has_to_approve_is_told_before_the_command_ends(
    project: Project, folder: Path, open_images: OpenImages, released: MakeRelease
) -> None:
    told = "notify: [{command: {run: [touch, told]}, on: [approval-needed]}]"
    rules = RULES.replace("approvals: {from: [leads]}", f"approvals: {{from: [leads]}}\n    {told}")
    (folder / "liftlock.yaml").write_text(rules)

    waits = promote(project, open_images, released("1"), "approved", ANNA)

    assert waits.promotion.decision is Decision.WAITING
    assert (folder / "told").exists()


def test_who_was_not_told_is_named(
    project: Project, folder: Path, open_images: OpenImages, released: MakeRelease
) -> None:
    told = 'notify: [{command: {run: ["sh", "-c", "echo no route; exit 1"]}}]'
    (folder / "liftlock.yaml").write_text(RULES.replace("tags: [latest]}", f"tags: [latest], {told}}}", 1))

    promoted = promote(project, open_images, released("1"), "dev", ANNA)

    assert promoted.promotion.state == "succeeded"
    assert promoted.untold == ("command was not told of success: the command sh ends with status 1",)
    (row,) = status(project).rows
    assert row.cells[0].untold == ("command: the command sh ends with status 1",)


# -- explaining


def test_a_gate_is_asked_now_when_nobody_has_asked_for_the_promotion(
    project: Project, folder: Path, released: MakeRelease
) -> None:
    released("1")

    red = explain(project, "1", "green")
    (folder / "green").touch()
    green = explain(project, "1", "green")

    assert (red.outcome, green.outcome) == (Outcome.FAIL, Outcome.PASS)
    assert red.promotion is None
    assert json.loads(json.dumps(green.to_json()))["conditions"][0]["name"] == "command"
    with project.home.store.read() as tx:
        assert list(tx.promotions.history("demo")) == [], "explaining asks for nothing"


def test_a_gate_is_asked_now_for_what_would_be_tried_again(
    project: Project, folder: Path, released: MakeRelease
) -> None:
    """An attempt asks it anew before the tags: what it said for the last one does not count."""
    broken = ask(project, released("1"), "green", ANNA).promotion
    with project.home.store.begin() as tx:
        decisions.weigh(tx, broken.id, [Verdict(outcome=Outcome.PASS, reason="fine")])
        decisions.started(tx, broken.id)
        decisions.ended(tx, broken.id, Execution.ERRORED, "the registry was gone")

    red = explain(project, "1", "green")
    (folder / "green").touch()
    green = explain(project, "1", "green")

    assert (red.outcome, green.outcome) == (Outcome.FAIL, Outcome.PASS)
    assert green.promotion
    assert green.promotion.id == broken.id


@pytest.mark.parametrize(
    ("stage", "outcome"),
    [("dev", Outcome.PASS), ("approved", Outcome.WAIT), ("frozen", Outcome.WAIT), ("later", Outcome.FAIL)],
)
def test_what_waiting_helps_with_is_told_from_what_it_does_not(
    project: Project, released: MakeRelease, stage: str, outcome: Outcome
) -> None:
    released("1")

    assert explain(project, "1", stage).outcome is outcome


def test_the_matrix_says_what_is_waited_for_and_what_is_frozen(project: Project, released: MakeRelease) -> None:
    release = released("1")
    ask(project, release, "approved", ANNA)
    ask(project, release, "frozen", ANNA)

    assert cell(project, "approved") == ("waiting", "0 of 1 approvals")
    state, reason = cell(project, "frozen")
    assert state == "waiting"
    assert re.fullmatch(r"freeze \d+ d( \d+ h)?", reason)
    frozen = {column.stage: column.frozen for column in status(project).columns if column.frozen}
    assert frozen == {"frozen": "Tue 2999-01-01 00:00 Europe/Berlin"}


def test_a_page_has_the_newest_and_what_a_stage_holds(
    project: Project, released: MakeRelease, promoted: object
) -> None:
    releases = [released(str(number)) for number in range(4)]
    promoted(releases[0], "dev")  # type: ignore[operator]

    found = status(project, limit=2)

    assert [row.created.release.name for row in found.rows] == ["3", "2", "0"]
    assert found.releases == 4


# -- publishing


@pytest.fixture
def automatic(folder: Path) -> None:
    (folder / "liftlock.yaml").write_text(
        RULES.replace("{name: dev,", "{name: dev, trigger: on-publish,").replace("oci:dev", "oci:dev-{region}")
    )


@pytest.mark.usefixtures("automatic")
def test_publishing_makes_the_release_and_asks_once(project: Project, session: Session, tmp_path: Path) -> None:
    image = images.make_image(tmp_path / "build", "v", layers=1)
    sources, build = {"web": f"oci:{image.layout}:v"}, Build(id="1", author="cleo")

    first = publish(project, session, sources, build, BEN, variables={"region": "eu"})
    again = publish(project, session, sources, build, ANNA, variables={"region": "eu"})

    assert [(each.promotion.stage, each.promotion.state) for each in first.asked] == [("dev", "queued")]
    assert [each.person for each in first.asked[0].promotion.requested_by] == ["ben", "cleo"]
    assert again.release == first.release
    assert again.asked == ()
    assert (again.published.published_by, again.published.author) == ("ben", "cleo")
    with project.home.store.read() as tx:
        kinds = [json.loads(str(entry.text))["kind"] for entry in tx.ledger.entries("demo")]
    assert kinds[:2] == ["artifact.published", "release.created"]
    assert kinds.count("artifact.published") == kinds.count("release.created") == 1


@pytest.mark.usefixtures("automatic")
def test_a_release_that_could_not_go_is_not_published(project: Project, session: Session, tmp_path: Path) -> None:
    image = images.make_image(tmp_path / "build", "v", layers=1)

    with pytest.raises(Exception, match=r"\{region\} has no value"):
        publish(project, session, {"web": f"oci:{image.layout}:v"}, Build(id="1"), BEN)

    with project.home.store.read() as tx:
        assert tx.artifacts.all() == []
        assert list(tx.ledger.entries("demo")) == []


def test_without_on_publish_nothing_is_asked_for(project: Project, session: Session, tmp_path: Path) -> None:
    image = images.make_image(tmp_path / "build", "v", layers=1)
    sources = {"web": f"oci:{image.layout}:v"}

    found = publish(project, session, sources, Build(id="1"), BEN)

    assert (found.release, found.asked) == (None, ())
    with pytest.raises(UsageError, match="--var is for the release"):
        publish(project, session, sources, Build(id="2"), BEN, variables={"region": "eu"})


# -- who


def test_the_actor_is_said_or_the_user_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "mallory")

    assert str(local_actor({"LIFTLOCK_USER": "anna@example.org"})) == "local:anna@example.org"
    assert local_actor({}).person not in ("", "mallory")
    assert publisher({"GITHUB_RUN_ID": "1", "GITHUB_ACTOR": "octocat"}).person == "octocat"
    assert publisher({"GITHUB_RUN_ID": "1", "GITHUB_ACTOR": "octocat", "LIFTLOCK_USER": "anna"}).person == "anna"
    assert publisher({}) == local_actor({})
    with pytest.raises(Exception, match="LIFTLOCK_USER is not one line"):
        local_actor({"LIFTLOCK_USER": "anna\nben"})
