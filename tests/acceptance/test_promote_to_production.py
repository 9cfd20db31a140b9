"""One command for a CI job: what staging holds under a tag goes to production, and nothing is kept between jobs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.workshop import Workshop, two_images
from tests.support import images, peers, remote
from tests.support.images import Image
from tests.support.registry import Registry

pytestmark = pytest.mark.acceptance

PIPELINE = """\
    pipeline: demo-app
    images: [web, worker]
    source: {staging}/staging-{{image}}:{{tag}}
    stages:
      - name: production
        to: {production}/prod-{{image}}
        tags: ["{{tag}}"]
      - name: mirror
        after: [production]
        to: {production}/mirror-{{image}}
        tags: ["{{tag}}"]
"""

PROMOTE = ("promote", "--to", "production", "--var", "tag=latest")

NewJob = Callable[[], Workshop]


@pytest.fixture
def prefix(repo: str) -> str:
    return repo.partition("/")[0]


@pytest.fixture
def staged(tmp_path: Path, registry: Registry, prefix: str) -> dict[str, Image]:
    """In staging: two images of two platforms, with SBOMs as referrers, and signatures under cosign's legacy tags."""
    made = two_images(tmp_path / "build", prefix, platforms=("linux/amd64", "linux/arm64"))
    for name, image in made.items():
        images.attach_referrer(image.layout, image.root, "application/spdx+json", f"sbom of {name}".encode())
        images.cosign_tag(image.layout, image.digest)
        for one in image.platforms:
            images.cosign_tag(image.layout, one.manifest.digest, ".att")
        remote.push(image.layout, image.tag, registry, f"{prefix}/staging-{name}", to="latest")
    return made


@pytest.fixture(params=["one registry", "two registries"])
def production(request: pytest.FixtureRequest, registry: Registry, other_registry: Registry) -> Registry:
    """Where production is."""
    return registry if request.param == "one registry" else other_registry


@pytest.fixture
def new_job(tmp_path: Path, registry: Registry, production: Registry, prefix: str) -> NewJob:
    """CI jobs: each begins in an empty folder with an empty home, and the pipeline file."""
    numbers = itertools.count(1)
    text = PIPELINE.format(staging=f"{registry.host}/{prefix}", production=f"{production.host}/{prefix}")

    def job() -> Workshop:
        folder = tmp_path / f"job-{next(numbers)}"
        (folder / "home").mkdir(parents=True)
        return Workshop(folder / "checkout", text, home=folder / "home")

    return job


def _everything(place: Registry, repository: str, image: Image) -> dict[str, int]:
    """All that is below `latest`; but not the list of referrers, which each registry or client writes itself."""
    found = remote.walk(place, repository, "latest")
    listing = remote.digest_of(place, repository, images.fallback_tag(image.digest))
    assert listing is not None
    del found[listing]
    return found


def _puts(place: Registry, prefix: str) -> int:
    return sum(
        seen.method in ("PUT", "POST", "PATCH") and seen.path.startswith(f"/v2/{prefix}/") for seen in place.requests()
    )


def test_staging_goes_to_production_with_all_that_belongs_to_it(
    new_job: NewJob, staged: dict[str, Image], registry: Registry, production: Registry, prefix: str
) -> None:
    promoted = new_job().json(*PROMOTE)

    for name, image in staged.items():
        assert remote.digest_of(production, f"{prefix}/prod-{name}", "latest") == image.digest
        assert _everything(production, f"{prefix}/prod-{name}", image) == _everything(
            registry, f"{prefix}/staging-{name}", image
        ), "platforms, signatures, attestations and SBOMs"
    assert promoted["state"] == "succeeded"
    if production is registry:
        assert promoted["blobs"]["copied"] == promoted["copiedBytes"] == 0
    else:
        assert promoted["copiedBytes"] > 0


def test_the_next_job_moves_nothing(
    new_job: NewJob, staged: dict[str, Image], production: Registry, prefix: str
) -> None:
    assert staged
    new_job().run(*PROMOTE)
    before = _puts(production, prefix)

    again = new_job().json(*PROMOTE)

    assert _puts(production, prefix) == before
    assert (again["tags"], again["copiedBytes"], again["state"]) == ([], 0, "succeeded")


@pytest.mark.slow
def test_the_same_home_takes_it_again_with_and_without_a_build_id(new_job: NewJob, staged: dict[str, Image]) -> None:
    assert staged
    job = new_job()
    codebuild = {"CODEBUILD_BUILD_ID": "promote:6f0c1b", "CODEBUILD_BUILD_NUMBER": "7"}

    nameless = [job.json(*PROMOTE)["release"] for _ in range(2)]
    named = [job.json(*PROMOTE, env=codebuild) for _ in range(2)]

    assert len(set(nameless)) == 1
    assert {each["name"] for each in named} == {"7"}
    assert len({each["release"] for each in named}) == 1
    assert len(job.json("release", "list")["releases"]) == 2


