"""A worker dies at each boundary of an effect: another finishes, and nothing is done twice that the world can see."""

from __future__ import annotations

import itertools
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from liftlock.engine.worker import Worker
from tests.support.crew import Crew
from tests.support.front import Front
from tests.support.receiver import Receiver
from tests.support.registry import Registry
from tests.support.works import Works

pytestmark = pytest.mark.crash

BOUNDARIES = (
    "look", "asked", "looked",
    "begin", "begun",
    "content of", "content at",
    "recheck", "rechecked",
    "tags", "journal", "journaled", "tag", "tag .*:latest", "moved", "tagged",
    "end", "ended",
    "notify", "sent", "notified",
)  # fmt: skip
"""Every boundary there is, as a pattern of its name; a test sees that there are no others."""

PIPELINE = """\
pipeline: demo
images: [web, db]
registries: {{"{host}": {{plain-http: true}}}}
stages:
  - name: dev
    to: "{host}/{repository}-{{image}}"
    tags: ["{{build}}", latest]
    gates: [{{expression: "stage == 'dev'"}}]
    notify: [{{webhook: {{url: "{hook}", allow-private: true}}}}]
"""

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    with Crew(tmp_path_factory.mktemp("crew")) as opened:
        yield opened


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that has been worked with."""
    folder = tmp_path_factory.mktemp("empty")
    works = Works(folder)
    with Worker(works.workplace()):
        pass
    works.close()
    return folder / ".liftlock" / "liftlock.db"


class World:
    """One promotion to carry out, and everything that sees what is done for it."""

    def __init__(self, folder: Path, empty: Path | None, url: str, front: Front, receiver: Receiver) -> None:
        (folder / ".liftlock").mkdir(parents=True)
        if empty is not None:
            shutil.copy(empty, folder / ".liftlock")
        self.front, self.receiver = front, receiver
        self.repository = f"crash{next(_numbers)}"
        self.works = Works(folder, url)
        self.works.write(PIPELINE.format(host=front.host, repository=self.repository, hook=receiver.url))
        self.release = self.works.release("1", ("web", "db"))
        self.promotion = self.works.request(self.release, "dev")

    def assert_done_once(self) -> None:
        """All is done that was to be done, and all of it once."""
        assert self.works.get(self.promotion).state == "succeeded"
        assert len(self.works.get(self.promotion).attempts) == 1
        for name, image in self.release.artifact.images.items():
            for tag in ("1", "latest"):
                path = f"/v2/{self.repository}-{name}/manifests/{tag}"
                assert self.front.count("PUT", f"^{path}$") == 1, f"PUTs of {path}"
                assert held(self.front, path) == image.digest
        kinds = ["promotion.requested", "promotion.admitted", "attempt.queued", "attempt.started", "attempt.ended"]
        assert self.works.kinds_on_ledger() == kinds
        assert len({each.headers["webhook-id"] for each in self.receiver.requests}) == 1
        with self.works.store.read() as tx:
            assert [each.state for each in tx.notifications.of(self.promotion.id)] == ["delivered"]
            assert all(each.settled_at for each in tx.tag_moves.of(self.promotion.id, 1))
            assert not tx.workers.alive()
            assert not tx.workers.dead()


def held(front: Front, path: str) -> str | None:
    connection = front.connect()
    try:
        connection.request("HEAD", path, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
        return connection.getresponse().getheader("Docker-Content-Digest")
    finally:
        connection.close()


@pytest.fixture
def make_world(
    tmp_path: Path, home: Path, empty: Path, registry: Registry, make_front: Callable[[Registry], Front]
) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(url: str = "") -> World:
        world = World(tmp_path / f"world{len(made)}", None if url else empty, url, make_front(registry), Receiver())
        made.append(world)
        return world

    yield make
    for each in made:
        each.works.close()
        each.receiver.stop()


def test_every_boundary_is_known(crew: Crew, make_world: Callable[..., World]) -> None:
    world = make_world()

    passed = crew.start(world.works).ends().boundaries

    world.assert_done_once()
    unknown = [name for name in passed if not any(re.match(f"{each}( |$)", name) for each in BOUNDARIES)]
    assert not unknown
    assert not [each for each in BOUNDARIES if not any(re.match(f"{each}( |$)", name) for name in passed)]
    assert max(Counter(passed).values()) == 1


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_what_a_killed_worker_leaves_another_finishes(
    crew: Crew, make_world: Callable[..., World], boundary: str
) -> None:
    world = make_world()
    crew.start(world.works, stop_at=f"^{boundary}( |$)").waits().kill()

    crew.start(world.works).ends()

    world.assert_done_once()
