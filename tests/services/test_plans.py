"""Plans: exact, saved, and applied as they were saved or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from liftlock.errors import ConfigError, Conflict, NotFound
from liftlock.release.release import Release
from liftlock.services import plans
from liftlock.services.project import Project
from liftlock.services.session import Session
from tests.services.conftest import MakeRelease, PromoteTo
from tests.support import images, remote
from tests.support.images import Image
from tests.support.registry import Registry

Check = Callable[[], None]


@pytest.fixture
def release(folder: Path, released: MakeRelease, registry: Registry, repo: str) -> Release:
    (folder / "liftlock.yaml").write_text(
        "pipeline: demo\nimages: [web]\nstages:\n"
        f"  - {{name: dev, to: '{registry.host}/{repo}', tags: ['{{build}}', latest]}}\n"
        f"  - {{name: prod, after: [dev], to: '{registry.host}/{repo}-prod', tags: [stable]}}\n"
    )
    return released("1")


@pytest.fixture
def saved(project: Project, session: Session, release: Release, tmp_path: Path) -> plans.SavedPlan:
    path = str(tmp_path / "plan.json")
    plans.save(plans.make(project, session, release, "dev"), path)
    return plans.load(path)


@pytest.fixture
def check(folder: Path, session: Session, release: Release, saved: plans.SavedPlan) -> Check:
    """Compares the saved plan with how things are now."""

    def compare() -> None:
        with Project(str(folder / "liftlock.yaml")) as now, Session(session.env) as fresh:
            plans.require_unchanged(plans.make(now, fresh, release, saved.stage), saved)

    return compare


def test_a_plan_says_exactly_what_would_move(
    project: Project, session: Session, release: Release, promoted: PromoteTo, made: Mapping[str, Image]
) -> None:
    before = plans.make(project, session, release, "dev").to_json()
    promoted(release, "dev")
    with Session(session.env) as fresh:
        after = plans.make(project, fresh, release, "dev").to_json()
    with Session(session.env) as fresh:
        mounted = plans.make(project, fresh, release, "prod").to_json()

    digest = made["1"].digest
    assert [(move["tag"], move["old"], move["new"]) for move in before["tags"]] == [
        ("1", None, digest),
        ("latest", None, digest),
    ]
    assert before["blobs"]["copy"]["count"] == 2
    assert before["outcome"] == "pass"
    assert [(move["old"], move["new"]) for move in after["tags"]] == [(digest, digest)] * 2
    assert (after["empty"], after["requests"]) == (True, 0)
    assert mounted["blobs"]["copy"]["count"] == 0
    assert mounted["blobs"]["mount"]["count"] == 2


def test_what_did_not_move_is_not_stale(saved: plans.SavedPlan, release: Release, check: Check) -> None:
    assert saved.release == release.id

    check()


def test_applied_once_it_is_stale(release: Release, promoted: PromoteTo, check: Check) -> None:
    promoted(release, "dev")

    with pytest.raises(Conflict, match=r"is stale: .*:1 holds sha256:.*and held nothing"):
        check()


def test_a_tag_that_somebody_moved_makes_it_stale(tmp_path: Path, registry: Registry, repo: str, check: Check) -> None:
    other = images.make_image(tmp_path / "other", "v", seed="other")
    remote.push(other.layout, "v", registry, repo, to="latest")

    with pytest.raises(Conflict, match=f":latest holds {other.digest}, and held nothing when it was made"):
        check()


def test_a_changed_pipeline_file_makes_it_stale(folder: Path, check: Check) -> None:
    path = folder / "liftlock.yaml"
    path.write_text(path.read_text() + '  - {name: eu, to: "oci:eu", tags: [stable]}\n')

    with pytest.raises(Conflict, match="the pipeline file has changed"):
        check()


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"apiVersion": "liftlock/v1", "kind": "Promotion"}', "null", "[" * 9999]
)
def test_what_is_no_plan_is_not_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)

    with pytest.raises(ConfigError, match="it is no plan of this version"):
        plans.load(str(tmp_path / "plan.json"))


def test_another_document_is_no_plan(tmp_path: Path, saved: plans.SavedPlan) -> None:
    value = json.loads(Path(saved.path).read_text())
    Path(saved.path).write_text(json.dumps({**value, "apiVersion": "liftlock/v9"}))

    with pytest.raises(ConfigError, match="it is no plan of this version"):
        plans.load(saved.path)
    with pytest.raises(NotFound, match="there is no plan"):
        plans.load(str(tmp_path / "nowhere.json"))


def test_the_plan_of_an_unknown_stage_is_not_found(project: Project, session: Session, released: MakeRelease) -> None:
    with pytest.raises(NotFound, match="no stage 'prd'"):
        plans.make(project, session, released("1"), "prd")
