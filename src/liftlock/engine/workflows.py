"""What runs durably: an attempt, the copy of its content to one home, a look at what waits, a delivery.

Each is a few steps whose results are kept; a worker that dies leaves the rest to another, which replays the kept ones.
An edit of a body is seen by what runs already: steps may be appended, anything else goes behind ``DBOS.patch``; a test
replays a history. Nothing is caught here: what escapes a step is no outcome, and the sweep starts the work anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from dbos import DBOS

from liftlock.engine import asking, attempts, copying, setup, telling
from liftlock.engine.attempts import Outcome
from liftlock.engine.shift import Abandoned, Shift
from liftlock.transfer.events import Cancel

__all__ = ["COPY_CONTENT", "DELIVER", "LOOK", "RUN_PROMOTION", "at_work"]

COPY_CONTENT = "copy_content"
DELIVER = "deliver"
LOOK = "look"
RUN_PROMOTION = "run_promotion"

WAITING = 0.1
"""Seconds between two looks of an attempt at its copies."""

_shifts: list[Shift] = []


@contextmanager
def at_work(shift: Shift) -> Iterator[None]:
    """What starts in this process during the block is done in this shift."""
    _shifts.append(shift)
    try:
        yield
    finally:
        _shifts.remove(shift)


@contextmanager
def _running() -> Iterator[Shift]:
    if not _shifts:
        raise Abandoned
    with _shifts[-1].running(cast(str, DBOS.workflow_id)):
        yield _shifts[-1]


@DBOS.workflow(name=RUN_PROMOTION, max_recovery_attempts=None)
def run_promotion(promotion: int, attempt: int) -> None:
    """Carry out one attempt: content to each home, the conditions once more, the tags, the end."""
    with _running() as shift:
        homes = DBOS.run_step({"name": "begin"}, attempts.begin, shift, promotion, attempt)
        if homes is None:
            return
        copies = [_copy(promotion, attempt, number, home) for number, home in enumerate(homes)]
        outcomes = DBOS.run_step({"name": "copies"}, _gathered, shift, promotion, attempt, copies)
        outcome = attempts.first_bad(outcomes)
        if outcome is None:
            asked = DBOS.run_step({"name": "recheck"}, asking.recheck, shift, promotion, attempt)
            outcome = attempts.first_bad([asked])
            outcome = outcome or DBOS.run_step({"name": "tags"}, _move, shift, promotion, attempt, asked)
        total = attempts.summed([*outcomes, outcome])
        DBOS.run_step({"name": "end"}, attempts.end, shift, promotion, attempt, total)


@DBOS.workflow(name=COPY_CONTENT, max_recovery_attempts=None)
def copy_content(promotion: int, attempt: int, home: str) -> Outcome:
    """Bring the content of an attempt to one home."""
    with _running() as shift:
        return DBOS.run_step({"name": "content"}, _bring, shift, promotion, attempt, home)


@DBOS.workflow(name=LOOK, max_recovery_attempts=None)
def look(promotion: int, looks: int) -> None:
    """Weigh a promotion that waits, with fresh answers of its gates where they are due."""
    with _running() as shift:
        DBOS.run_step({"name": "look"}, asking.look, shift, promotion, looks)


@DBOS.workflow(name=DELIVER, max_recovery_attempts=None)
def deliver(notification: int, tries: int) -> None:
    """Try to deliver a notification once."""
    with _running() as shift:
        DBOS.run_step({"name": "deliver"}, telling.deliver, shift, notification, tries)


def _copy(promotion: int, attempt: int, number: int, home: str) -> str:
    # The parent's id is part of it: an attempt that is started anew gets copies that are, too.
    run_id = f"copy:{cast(str, DBOS.workflow_id).partition(':')[2]}:{number}"
    setup.enqueue("copy", COPY_CONTENT, run_id, promotion, attempt, home, partition=home)
    return run_id


def _gathered(shift: Shift, promotion: int, attempt: int, copies: Sequence[str]) -> list[Outcome]:
    """How the copies went, when all have ended. No wait of the library's: that one cannot be stopped.

    Who cancels need not wait for a copy that has not begun.
    """
    with shift.working(promotion, attempt) as cancel:
        while True:
            runs = [run for run in map(setup.run_of, copies) if run is not None]
            left = [run for run in runs if not run.ended]
            if not left:
                return [_outcome(run) for run in runs]
            if cancel.requested and not any(run.owner for run in left):
                return [attempts.canceled()]
            shift.rest(WAITING)


def _outcome(run: setup.Run) -> Outcome:
    if run.output is None:
        raise RuntimeError(f"{run.id} ended without an outcome")
    return cast(Outcome, run.output)


def _bring(shift: Shift, promotion: int, attempt: int, home: str) -> Outcome:
    return attempts.tried(
        shift, promotion, attempt, lambda cancel: copying.bring(shift, promotion, attempt, home, cancel)
    )


def _move(shift: Shift, promotion: int, attempt: int, asked: Outcome) -> Outcome:
    def moved(cancel: Cancel) -> dict[str, Any]:
        asking.still(shift, promotion, attempt, asked, cancel)
        return copying.move(shift, promotion, attempt, cancel)

    return attempts.tried(shift, promotion, attempt, moved)
