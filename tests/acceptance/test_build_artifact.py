"""A build's docker-save tars, published as an artifact and promoted through dev, test and prod on real registries."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.workshop import Workshop, two_images
from tests.support import archives, peers, remote
from tests.support.archives import Saved
from tests.support.images import Image
from tests.support.registry import Registry

pytestmark = pytest.mark.acceptance

PIPELINE = """\
    pipeline: demo-app
    images: [web, worker]
    stages:
      - name: dev
        to: {here}/dev-{{image}}
        tags: ["{{build}}", latest]
      - name: test
        after: [dev]
        to: {here}/test-{{image}}
        tags: ["{{build}}"]
      - name: prod
        after: [test]
        to: {there}/prod-{{image}}
        tags: ["{{build}}", stable]
"""

Save = Callable[[Path, Saved], Path]


def _skopeo(file: Path, saved: Saved) -> Path:
    """skopeo writes one image per tar, so each has its own."""
    for reference, image in saved.items():
        archives.skopeo_docker_archive(file.with_name(f"{reference.partition(':')[0]}.tar"), image, reference)
    return file


@pytest.fixture
def workshop(tmp_path: Path, registry: Registry, other_registry: Registry, repo: str) -> Workshop:
    prefix = repo.partition("/")[0]
    text = PIPELINE.format(here=f"{registry.host}/{prefix}", there=f"{other_registry.host}/{prefix}")
    return Workshop(tmp_path / "project", text)


def _saved(tmp_path: Path, seed: object = 0) -> dict[str, Image]:
    return {f"{name}:1.0": image for name, image in two_images(tmp_path / f"build-{seed}", seed).items()}


def _sources(folder: Path) -> list[str]:
    single = (folder / "web.tar").exists()
    return [f"{name}=docker-archive:{name if single else 'app'}.tar:{name}:1.0" for name in ("web", "worker")]


@pytest.mark.parametrize(
    "save",
    [
        pytest.param(_skopeo, id="skopeo"),
        pytest.param(archives.podman_docker_archive, id="podman", marks=pytest.mark.slow),
        pytest.param(archives.synthetic_docker24, id="synthetic docker 24", marks=pytest.mark.slow),
        pytest.param(archives.synthetic_docker25, id="synthetic docker 25", marks=pytest.mark.slow),
        pytest.param(archives.synthetic_containerd, id="synthetic containerd store", marks=pytest.mark.slow),
    ],
)
def test_one_digest_from_the_tar_to_production(
    *, workshop: Workshop, tmp_path: Path, registry: Registry, other_registry: Registry, repo: str, save: Save
) -> None:
    prefix = repo.partition("/")[0]
    save(workshop.folder / "app.tar", _saved(tmp_path))

    published = workshop.json("artifact", "publish", *_sources(workshop.folder), "--build", "42", "--commit", "3f2c1e9")
    workshop.run("release", "create", "42")
    promoted = {stage: workshop.json("promote", "42", "--to", stage) for stage in ("dev", "test", "prod")}

    digests = {name: image["digest"] for name, image in published["images"].items()}
    for stage, place, tags in [
        ("dev", registry, ("42", "latest")),
        ("test", registry, ("42",)),
        ("prod", other_registry, ("42", "stable")),
    ]:
        assert promoted[stage]["state"] == "succeeded"
        assert {each["image"]: each["digest"] for each in promoted[stage]["images"]} == digests
        for name, digest in digests.items():
            repository = f"{prefix}/{stage}-{name}"
            assert sorted(remote.list_tags(place, repository)) == sorted(tags)
            assert {remote.digest_of(place, repository, tag) for tag in tags} == {digest}
            assert remote.walk(place, repository, tags[0])
    # Within one registry nothing is copied; into the next one each blob once, the shared layer too.
    assert promoted["test"]["blobs"]["copied"] == promoted["test"]["copiedBytes"] == 0
    assert promoted["test"]["blobs"]["mounted"] == 6
    assert promoted["prod"]["blobs"]["copied"] == 5
    assert workshop.states() == {"42": {"dev": "here", "test": "here", "prod": "here"}}


def test_skopeo_reads_what_was_promoted(
    workshop: Workshop, tmp_path: Path, other_registry: Registry, repo: str
) -> None:
    saved = _saved(tmp_path)
    archives.synthetic_docker24(workshop.folder / "app.tar", saved)
    workshop.run("artifact", "publish", *_sources(workshop.folder), "--build", "42")
    workshop.run("release", "create", "42")
    for stage in ("dev", "test", "prod"):
        workshop.run("promote", "42", "--to", stage)
    image = f"docker://{other_registry.host}/{repo.partition('/')[0]}/prod-web:stable"

    seen = json.loads(peers.run("skopeo", "inspect", "--tls-verify=false", image))
    peers.run("skopeo", "copy", "--quiet", "--src-tls-verify=false", image, f"docker-archive:{tmp_path / 'out.tar'}")

    (build,) = (each for reference, each in saved.items() if reference == "web:1.0")
    assert sorted(seen["RepoTags"]) == ["42", "stable"]
    back = json.loads(archives.read_member(tmp_path / "out.tar", "manifest.json"))
    config = archives.read_member(tmp_path / "out.tar", back[0]["Config"])
    assert json.loads(config)["rootfs"]["diff_ids"] == list(build.platforms[0].diff_ids), "the very layers of the build"


def test_the_same_tar_again_is_the_same_artifact(workshop: Workshop, tmp_path: Path) -> None:
    archives.synthetic_docker24(workshop.folder / "app.tar", _saved(tmp_path))
    publish = ("artifact", "publish", *_sources(workshop.folder))

    first = workshop.json(*publish, "--build", "42", "--commit", "3f2c1e9")
    again = workshop.json(*publish, "--build", "42", "--commit", "another")
    other_build = workshop.json(*publish, "--build", "43")

    assert again == first, "a build stays with what it published first"
    assert other_build["id"] != first["id"]
    assert {n: i["digest"] for n, i in other_build["images"].items()} == {
        n: i["digest"] for n, i in first["images"].items()
    }
    assert [each["build"] for each in workshop.json("artifact", "list")["artifacts"]] == ["43", "42"]


def test_a_machine_that_has_only_the_store_makes_the_same_digests(workshop: Workshop, tmp_path: Path) -> None:
    """No build id, no state, the same tar: the same artifact."""
    archives.synthetic_docker24(workshop.folder / "app.tar", _saved(tmp_path))
    other = Workshop(tmp_path / "elsewhere", (workshop.folder / "liftlock.yaml").read_text())
    (other.folder / "app.tar").write_bytes((workshop.folder / "app.tar").read_bytes())

    ids = {each.json("artifact", "publish", *_sources(each.folder))["id"] for each in (workshop, other)}

    assert len(ids) == 1


def test_a_build_id_stands_for_one_content(workshop: Workshop, tmp_path: Path) -> None:
    archives.synthetic_docker24(workshop.folder / "app.tar", _saved(tmp_path, "first"))
    workshop.run("artifact", "publish", *_sources(workshop.folder), "--build", "42")
    before = workshop.json("artifact", "show", "42")
    tags = workshop.run("ls", "oci:.liftlock/artifacts").out
    archives.synthetic_docker24(workshop.folder / "app.tar", _saved(tmp_path, "second"))

    said = workshop.fails(6, "artifact", "publish", *_sources(workshop.folder), "--build", "42")

    assert "build 42 has published other content before: web, worker differ" in said
    assert workshop.json("artifact", "show", "42") == before
    assert len(workshop.json("artifact", "list")["artifacts"]) == 1
    assert workshop.run("ls", "oci:.liftlock/artifacts").out == tags


def test_images_that_the_pipeline_does_not_name_are_refused(workshop: Workshop, tmp_path: Path) -> None:
    archives.synthetic_docker24(workshop.folder / "app.tar", _saved(tmp_path))

    said = workshop.fails(3, "artifact", "publish", _sources(workshop.folder)[0], "--build", "42")

    assert "lacks worker" in said
    assert not (workshop.folder / ".liftlock" / "artifacts").exists()


def test_the_project_may_move_with_its_state(workshop: Workshop, tmp_path: Path, registry: Registry, repo: str) -> None:
    """As CI caches do, which restore `.liftlock` where the next job's checkout happens to be."""
    archives.synthetic_docker24(workshop.folder / "app.tar", _saved(tmp_path))
    published = workshop.json("artifact", "publish", *_sources(workshop.folder), "--build", "42")
    workshop.run("release", "create", "42")
    moved = Workshop(workshop.folder.rename(tmp_path / "moved"))

    moved.run("promote", "42", "--to", "dev")

    found = remote.digest_of(registry, f"{repo.partition('/')[0]}/dev-web", "42")
    assert found == published["images"]["web"]["digest"]
