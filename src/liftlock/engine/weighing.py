"""Requests, and what becomes of them: admitted, parked with a reason, or ended; and who is next in a stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from liftlock.engine.facts import gathered, to_try_again
from liftlock.engine.record import entered, grounds, shown, tell
from liftlock.errors import RefusedError
from liftlock.release.conditions import Condition, Facts, Verdict, conditions
from liftlock.release.people import ENGINE, Actor
from liftlock.release.promotion import Decision, Promotion
from liftlock.release.release import Release
from liftlock.release.ruling import Ruling, decide, refusal, said
from liftlock.release.stage import Queue, Trigger
from liftlock.store.store import Transaction

__all__ = ["advance", "conclude", "request", "settle", "step_aside", "try_again", "weigh"]


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

    ``proven`` are earlier stages whose registries hold the release; they count where nothing is on record. Raises
    `NotFound` for an unknown stage, and `RefusedError` while a freeze or a hold keeps an approved one from being tried
    again. A request that the rules refuse (``after``, a full ``reject`` queue) is recorded as
    refused, and returned.
    """
    release.pipeline.stage(stage)
    tx.alone(release.pipeline.name)
    mine = tx.promotions.of_release(release.id)
    newest = next((each for each in reversed(mine) if each.stage == stage), None)
    replaced = None
    if newest is not None and not newest.over:
        if newest.decision.made:
            return newest
        if newest.rollback or not rollback:
            return settle(tx, release, newest)
        replaced = newest  # other rules hold for a rollback, and it does not wait for an approval of something else
    elif (again := to_try_again(tx, release, stage, mine, rollback=rollback)) is not None:
        stops = _stops(gathered(tx, release, stage, again, mine=mine))
        if not stops:
            return try_again(tx, release, again, by[0] if by else ENGINE)
        if trigger is Trigger.MANUAL and not rollback:
            raise RefusedError(
                f"release {release.name} may not go to {stage!r} now: {said(stops)}",
                hint="it keeps its approvals: the same command, once that is over",
            )
    made = tx.promotions.request(
        release, stage, requested_by=by or (ENGINE,), trigger=trigger, rollback=rollback, proven=proven
    )
    who = [{"person": each.person, "asserted": each.asserted} for each in made.requested_by]
    asked = {"trigger": trigger.value, "rollback": rollback, "requestedBy": who, "proven": sorted(proven)}
    automatic = trigger is not Trigger.MANUAL
    entered(tx, release, made, "promotion.requested", ENGINE if automatic else made.requested_by[0], **asked)
    if replaced is not None:
        conclude(tx, release, replaced, Decision.SUPERSEDED, f"promotion {made.id} rolls back to it", successor=made.id)
    facts = gathered(tx, release, stage, made, mine=[*mine, made])
    refused = refusal(facts)
    if refused is not None:
        return conclude(tx, release, made, Decision.REFUSED, refused.reason, grounds=(facts, conditions(facts)))
    return settle(tx, release, made, news=True)


def weigh(tx: Transaction, promotion: int, verdicts: Sequence[Verdict] | None = None) -> Promotion:
    """Look at a waiting promotion, with fresh answers of its gates where there are any: decide, or park it.

    One that was decided meanwhile is returned as it is.
    """
    found = tx.promotions.lock(promotion)
    if found.decision.made:
        return found
    weighed = settle(tx, tx.releases.get(found.release).release, found, verdicts)
    step_aside(tx, weighed)
    return weighed


def settle(
    tx: Transaction,
    release: Release,
    promotion: Promotion,
    verdicts: Sequence[Verdict] | None = None,
    *,
    news: bool = False,
) -> Promotion:
    """Decide about one that waits, or park it; ``news``: something happened to it that watchers should see."""
    mine = tx.promotions.of_release(release.id)
    facts = gathered(tx, release, promotion.stage, promotion, mine=mine)
    if verdicts is not None:
        before = _shape(conditions(facts))
        facts = _sampled(tx, facts, promotion, verdicts)
        news = news or _shape(conditions(facts)) != before
    ruling = decide(facts)
    if ruling.decision is Decision.ADMITTED:
        return _admit(tx, facts, promotion, ruling)
    if ruling.decision.made:
        return conclude(tx, release, promotion, ruling.decision, ruling.reason, grounds=(facts, ruling.conditions))
    tx.promotions.park(promotion.id, ruling.look_again, ready=ruling.ready)
    if news:
        shown(tx, promotion, ruling.unmet)
    _tell_of_waiting(tx, release, promotion, ruling)
    return promotion


