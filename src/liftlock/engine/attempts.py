"""One attempt, step by step: it begins, each step is tried until it succeeded or cannot, and it ends with an outcome.

Every step may be done again, by another worker, from its beginning. What a step returns is kept: it is plain JSON.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NotRequired, TypedDict

from liftlock.engine import decisions
from liftlock.engine.copying import homes
from liftlock.engine.shift import Shift
from liftlock.errors import Cancelled, LiftlockError, RefusedError, StateUnavailable
from liftlock.release.promotion import Execution, Promotion
from liftlock.store.store import Transaction
from liftlock.transfer.events import Cancel

__all__ = ["Outcome", "begin", "canceled", "end", "first_bad", "summed", "tried"]

log = logging.getLogger(__name__)

PAUSES = (1.0, 5.0, 20.0, 60.0)
"""Seconds before each further try of a step that failed for a passing reason; requests were tried again before that."""

CANCELED = "canceled on request"


class Outcome(TypedDict):
    """How a step went."""

    execution: str
    """A value of `Execution`: ``succeeded``, or what becomes of the attempt."""
    reason: str
    data: dict[str, Any]
    """What it did, for programs."""
    error: NotRequired[dict[str, str]]
    """``code`` and ``hint`` of what ended it (`liftlock.errors`)."""


def begin(shift: Shift, promotion: int, attempt: int) -> list[str] | None:
    """Work on an attempt begins, or goes on: the homes that it brings content to; None when it has ended already."""

    def started() -> list[str] | None:
        with shift.workplace.store.begin() as tx:
            found = tx.promotions.lock(promotion)
            if _is_done(found, attempt):
                return None
            release = tx.releases.get(found.release).release
            begins = found.attempts[attempt - 1].execution is Execution.QUEUED
            if begins:
                decisions.started(tx, promotion)
            log.info(
                "promotion %d of %s to %s: %s", promotion, release.name, found.stage, "begins" if begins else "goes on"
            )
            return homes(release, found.stage)

    shift.boundary("begin")
    answer = shift.patiently(started)
    shift.boundary("begun")
    return answer


def tried(shift: Shift, promotion: int, attempt: int, work: Callable[[Cancel], dict[str, Any]]) -> Outcome:
    """One step of an attempt: done again while it fails for a passing reason, and its outcome when it does not.

    A request to cancel, and the end of the shift, reach ``work`` through its argument, and wake it between two tries.
    """
    with shift.working(promotion, attempt) as cancel:
        try:
            return Outcome(execution="succeeded", reason="", data=_repeated(shift, cancel, work))
        except Cancelled:
            shift.own()
            return canceled()
        except RefusedError as error:
            return _failed(Execution.FAILED, error)
        except LiftlockError as error:
            shift.own()  # whose sockets are closed under it fails in many ways, none of which is an outcome
            return _failed(Execution.ERRORED, error)
        except Exception as error:
            shift.own()
            log.exception("promotion %d, attempt %d", promotion, attempt)
            # What it says may hold anything, a secret too.
            reason = f"this is a mistake in liftlock: {type(error).__name__}"
            return Outcome(execution=Execution.ERRORED.value, reason=reason, data={})


def canceled() -> Outcome:
    """The outcome of a step that somebody did not want any more."""
    return Outcome(execution=Execution.CANCELED.value, reason=CANCELED, data={})


def _failed(execution: Execution, error: LiftlockError) -> Outcome:
    told = {"code": error.code, "hint": error.hint}
    return Outcome(execution=execution.value, reason=str(error), data={}, error=told)


def _repeated(shift: Shift, cancel: Cancel, work: Callable[[Cancel], dict[str, Any]]) -> dict[str, Any]:
    pauses = list(PAUSES)
    while True:
        shift.own()
        cancel.check()
        try:
            return work(cancel)
        except StateUnavailable as error:
            log.warning("waiting for the database: %s", error)
            cancel.wait(PAUSES[0])
        except LiftlockError as error:
            if not error.temporary or not pauses:
                raise
            log.warning("tried again: %s", error)
            cancel.wait(pauses.pop(0))


def first_bad(outcomes: Sequence[Outcome]) -> Outcome | None:
    """What becomes of an attempt because of these steps: that somebody canceled it counts first."""
    bad = [each for each in outcomes if each["execution"] != Execution.SUCCEEDED.value]
    return next((each for each in bad if each["execution"] == Execution.CANCELED.value), bad[0] if bad else None)


def summed(outcomes: Sequence[Outcome]) -> Outcome:
    """The last outcome, with what all of them did: counts and bytes added, tags and notes one after the other."""
    last = outcomes[-1]
    data = _sum([each["data"] for each in outcomes])
    if "error" in last:
        data["error"] = last["error"]
    return Outcome(execution=last["execution"], reason=last["reason"], data=data)


def _sum(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            if key not in total:
                total[key] = value
            else:
                total[key] = _sum([total[key], value]) if isinstance(value, dict) else total[key] + value
    return total


def end(shift: Shift, promotion: int, attempt: int, outcome: Outcome) -> None:
    """The attempt ends so, unless it has ended before."""

    def ended() -> None:
        with shift.workplace.store.begin() as tx:
            _end(tx, promotion, attempt, outcome)

    shift.boundary("end")
    shift.patiently(ended)
    shift.boundary("ended")


def _end(tx: Transaction, promotion: int, attempt: int, outcome: Outcome) -> None:
    found = tx.promotions.lock(promotion)
    if _is_done(found, attempt):
        return
    if outcome["data"]:
        tx.events.add(found.pipeline, promotion, attempt, "result", outcome["data"])
    reason = outcome["reason"]
    if reason == CANCELED and (by := tx.promotions.canceled_by(promotion)):
        reason = f"canceled by {by}"
    decisions.ended(tx, promotion, Execution(outcome["execution"]), reason)
    told = f": {reason}" if reason else ""
    log.info("promotion %d to %s: %s%s", promotion, found.stage, outcome["execution"], told)


def _is_done(promotion: Promotion, attempt: int) -> bool:
    """Whether there is nothing left to do for an attempt: it has ended, or waits for those who must be told of it."""
    found = promotion.attempts[attempt - 1]
    return found.execution.ended or found.arrived_at is not None
