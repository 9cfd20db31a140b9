"""kill -9 at each phase, then the same command again: right, complete, and without sending anything twice."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.acceptance.workshop import Workshop, two_images
from tests.conftest import MakeFront
from tests.support import archives, faults, images, remote
from tests.support.front import Action, Exchange, Front
from tests.support.images import Image
from tests.support.registry import Registry
from tests.support.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.crash, pytest.mark.fault]

PIPELINE = """\
    pipeline: demo-app
    images: [web, worker]
    source: {staging}/staging-{{image}}:{{tag}}
    stages:
      - name: production
        to: {production}/prod-{{image}}
        tags: [stable]
"""

COMMANDS = {
    "copy": ("copy", "--from", "images.txt", "-o", "json"),
    "promote": ("promote", "--to", "production", "--var", "tag=next", "-o", "json"),
}

UPLOAD = r"/blobs/uploads/.*digest="


class Case:
    """Two images in staging, production behind a front where both are `stable` in an older version, and a command."""

    def __init__(self, workshop: Workshop, front: Front, production: Registry, prefix: str, command: str) -> None:
        self.workshop = workshop
        self.front = front
        self.production = production
        self.prefix = prefix
        self.command = COMMANDS[command]
        self.new: dict[str, str] = {}
        self.old: dict[str, str] = {}

    def stable(self) -> dict[str, str | None]:
        """What the tags in production hold."""
        return {name: remote.digest_of(self.production, f"{self.prefix}/prod-{name}", "stable") for name in self.new}

    def tag(self, name: str) -> str:
        return f"/{self.prefix}/prod-{name}/manifests/stable$"

    def uploaded(self) -> Counter[str]:
        """How often each blob arrived whole, by digest."""
        return Counter(
            unquote(found[1])
            for request in self.front.find("PUT", UPLOAD)
            if request.status == 201 and (found := re.search(r"digest=([^&]+)", request.query))
        )

    def again(self) -> None:
        """The same command without harm: all is right, and nothing that had arrived is sent once more."""
        before = self.uploaded()
        self.front.clear()

        result = self.workshop.run(*self.command).json()

        assert self.stable() == self.new
        for name in self.new:
            assert remote.walk(self.production, f"{self.prefix}/prod-{name}", "stable")
        assert set((self.uploaded() - before).keys()) & set(before) == set(), "a finished blob was sent again"
        assert all(times == 1 for times in self.uploaded().values())
        if self.command[0] == "promote":
            assert result["state"] == "succeeded"
            assert set(self.states()) == {"here"}

    def states(self) -> list[str]:
        return [row["production"] for row in self.workshop.states().values()]


@pytest.fixture(params=["copy", "promote"])
def case(
    request: pytest.FixtureRequest,
    *,
    tmp_path: Path,
    registry: Registry,
    other_registry: Registry,
    repo: str,
    make_front: MakeFront,
) -> Case:
    prefix = repo.partition("/")[0]
    front = make_front(other_registry)
    workshop = Workshop(
        tmp_path / "project",
        PIPELINE.format(staging=f"{registry.host}/{prefix}", production=f"{front.host}/{prefix}"),
    )
    found = Case(workshop, front, other_registry, prefix, request.param)
    for name, image in two_images(tmp_path / "old", f"{prefix} old").items():
        remote.push(image.layout, image.tag, other_registry, f"{prefix}/prod-{name}", to="stable")
        found.old[name] = image.digest
    for name, image in two_images(tmp_path / "new", f"{prefix} new").items():
        remote.push(image.layout, image.tag, registry, f"{prefix}/staging-{name}", to="next")
        found.new[name] = image.digest
    (workshop.folder / "images.txt").write_text(
        "".join(
            f"{registry.host}/{prefix}/staging-{name}:next {front.host}/{prefix}/prod-{name}:stable\n"
            for name in found.new
        )
    )
    return found


@contextmanager
def _killed_at(case: Case, method: str, pattern: str, *, nth: int = 1, action: Action | None = None) -> Iterator[None]:
    """Run the command until the nth such request, which is held (as all later ones); in the block it waits there."""
    rule = case.front.rule(method, pattern, action or faults.Stall(), nth=nth, times=None)
    with case.workshop.killed(*case.command):
        rule.wait()
        yield


def _after_some_bytes(exchange: Exchange) -> None:
    """Passes the beginning of a body on, and holds the rest."""

    def parts(whole: Iterator[bytes]) -> Iterator[bytes]:
        for part in whole:
            yield part[:1000]
            faults.Stall()._hold(exchange)
            yield part[1000:]

    exchange.relay(exchange.forward(change=parts))


def test_during_the_survey(case: Case) -> None:
    with _killed_at(case, "HEAD", case.tag("web")):
        pass
    assert case.stable() == case.old
    case.again()


def test_at_the_first_bytes_of_a_blob(case: Case) -> None:
    with _killed_at(case, "PUT", UPLOAD, action=_after_some_bytes):
        pass
    assert case.stable() == case.old
    case.again()


def test_between_two_blobs(case: Case) -> None:
    with _killed_at(case, "PUT", UPLOAD, nth=3):
        until(lambda: sum(case.uploaded().values()) >= 2, "two blobs that arrived")
    assert case.stable() == case.old
    assert len(case.uploaded()) == 2
    case.again()


def test_at_the_manifests(case: Case) -> None:
    with _killed_at(case, "PUT", "/manifests/sha256:"):
        pass
    assert case.stable() == case.old
    case.again()


def test_before_the_first_tag(case: Case) -> None:
    with _killed_at(case, "PUT", "/manifests/stable$"):
        pass
    assert case.stable() == case.old
    case.again()


def test_between_two_tags(case: Case) -> None:
    with _killed_at(case, "PUT", case.tag("worker")):
        until(lambda: case.stable()["web"] == case.new["web"], "web's tag")
    assert case.stable() == {"web": case.new["web"], "worker": case.old["worker"]}
    case.again()


def test_after_the_last_tag(case: Case) -> None:
    """Both tags moved, and are being read back: the journal is not finished yet."""
    with _killed_at(case, "HEAD", "/manifests/stable$", nth=3):
        until(lambda: case.stable() == case.new, "both tags")
    case.again()
    _nothing_undecided(case)


def _nothing_undecided(case: Case) -> None:
    """No journal is left, and no recorded move without an end."""
    if case.command[0] == "copy":
        assert not list(Path(os.environ["HOME"], ".local/state/liftlock/copies").iterdir())
        return
    (artifact,) = case.workshop.json("trace", case.new["web"])["artifacts"]
    moves = [move for release in artifact["releases"] for each in release["promotions"] for move in each["tags"]]
    assert [move["new"] for move in moves] == list(case.new.values())
    assert all(move["settledAt"] for move in moves)


@pytest.mark.parametrize("case", ["promote"], indirect=True)
def test_a_promotion_that_died_is_finished_by_whoever_comes_next(case: Case) -> None:
    """Another command, and not the same: it works on what is due."""
    with _killed_at(case, "PUT", UPLOAD):
        assert case.states() == ["running"]
    case.front.clear()
    (name,) = case.workshop.states()

    watched = case.workshop.run("release", "watch", name)

    assert watched.out == "production  succeeded\n"
    assert case.stable() == case.new
    assert case.states() == ["here"]


# -- giving up


def _refused_once(case: Case, name: str, others: Callable[[], bool]) -> None:
    """From now on the tag of this image is refused, as soon as the others have moved."""
    refuse = faults.error(405, "UNSUPPORTED", "the tag is not to be moved")

    def act(exchange: Exchange) -> None:
        until(others, "the other tags")
        refuse(exchange)

    case.front.rule("PUT", case.tag(name), act, times=None)


def test_a_tag_that_is_refused_puts_the_others_back(case: Case) -> None:
    _refused_once(case, "worker", lambda: case.front.count("PUT", case.tag("web"), 201) > 0)

    result = case.workshop.run(*case.command, check=False)

    assert result.code == 1, str(result)
    error = json.loads(result.err.splitlines()[-1])
    assert "405" in error["message"]
    assert "tags that had moved were put back" in error["hint"]
    assert case.stable() == case.old
    case.again()


def test_the_old_digests_outlive_the_process(case: Case) -> None:
    """Killed after web's tag moved; then worker's is refused for ever: web goes back to what the dead one replaced."""
    with _killed_at(case, "PUT", case.tag("worker")):
        until(lambda: case.stable()["web"] == case.new["web"], "web's tag")
    case.front.clear()
    _refused_once(case, "worker", lambda: True)

    result = case.workshop.run(*case.command, check=False)

    assert result.code == 1, str(result)
    assert case.stable() == case.old
    case.again()


def test_a_new_tag_that_cannot_be_removed_is_named(case: Case) -> None:
    """Debian's registry deletes no tags."""
    with remote.connect(case.production) as wire:
        wire.request("DELETE", f"/v2/{case.prefix}/prod-web/manifests/{case.old['web']}")
    assert case.stable()["web"] is None
    _refused_once(case, "worker", lambda: case.front.count("PUT", case.tag("web"), 201) > 0)

    result = case.workshop.run(*case.command, check=False)

    assert result.code == 1, str(result)
    message = json.loads(result.err.splitlines()[-1])["message"]
    assert f"{case.front.host}/{case.prefix}/prod-web:stable still holds {case.new['web']}" in message
    assert "before: nothing" in message
    assert case.stable() == {"web": case.new["web"], "worker": case.old["worker"]}
    case.again()


