"""Due work, found in the tables and enqueued under names that make it run once, whoever finds it how often.

A run that ended although its row is still due has come to grief in a way that nobody foresaw (a full disk, say). It is
started anew, under the next name, after a pause that doubles. A look or a delivery is put off for that time: a sweep
finds only so many, and those that cannot be done here must not hide the others.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import NamedTuple

from liftlock.engine import decisions, setup
from liftlock.engine.setup import Queue
from liftlock.engine.shift import Shift
from liftlock.engine.workflows import DELIVER, LOOK, RUN_PROMOTION
from liftlock.errors import LiftlockError, StateUnavailable

__all__ = ["Sweep"]

log = logging.getLogger(__name__)

AGAIN = (1.0, 300.0)
"""Seconds until a run that came to grief is started anew: the first time, and at most."""

REMEMBERED = 5.0
"""Seconds for which what was enqueued is not looked up again."""


UNKEPT = 60.0
"""Seconds until schedules that could not be kept are looked at again."""


class _Due(NamedTuple):
    queue: Queue
    workflow: str
    name: str
    arguments: tuple[int, int]
    partition: str | None = None


class Sweep:
    """The sweep of one shift."""

    def __init__(self, shift: Shift) -> None:
        self._shift = shift
        self._enqueued: dict[str, float] = {}
        self._registered = False
        self._unkept_until = 0.0

    def __call__(self) -> int:
        """Enqueue what is due and not enqueued yet; how much is due. Raises `LiftlockError` without the database."""
        now = time.monotonic()
        self._try_schedules()
        self._enqueued = {name: at for name, at in self._enqueued.items() if now - at < REMEMBERED}
        found = self._found()
        for due in found:
            if due.name not in self._enqueued:
                self._enqueue(due)
                self._enqueued[due.name] = now
        return len(found)

    def due(self) -> int:
        """How much is due. Enqueues nothing, and needs no library."""
        self._try_schedules()
        return len(self._found())

    def _try_schedules(self) -> None:
        """Keep the schedules; what comes to grief there (a snapshot of a newer version, say) holds up nothing else."""
        if time.monotonic() < self._unkept_until:
            return
        try:
            self._keep_schedules()
        except StateUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the rest is still to be done
            self._unkept_until = time.monotonic() + UNKEPT
            said = error if isinstance(error, LiftlockError) else f"a mistake in liftlock: {type(error).__name__}"
            log.warning("schedules are not kept: %s", said)

    def _keep_schedules(self) -> None:
        """Ask for what the schedules of this worker's pipeline say; the first time, have them known."""
        store, pipeline = self._shift.workplace.store, self._shift.workplace.pipeline
        if pipeline is None:
            return
        if self._registered:
            with store.read() as tx:
                if pipeline.name not in {each.pipeline for each in tx.schedules.due()}:
                    return
        with store.begin() as tx:
            decisions.schedule_due(tx, pipeline, tx.now)
        self._registered = True

    def _found(self) -> list[_Due]:
        with self._shift.workplace.store.read() as tx:
            attempts = tx.promotions.under_way()
            looks = tx.promotions.due()
            notifications = tx.notifications.due()
        return [
            *(_Due("promotions", RUN_PROMOTION, f"promo:{one}:{attempt}", (one, attempt)) for one, attempt in attempts),
            *(_Due("looks", LOOK, f"look:{one}:{number}", (one, number), to) for one, number, to in looks),
            *(_Due("notify", DELIVER, f"notify:{one}:{tries}", (one, tries), to) for one, tries, to in notifications),
        ]

    def _enqueue(self, due: _Due) -> None:
        pause, longest = AGAIN
        for generation in range(1, 1_000_000):
            name = due.name if generation == 1 else f"{due.name}~{generation}"
            run = setup.run_of(name)
            if run is None:
                if generation > 1:
                    self._put_off(due, pause)
                setup.enqueue(due.queue, due.workflow, name, *due.arguments, partition=due.partition)
                return
            if not run.ended:
                return
            left = run.changed_at + pause - time.time()
            if left > 0:
                self._put_off(due, left)
                return
            pause = min(pause * 2, longest)

    def _put_off(self, due: _Due, seconds: float) -> None:
        if due.queue == "promotions":
            return
        with self._shift.workplace.store.begin() as tx:
            until = tx.now + dt.timedelta(seconds=seconds)
            if due.queue == "looks":
                tx.promotions.put_off(*due.arguments, until)
            else:
                tx.notifications.put_off(*due.arguments, until)
