"""Opening the database: connections that keep its promises, and the schema brought up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError

from liftlock.errors import LiftlockError
from liftlock.store.locks import exclusively

__all__ = ["HEAD", "VERSION_TABLE", "connect", "is_ours", "transaction", "upgrade"]

HEAD = "0002"
"""The newest revision in `migrations/versions`: known without importing Alembic, which most commands never need."""

VERSION_TABLE = "ll_version"

BUSY_TIMEOUT = 30.0
"""Seconds that a writer waits for another; transactions take some milliseconds each."""

READ_ONLY = "liftlock_read_only"


def connect(path: Path) -> Engine:
    """An engine for this SQLite file, which is made, with its folder, when it is not there; the schema is current.

    Raises `LiftlockError` when the file was written by a newer version, is no database or cannot be opened.
    """
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT})
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    # Alone: two processes that find no database must not both make one.
    with exclusively(path.parent / "locks", path.name, wait=True), transaction(engine, path) as connection:
        upgrade(connection, path)
    return engine


@contextmanager
def transaction(engine: Engine, path: Path, *, read_only: bool = False) -> Iterator[Connection]:
    """One transaction, committed at the end of the block and rolled back by an exception.

    It takes the write lock when it begins, so that what it reads is still true when it writes; with ``read_only`` it
    sees one state and waits for nobody. Raises `LiftlockError` when the database cannot do its work.
    """
    try:
        with engine.execution_options(**{READ_ONLY: read_only}).begin() as connection:
            yield connection
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise LiftlockError(
            f"the state in {path} cannot be used: {cause}",
            hint="the file has to be on a local disk with room, writable, and used by no older or newer Liftlock",
        ) from error


def _set_up(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin`; sqlite3 would begin them too late
    for pragma in (
        "journal_mode = WAL",  # readers do not wait for a writer
        "synchronous = FULL",  # a commit survives a power cut: tags move only after their journal is on the disk
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(READ_ONLY)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def upgrade(connection: Connection, path: Path, target: str = HEAD) -> None:
    """Bring the schema to a revision, within the caller's transaction; raises `LiftlockError` when it is newer."""
    found = None
    if inspect(connection).has_table(VERSION_TABLE):
        found = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608  # a constant
    if found == target:
        return
    from liftlock.store.migrate import migrate  # noqa: PLC0415  # Alembic is slow to import, and seldom needed

    migrate(connection, path, found, target)


def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    """Whether Alembic should look at this object: a durable engine may keep its own tables beside ours."""
    return kind != "table" or (name or "").startswith("ll_")
