"""What the tests of workers share: a project on either database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from liftlock.engine.worker import Worker
from tests.conftest import MakeFront
from tests.engine.crashing import Case
from tests.engine.crew import Crew
from tests.engine.deciding import World
from tests.engine.works import Works
from tests.support.postgres import Postgres
from tests.support.registry import Registry

MakeWorks = Callable[..., Works]
MakeWorld = Callable[..., World]
MakeCase = Callable[..., Case]

PIPELINE = """\
pipeline: demo
images: [web]
groups: {managers: [ann, bob, cem], chiefs: [eve]}
stages:
  - {name: dev, DEV, to: "registry.example/dev", tags: ["{build}"]}
  - {name: prod, after: [dev], PROD, to: "registry.example/prod", tags: ["{build}"]}
"""


_BOTH_ALWAYS = (
    "test_decisions.py",
    "test_lease.py",
    "test_crashes.py",
    "test_takeover.py",
    "test_worker.py",
    "test_library.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Rules are the same on both databases: what is about rules runs on PostgreSQL only with the slow tests."""
    for item in items:
        mine = item.path.parent.name == "engine" and item.path.name not in _BOTH_ALWAYS
        mine = mine or "two_approvers" in item.name  # a hundred races on each
        if mine and "postgresql" in item.name:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def make_works(tmp_path: Path, home: Path) -> Iterator[MakeWorks]:  # nobody's own HOME is read
    """A factory of projects with a pipeline file; ``url`` names a database other than SQLite."""
    made: list[Works] = []

    def make(pipeline: str, url: str = "", **options: object) -> Works:
        works = Works(tmp_path / f"works{len(made)}", url, **options)  # type: ignore[arg-type]
        made.append(works)
        return works.write(pipeline)

    yield make
    for each in made:
        each.close()


@pytest.fixture
def make_world(database_url: str, tmp_path: Path) -> Iterator[MakeWorld]:
    """A factory of worlds whose stages are as a test needs them, on each database."""
    made: list[World] = []

    def make(prod: str = "trigger: manual", dev: str = "trigger: manual") -> World:
        made.append(World(database_url or tmp_path / "liftlock.db", PIPELINE.replace("DEV", dev).replace("PROD", prod)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """Starts worker processes."""
    with Crew(tmp_path_factory.mktemp("crew")) as opened:
        yield opened


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database on SQLite that a worker has seen, and that has nothing in it."""
    folder = tmp_path_factory.mktemp("empty")
    works = Works(folder)
    with Worker(works.workplace()):
        pass
    works.close()
    return folder / ".liftlock" / "liftlock.db"


@pytest.fixture
def make_case(
    tmp_path: Path,
    home: Path,  # nobody's own HOME is read
    empty: Path,
    registry: Registry,
    make_front: MakeFront,
) -> Iterator[MakeCase]:
    """A factory of promotions whose workers may die; ``url`` names a database other than SQLite."""
    made: list[Case] = []

    def make(url: str = "") -> Case:
        made.append(Case(tmp_path / f"case{len(made)}", None if url else empty, url, make_front(registry)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def shared_database(postgres_server: Postgres, postgres_template: str) -> Iterator[str]:
    """The URL of a PostgreSQL database that has all tables."""
    name = postgres_server.create(postgres_template)
    yield postgres_server.url(name)
    postgres_server.drop(name)
