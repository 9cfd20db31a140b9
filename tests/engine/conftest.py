"""What the tests of workers share: a project on either database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.deciding import World
from tests.support.works import Works

MakeWorks = Callable[..., Works]
MakeWorld = Callable[..., World]

PIPELINE = """\
pipeline: demo
images: [web]
groups: {managers: [ann, bob, cem], chiefs: [eve]}
stages:
  - {name: dev, DEV, to: "registry.example/dev", tags: ["{build}"]}
  - {name: prod, after: [dev], PROD, to: "registry.example/prod", tags: ["{build}"]}
"""


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