def conclude(
    tx: Transaction,
    release: Release,
    promotion: Promotion,
    decision: Decision,
    reason: str,
    *,
    by: Actor = ENGINE,
    successor: int | None = None,
    grounds: tuple[Facts, Sequence[Condition]] | None = None,
) -> Promotion:
    """A waiting promotion comes to its end without being admitted."""
    ended = tx.promotions.decide(promotion.id, decision, reason, successor)
    data = {"reason": reason, **({"successor": successor} if successor else {}), **(_grounds(grounds))}
    entered(tx, release, ended, f"promotion.{decision.value}", by, **data)
    shown(tx, ended)
    if decision in (Decision.REFUSED, Decision.EXPIRED):  # who cancels it, or goes first, knows
        tell(tx, release, ended, "failure")
    return ended


def step_aside(tx: Transaction, promotion: Promotion) -> None:
    """Let the next one go where this one, just weighed, does not: others may have waited for it."""
    if promotion.decision is not Decision.ADMITTED and not tx.queues.is_ready(promotion.id):
        advance(tx, promotion.pipeline, promotion.stage)


def advance(tx: Transaction, pipeline: str, stage: str) -> None:
    """The stage may be free: weigh whoever is next, until one is admitted or has to wait for something else."""
    if tx.queues.busy(pipeline, stage):
        return
    weighed: set[int] = set()
    while (found := tx.queues.next(pipeline, stage)) is not None:
        promotion = tx.promotions.get(found)
        release = tx.releases.get(promotion.release).release
        if release.pipeline.stage(stage).queue is Queue.SUPERSEDE:
            promotion = tx.promotions.get(tx.queues.next(pipeline, stage, newest=True) or found)
            release = tx.releases.get(promotion.release).release
        if promotion.id in weighed:
            break
        weighed.add(promotion.id)
        if settle(tx, release, promotion).decision is Decision.ADMITTED:
            return
    tx.queues.wake(pipeline, stage)


def try_again(tx: Transaction, release: Release, promotion: Promotion, by: Actor) -> Promotion:
    """A new attempt of one that was admitted; raises `Conflict` while another is under way in the stage."""
    queued = tx.promotions.queue(promotion.id)
    entered(tx, release, queued, "attempt.queued", by, attempt=len(queued.attempts))
    shown(tx, queued)
    return queued


def _admit(tx: Transaction, facts: Facts, promotion: Promotion, ruling: Ruling) -> Promotion:
    release = facts.release
    admitted = tx.promotions.decide(promotion.id, Decision.ADMITTED, ruling.reason)
    data = {"reason": ruling.reason, **grounds(facts, ruling.conditions)}
    entered(tx, release, admitted, "promotion.admitted", ENGINE, **data)
    for other in ruling.supersedes:
        left = tx.promotions.get(other)
        reason = f"promotion {promotion.id} of release {release.name} went first"
        conclude(tx, tx.releases.get(left.release).release, left, Decision.SUPERSEDED, reason, successor=promotion.id)
    return try_again(tx, release, admitted, ENGINE)


def _sampled(tx: Transaction, facts: Facts, promotion: Promotion, verdicts: Sequence[Verdict]) -> Facts:
    return replace(facts, sample=tx.samples.add(promotion.id, verdicts))


def _stops(facts: Facts) -> tuple[Condition, ...]:
    """What keeps everybody out of the stage now."""
    return tuple(each for each in conditions(facts) if each.kind in ("freeze", "hold") and not each.met)


def _shape(found: Sequence[Condition]) -> list[tuple[str, str, str]]:
    return [(each.kind, each.name, each.outcome.value) for each in found]


def _grounds(given: tuple[Facts, Sequence[Condition]] | None) -> dict[str, object]:
    return grounds(*given) if given else {}


def _tell_of_waiting(tx: Transaction, release: Release, promotion: Promotion, ruling: Ruling) -> None:
    kinds = {each.kind for each in ruling.unmet}
    if "approvals" in kinds:
        tell(tx, release, promotion, "approval-needed")
    # What its gates are about to say may be that it need not wait at all.
    if kinds - {"approvals"} and not ruling.sample:
        tell(tx, release, promotion, "waiting")
