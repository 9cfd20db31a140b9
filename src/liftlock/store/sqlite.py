"""The database of one machine: a file, made and brought up to date when it is opened."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event

from liftlock.errors import LiftlockError
from liftlock.store.database import HEAD, PATIENCE, Database, revision
from liftlock.store.locks import exclusively

__all__ = ["Sqlite"]

_READ_ONLY = "liftlock_read_only"

_TEMPORARY = {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR"}


class Sqlite(Database):
    """The file at a path; its folder is made, too. On a local disk, for the processes of one machine."""

    def __init__(self, path: Path, *, foreign_keys: bool = True) -> None:
        engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": PATIENCE})
        event.listen(engine, "connect", partial(_set_up, foreign_keys=foreign_keys))
        event.listen(engine, "begin", _begin)
        super().__init__(str(path), engine, (sqlite3.Error,))
        self._path = path

    def open(self) -> None:
        with self._alone(), self.transaction(read_only=True) as connection:
            found = revision(connection)
        if found != HEAD:
            self.upgrade()

    def upgrade(self, target: str = HEAD) -> tuple[str | None, str]:
        # A table is altered by making it anew, and the old one cannot go while rows have to refer to it.
        migrating = Sqlite(self._path, foreign_keys=False)
        try:
            with self._alone(), migrating.transaction() as connection:
                done = self._migrate(connection, target)
                if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                    raise LiftlockError(
                        f"the state in {self.name} cannot be upgraded: rows in it refer to others that are not there",
                        hint="restore a backup; nothing was changed",
                    )
                return done
        finally:
            migrating.close()

    def _alone(self) -> AbstractContextManager[None]:
        """Two processes that find no database must not both make one."""
        return exclusively(self._path.parent / "locks", self._path.name)

    def _prepared(self, *, read_only: bool) -> Engine:
        return self.engine.execution_options(**{_READ_ONLY: read_only})

    def _told(self, error: Exception, cause: BaseException | None) -> tuple[str, str, bool]:  # noqa: ARG002
        name = getattr(cause, "sqlite_errorname", "")
        return (
            f"the state in {self.name} cannot be used: {cause}",
            "the file has to be on a local disk with room, writable, and used by no older or newer Liftlock",
            any(name.startswith(each) for each in _TEMPORARY),
        )


def _set_up(connection: sqlite3.Connection, _record: object, *, foreign_keys: bool) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin`; sqlite3 would begin them too late
    for pragma in (
        "journal_mode = WAL",  # readers do not wait for a writer
        "synchronous = FULL",  # a commit survives a power cut: tags move only after their journal is on the disk
        f"foreign_keys = {'ON' if foreign_keys else 'OFF'}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A writer takes the write lock when it begins, so that what it reads is still true when it writes.
    read_only = connection.get_execution_options().get(_READ_ONLY)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
