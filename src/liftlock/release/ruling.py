"""What follows from the conditions: for a request, for a promotion that waits, for one that is about to move tags."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from liftlock.release.conditions import Condition, Facts, Outcome, conditions, fresh, next_sample, passed, words
from liftlock.release.durations import written
from liftlock.release.promotion import Decision, Promotion
from liftlock.release.stage import Queue, Stage

__all__ = ["Ruling", "decide", "refusal", "said"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What follows from the conditions for a promotion that waits."""

    decision: Decision
    """`WAITING` when it goes on waiting."""
    conditions: tuple[Condition, ...]
    """What it rests on."""
    reason: str = ""
    look_again: dt.datetime | None = None
    """When a look could decide something though nobody did anything; None: when somebody does."""
    sample: bool = False
    """Its gates have to be asked now, before anything else can be said."""
    ready: bool = False
    """Nothing is missing but its turn and an open stage."""
    supersedes: tuple[int, ...] = ()
    """The promotions that its admission supersedes."""

    @property
    def unmet(self) -> tuple[Condition, ...]:
        return tuple(each for each in self.conditions if not each.met)


def refusal(facts: Facts) -> Condition | None:
    """Why a request, just made or not made yet, is refused at once; None when it may wait for its conditions."""
    stage = facts.release.pipeline.stage(facts.stage)
    for each in conditions(facts):
        if each.kind == "after" and not each.met:
            return each
        if each.kind == "queue" and stage.queue is Queue.REJECT and facts.others and not facts.rollback:
            first = facts.others[0]
            doing = "is under way" if first.under_way else "waits"
            reason = f"promotion {first.id} of release {first.release.short} {doing} here, and one at a time is taken"
            return Condition(
                kind="queue",
                name="",
                outcome=Outcome.FAIL,
                reason=reason,
                clears_by=f"promotion {first.id}",
            )
    return None


def decide(facts: Facts) -> Ruling:
    """What becomes of a waiting promotion now. ``facts.promotion`` is there and waits."""
    stage = facts.release.pipeline.stage(facts.stage)
    promotion = facts.promotion
    if promotion is None:
        raise ValueError("there is no promotion to decide about")
    found = conditions(facts)
    unmet = frozenset(each.kind for each in found if not each.met)
    no = stage.approvals and next((each for each in words(facts, stage.approvals) if not each.approved), None)
    if no:
        comment = f": {no.comment}" if no.comment else ""
        return Ruling(decision=Decision.REFUSED, conditions=found, reason=f"{no.by.person} said no{comment}")
    if not unmet:
        by = f"overridden by {facts.override.by}: {facts.override.reason}" if facts.override else ""
        return Ruling(
            decision=Decision.ADMITTED, conditions=found, reason=by, supersedes=_superseded(facts, stage, promotion)
        )
    if late := _late(facts, stage, promotion, unmet):
        return Ruling(decision=Decision.EXPIRED, conditions=found, reason=late)
    sample = _sample_due(facts, stage, promotion, unmet)
    return Ruling(
        decision=Decision.WAITING,
        conditions=found,
        look_again=facts.now if sample else _look_again(facts, stage, promotion, found, unmet),
        sample=sample,
        ready=_own(facts, unmet) == frozenset(),
    )


def said(unmet: Sequence[Condition]) -> str:
    """What is not met, as one line."""
    return "; ".join(each.reason for each in unmet)


_TURN = frozenset({"freeze", "hold", "queue"})
"""What a promotion has no part in: it is the stage that is closed or taken."""


def _own(facts: Facts, unmet: frozenset[str]) -> frozenset[str]:
    """What the promotion itself still lacks. Gates that passed are asked once more when its turn has come."""
    return unmet - _TURN - ({"gate"} if passed(facts) else set())


def _sample_due(facts: Facts, stage: Stage, promotion: Promotion, unmet: frozenset[str]) -> bool:
    if "gate" not in unmet:
        return False
    return unmet == {"gate"} if passed(facts) else _sample_at(facts, stage, promotion) <= facts.now


def _sample_at(facts: Facts, stage: Stage, promotion: Promotion) -> dt.datetime:
    """When the gates are asked next: a last time when the time for them is over."""
    return min(next_sample(facts), promotion.requested_at + dt.timedelta(seconds=stage.sampling.timeout))


def _late(facts: Facts, stage: Stage, promotion: Promotion, unmet: frozenset[str]) -> str:
    """Why it has waited for too long; empty when it has not."""
    waited = (facts.now - promotion.requested_at).total_seconds()
    rule = stage.approvals
    if rule and "approvals" in unmet and waited >= rule.expires:
        return f"it did not get its approvals within {written(rule.expires)}"
    # Nothing expires on an old answer: the gates are asked a last time.
    if "gate" in unmet and waited >= stage.sampling.timeout and not passed(facts) and fresh(facts):
        return f"its gates did not pass within {written(stage.sampling.timeout)}"
    return ""


def _look_again(
    facts: Facts, stage: Stage, promotion: Promotion, found: Sequence[Condition], unmet: frozenset[str]
) -> dt.datetime | None:
    times = []
    if "gate" in unmet and not passed(facts):
        times.append(_sample_at(facts, stage, promotion))
    if "approvals" in unmet and stage.approvals:
        times.append(promotion.requested_at + dt.timedelta(seconds=stage.approvals.expires))
    if "freeze" in unmet and not _own(facts, unmet) and not unmet & {"hold", "queue"}:
        # While anything else is missing, the end of a freeze decides nothing.
        times.extend(each.clears_at for each in found if each.kind == "freeze" and each.clears_at)
    return min(times, default=None)


def _superseded(facts: Facts, stage: Stage, promotion: Promotion) -> tuple[int, ...]:
    """Those asked for earlier that could go now too, and those of older releases, which would take the stage back."""
    if stage.queue is not Queue.SUPERSEDE or facts.rollback:
        return ()
    return tuple(
        each.id for each in facts.others if not each.under_way and each.id < promotion.id and (each.ready or each.older)
    )
