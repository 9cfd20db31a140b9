"""Where everything is, and where it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from liftlock.errors import LiftlockError, NotFound, RefusedError
from liftlock.release.people import Actor
from liftlock.services import decide
from liftlock.services.project import Project
from liftlock.services.promote import ask
from liftlock.services.releases import candidates
from liftlock.services.session import Session
from liftlock.services.status import status
from liftlock.services.trace import trace
from tests.services.conftest import ANNA, PIPELINE, MakeRelease, PromoteTo
from tests.support import remote
from tests.support.images import Image
from tests.support.registry import Registry


def _states(project: Project) -> dict[str, list[str]]:
    return {row.created.release.name: [cell.state for cell in row.cells] for row in status(project).rows}


def test_the_matrix_tells_what_each_stage_holds_and_what_may_come_next(
    project: Project, released: MakeRelease, promoted: PromoteTo
) -> None:
    one, two = released("1"), released("2")
    assert _states(project) == {"2": ["ready", "", ""], "1": ["ready", "", ""]}

    promoted(one, "dev")
    promoted(one, "test")
    promoted(two, "dev")

    assert _states(project) == {"2": ["here", "ready", ""], "1": ["was here", "here", "ready"]}
    assert candidates(project, "prod") == ["1"]

    promoted(one, "dev")

    assert _states(project)["1"] == ["here", "here", "ready"], "going back is going there again"


def test_what_failed_was_refused_or_waits_is_told_so(
    project: Project, folder: Path, released: MakeRelease, promoted: PromoteTo
) -> None:
    one, two = released("1"), released("2")
    promoted(one, "dev")
    with pytest.raises(RefusedError):
        promoted(two, "prod")
    (folder / "test").mkdir()
    (folder / "test" / "index.json").write_text("{")
    with pytest.raises(LiftlockError):
        promoted(one, "test")
    ask(project, two, "dev", ANNA)

    assert _states(project) == {"2": ["queued", "", "refused"], "1": ["here", "errored", ""]}
    found = status(project)
    assert json.loads(json.dumps(found.to_json()))["releases"][1]["stages"]["test"]["reason"]


def test_a_stage_that_a_release_does_not_know_is_empty(
    project: Project, folder: Path, released: MakeRelease, promoted: PromoteTo
) -> None:
    promoted(released("1"), "dev")
    (folder / "liftlock.yaml").write_text(PIPELINE + '  - {name: eu, to: "oci:eu", tags: [stable]}\n')
    with Project(str(folder / "liftlock.yaml")) as changed:
        assert _states(changed) == {"1": ["here", "ready", "", ""]}


def test_an_image_a_digest_and_a_build_lead_to_the_same_journey(
    *,
    project: Project,
    session: Session,
    folder: Path,
    released: MakeRelease,
    promoted: PromoteTo,
    made: Mapping[str, Image],
) -> None:
    release = released("1", labels={"team": "shop"})
    promoted(release, "dev")

    found = [
        trace(project, session, text).to_json(project)["artifacts"]
        for text in (
            f"oci:{folder}/dev:latest",
            made["1"].digest,
            "1",
            release.artifact.id,
            release.artifact.id.hex[:8],
        )
    ]

    assert all(each == found[0] for each in found)
    (artifact,) = found[0]
    assert (artifact["build"], artifact["commit"], artifact["labels"]) == ("1", "c1", {"team": "shop"})
    assert artifact["images"]["web"]["stored"] == f"oci:{folder}/.liftlock/artifacts"
    (promotion,) = artifact["releases"][0]["promotions"]
    assert [(move["destination"], move["tag"], move["old"]) for move in promotion["tags"]] == [
        (f"oci:{folder}/dev", "1", None),
        (f"oci:{folder}/dev", "latest", None),
    ]


def test_a_stage_leads_to_what_it_holds_now(
    project: Project, session: Session, released: MakeRelease, promoted: PromoteTo
) -> None:
    one, two = released("1"), released("2")
    promoted(one, "dev")
    promoted(two, "dev")

    (journey,) = trace(project, session, "dev").journeys

    assert journey.published.artifact.build == "2"
    assert [travel.here for travel in journey.releases] == [("dev",)]
    assert [travel.here for travel in trace(project, session, "1").journeys[0].releases] == [()]
    with pytest.raises(NotFound, match="nothing is recorded here to be in 'prod'"):
        trace(project, session, "prod")


def test_a_trace_tells_what_gates_and_people_said(
    *, project: Project, session: Session, folder: Path, released: MakeRelease, promoted: PromoteTo
) -> None:
    rules = "approvals: {from: [leads]}, override: {from: [leads]}, gates: [{labels: {team: shop}}]"
    text = PIPELINE.replace("images: [web]", "images: [web]\ngroups: {leads: [ben]}")
    (folder / "liftlock.yaml").write_text(text.replace("{name: dev,", f"{{name: dev, {rules},"))
    release = released("1", labels={"team": "tools"})
    promoted(release, "dev")
    ben = Actor(person="ben")

    decide.approve(project, "1", "dev", ben, approved=True, comment="as agreed")
    decide.override(project, "1", "dev", ben, "incident 7")

    document = json.loads(json.dumps(trace(project, session, "1").to_json(project)))
    (promotion,) = document["artifacts"][0]["releases"][0]["promotions"]
    assert promotion["requestedBy"] == ["local:anna"]
    assert [(gate["kind"], gate["outcome"]) for gate in promotion["gates"]] == [("labels", "fail")]
    assert [(each["by"], each["approved"], each["comment"]) for each in promotion["approvals"]] == [
        ("local:ben", True, "as agreed")
    ]
    assert (promotion["override"]["by"], promotion["override"]["reason"]) == ("local:ben", "incident 7")


def test_a_platforms_manifest_leads_to_the_index_it_is_part_of(
    project: Project, session: Session, released: MakeRelease, made: Mapping[str, Image]
) -> None:
    released("1", platforms=("linux/amd64", "linux/arm64"))
    released("2")

    for one in made["1"].platforms:
        found = trace(project, session, one.manifest.digest)
        assert [each.published.artifact.build for each in found.journeys] == ["1"]


def test_one_image_of_two_builds_has_two_journeys(project: Project, session: Session, released: MakeRelease) -> None:
    released("1", seed="same")
    digest = released("2", seed="same").artifact.digests["web"]

    assert len(trace(project, session, digest).journeys) == 2


def test_a_registrys_image_is_asked_for_its_digest(
    *,
    project: Project,
    session: Session,
    released: MakeRelease,
    made: Mapping[str, Image],
    registry: Registry,
    repo: str,
) -> None:
    released("1")
    remote.push(made["1"].layout, "v", registry, repo)

    found = trace(project, session, f"{registry.host}/{repo}:v")

    assert found.digest == made["1"].digest


@pytest.mark.parametrize("text", ["9", f"sha256:{'0' * 64}", "sha256:0000", "oci:nowhere:v"])
def test_what_is_not_on_record_is_not_found(
    project: Project, session: Session, released: MakeRelease, text: str
) -> None:
    released("1")

    with pytest.raises(NotFound):
        trace(project, session, text)
