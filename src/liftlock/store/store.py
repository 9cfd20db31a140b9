"""What is remembered, one transaction at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from sqlalchemy import Connection, Engine

from liftlock.store.artifacts import Artifacts
from liftlock.store.database import Database
from liftlock.store.events import Events
from liftlock.store.ledger import Ledger
from liftlock.store.notifications import Notifications
from liftlock.store.people import People
from liftlock.store.postgres import Postgres
from liftlock.store.promotions import Promotions
from liftlock.store.queues import Queues
from liftlock.store.releases import Releases
from liftlock.store.samples import Samples
from liftlock.store.schedules import Schedules
from liftlock.store.sqlite import Sqlite
from liftlock.store.tags import TagMoves
from liftlock.store.turns import pipeline_turn
from liftlock.store.workers import Workers

__all__ = ["Clock", "Store", "Transaction", "upgrade"]

Clock = Callable[[], dt.datetime]
"""Tells the time, aware."""


class Transaction:
    """What is known, by noun, as of one transaction; of no use after it."""

    def __init__(self, connection: Connection, now: dt.datetime) -> None:
        self.connection = connection
        self.now = now
        """When it began; every change in it happened then."""

    def alone(self, pipeline: str) -> None:
        """Nobody else decides about this pipeline before the transaction is over.

        Who decides takes this before reading what the decision rests on: two approvers at the same instant must not
        each miss the other's word. What changes promotions takes it by itself.
        """
        pipeline_turn(self.connection, pipeline)

    @cached_property
    def artifacts(self) -> Artifacts:
        return Artifacts(self.connection, self.now)

    @cached_property
    def releases(self) -> Releases:
        return Releases(self.connection, self.now)

    @cached_property
    def promotions(self) -> Promotions:
        return Promotions(self.connection, self.now)

    @cached_property
    def queues(self) -> Queues:
        return Queues(self.connection, self.now)

    @cached_property
    def people(self) -> People:
        return People(self.connection, self.now)

    @cached_property
    def samples(self) -> Samples:
        return Samples(self.connection, self.now)

    @cached_property
    def notifications(self) -> Notifications:
        return Notifications(self.connection, self.now)

    @cached_property
    def events(self) -> Events:
        return Events(self.connection, self.now)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.connection, self.now)

    @cached_property
    def workers(self) -> Workers:
        return Workers(self.connection)

    @cached_property
    def schedules(self) -> Schedules:
        return Schedules(self.connection, self.now)

    @cached_property
    def tag_moves(self) -> TagMoves:
        return TagMoves(self.connection, self.now)


class Store:
    """A database at a path (SQLite) or a URL (PostgreSQL), opened; may be shared by threads.

    That of a path is made, or brought up to date, when it is opened. Raises `LiftlockError` when that cannot be done,
    and when the one of a URL is not of this version (`upgrade`).
    """

    def __init__(self, where: Path | str, clock: Clock) -> None:
        self._clock = clock
        self._database = _database(where)
        try:
            self._database.open()
        except BaseException:
            self._database.close()
            raise

    @property
    def name(self) -> str:
        """The database, as messages show it."""
        return self._database.name

    @property
    def engine(self) -> Engine:
        """For the durable engine, whose tables are in the same database; its URL holds the password."""
        return self._database.engine

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """A transaction that may change things, committed at the end of the block.

        No effect on the world belongs inside. Who decides something takes the pipeline's turn first
        (`Transaction.alone`). Raises `StateUnavailable` when the database does not do its work now, `LiftlockError`
        when it cannot; nothing was changed then.
        """
        with self._database.transaction() as connection:
            tx = Transaction(connection, self._clock())
            yield tx
            tx.events.flush()

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that only reads: it sees one state, waits for nobody, and nobody for it."""
        with self._database.transaction(read_only=True) as connection:
            yield Transaction(connection, self._clock())

    def close(self) -> None:
        """Give back the connections."""
        self._database.close()


def upgrade(where: Path | str) -> tuple[str | None, str]:
    """Bring the schema of a database up to date: from which revision (None: it had none) to which.

    Raises `LiftlockError` when a newer version wrote it, or it cannot be used.
    """
    database = _database(where)
    try:
        return database.upgrade()
    finally:
        database.close()


def _database(where: Path | str) -> Database:
    return Sqlite(where) if isinstance(where, Path) else Postgres(where)
