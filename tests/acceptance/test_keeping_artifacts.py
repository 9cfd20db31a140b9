"""A tar is published, released and promoted from each kind of artifact store, past kill -9 and damage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.acceptance.workshop import Workshop, two_images
from tests.conftest import MakeFront
from tests.support import archives, faults, objects, remote
from tests.support.objects import Place
from tests.support.registry import Registry
from tests.support.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

PIPELINE = """\
    pipeline: demo-app
    images: [web, worker]
    store: {store}
    stages:
      - {{name: dev, trigger: on-publish, to: "{host}/dev-{{image}}", tags: ["{{build}}", latest]}}
      - {{name: test, trigger: on-success, after: [dev], to: "{host}/test-{{image}}", tags: ["{{build}}"]}}
      - {{name: prod, trigger: on-success, after: [test], to: "{host}/prod-{{image}}", tags: [stable]}}
"""

SOURCES = [f"{name}=docker-archive:app.tar:{name}:1.0" for name in ("web", "worker")]


def saved(workshop: Workshop, folder: Path, seed: str) -> None:
    """What docker save wrote of two images that share a layer."""
    made = {f"{name}:1.0": image for name, image in two_images(folder, seed).items()}
    archives.synthetic_docker24(workshop.folder / "app.tar", made)


@pytest.mark.parametrize(
    "kind",
    # What differs is the store's and the target's, whose contracts all keep; for S3 see those below, too.
    [*(pytest.param(each, marks=pytest.mark.slow) for each in ("local", "s3", "azure")), "registry"],
)
def test_the_whole_life_of_an_artifact(
    *, kind: str, request: pytest.FixtureRequest, tmp_path: Path, registry: Registry, repo: str
) -> None:
    prefix = repo.partition("/")[0]
    env: Mapping[str, str] = {}
    store = {"local": "./artifacts", "registry": f"oci://{registry.host}/{prefix}/store"}.get(kind, "")
    if not store:
        make = objects.on_s3 if kind == "s3" else objects.on_azure
        place = make(request.getfixturevalue("moto" if kind == "s3" else "azurite"))
        store, env = place.url, place.env
    workshop = Workshop(tmp_path / "project", PIPELINE.format(store=store, host=f"{registry.host}/{prefix}"))
    saved(workshop, tmp_path / "build", repo)
    registry.forget()

    published = workshop.json("artifact", "publish", *SOURCES, "--build", "42", "--wait=60s", env=env)

    digests = {name: image["digest"] for name, image in published["images"].items()}
    assert workshop.states() == {"42": {"dev": "here", "test": "here", "prod": "here"}}
    for stage, tag in (("dev", "42"), ("test", "42"), ("prod", "stable")):
        for name, digest in digests.items():
            assert remote.digest_of(registry, f"{prefix}/{stage}-{name}", tag) == digest
            assert remote.walk(registry, f"{prefix}/{stage}-{name}", tag)
    if kind == "registry":
        # From the store to the stages, all in one registry, no byte of a blob has moved.
        moved = [seen for seen in registry.requests() if seen.method in ("PUT", "PATCH") and "/uploads/" in seen.path]
        assert {seen.path.split("/blobs/")[0] for seen in moved} == {f"/v2/{prefix}/store"}
        assert registry.count("POST", f"/{prefix}/prod-web/blobs/uploads/", 201) > 0

    again = workshop.json("artifact", "publish", *SOURCES, "--build", "42", env=env)
    assert {name: image["digest"] for name, image in again["images"].items()} == digests
    assert again["id"] == published["id"]

    foretold = workshop.json("artifact", "gc", "--keep", "0s", "--dry-run", env=env)
    assert foretold["collected"] == []
    assert [each["reason"] for each in foretold["kept"]] == ["dev holds it"]


@pytest.mark.crash
@pytest.mark.parametrize("kind", ["s3", "registry"])
def test_a_killed_publication_goes_on_where_it_was(
    *, kind: str, request: pytest.FixtureRequest, tmp_path: Path, registry: Registry, repo: str, make_front: MakeFront
) -> None:
    env: Mapping[str, str] = {}
    if kind == "s3":
        moto = request.getfixturevalue("moto")
        place = objects.on_s3(moto)
        front = make_front(moto.url.removeprefix("http://"))
        store, env, uploads = place.url, {**place.env, "AWS_ENDPOINT_URL": front.url}, "/blobs/sha256/"
    else:
        front = make_front(registry)
        store, uploads = f"oci://{front.host}/{repo}", "/blobs/uploads/.*digest="
    workshop = Workshop(tmp_path / "project", PIPELINE.format(store=store, host=registry.host))
    saved(workshop, tmp_path / "build", repo)
    words = ["artifact", "publish", *SOURCES, "--build", "42"]
    rule = front.rule("PUT", uploads, faults.Stall(), nth=3, times=None)

    def arrived() -> list[str]:
        found = [seen for seen in front.find("PUT", uploads) if seen.status in (200, 201)]
        return [seen.path if kind == "s3" else seen.query.partition("digest=")[2] for seen in found]

    with workshop.killed(*words, env=env):
        rule.wait()
        until(lambda: len(arrived()) == 2, "two blobs that arrived")
    before = arrived()
    front.clear()

    published = workshop.json(*words, env=env)

    assert len(set(arrived())) == len(arrived()) > len(before) == 2
    again = {name: image["digest"] for name, image in published["images"].items()}
    workshop.run("artifact", "export", "42", "oci:out", env=env)
    assert set(again) == {"web", "worker"}
    if kind == "s3":
        # The dead one has not said that it is over: nothing is collected until it has been long enough.
        assert "publishing" in workshop.fails(6, "artifact", "gc", env=env)


def test_damage_in_a_bucket_stops_at_the_stages_door(
    *, tmp_path: Path, s3: Place, registry: Registry, repo: str
) -> None:
    prefix = repo.partition("/")[0]
    pipeline = PIPELINE.format(store=s3.url, host=f"{registry.host}/{prefix}").replace("trigger: on-publish, ", "")
    workshop = Workshop(tmp_path / "project", pipeline)
    saved(workshop, tmp_path / "build", repo)
    workshop.run("artifact", "publish", *SOURCES, "--build", "42", env=s3.env)
    workshop.run("release", "create", "42", env=s3.env)
    key, size = max(s3.keys("blobs").items(), key=lambda each: each[1])
    data = s3.read(key)
    s3.write(key, data[:-1] + bytes([data[-1] ^ 1]))
    assert len(s3.read(key)) == size

    said = workshop.fails(1, "promote", "42", "--to", "dev", env=s3.env)

    assert "digest" in said
    for name in ("web", "worker"):
        assert remote.digest_of(registry, f"{prefix}/dev-{name}", "latest") is None
    s3.write(key, data)
    workshop.run("promote", "42", "--to", "dev", env=s3.env)


@pytest.fixture
def s3(request: pytest.FixtureRequest) -> Place:
    return objects.on_s3(request.getfixturevalue("moto"))