# -- publishing


@pytest.fixture
def publishing(tmp_path: Path, registry: Registry, repo: str, make_front: MakeFront) -> tuple[Workshop, Front, Image]:
    """An image in a registry behind a front, and a project with a store that it is published to."""
    image = two_images(tmp_path / "build", repo)["web"]
    remote.push(image.layout, image.tag, registry, repo)
    front = make_front(registry)
    pipeline = """\
        pipeline: demo
        images: [web]
        store: ./store
        stages: [{name: dev, to: "oci:dev", tags: [latest]}]
    """
    return Workshop(tmp_path / "project", pipeline), front, image


@pytest.mark.parametrize(
    ("pattern", "nth", "action"),
    [
        pytest.param("/manifests/", 1, faults.Stall(), id="survey"),
        pytest.param("/blobs/", 1, faults.Stall(after=1000), id="first blob bytes"),
        pytest.param("/blobs/", 2, faults.Stall(), id="between blobs"),
    ],
)
def test_publishing_goes_on(
    publishing: tuple[Workshop, Front, Image], repo: str, pattern: str, nth: int, action: Action
) -> None:
    workshop, front, image = publishing
    publish = ("artifact", "publish", f"web={front.host}/{repo}:build", "--build", "7")
    rule = front.rule("GET", pattern, action, nth=nth, times=None)
    with workshop.killed(*publish):
        rule.wait()
        finished = nth - 1
        until(lambda: len(_stored(workshop)) >= finished, "the blobs before")
    there = _stored(workshop)
    assert workshop.json("artifact", "list")["artifacts"] == []
    front.clear()
    front.forget()

    assert workshop.json(*publish)["images"]["web"]["digest"] == image.digest

    fetched = [unquote(request.path.rpartition("/")[2]) for request in front.find("GET", "/blobs/")]
    assert there.isdisjoint(fetched), "a finished blob was fetched again"
    workshop.run("artifact", "export", "7", "oci:out")


