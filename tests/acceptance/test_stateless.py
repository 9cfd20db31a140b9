"""dev, test and prod as jobs of their own, each with an empty home: what was before is proven by the registries."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.workshop import Workshop, two_images
from tests.support import remote
from tests.support.images import Image
from tests.support.registry import Registry

pytestmark = pytest.mark.acceptance

PIPELINE = """\
    pipeline: demo-app
    images: [web, worker]
    source: {here}/staging-{{image}}:{{tag}}
    stages:
      - name: dev
        to: {here}/dev-{{image}}
        tags: ["{{tag}}", latest]
      - name: test
        after: [dev]
        to: {there}/test-{{image}}
        tags: ["{{tag}}"]
      - name: prod
        after: [test]
        to: {there}/prod-{{image}}
        tags: [stable]
"""

NewJob = Callable[..., Workshop]


class Place:
    """The repositories of one test, in the registry of staging and dev, and in that of test and prod."""

    def __init__(self, here: Registry, there: Registry, prefix: str) -> None:
        self.here, self.there, self.prefix = here, there, prefix

    def of(self, stage: str) -> tuple[Registry, str]:
        return (self.here if stage in ("staging", "dev") else self.there), f"{self.prefix}/{stage}"

    def digests(self, stage: str, tag: str) -> dict[str, str | None]:
        registry, repository = self.of(stage)
        return {name: remote.digest_of(registry, f"{repository}-{name}", tag) for name in ("web", "worker")}

    def push(self, stage: str, images: dict[str, Image], tag: str) -> None:
        registry, repository = self.of(stage)
        for name, image in images.items():
            remote.push(image.layout, image.tag, registry, f"{repository}-{name}", to=tag)


@pytest.fixture
def place(registry: Registry, other_registry: Registry, repo: str) -> Place:
    return Place(registry, other_registry, repo.partition("/")[0])


@pytest.fixture
def staged(tmp_path: Path, place: Place) -> dict[str, Image]:
    """Version 2.0 of two images, in staging."""
    made = two_images(tmp_path / "build", place.prefix)
    place.push("staging", made, "2.0")
    return made


@pytest.fixture
def new_job(tmp_path: Path, place: Place) -> NewJob:
    """Jobs that begin in an empty folder with an empty home; ``more`` are further keys of the stage test."""
    numbers = itertools.count(1)

    def job(more: str = "") -> Workshop:
        folder = tmp_path / f"job-{next(numbers)}"
        (folder / "home").mkdir(parents=True)
        hosts = {
            name: f"{place.of(stage)[0].host}/{place.prefix}" for name, stage in (("here", "dev"), ("there", "test"))
        }
        text = PIPELINE.format(**hosts)
        if more:
            text = text.replace("after: [dev]\n", f"after: [dev]\n        {more}\n")
        return Workshop(folder / "checkout", text, home=folder / "home")

    return job


def promote(stage: str) -> tuple[str, ...]:
    return ("promote", "--to", stage, "--var", "tag=2.0")


def test_each_stage_proves_the_one_before(new_job: NewJob, place: Place, staged: dict[str, Image]) -> None:
    results = [new_job().json(*promote(stage)) for stage in ("dev", "test", "prod")]

    digests = {name: image.digest for name, image in staged.items()}
    assert [place.digests(*where) for where in (("dev", "2.0"), ("test", "2.0"), ("prod", "stable"))] == [digests] * 3
    assert [each["state"] for each in results] == ["succeeded"] * 3


def test_what_is_not_proven_is_refused_and_said(new_job: NewJob, place: Place, staged: dict[str, Image]) -> None:
    assert staged

    said = new_job().fails(3, *promote("test"))

    assert "that these images are in dev is neither on record" in said
    assert f"dev-web:2.0 does not exist; {place.of('dev')[0].host}/{place.prefix}/dev-web:latest does not exist" in said
    assert f"hint: it is proven when all tags of 'dev' hold web@{staged['web'].digest}, worker@" in said
    assert place.digests("test", "2.0") == {"web": None, "worker": None}


def test_every_tag_of_every_image_has_to_hold_it(
    new_job: NewJob, place: Place, staged: dict[str, Image], tmp_path: Path
) -> None:
    """One tag of one image was moved to another image since."""
    new_job().run(*promote("dev"))
    other = two_images(tmp_path / "other", f"{place.prefix} other")
    place.push("dev", {"worker": other["worker"]}, "latest")

    said = new_job().fails(3, *promote("test"))

    assert f"dev-worker:latest holds {other['worker'].digest}" in said
    assert "dev-web" not in said, "what holds the right image is not named"
    assert place.digests("test", "2.0") == {"web": None, "worker": None}


def test_of_several_stages_any_may_be_enough(new_job: NewJob, place: Place, staged: dict[str, Image]) -> None:
    new_job().run(*promote("dev"))
    job = new_job()
    text = (job.folder / "liftlock.yaml").read_text()
    (job.folder / "liftlock.yaml").write_text(text.replace("after: [test]", "after: {any: [dev, test]}"))

    job.run(*promote("prod"))

    assert place.digests("prod", "stable") == {name: image.digest for name, image in staged.items()}
    (job.folder / "liftlock.yaml").write_text(text.replace("after: [test]", "after: [dev, test]"))
    assert "are in test is neither" in job.fails(3, *promote("prod"))


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ("approvals: {from: [leads]}", "approvals"),
        ("gates: [{soak: 2h}]", "a soak"),
        ("queue: supersede", "queue: supersede"),
        ("queue: reject", "queue: reject"),
    ],
)
def test_what_needs_kept_state_is_refused_and_named(
    new_job: NewJob, place: Place, staged: dict[str, Image], more: str, named: str
) -> None:
    assert staged
    job = new_job(more)
    if "leads" in more:
        path = job.folder / "liftlock.yaml"
        path.write_text(path.read_text().replace("images:", "groups: {leads: [anna@example.org]}\nimages:"))

    said = job.fails(3, *promote("test"))

    assert f"nothing may go to 'test' from here: {named} cannot be known without state" in said
    assert "hint: keep the folder .liftlock" in said
    assert place.digests("test", "2.0") == {"web": None, "worker": None}


def test_a_freeze_asks_only_the_clock(new_job: NewJob, place: Place, staged: dict[str, Image]) -> None:
    assert staged
    new_job().run(*promote("dev"))

    frozen = new_job('freeze: ["2001-01-01 00:00 - 2999-01-01 00:00 Europe/Berlin"]').run(*promote("test"), check=False)
    over = new_job('freeze: ["2001-01-01 00:00 - 2002-01-01 00:00 Europe/Berlin"]').json(*promote("test"))

    assert frozen.code == 8, str(frozen)
    assert "frozen until Tue 2999-01-01 00:00 Europe/Berlin" in frozen.out
    assert over["state"] == "succeeded"


def test_a_gate_is_asked_and_the_proof_is_kept_while_it_waits(
    new_job: NewJob, place: Place, staged: dict[str, Image]
) -> None:
    assert staged
    new_job().run(*promote("dev"))
    job = new_job('gates: [{command: {run: ["test", "-e", "green"]}}]\n        sampling: {every: 1s}')

    waits = job.run(*promote("test"), check=False)
    (job.folder / "green").touch()
    done = job.json(*promote("test"), "--wait=30s")

    assert waits.code == 8, str(waits)
    assert "gate command" in waits.out
    assert done["state"] == "succeeded"
    assert place.digests("test", "2.0") == {name: image.digest for name, image in staged.items()}


def test_what_is_on_record_counts_and_not_what_registries_hold(
    new_job: NewJob, place: Place, staged: dict[str, Image]
) -> None:
    """With a home that is kept, a later stage takes a release that has been in the earlier one."""
    assert staged
    job = new_job()
    job.run(*promote("dev"))

    said = job.fails(2, *promote("test"))

    name = job.json("release", "list")["releases"][0]["name"]
    assert f"hint: one of: {name}" in said
    job.run("promote", name, "--to", "test")
    assert place.digests("test", "2.0") == {name: image.digest for name, image in staged.items()}


def test_the_same_job_again_does_nothing_more(new_job: NewJob, place: Place, staged: dict[str, Image]) -> None:
    assert staged
    new_job().run(*promote("dev"))
    job = new_job()
    job.run(*promote("test"))

    again = job.json(*promote("test"))

    assert (again["tags"], again["copiedBytes"], again["state"]) == ([], 0, "succeeded")
