"""What the rules read, gathered from the tables: never more than one release's own history and one stage's queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from liftlock.release.conditions import Facts
from liftlock.release.promotion import Promotion
from liftlock.release.release import Release
from liftlock.store.store import Transaction

__all__ = ["facts", "gathered"]


def facts(
    tx: Transaction, release: Release, stage: str, *, rollback: bool = False, proven: frozenset[str] = frozenset()
) -> Facts:
    """Everything the rules, and the gates, read about a release and a stage now, with the open promotion where there
    is one; raises `NotFound` for an unknown stage.
    """
    mine = tx.promotions.of_release(release.id)
    asked = next((each for each in reversed(mine) if each.stage == stage and not each.over), None)
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
