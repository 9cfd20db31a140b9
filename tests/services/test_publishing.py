"""Publishing and releasing, in one process."""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
from pathlib import Path

import pytest

from liftlock.errors import Conflict, NotFound, RefusedError, UsageError
from liftlock.services.pinning import pin_release
from liftlock.services.project import Project
from liftlock.services.publish import Build, all_artifacts, export, find_artifact, publish
from liftlock.services.releases import candidates, choose_release, create_release
from liftlock.services.session import Session
from tests.services.conftest import ANNA, MakeRelease, PromoteTo
from tests.support import images, remote
from tests.support.images import Image
from tests.support.registry import Registry

PINNED = "pipeline: demo\nimages: [web]\n{more}stages:\n  - {{name: dev, to: 'oci:dev', tags: [latest]}}\n"


@pytest.fixture
def pushed(tmp_path: Path, registry: Registry, repo: str) -> Image:
    """An image of two platforms in `registry`, `repo`:v, with an SBOM attached."""
    image = images.make_image(tmp_path / "build", "v", platforms=("linux/amd64", "linux/arm64"), seed=repo)
    images.attach_referrer(image.layout, image.root, "application/spdx+json", b"sbom")
    remote.push(image.layout, "v", registry, repo)
    return image


def test_a_registrys_image_is_pinned_where_it_is(
    *, project: Project, session: Session, folder: Path, pushed: Image, registry: Registry, repo: str
) -> None:
    published = publish(project, session, {"web": f"{registry.host}/{repo}:v"}, Build(id="1"), ANNA).published

    assert published.artifact.digests == {"web": pushed.digest}
    assert published.artifact.images["web"].size == pushed.root.size
    assert (published.origins["web"].stored, published.origins["web"].source) == (
        "",
        f"{registry.host}/{repo}@{pushed.digest}",
    )
    assert not (folder / ".liftlock" / "artifacts").exists()


def test_with_a_store_it_is_stored_too_with_what_belongs_to_it(
    *, session: Session, folder: Path, pushed: Image, registry: Registry, repo: str
) -> None:
    (folder / "liftlock.yaml").write_text(PINNED.format(more="store: ./kept\n"))
    with Project(str(folder / "liftlock.yaml")) as project:
        published = publish(project, session, {"web": f"{registry.host}/{repo}:v"}, Build(id="1"), ANNA).published
        remote.delete_manifest(registry, repo, pushed.digest)

        export(project, session, "1", f"oci:{folder / 'out'}")

    assert published.origins["web"].stored == "oci:kept"
    assert published.origins["web"].source == f"{registry.host}/{repo}@{pushed.digest}"
    tags = images.tags(folder / "kept")
    assert {tag: blob.digest for tag, blob in tags.items() if tag.startswith("web-")} == {
        f"web-{published.artifact.id.short}": pushed.digest
    }
    assert images.tags(folder / "out")["web"].digest == pushed.digest
    sbom = images.read_blob(folder / "kept", "sha256:" + hashlib.sha256(b"sbom").hexdigest())
    assert sbom == b"sbom"


def test_an_image_that_is_not_there_publishes_nothing(
    project: Project, session: Session, registry: Registry, repo: str
) -> None:
    with pytest.raises(NotFound, match="source: "):
        publish(project, session, {"web": f"{registry.host}/{repo}:nope"}, Build(id="1"), ANNA)

    assert all_artifacts(project) == []


