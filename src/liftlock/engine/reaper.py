"""Standing in for the dead: what a worker was at when it died, or lost its lease, goes back into its queue."""

from __future__ import annotations

import logging
import time

from liftlock.engine import setup
from liftlock.engine.shift import Shift

__all__ = ["Reaper"]

log = logging.getLogger(__name__)

MISSING = 10.0
"""Seconds after which a run that the library counts as this worker's own, and that does not run here, is put back."""


class Reaper:
    """The reaper of one shift. Several may be at work: each run is put back once."""

    def __init__(self, shift: Shift) -> None:
        self._shift = shift
        self._missing: dict[str, float] = {}

    def __call__(self) -> None:
        """One look; raises `LiftlockError` without the database."""
        lease = self._shift.lease
        runs = setup.pending()
        dead = lease.dead({run.owner for run in runs})
        for run in runs:
            self._shift.own()
            if (run.owner in dead or self._is_missing(run)) and setup.requeue(run):
                log.info("took over %s of %s", run.id, run.owner)
        self._missing = {name: since for name, since in self._missing.items() if name in {run.id for run in runs}}
        lease.bury()

    def _is_missing(self, run: setup.Run) -> bool:
        """Whether it is ours and does not run: its thread could not even write down how it failed (on a full disk)."""
        if run.owner != self._shift.lease.id or run.id in self._shift.runs:
            self._missing.pop(run.id, None)
            return False
        return time.monotonic() - self._missing.setdefault(run.id, time.monotonic()) > MISSING
