"""What the tests of workers share: a project on either database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.works import Works

MakeWorks = Callable[..., Works]


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
