"""A store of either kind, and a second one on the same database, as another process has it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from liftlock.store.store import Store
from tests.store.support import Clock


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file without rows, to be copied: making one takes half a second."""
    path = tmp_path_factory.mktemp("template") / "liftlock.db"
    Store(path, Clock()).close()
    return path


@pytest.fixture
def where(database_url: str, tmp_path: Path, sqlite_template: Path) -> Path | str:
    """A database that is up to date: a path (SQLite) or a URL (PostgreSQL)."""
    return database_url or Path(shutil.copy(sqlite_template, tmp_path / "liftlock.db"))


@pytest.fixture
def store(where: Path | str) -> Iterator[Store]:
    opened = Store(where, Clock())
    yield opened
    opened.close()


@pytest.fixture
def other(where: Path | str, store: Store) -> Iterator[Store]:
    """The same database, opened once more."""
    opened = Store(where, Clock())
    yield opened
    opened.close()