def test_a_moved_tag_is_another_artifact_and_a_known_build_does_not_take_it(
    *, new_job: NewJob, staged: dict[str, Image], tmp_path: Path, registry: Registry, production: Registry, prefix: str
) -> None:
    job = new_job()
    github = {"GITHUB_RUN_ID": "99"}
    job.run(*PROMOTE, env=github)
    newer = two_images(tmp_path / "newer", f"{prefix} newer")
    for name, image in newer.items():
        remote.push(image.layout, image.tag, registry, f"{prefix}/staging-{name}", to="latest")

    said = job.fails(6, *PROMOTE, env=github)

    assert "build 99-1 has published other content before" in said
    assert remote.digest_of(production, f"{prefix}/prod-web", "latest") == staged["web"].digest

    job.run(*PROMOTE, env={"GITHUB_RUN_ID": "100"})

    assert remote.digest_of(production, f"{prefix}/prod-web", "latest") == newer["web"].digest


def test_an_image_may_be_pinned_to_its_digest(
    *, new_job: NewJob, staged: dict[str, Image], tmp_path: Path, registry: Registry, production: Registry, prefix: str
) -> None:
    newer = two_images(tmp_path / "newer", f"{prefix} newer")
    for name, image in newer.items():
        remote.push(image.layout, image.tag, registry, f"{prefix}/staging-{name}", to="latest")
    pinned = f"web={registry.host}/{prefix}/staging-web@{staged['web'].digest}"

    new_job().run(*PROMOTE, "--image", pinned)

    assert remote.digest_of(production, f"{prefix}/prod-web", "latest") == staged["web"].digest
    assert remote.digest_of(production, f"{prefix}/prod-worker", "latest") == newer["worker"].digest


@pytest.mark.parametrize("production", ["two registries"], indirect=True)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--image", "web=registry.example/web:1"), "a pin has a digest"),
        (("--image", f"wep=registry.example/web@sha256:{'0' * 64}"), "did you mean 'web'?"),
        (("--var", "tagg=latest"), "did you mean 'tag'?"),
        ((), "{tag} has no value"),
    ],
)
def test_what_is_not_understood_is_refused(new_job: NewJob, words: tuple[str, ...], said: str) -> None:
    assert said in new_job().fails(2, "promote", "--to", "production", *words)


@pytest.mark.parametrize("production", ["two registries"], indirect=True)
def test_a_staging_tag_that_is_not_there_is_not_found(
    new_job: NewJob, staged: dict[str, Image], production: Registry, prefix: str
) -> None:
    assert staged

    said = new_job().fails(5, "promote", "--to", "production", "--var", "tag=v9")

    assert "source: " in said
    assert "staging-" in said
    assert remote.list_tags(production, f"{prefix}/prod-web") == []


@pytest.mark.parametrize("production", ["two registries"], indirect=True)
def test_without_history_no_later_stage_is_open(new_job: NewJob) -> None:
    said = new_job().fails(3, "promote", "42", "--to", "mirror")

    assert "comes after production" in said
    assert "no release of pipeline 'demo-app' is on record" in said
    assert "hint: promote to production first, and keep that folder" in said


@pytest.mark.parametrize("production", ["two registries"], indirect=True)
def test_a_later_stage_needs_a_release_and_the_candidates_are_named(
    new_job: NewJob, staged: dict[str, Image], production: Registry, prefix: str
) -> None:
    job = new_job()
    build = {"CI_PIPELINE_ID": "77", "CI_COMMIT_SHA": "3f2c1e9"}
    job.run(*PROMOTE, env=build)

    assert "hint: one of: 77" in job.fails(2, "promote", "--to", "mirror", "--var", "tag=latest", env=build)

    job.run("promote", "77", "--to", "mirror")

    assert remote.digest_of(production, f"{prefix}/mirror-web", "latest") == staged["web"].digest


def test_skopeo_reads_production(
    new_job: NewJob, staged: dict[str, Image], production: Registry, prefix: str, tmp_path: Path
) -> None:
    new_job().run(*PROMOTE)
    image = f"docker://{production.host}/{prefix}/prod-web:latest"

    raw = peers.run("skopeo", "inspect", "--raw", "--tls-verify=false", image)
    peers.run(
        *("skopeo", "copy", "--quiet", "--all", "--preserve-digests", "--src-tls-verify=false"),
        *(image, f"oci:{tmp_path / 'out'}:latest"),
    )

    assert len(json.loads(raw)["manifests"]) == 2
    found = images.read_tag(tmp_path / "out", "latest")
    assert found is not None
    assert found.digest == staged["web"].digest
