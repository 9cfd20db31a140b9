"""What one worker has at hand while it works: its workplace, its lease, and the means to stop what is under way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

from liftlock.engine.lease import Lease
from liftlock.engine.progress import Progress
from liftlock.engine.workplace import Workplace
from liftlock.errors import LiftlockError, StateUnavailable
from liftlock.transfer.events import Cancel

__all__ = ["Abandoned", "Shift"]

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = (0.1, 5.0)
"""Seconds between two tries of a transaction while the database is away: the first, and the longest."""


class Abandoned(BaseException):
    """This worker must not go on with what it does: it stops, or its lease is lost, and somebody else will.

    No `Exception`: what is abandoned has no outcome, and none may be written down.
    """


class Shift:
    """One worker at work, from the taking of its lease to its end."""

    def __init__(self, workplace: Workplace, lease: Lease) -> None:
        self.workplace = workplace
        self.lease = lease
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._under_way: dict[tuple[int, int], list[Cancel]] = {}
        self._progress: list[Progress] = []
        self._runs: list[str] = []
        self._idle = threading.Condition()

    @property
    def over(self) -> bool:
        """Whether nothing more may be begun."""
        return self._over.is_set() or not self.lease.held

    def own(self) -> None:
        """Raise `Abandoned` unless this worker still works, and its work is still its own: asked before each effect."""
        if self.over:
            raise Abandoned

    def boundary(self, name: str) -> None:
        """An effect of this name comes next, or has just been: only the owner of the work gets past this."""
        self.workplace.boundary(name)
        self.own()

    def end(self) -> None:
        """Stop everything that is under way; each piece of it ends as `Abandoned`."""
        self._over.set()
        with self._lock:
            cancels = [cancel for each in self._under_way.values() for cancel in each]
        for cancel in cancels:
            cancel.request()

    @contextmanager
    def working(self, promotion: int, attempt: int) -> Iterator[Cancel]:
        """While inside, a request to cancel the attempt, or the end of the shift, reaches what is returned."""
        key, cancel = (promotion, attempt), Cancel()
        with self._lock:
            self._under_way.setdefault(key, []).append(cancel)
        try:
            if key in self.patiently(lambda: self._canceled({key})):
                cancel.request()
            yield cancel
        finally:
            with self._lock:
                self._under_way[key].remove(cancel)
                if not self._under_way[key]:
                    del self._under_way[key]

    @contextmanager
    def watching(self, progress: Progress) -> Iterator[Progress]:
        """While inside, what is seen of a copy is written down every now and then; all of it, at the end."""
        with self._lock:
            self._progress.append(progress)
        try:
            yield progress
        finally:
            with self._lock:
                self._progress.remove(progress)
            if not self.over:
                with suppress(LiftlockError):  # watchers miss something then; the record is not here
                    progress.write(self.workplace.store, last=True)

    def watch(self) -> None:
        """One look at the requests to cancel, which closes the sockets of what they are about; and progress is told."""
        with self._lock:
            under_way = {key: tuple(cancels) for key, cancels in self._under_way.items()}
            progress = tuple(self._progress)
        if under_way:
            for key in self._canceled(under_way.keys()):
                for cancel in under_way.get(key, ()):
                    cancel.request()
        for each in progress:
            each.write(self.workplace.store)

    def _canceled(self, among: Collection[tuple[int, int]]) -> Sequence[tuple[int, int]]:
        with self.workplace.store.read() as tx:
            return tx.promotions.canceled({promotion for promotion, _ in among})

    @contextmanager
    def running(self, run: str) -> Iterator[None]:
        """While inside, the workflow of this id runs here; `drained` waits for its end."""
        with self._idle:
            self._runs.append(run)
        try:
            self.own()
            yield
        finally:
            with self._idle:
                self._runs.remove(run)
                self._idle.notify_all()

    @property
    def runs(self) -> frozenset[str]:
        """The workflows that run here now."""
        with self._idle:
            return frozenset(self._runs)

    def drained(self, seconds: float) -> bool:
        """Wait, at most this long, until no workflow runs here; whether that is so."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._runs, timeout=seconds)

    def rest(self, seconds: float) -> None:
        """Sleep, at most until the shift ends; raises `Abandoned` then."""
        self._over.wait(seconds)
        self.own()

    def patiently(self, work: Callable[[], T]) -> T:
        """A transaction, tried until the database is there, as long as this worker owns its work."""
        pause, longest = PATIENCE
        self.own()
        while True:
            try:
                return work()
            except StateUnavailable as error:
                log.warning("waiting for the database: %s", error)
            self.rest(pause)
            pause = min(pause * 2, longest)
