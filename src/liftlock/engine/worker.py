"""A worker: finds due work, does it, and stands in for workers that died.

It works in threads of its caller's process: embedded, in a command that waits for its promotion, or as all that
``liftlock worker`` does. One works in a process at a time; any number of them may work on one database.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from liftlock.engine import setup
from liftlock.engine.lease import TTL, Lease
from liftlock.engine.reaper import Reaper
from liftlock.engine.setup import Queue
from liftlock.engine.shift import Shift
from liftlock.engine.sweep import Sweep
from liftlock.engine.workplace import Workplace
from liftlock.errors import Conflict, LiftlockError

__all__ = ["Worker"]

log = logging.getLogger(__name__)

SWEEP, IDLE_SWEEP = 0.2, 1.0
"""Seconds between two looks for due work: while the library runs, and while it does not."""

WATCH = 0.5
"""Seconds between two looks at the requests to cancel; with the closing of sockets, a cancel takes less than 2."""

REAP = 1.0
"""Seconds between two looks for workers that died, while something is under way: what they were at is."""

PURGE = 3600.0
"""Seconds between two looks for runs to forget."""

KEEP = dt.timedelta(days=30)
"""How long the library's account of a run is kept after its end; the ledger is the record."""

CALM = 10.0
"""Seconds without anything under way, after which the library is ended until there is. Its looking for work costs a
few hundredths of a core; a look at our tables, a tenth of that."""

LEAVE = 10.0
"""Seconds that what runs here has to notice that the shift is over."""

AGAIN = 1.0
"""Seconds until a loop that failed goes on."""

_PASSING = (LiftlockError, SQLAlchemyError, OSError)
"""What the loops outlive: a database that is away, a disk that is full."""

_one = threading.Lock()


