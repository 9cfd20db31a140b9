"""What people and triggers decide, a transaction at a time: pure rules in, rows, ledger, events and notifications out.

Nothing here has an effect on the world, and nothing here needs a worker: what follows from a decision is found as due
work in the tables (an attempt that is queued, a promotion to look at, a notification to deliver). Every function works
in the caller's transaction, alone on its pipeline, and what it changed is on the ledger before it returns.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from liftlock.engine.ending import ended, finish, makers, started, told, untold
from liftlock.engine.facts import facts, gathered, outlived, overtaken
from liftlock.engine.record import entered
from liftlock.engine.weighing import (
    advance,
    conclude,
    request,
    settle,
    step_aside,
    try_again,
    weigh,
)
from liftlock.errors import Conflict, NotFound, RefusedError, UsageError
from liftlock.release.conditions import approvers
from liftlock.release.people import Actor, Hold, binding
from liftlock.release.pipeline import Pipeline
from liftlock.release.promotion import Decision, Execution, Promotion
from liftlock.release.release import Release
from liftlock.release.rules import current, has_succeeded, unmet
from liftlock.release.ruling import decide
from liftlock.release.schedule import next_after
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
    "schedule_due",
    "started",
    "told",
    "unhold",
    "untold",
    "weigh",
]

PAGE = 50
"""Releases that are looked at together for a schedule; nearly always the first one goes."""


def approve(tx: Transaction, promotion: int, by: Actor, *, approved: bool, comment: str = "") -> Promotion:
    """A person's yes or no. A no of somebody who may approve ends it as refused.

    One whose time for approvals is over is returned as expired. Raises `RefusedError` for who may not approve this,
    `Conflict` when it was decided already or needs no approval.
    """
    found, release = _waiting(tx, promotion)
    rule = release.pipeline.stage(found.stage).approvals
    if rule is None:
        raise Conflict(f"stage {found.stage!r} asks for no approvals", hint=f"see: {_explain(release, found)}")
    mine = tx.promotions.of_release(release.id)
    before = gathered(tx, release, found.stage, found, mine=mine)
    if decide(before).decision is Decision.EXPIRED:
        return _settled(tx, release, found)
    allowed = approvers(before, rule)
    if by.person not in allowed:
        member = by.person in release.pipeline.members(rule.groups)
        raise RefusedError(
            f"{by.person} asked for this promotion, and somebody else has to approve it"
            if member
            else f"{by.person} may not approve promotions to {found.stage!r}",
            hint=f"{rule.count} of {' or '.join(rule.groups)}: {', '.join(sorted(allowed)) or 'nobody'}",
        )
    bound = binding(release, found.stage)
    tx.people.approve(promotion, by, bound, approved=approved, comment=comment)
    word = "approval.given" if approved else "approval.refused"
    entered(tx, release, found, word, by, binding=str(bound), comment=comment)
    return _settled(tx, release, found)


def override(tx: Transaction, promotion: int, by: Actor, reason: str) -> Promotion:
    """A person takes it on themselves that gates, approvals or a freeze do not hold.

    Raises `UsageError` without a reason, `RefusedError` for who may not, `Conflict` when it was decided already.
    """
    if not reason.strip():
        raise UsageError("an override needs a reason", hint="say why with --reason")
    found, release = _waiting(tx, promotion)
    groups = release.pipeline.stage(found.stage).override
    if by.person not in release.pipeline.members(groups):
        raise RefusedError(
            f"{by.person} may not override the conditions of {found.stage!r}",
            hint=f"members of {' or '.join(groups)} may" if groups else "the stage names no groups in override",
        )
    tx.people.override(promotion, by, reason)
    entered(tx, release, found, "override.given", by, reason=reason)
    return _settled(tx, release, found)


def hold(tx: Transaction, pipeline: Pipeline, stage: str, by: Actor, reason: str) -> Hold:
    """Stop a stage (empty: every stage); raises `NotFound` for an unknown one."""
    if stage:
        pipeline.stage(stage)
    tx.alone(pipeline.name)
    return _held(tx, pipeline, stage, by, reason)


def unhold(tx: Transaction, pipeline: Pipeline, stage: str, by: Actor) -> Sequence[Hold]:
    """Release what `hold` or a rollback set, and look at what waits; raises `NotFound` when nothing is held."""
    if stage:
        pipeline.stage(stage)
    tx.alone(pipeline.name)
    released = _released(tx, pipeline, stage, by)
    if not released:
        what = f"stage {stage!r}" if stage else f"pipeline {pipeline.name!r} as a whole"
        there = ", ".join(each.stage or "every stage" for each in tx.people.holds(pipeline.name))
        raise NotFound(f"{what} is not held", hint=f"held: {there}" if there else "")
    for name in [stage] if stage else [each.name for each in pipeline.stages]:
        advance(tx, pipeline.name, name)
    return released


def rollback(tx: Transaction, pipeline: Pipeline, stage: str, release: Release | None, *, by: Actor) -> Promotion:
    """Bring an earlier release back (None: the one that was there before the current one), and hold the stage.

    Raises `NotFound` for an unknown stage, `RefusedError` when there is none, or the named one never succeeded there or
    is there now.
    """
    pipeline.stage(stage)
    tx.alone(pipeline.name)
    here = tx.promotions.current(pipeline.name, stage)
    if release is None:
        earlier = tx.promotions.replaced(here) if here else None
        if earlier is None:
            raise RefusedError(
                f"there is nothing to roll {stage!r} back to: {'nothing was there before' if here else 'it is empty'}",
                hint="see: liftlock status",
            )
        release = tx.releases.get(earlier.release).release
    elif here is not None and here.release == release.id:
        raise RefusedError(f"release {release.name} is what {stage!r} holds now", hint="see: liftlock status")
    elif current(tx.promotions.of_release(release.id), stage) is None:
        raise RefusedError(
            f"release {release.name} was never in {stage!r}",
            hint=f"a rollback brings back what was there; else: liftlock promote {release.name} --to {stage}",
        )
    _released(tx, pipeline, stage, by, by_rollback=True)  # that of an earlier rollback says what is no more true
    _held(tx, pipeline, stage, by, f"rolled back to release {release.name}", by_rollback=True)
    return request(tx, release, stage, by=[by], rollback=True)


def published(tx: Transaction, release: Release, artifact: Published) -> list[Promotion]:
    """A new release of a published artifact: asks for it in every stage with the trigger ``on-publish``."""
    by = makers(artifact)
    return [
        request(tx, release, stage.name, by=by, trigger=Trigger.ON_PUBLISH)
        for stage in release.pipeline.stages
        if stage.trigger is Trigger.ON_PUBLISH
    ]


def schedule_due(tx: Transaction, pipeline: Pipeline, now: dt.datetime) -> list[Promotion]:
    """Ask for the newest release that may come, in each stage whose schedule has come up; and note when each comes up
    next. A schedule that is new, or was changed, comes up the next time.
    """
    tx.alone(pipeline.name)
    scheduled = {each.name: each.schedule for each in pipeline.stages if each.trigger is Trigger.SCHEDULE}
    tx.schedules.register(pipeline.name, {name: (text, next_after(text, now)) for name, text in scheduled.items()})
    asked = []
    for due in tx.schedules.of(pipeline.name):
        if due.next_at > now:
            continue
        tx.schedules.advance(due, next_after(due.text, now))
        release = _newest(tx, pipeline.name, due.stage)
        if release is not None:
            by = makers(tx.artifacts.get(release.artifact.id))
            asked.append(request(tx, release, due.stage, by=by, trigger=Trigger.SCHEDULE))
    return asked


def retry(tx: Transaction, promotion: int, by: Actor) -> Promotion:
    """A new attempt of a promotion that was admitted and did not succeed.

    Raises `Conflict` otherwise, while another promotion is under way in the stage, where another has come since, and
    when its approvals are too old.
    """
    found = tx.promotions.lock(promotion)
    if not found.over or found.last is None or found.last.execution is Execution.SUCCEEDED:
        raise Conflict(
            f"promotion {promotion} is {found.state}: there is nothing to try again",
            hint="what failed, errored or was canceled after it was admitted can be tried again",
        )
    release = tx.releases.get(found.release).release
    newest = tx.promotions.latest(found.release, found.stage)
    if newest is not None and newest.id != promotion:
        raise Conflict(
            f"release {release.name} was asked for anew since, by promotion {newest.id}", hint="see: liftlock status"
        )
    anew = f"ask for it anew: liftlock promote {release.name} --to {found.stage}"
    if (since := overtaken(tx, found)) is not None:
        there = tx.releases.get(since.release).release
        raise Conflict(
            f"release {there.name} has come to {found.stage!r} since: promotion {promotion} would take the stage back",
            hint=f"if that is meant, {anew}",
        )
    if outlived(tx, release, found):
        raise Conflict(f"the approvals of promotion {promotion} are too old to try it again", hint=anew)
    return try_again(tx, release, found, by)


def cancel(tx: Transaction, promotion: int, by: Actor) -> Promotion:
    """Take a request back, end an attempt that nobody works on, or ask whoever works on it to stop; raises `Conflict`
    when it is over."""
    found = tx.promotions.lock(promotion)
    if found.over:
        raise Conflict(f"promotion {promotion} is {found.state} already", hint="see: liftlock status")
    release = tx.releases.get(found.release).release
    running = found.unfinished
    if running is None:
        ended = conclude(tx, release, found, Decision.CANCELED, f"taken back by {by}", by=by)
        advance(tx, found.pipeline, found.stage)
        return ended
    if running.execution is Execution.QUEUED:
        return finish(tx, release, found, Execution.CANCELED, f"canceled by {by} before it began", by=by)
    if running.arrived_at is not None:
        return finish(tx, release, found, Execution.CANCELED, f"canceled by {by}; its tags are there", by=by)
    tx.promotions.cancel(promotion, by)
    entered(tx, release, found, "attempt.cancel-requested", by, attempt=running.number)
    return tx.promotions.get(promotion)


def _waiting(tx: Transaction, promotion: int) -> tuple[Promotion, Release]:
    found = tx.promotions.lock(promotion)
    if found.decision.made:
        raise Conflict(f"promotion {promotion} is {found.state} already", hint="see: liftlock status")
    return found, tx.releases.get(found.release).release


def _settled(tx: Transaction, release: Release, promotion: Promotion) -> Promotion:
    settled = settle(tx, release, promotion, news=True)
    step_aside(tx, settled)
    return settled


def _held(
    tx: Transaction, pipeline: Pipeline, stage: str, by: Actor, reason: str, *, by_rollback: bool = False
) -> Hold:
    made = tx.people.hold(pipeline.name, stage, by, reason, by_rollback=by_rollback)
    data = {"stage": stage, "hold": made.id, "reason": reason, "byRollback": by_rollback}
    tx.ledger.append(pipeline.name, "hold.set", by, data)
    return made


def _released(
    tx: Transaction, pipeline: Pipeline, stage: str, by: Actor, *, by_rollback: bool = False
) -> Sequence[Hold]:
    released = tx.people.unhold(pipeline.name, stage, by, by_rollback=by_rollback)
    for each in released:
        data = {"stage": stage, "hold": each.id, "reason": each.reason, "setBy": each.by.person}
        tx.ledger.append(pipeline.name, "hold.released", by, data)
    return released


def _newest(tx: Transaction, pipeline: str, stage: str) -> Release | None:
    """The newest release that may go to a stage, and is newer than what is there."""
    here = tx.promotions.current(pipeline, stage)
    page = tx.releases.page(pipeline, PAGE)
    while page:
        for created in page:
            release = created.release
            if here is not None and here.release == release.id:
                return None
            mine = tx.promotions.of_release(release.id)
            if any(each.name == stage for each in release.pipeline.stages) and not unmet(release, stage, mine):
                return None if has_succeeded(mine, release.id, stage) else release
        page = tx.releases.page(pipeline, PAGE, before=page[-1].release.id)
    return None


def _explain(release: Release, promotion: Promotion) -> str:
    return f"liftlock explain {release.name} --to {promotion.stage}"
