"""What people and triggers decide, one transaction at a time: pure rules in, rows, ledger, events and notifications out.

Nothing here has an effect on the world, and nothing here needs a worker: what follows from a decision is found as due
work in the tables (an attempt that is queued, a promotion to look at, a notification to deliver). Every function works
in the caller's transaction, and what it changed is on the ledger before it returns.
"""

from __future__ import annotations

from collections.abc import Sequence

from liftlock.release.conditions import Facts, Verdict
from liftlock.release.people import Actor, Hold
from liftlock.release.pipeline import Pipeline
from liftlock.release.promotion import Execution, Promotion
from liftlock.release.release import Release
from liftlock.release.stage import Trigger
from liftlock.store.artifacts import Published
from liftlock.store.store import Transaction

__all__ = [
    "approve",
    "cancel",
    "ended",
    "facts",
    "hold",
    "override",
    "published",
    "request",
    "retry",
    "rollback",
    "unhold",
    "weigh",
]


def facts(
    tx: Transaction, release: Release, stage: str, *, rollback: bool = False, proven: frozenset[str] = frozenset()
) -> Facts:
    """Everything the rules read about a release and a stage now, with the open promotion where there is one."""
    raise NotImplementedError


def request(
    tx: Transaction,
    release: Release,
    stage: str,
    *,
    by: Sequence[Actor],
    trigger: Trigger = Trigger.MANUAL,
    rollback: bool = False,
    proven: frozenset[str] = frozenset(),
) -> Promotion:
    """A release shall go to a stage: the promotion that waits or is under way already, a new attempt of one that was
    admitted and did not succeed, or a new promotion, weighed at once.

    Raises `NotFound` for an unknown stage. A request that the rules refuse (``after``, a full ``reject`` queue) is
    recorded as refused, and returned.
    """
    raise NotImplementedError


def rollback(tx: Transaction, pipeline: Pipeline, stage: str, release: Release | None, *, by: Actor) -> Promotion:
    """Bring an earlier release back (None: the one that was there before the current one), and hold the stage.

    Raises `RefusedError` when there is none, or the named one never succeeded there.
    """
    raise NotImplementedError


def published(tx: Transaction, release: Release, artifact: Published) -> list[Promotion]:
    """A new release of a published artifact: asks for it in every stage with the trigger ``on-publish``."""
    raise NotImplementedError


def weigh(tx: Transaction, promotion: int, verdicts: Sequence[Verdict] | None = None) -> Promotion:
    """Look at a waiting promotion, with fresh answers of its gates where there are any: decide, or park it."""
    raise NotImplementedError


def approve(tx: Transaction, promotion: int, by: Actor, *, approved: bool, comment: str = "") -> Promotion:
    """A person's yes or no. A no of somebody who may approve ends it as refused.

    Raises `RefusedError` for who may not approve this, `Conflict` when it was decided already or needs no approval.
    """
    raise NotImplementedError


def override(tx: Transaction, promotion: int, by: Actor, reason: str) -> Promotion:
    """A person takes it on themselves that the conditions do not hold; raises as `approve`."""
    raise NotImplementedError


def hold(tx: Transaction, pipeline: Pipeline, stage: str, by: Actor, reason: str) -> Hold:
    """Stop a stage (empty: every stage)."""
    raise NotImplementedError


def unhold(tx: Transaction, pipeline: Pipeline, stage: str, by: Actor) -> Sequence[Hold]:
    """Release what `hold` or a rollback set, and look at what waits; raises `NotFound` when nothing is held."""
    raise NotImplementedError


def retry(tx: Transaction, promotion: int, by: Actor) -> Promotion:
    """A new attempt of a promotion that was admitted and did not succeed; raises `Conflict` otherwise."""
    raise NotImplementedError


def cancel(tx: Transaction, promotion: int, by: Actor) -> Promotion:
    """Take a request back, or ask whoever works on it to stop; raises `Conflict` when it is over."""
    raise NotImplementedError


def ended(tx: Transaction, promotion: int, execution: Execution, reason: str = "") -> Promotion:
    """The running attempt is over: recorded, told, and after a success the stages that follow by themselves are asked
    for (``on-success``)."""
    raise NotImplementedError
