"""The database of one home, one transaction at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from sqlalchemy import Connection

from liftlock.store import database
from liftlock.store.artifacts import Artifacts
from liftlock.store.events import Events
from liftlock.store.ledger import Ledger
from liftlock.store.notifications import Notifications
from liftlock.store.people import People
from liftlock.store.promotions import Promotions
from liftlock.store.releases import Releases
from liftlock.store.samples import Samples
from liftlock.store.tags import TagMoves

__all__ = ["Clock", "Store", "Transaction"]

Clock = Callable[[], dt.datetime]
"""Tells the time, aware."""


class Transaction:
    """What is known, by noun, as of one transaction; of no use after it."""

    def __init__(self, connection: Connection, now: dt.datetime) -> None:
        self.connection = connection
        self.now = now
        """When it began; every change in it happened then."""

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
    def tag_moves(self) -> TagMoves:
        return TagMoves(self.connection, self.now)


class Store:
    """The database at a path; made, or brought up to date, when it is opened. May be shared by threads."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._engine = database.connect(path)

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """A transaction that may change things, committed at the end of the block; others wait for it.

        No effect on the world belongs inside. Raises `LiftlockError` when the database cannot do its work.
        """
        with database.transaction(self._engine, self.path) as connection:
            yield Transaction(connection, self._clock())

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that only reads: it waits for nobody, and nobody for it."""
        with database.transaction(self._engine, self.path, read_only=True) as connection:
            yield Transaction(connection, self._clock())

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()