def test_of_two_that_publish_a_build_at_once_one_wins(folder: Path, home: Path, tmp_path: Path) -> None:
    contents = [images.make_image(tmp_path / f"{n}", "v", layers=1, seed=n) for n in range(4)]
    start = threading.Barrier(len(contents))
    won: list[str] = []
    lost: list[Conflict] = []

    def work(image: Image) -> None:
        with Project(str(folder / "liftlock.yaml")) as project, Session({"HOME": str(home)}) as session:
            start.wait(20)
            try:
                found = publish(project, session, {"web": f"oci:{image.layout}:v"}, Build(id="1"), ANNA).published
                won.append(found.artifact.digests["web"])
            except Conflict as conflict:
                lost.append(conflict)

    threads = [threading.Thread(target=work, args=(image,)) for image in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with Project(str(folder / "liftlock.yaml")) as project:
        assert [each.artifact.digests["web"] for each in all_artifacts(project)] == won
    assert (len(won), len(lost)) == (1, 3)


def test_builds_of_two_pipelines_do_not_meet(project: Project, session: Session, folder: Path, tmp_path: Path) -> None:
    for name in ("demo", "other"):
        images.make_image(tmp_path / name, "v", layers=1, seed=name)
    (folder / "other.yaml").write_text(PINNED.format(more="").replace("demo", "other"))
    publish(project, session, {"web": f"oci:{tmp_path / 'demo'}:v"}, Build(id="1"), ANNA)

    with Project(str(folder / "other.yaml")) as other:
        publish(other, session, {"web": f"oci:{tmp_path / 'other'}:v"}, Build(id="1"), ANNA)
        assert find_artifact(other, "1").artifact.digests != find_artifact(project, "1").artifact.digests
        assert len(all_artifacts(other)) == 2


# -- releases


def test_a_release_is_made_once(project: Project, released: MakeRelease) -> None:
    release = released("1")

    again = create_release(project, "1", {}, ANNA)

    assert again.release.id == release.id
    assert choose_release(project, release.id.hex[:6], "dev").id == release.id


def test_the_date_of_a_release_is_that_of_its_first_creation(folder: Path, session: Session, tmp_path: Path) -> None:
    (folder / "liftlock.yaml").write_text(PINNED.format(more="").replace("[latest]", "['{date}']"))
    images.make_image(tmp_path / "build", "v", layers=1)
    made = []
    for day in (1, 2):
        with Project(str(folder / "liftlock.yaml"), clock=lambda: dt.datetime(2026, 5, day, tzinfo=dt.UTC)) as project:  # noqa: B023
            publish(project, session, {"web": f"oci:{tmp_path / 'build'}:v"}, Build(id="1"), ANNA)
            made.append(create_release(project, "1", {}, ANNA).release)

    assert made[0] == made[1]
    assert made[1].destinations("dev")[0].tags == ("2026-05-01",)


def test_one_build_with_two_pipelines_has_to_be_named_by_its_id(
    project: Project, folder: Path, released: MakeRelease
) -> None:
    first = released("1")
    (folder / "liftlock.yaml").write_text((folder / "liftlock.yaml").read_text().replace("oci:prod", "oci:live"))
    with Project(str(folder / "liftlock.yaml")) as changed:
        second = create_release(changed, "1", {}, ANNA).release

        with pytest.raises(UsageError, match="names 2 releases") as error:
            choose_release(changed, "1", "dev")

        assert {each.id.short in error.value.message for each in (first, second)} == {True}
        assert choose_release(changed, second.id.short, "dev") == second


def test_the_candidates_are_those_that_may_go_there_now(
    project: Project, released: MakeRelease, promoted: PromoteTo
) -> None:
    one, two = released("1"), released("2")
    promoted(one, "dev")
    promoted(two, "dev")
    promoted(one, "test")

    assert {stage: candidates(project, stage) for stage in ("dev", "test", "prod")} == {
        "dev": [],
        "test": ["2"],
        "prod": ["1"],
    }


def test_without_a_source_a_release_has_to_be_named(project: Project, session: Session, released: MakeRelease) -> None:
    released("1")

    with pytest.raises(UsageError, match="has no source") as error:
        pin_release(project, session, "dev", build=Build(), variables={}, pins={}, by=ANNA)

    assert error.value.hint == "one of: 1"


def test_pins_for_every_image_need_no_source(
    project: Project, session: Session, pushed: Image, registry: Registry, repo: str
) -> None:
    pins = {"web": f"{registry.host}/{repo}@{pushed.digest}"}

    release = pin_release(project, session, "dev", build=Build(), variables={}, pins=pins, by=ANNA).release

    assert release.artifact.digests == {"web": pushed.digest}
    with pytest.raises(UsageError, match="nothing in pipeline 'demo' uses this variable"):
        pin_release(project, session, "dev", build=Build(), variables={"tag": "v"}, pins=pins, by=ANNA)


def test_missing_history_is_a_refusal(project: Project, session: Session) -> None:
    with pytest.raises(RefusedError, match="on record") as named:
        choose_release(project, "1", "prod")
    with pytest.raises(RefusedError, match="on record") as pinned:
        pin_release(project, session, "prod", build=Build(), variables={}, pins={}, by=ANNA)

    assert named.value.hint == pinned.value.hint
    assert named.value.hint.startswith("promote to dev first")


@pytest.mark.parametrize(
    ("target", "written"),
    [
        ("oci:{folder}/dev/web", "oci:dev/web"),
        ("oci:{folder}", "oci:."),
        ("oci:/srv/images", "oci:/srv/images"),
        ("oci:{folder}-two", "oci:{folder}-two"),
        ("registry.example/dev/web", "registry.example/dev/web"),
        ("", ""),
    ],
)
def test_places_are_written_as_in_the_file(project: Project, target: str, written: str) -> None:
    target, written = (text.format(folder=project.folder) for text in (target, written))

    assert project.written(target) == written
    assert project.target(written) == target