def _stored(workshop: Workshop) -> set[str]:
    folder = workshop.folder / "store" / "blobs" / "sha256"
    return {f"sha256:{file.name}" for file in folder.glob("*") if re.fullmatch("[0-9a-f]{64}", file.name)}


def test_publishing_a_tar_goes_on(tmp_path: Path) -> None:
    """Killed while layers are compressed into the store."""
    workshop = Workshop(tmp_path / "project")
    image = images.make_image(tmp_path / "build", layers=6, layer_bytes=12_000_000, compressible=0.2)
    archives.synthetic_docker24(workshop.folder / "app.tar", {"web:1": image})
    publish = ("artifact", "publish", "web=docker-archive:app.tar:web:1", "--build", "7")
    blobs = workshop.folder / ".liftlock" / "artifacts" / "blobs"
    with workshop.killed(*publish):
        until(lambda: any(each.is_file() for each in blobs.rglob("*")), "the store's first file")
    assert workshop.json("artifact", "list")["artifacts"] == []

    published = workshop.json(*publish)

    assert workshop.json(*publish) == published
    workshop.run("artifact", "export", "7", "oci:out")
    digest = published["images"]["web"]["digest"]
    assert workshop.run("digest", "oci:out:web").out.strip() == digest
    manifest = json.loads(images.read_blob(workshop.folder / "out", digest))
    assert len(manifest["layers"]) == 6
    for layer in manifest["layers"]:
        data = images.read_blob(workshop.folder / "out", layer["digest"])
        assert layer["digest"] == "sha256:" + hashlib.sha256(data).hexdigest()
