"""Promoting, in one process and between layouts: rules, records, and where images are taken from."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from liftlock.errors import Cancelled, LiftlockError, NotFound, RefusedError
from liftlock.release.promotion import Decision, Execution, Promotion
from liftlock.services.project import OpenImages, Project
from liftlock.services.promote import ask, promote
from liftlock.transfer.events import Cancel, Event
from tests.conftest import MakeFront
from tests.services.conftest import ANNA, MakeRelease, PromoteTo
from tests.support import faults, images, remote
from tests.support.front import Action
from tests.support.images import Image
from tests.support.registry import Registry

PROMOTED = [Execution.SUCCEEDED]


def history_of(project: Project) -> Sequence[Promotion]:
    with project.home.store.read() as tx:
        return tx.promotions.history("demo")


def test_it_goes_from_stage_to_stage(
    folder: Path, released: MakeRelease, promoted: PromoteTo, made: Mapping[str, Image]
) -> None:
    release = released("1")

    for stage in ("dev", "test", "prod"):
        promoted(release, stage)

    tags = {stage: images.tags(folder / stage) for stage in ("dev", "test", "prod")}
    assert {stage: sorted(found) for stage, found in tags.items()} == {
        "dev": ["1", "latest"],
        "test": ["1"],
        "prod": ["stable"],
    }
    assert {blob.digest for found in tags.values() for blob in found.values()} == {made["1"].digest}


def test_layouts_are_relative_to_the_pipeline_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, released: MakeRelease, promoted: PromoteTo
) -> None:
    release = released("1")
    monkeypatch.chdir(tmp_path)

    result = promoted(release, "dev")

    assert (folder / "dev" / "index.json").exists()
    assert not (tmp_path / "dev").exists()
    assert result.to_json()["images"][0]["destination"] == f"oci:{folder / 'dev'}"


def test_a_refusal_is_recorded(project: Project, released: MakeRelease, promoted: PromoteTo) -> None:
    release = released("1")

    with pytest.raises(RefusedError, match="it has not succeeded in test") as refused:
        promoted(release, "prod")

    assert refused.value.hint == "first: liftlock promote 1 --to dev"
    (promotion,) = history_of(project)
    assert (promotion.stage, promotion.decision, promotion.attempts) == ("prod", Decision.REFUSED, ())
    assert "has not succeeded in test" in promotion.reason


def test_an_unknown_stage_is_not_found_and_not_recorded(
    project: Project, released: MakeRelease, promoted: PromoteTo
) -> None:
    with pytest.raises(NotFound, match="no stage 'prd'") as error:
        promoted(released("1"), "prd")

    assert error.value.hint == "did you mean 'prod'?"
    assert history_of(project) == []


def test_doing_it_again_is_a_new_promotion_that_moves_nothing(
    project: Project, released: MakeRelease, promoted: PromoteTo
) -> None:
    release = released("1")

    again = [promoted(release, "dev") for _ in range(2)][1]

    assert again.result["tags"] == []
    assert [[attempt.execution for attempt in each.attempts] for each in history_of(project)] == [PROMOTED, PROMOTED]


def test_a_failed_attempt_leaves_its_reason_and_takes_the_success_back(
    project: Project, folder: Path, released: MakeRelease, promoted: PromoteTo
) -> None:
    release = released("1")
    promoted(release, "dev")
    (folder / "dev" / "index.json").write_text("{")

    with pytest.raises(LiftlockError) as error:
        promoted(release, "dev")

    last = history_of(project)[-1].last
    assert last is not None
    assert (last.execution, last.reason) == (Execution.ERRORED, str(error.value))
    with pytest.raises(RefusedError):
        promoted(release, "test")


def test_what_failed_is_tried_again_as_a_new_attempt_of_the_same_promotion(
    project: Project, folder: Path, released: MakeRelease, promoted: PromoteTo
) -> None:
    release = released("1")
    (folder / "dev").mkdir()
    (folder / "dev" / "index.json").write_text("{")
    with pytest.raises(LiftlockError):
        promoted(release, "dev")
    (folder / "dev" / "index.json").unlink()

    promoted(release, "dev")

    (promotion,) = history_of(project)
    assert [attempt.execution for attempt in promotion.attempts] == [Execution.ERRORED, Execution.SUCCEEDED]


def test_cancelling_ends_the_attempt(project: Project, open_images: OpenImages, released: MakeRelease) -> None:
    release = released("1")
    cancel = Cancel()

    def stop(event: Event) -> None:
        if event.subject == "queued":
            cancel.request()

    with pytest.raises(Cancelled):
        promote(project, open_images, release, "dev", ANNA, on_event=stop, cancel=cancel)

    (promotion,) = history_of(project)
    assert promotion.state == "canceled"
    assert promotion.last is not None
    assert "local:anna" in promotion.last.reason


def test_asking_twice_asks_once(project: Project, released: MakeRelease, promoted: PromoteTo) -> None:
    release = released("1")

    asked = [ask(project, release, "dev", ANNA).promotion for _ in range(2)]
    promoted(release, "dev")

    assert asked[0] == asked[1]
    (promotion,) = history_of(project)
    assert [attempt.execution for attempt in promotion.attempts] == PROMOTED


def test_what_changed_while_it_waited_counts(
    project: Project, folder: Path, released: MakeRelease, promoted: PromoteTo
) -> None:
    """Asked for in test; then dev is done again and fails: the conditions are asked once more before the tags."""
    release = released("1")
    promoted(release, "dev")
    (folder / "test").mkdir()
    (folder / "test" / "index.json").write_text("{")
    with pytest.raises(LiftlockError):
        promoted(release, "test")
    (folder / "dev" / "index.json").write_text("{")
    with pytest.raises(LiftlockError):
        promoted(release, "dev")
    (folder / "test" / "index.json").unlink()

    with pytest.raises(RefusedError):
        promoted(release, "test")

    assert not (folder / "test" / "index.json").exists()


# -- from where


def test_the_latest_stage_is_taken_before_the_store(
    project: Project, folder: Path, released: MakeRelease, promoted: PromoteTo
) -> None:
    release = released("1")
    promoted(release, "dev")
    shutil.rmtree(folder / ".liftlock" / "artifacts")

    promoted(release, "test")

    assert set(images.tags(folder / "test")) == {"1"}


def test_the_store_does_where_the_earlier_stage_lost_it(
    folder: Path, released: MakeRelease, promoted: PromoteTo
) -> None:
    release = released("1")
    promoted(release, "dev")
    shutil.rmtree(folder / "dev")

    promoted(release, "test")

    assert set(images.tags(folder / "test")) == {"1"}


def test_nowhere_to_be_found_is_said(folder: Path, released: MakeRelease, promoted: PromoteTo) -> None:
    release = released("1")
    shutil.rmtree(folder / ".liftlock" / "artifacts")

    with pytest.raises(NotFound, match=r"source: .*sha256:"):
        promoted(release, "dev")


@pytest.mark.fault
@pytest.mark.parametrize(
    "harm", [faults.error(403, "DENIED"), faults.error(404, "NAME_UNKNOWN")], ids=["closed", "gone"]
)
def test_an_earlier_registry_that_is_closed_is_passed_over(
    *,
    folder: Path,
    released: MakeRelease,
    promoted: PromoteTo,
    made: Mapping[str, Image],
    registry: Registry,
    other_registry: Registry,
    repo: str,
    make_front: MakeFront,
    harm: Action,
) -> None:
    """Who works on production need not be let into dev."""
    front = make_front(registry)
    (folder / "liftlock.yaml").write_text(
        "pipeline: demo\nimages: [web]\nstages:\n"
        f"  - {{name: dev, to: '{front.host}/{repo}', tags: [latest]}}\n"
        f"  - {{name: prod, after: [dev], to: '{other_registry.host}/{repo}', tags: [stable]}}\n"
    )
    release = released("1")
    promoted(release, "dev")
    front.rule(None, f"/{repo}/", harm, times=None)

    promoted(release, "prod")

    assert remote.digest_of(other_registry, repo, "stable") == made["1"].digest


def test_a_stage_in_the_same_registry_comes_first_since_blobs_mount_from_it(
    *,
    folder: Path,
    released: MakeRelease,
    promoted: PromoteTo,
    registry: Registry,
    other_registry: Registry,
    repo: str,
) -> None:
    (folder / "liftlock.yaml").write_text(
        "pipeline: demo\nimages: [web]\nstages:\n"
        f"  - {{name: dev, to: '{registry.host}/{repo}-dev', tags: [latest]}}\n"
        f"  - {{name: other, to: '{other_registry.host}/{repo}', tags: [latest]}}\n"
        f"  - {{name: prod, after: [dev, other], to: '{registry.host}/{repo}-prod', tags: [stable]}}\n"
    )
    release = released("1")
    promoted(release, "dev")
    promoted(release, "other")

    blobs = promoted(release, "prod").result["blobs"]

    assert (blobs["copied"], blobs["mounted"]) == (0, 2)
