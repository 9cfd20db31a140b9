"""What the rules read, gathered from the tables: never more than one release's own history and one stage's queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from liftlock.release.conditions import Facts, conditions
from liftlock.release.promotion import Decision, Execution, Promotion
from liftlock.release.release import Release
from liftlock.store.store import Transaction

__all__ = ["facts", "gathered", "outlived", "overtaken", "to_try_again"]


def facts(
    tx: Transaction, release: Release, stage: str, *, rollback: bool = False, proven: frozenset[str] = frozenset()
) -> Facts:
    """Everything the rules, and the gates, read about a release and a stage now, with the promotion that a request
    would go on with where there is one: it is open, or would be tried again. Raises `NotFound` for an unknown stage.
    """
    mine = tx.promotions.of_release(release.id)
    asked = next((each for each in reversed(mine) if each.stage == stage and not each.over), None)
    asked = asked or to_try_again(tx, release, stage, mine, rollback=rollback)
    found = gathered(tx, release, stage, asked, mine=mine)
    return replace(
        found, rollback=rollback or found.rollback, proven=proven | found.proven, later=_later(tx, release, stage, mine)
    )


def gathered(
    tx: Transaction, release: Release, stage: str, promotion: Promotion | None, *, mine: Sequence[Promotion]
) -> Facts:
    """The same without what only gates ask for; ``mine`` is every promotion of the release."""
    rule = release.pipeline.stage(stage)
    pipeline = release.pipeline.name
    found = Facts(
        now=tx.now,
        release=release,
        stage=stage,
        mine=mine,
        others=tx.queues.rivals(release.id, pipeline, stage, rule.queue),
        holds=tx.people.holds(pipeline),
    )
    if promotion is None:
        return found
    return replace(
        found,
        promotion=promotion,
        rollback=promotion.rollback,
        proven=promotion.proven,
        approvals=tx.people.approvals(promotion.id) if rule.approvals else (),
        override=tx.people.overridden(promotion.id) if rule.override else None,
        sample=tx.samples.latest(promotion.id) if rule.gates else None,
    )


def to_try_again(
    tx: Transaction, release: Release, stage: str, mine: Sequence[Promotion], *, rollback: bool
) -> Promotion | None:
    """The promotion of which a request makes a new attempt: the newest, which was admitted, did not succeed, and could
    go right now. Its gates are asked again before the tags; and where it has its approvals, it outlives a freeze or a
    hold, so that nobody has to give theirs twice.
    """
    newest = next((each for each in reversed(mine) if each.stage == stage), None)
    if newest is None or newest.rollback is not rollback or newest.decision is not Decision.ADMITTED:
        return None
    if newest.unfinished is not None or newest.last is None or newest.last.execution is Execution.SUCCEEDED:
        return None
    if overtaken(tx, newest) is not None or outlived(tx, release, newest):
        return None
    passing = {"gate", "freeze", "hold"} if release.pipeline.stage(stage).approvals else {"gate"}
    found = conditions(gathered(tx, release, stage, newest, mine=mine))
    return newest if all(each.met for each in found if each.kind not in passing) else None


def overtaken(tx: Transaction, promotion: Promotion) -> Promotion | None:
    """What came to the stage after the newest attempt had ended: trying again would take the stage back."""
    here = tx.promotions.current(promotion.pipeline, promotion.stage)
    last = promotion.last
    if here is None or here.id == promotion.id or here.arrived is None or last is None:
        return None
    return here if (here.arrived.order or 0) > (last.order or 0) else None


def outlived(tx: Transaction, release: Release, promotion: Promotion) -> bool:
    """Whether its admission is older than what approvals may be of age in its stage: they are not good for ever."""
    rule = release.pipeline.stage(promotion.stage).approvals
    if rule is None or promotion.decided_at is None:
        return False
    return (tx.now - promotion.decided_at).total_seconds() >= rule.expires


def _later(
    tx: Transaction, release: Release, stage: str, mine: Sequence[Promotion]
) -> Mapping[str, Sequence[Promotion]]:
    rule = release.pipeline.stage(stage)
    if not rule.gates:
        return {}
    found: dict[str, Sequence[Promotion]] = {}
    for earlier in rule.after:
        orders = [each.arrived.order for each in mine if each.stage == earlier and each.arrived]
        known = [order for order in orders if order is not None]
        if known:
            since = tx.promotions.succeeded_since(release.pipeline.name, earlier, min(known))
            found[earlier] = [each for each in since if each.release != release.id]
    return found
