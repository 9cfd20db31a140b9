"""What a decision leaves besides its row: an entry on the ledger, an event for watchers, notifications to deliver."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from liftlock.release.conditions import Condition, Facts
from liftlock.release.people import Actor
from liftlock.release.promotion import Promotion
from liftlock.release.release import Release
from liftlock.store.store import Transaction

__all__ = ["entered", "grounds", "shown", "tell"]


def entered(tx: Transaction, release: Release, promotion: Promotion, kind: str, by: Actor, **data: Any) -> None:
    """Write it on the ledger, with the digests of what it is about."""
    subject = {
        "promotion": promotion.id,
        "stage": promotion.stage,
        "release": str(release.id),
        "artifact": str(release.artifact.id),
        "images": {name: str(digest) for name, digest in release.artifact.digests.items()},
    }
    tx.ledger.append(promotion.pipeline, kind, by, {**subject, **data})


def shown(tx: Transaction, promotion: Promotion, unmet: Iterable[Condition] = ()) -> None:
    """Show the promotion's state to whoever watches it."""
    last = promotion.last
    data = {
        "state": promotion.state,
        "reason": (last.reason if last else "") or promotion.reason,
        "waitingFor": [each.reason for each in unmet],
    }
    tx.events.add(promotion.pipeline, promotion.id, last.number if last else None, "state", data)


def tell(
    tx: Transaction,
    release: Release,
    promotion: Promotion,
    occasion: str,
    *,
    attempt: int | None = None,
    required: bool | None = None,
) -> bool:
    """Note who has to be told of an occasion, each once (``required``: only those that must be, or need not be).

    Whether there is anybody.
    """
    found = False
    for position, rule in enumerate(release.pipeline.stage(promotion.stage).notify):
        if occasion in rule.on and required in (None, rule.required):
            tx.notifications.add(promotion.id, attempt, occasion, position)
            found = True
    return found


def grounds(facts: Facts, found: Iterable[Condition]) -> dict[str, Any]:
    """What a decision rests on, for the ledger: every condition as it was then, and what people said."""
    said: dict[str, Any] = {"conditions": [each.to_json() for each in found]}
    if facts.approvals:
        said["approvals"] = [
            {
                "by": each.by.person,
                "asserted": each.by.asserted,
                "approved": each.approved,
                "at": each.at.isoformat(),
                "binding": str(each.binding),
                "comment": each.comment,
            }
            for each in facts.approvals
        ]
    if facts.override:
        said["override"] = {
            "by": facts.override.by.person,
            "asserted": facts.override.by.asserted,
            "reason": facts.override.reason,
        }
    return said
