"""What the two kinds of database have in common: transactions, the schema's revision, and how trouble is told.

`liftlock.store.sqlite` is the database of one machine, made and brought up to date when it is opened.
`liftlock.store.postgres` is one that several machines share, brought up to date by ``liftlock db upgrade`` alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from liftlock.errors import LiftlockError, StateUnavailable

__all__ = ["HEAD", "PATIENCE", "VERSION_TABLE", "Database", "is_ours", "revision"]

HEAD = "0002"
"""The newest revision in `migrations/versions`: known without importing Alembic, which most commands never need."""

VERSION_TABLE = "ll_version"

PATIENCE = 30
"""Seconds that one transaction waits for another; each takes some milliseconds."""


class Database(ABC):
    """One database. May be shared by threads."""

    def __init__(self, name: str, engine: Engine, driver_errors: tuple[type[Exception], ...]) -> None:
        self.name = name
        """As messages show it, without a password."""
        self.engine = engine
        # SQLAlchemy is not always in between.
        self._errors: tuple[type[Exception], ...] = (DBAPIError, PoolTimeout, *driver_errors)

    @abstractmethod
    def open(self) -> None:
        """See that the schema is the one that this version works with; raises `LiftlockError`."""

    @abstractmethod
    def upgrade(self, target: str = HEAD) -> tuple[str | None, str]:
        """Bring the schema to a revision, in one transaction; from which (None: from nothing) to which.

        Raises `LiftlockError` when a newer version wrote it, which is left as it is.
        """

    @contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[Connection]:
        """One transaction, committed at the end of the block and rolled back by an exception.

        With ``read_only`` it sees one state from beginning to end and waits for nobody. Raises `StateUnavailable` when
        the database does not do its work now, `LiftlockError` when it cannot.
        """
        try:
            with self._prepared(read_only=read_only).begin() as connection:
                yield connection
        except self._errors as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Give back the connections."""
        self.engine.dispose()

    @abstractmethod
    def _prepared(self, *, read_only: bool) -> Engine:
        """The engine whose transactions are of this kind."""

    @abstractmethod
    def _told(self, error: Exception, cause: BaseException | None) -> tuple[str, str, bool]:
        """Sentence and hint about what the driver raised, and whether the same may work when it is done again."""

    def _failure(self, error: Exception) -> LiftlockError:
        message, hint, temporary = self._told(error, error.orig if isinstance(error, DBAPIError) else error)
        return (StateUnavailable if temporary else LiftlockError)(message, hint=hint)

    def _migrate(self, connection: Connection, target: str) -> tuple[str | None, str]:
        found = revision(connection)
        self._refuse_newer(found)
        if found is None or found < target:
            from liftlock.store.migrate import migrate  # noqa: PLC0415  # slow to import, and seldom needed

            migrate(connection, target)
            return found, target
        return found, found

    def _refuse_newer(self, found: str | None) -> None:
        # Revisions are numbers of four digits.
        if found is not None and found > HEAD:
            raise LiftlockError(
                f"the state in {self.name} was written by a newer Liftlock: it has revision {found}, this one knows "
                f"{HEAD}",
                hint="upgrade Liftlock, or use the version that wrote it",
            )


def revision(connection: Connection) -> str | None:
    """The schema's revision; None when there is none of ours."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608  # a constant
    return found


def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    """Whether Alembic should look at this object: the durable engine keeps its own tables beside ours."""
    return kind != "table" or (name or "").startswith("ll_")