class Worker:
    """Works from the beginning of the block to its end; raises `LiftlockError` when it cannot begin.

    ``ttl`` are the seconds after which others take over when nothing is heard of this worker; ``queues`` narrow what
    it does. When its lease was lost (it was stopped, or the database was away for long) it begins anew by itself.
    """

    def __init__(self, workplace: Workplace, *, queues: Sequence[Queue] | None = None, ttl: float = TTL) -> None:
        self._workplace = workplace
        self._queues = queues
        self._ttl = ttl
        self._stopping = threading.Event()
        self._poked = threading.Event()
        self._begun = threading.Event()
        self._failure: BaseException | None = None
        self._shift: Shift | None = None
        self._due: int | None = None
        self._purged = -PURGE
        self._threads: list[threading.Thread] = []

    @property
    def idle(self) -> bool:
        """Whether the last sweep found nothing to do, and nothing under way."""
        return self._due == 0

    def poke(self) -> None:
        """Look for due work now: something has just been decided."""
        self._poked.set()

    def run_until(self, done: Callable[[], bool], *, seconds: float | None = None) -> bool:
        """Work until this answers true (it is asked several times a second), or the time is over; whether it did."""
        deadline = None if seconds is None else time.monotonic() + seconds
        self.poke()
        while not done():
            if self._stopping.is_set() or (deadline is not None and time.monotonic() >= deadline):
                return False
            self._stopping.wait(SWEEP / 2)
        return True

    def stop(self) -> None:
        """End `run_until`, from any thread or signal handler; what is under way ends with the block."""
        self._stopping.set()

    def __enter__(self) -> Self:
        if not _one.acquire(blocking=False):
            raise Conflict("another worker works in this process", hint="there can be one at a time")
        for loop in (self._work, self._beat, self._watch):
            thread = threading.Thread(target=loop, name=f"worker{loop.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)
        self._begun.wait()
        if self._failure is not None:
            self._end()
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What this worker leaves is taken over at once: it gives its lease back."""
        self._end()

    def _end(self) -> None:
        self._stopping.set()
        self._poked.set()
        for thread in self._threads:
            thread.join()
        _one.release()

    # -- the loops, a thread each: none waits for what another does

    def _work(self) -> None:
        """Shift after shift, until the worker stops: the next one when the lease was lost."""
        while not self._stopping.is_set():
            try:
                with _shift(self._workplace, self._ttl) as shift:
                    self._shift = shift
                    while not self._over(shift):
                        self._toil(shift)
                        self._rest(shift)
            except BaseException as error:  # noqa: BLE001 - the first failure is raised where the worker was begun
                if not self._begun.is_set():
                    self._failure = error
                    self._begun.set()
                    return
                log.warning("the worker begins anew: %s", error)
                self._stopping.wait(AGAIN)
            finally:
                self._shift = None

    def _toil(self, shift: Shift) -> None:
        """With the library running: do what is due, until nothing has been for a while."""
        sweep, reaper = Sweep(shift), Reaper(shift)
        reaped, last = 0.0, time.monotonic()
        with _library(shift, self._queues):
            self._begun.set()
            while not self._over(shift) and (shift.runs or time.monotonic() - last < CALM):
                self._poked.clear()
                with _outliving(self._stopping):
                    if time.monotonic() - reaped >= REAP:
                        reaped = time.monotonic()
                        reaper()
                    self._due = sweep()
                    if self._due:
                        last = time.monotonic()
                self._poked.wait(SWEEP)
            if time.monotonic() - self._purged >= PURGE and not self._over(shift):
                with _outliving(self._stopping):
                    self._purged = time.monotonic()
                    setup.purge(dt.datetime.now(dt.UTC) - KEEP)

    def _rest(self, shift: Shift) -> None:
        """Without the library: until something is due."""
        sweep = Sweep(shift)
        while not self._over(shift):
            self._poked.clear()
            with _outliving(self._stopping):
                self._due = sweep.due()
                if self._due:
                    return
            self._poked.wait(IDLE_SWEEP)

    def _over(self, shift: Shift) -> bool:
        return self._stopping.is_set() or shift.over

    def _beat(self) -> None:
        while not self._stopping.wait(min(self._ttl / 6, 1.0)):
            if shift := self._shift:
                with _outliving(self._stopping, (Exception,)):  # whatever it is: a lease that nobody renews is lost
                    shift.lease.beat()
                if shift.lease.lost:
                    shift.end()
                    self._poked.set()

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH):
            if shift := self._shift:
                with _outliving(self._stopping, (Exception,)):  # and what nobody watches, nobody can cancel
                    shift.watch()


@contextmanager
def _outliving(stopping: threading.Event, kinds: tuple[type[Exception], ...] = _PASSING) -> Iterator[None]:
    try:
        yield
    except kinds as error:
        # What an error of others says may hold anything.
        log.warning("%s", error if isinstance(error, _PASSING) else f"a mistake in liftlock: {type(error).__name__}")
        stopping.wait(AGAIN)


@contextmanager
def _shift(workplace: Workplace, ttl: float) -> Iterator[Shift]:
    """A shift under a lease of its own."""
    lease = Lease(workplace.store, _folder(workplace.store.engine.url), ttl=ttl)
    shift = Shift(workplace, lease)
    try:
        lease.take()
        log.info("worker %s", lease.id)
        yield shift
    finally:
        lease.drop()


@contextmanager
def _library(shift: Shift, queues: Sequence[Queue] | None) -> Iterator[None]:
    """The durable library runs under the name of the shift's lease; what runs in it ends with the block."""
    from liftlock.engine.workflows import at_work

    with at_work(shift), setup.launched(shift.workplace.store.engine.url, shift.lease.id, queues):
        try:
            yield
        finally:
            if shift.runs:
                shift.end()
            if not shift.drained(LEAVE):
                log.warning("something that runs here does not end")


def _folder(url: URL) -> str | None:
    """Where workers on SQLite, which are all on one machine, keep the files that tell who is alive."""
    if url.get_backend_name() != "sqlite":
        return None
    return os.path.join(os.path.dirname(os.path.abspath(str(url.database))), "workers")
