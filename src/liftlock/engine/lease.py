"""The lease of one worker: as long as it holds, nobody else does this worker's work.

It is a row that the worker renews, with the database's clock on both sides. On one machine with SQLite there is a
locked file beside it, which the kernel unlocks when the process dies, so that a killed worker is known to be dead at
once; a worker that is merely stopped is known by its row.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress

from liftlock.errors import LiftlockError
from liftlock.store.store import Store

__all__ = ["Lease"]

log = logging.getLogger(__name__)

TTL = 15.0
"""Seconds that a lease holds unless it is renewed; it is renewed every third of that."""


def _now() -> float:
    """Seconds that go on while the machine sleeps, unlike those of `time.monotonic`."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Lease:
    """One worker's lease. Its name is of this process and never used again: what was lost stays lost."""

    def __init__(self, store: Store, folder: str | None, *, ttl: float = TTL) -> None:
        self.id = f"{socket.gethostname()[:60]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.ttl = ttl
        self._store = store
        self._folder = folder
        self._file: int | None = None
        self._until = 0.0
        self._lost = False
        self._lock = threading.Lock()

    @property
    def held(self) -> bool:
        """Whether it certainly holds, by this machine's clock, at this moment."""
        return not self._lost and _now() < self._until

    @property
    def lost(self) -> bool:
        """Whether it lapsed after it was held: others may have this worker's work."""
        return self._lost or (self._until > 0 and _now() >= self._until)

    def take(self) -> None:
        """Have the lease; raises `LiftlockError` when the database cannot be used."""
        if self._folder is not None:
            os.makedirs(self._folder, exist_ok=True)
            self._file = os.open(self._path(self.id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self._beat(first=True)

    def beat(self) -> None:
        """Renew it, when a third of its time is over; one that has lapsed is lost, even if nobody noticed."""
        if self.held and self._until - _now() < self.ttl * 2 / 3:
            self._beat()

    def _beat(self, *, first: bool = False) -> None:
        with self._lock:
            before = _now()
            with self._store.begin() as tx:
                tx.workers.beat(self.id, socket.gethostname(), self.ttl)
            # Only now is it known whether it still held when it was renewed: this thread may have been stopped.
            if not first and _now() >= self._until:
                self._lost = True
            else:
                self._until = before + self.ttl

    def drop(self) -> None:
        """Give it back, as far as that can be done: what this worker was at is free for others."""
        self._lost = True
        with suppress(LiftlockError), self._store.begin() as tx:
            tx.workers.drop(self.id)
        if self._file is not None:
            with suppress(OSError):
                os.unlink(self._path(self.id))
            os.close(self._file)
            self._file = None

    def dead(self, owners: Iterable[str]) -> set[str]:
        """Which of these workers will not do their work any more; raises `LiftlockError`."""
        with self._store.read() as tx:
            alive = tx.workers.alive()
        return {each for each in owners if each != self.id and (each not in alive or self._gone(each))}

    def bury(self) -> None:
        """Remove the leases of the dead; raises `LiftlockError`."""
        with self._store.read() as tx:
            lapsed = tx.workers.dead()
            gone = [each for each in tx.workers.alive() if each != self.id and self._gone(each)]
        if not lapsed and not gone:
            return
        with self._store.begin() as tx:
            for each in {*tx.workers.dead(), *gone} - {self.id}:
                tx.workers.drop(each)

    def _path(self, worker: str) -> str:
        assert self._folder is not None  # noqa: S101  # only asked for where there is one
        return os.path.join(self._folder, f"{worker}.worker")

    def _gone(self, worker: str) -> bool:
        """Whether the process of this worker has died: nobody holds its file, which is removed."""
        if self._folder is None:
            return False
        path = self._path(worker)
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            with suppress(OSError):
                os.unlink(path)
            return True
        finally:
            os.close(file)
