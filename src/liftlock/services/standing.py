"""Where a promotion stands: what was decided, how far it is, and what it waits for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from liftlock.engine import decisions
from liftlock.release.conditions import Condition, conditions
from liftlock.release.promotion import Decision, Promotion
from liftlock.release.release import Release
from liftlock.store.store import Transaction

__all__ = ["Standing", "standing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One promotion, as of one moment."""

    release: Release
    promotion: Promotion
    conditions: tuple[Condition, ...] = ()
    """All of its stage's, while it waits; none once it is decided."""

    @property
    def unmet(self) -> tuple[Condition, ...]:
        """What it waits for."""
        return tuple(each for each in self.conditions if not each.met)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        promotion = self.promotion
        return {
            "release": self.release.id,
            "name": self.release.name,
            "stage": promotion.stage,
            "promotion": promotion.id,
            "decision": promotion.decision.value,
            "state": promotion.state,
            "reason": (promotion.last and promotion.last.reason) or promotion.reason,
            "rollback": promotion.rollback,
            "requestedBy": [str(each) for each in promotion.requested_by],
            "requestedAt": promotion.requested_at.isoformat(),
            "conditions": [each.to_json() for each in self.conditions],
        }


def standing(tx: Transaction, release: Release, promotion: Promotion) -> Standing:
    """What is to be told of a promotion now; ``tx`` may be the transaction that has just changed it."""
    found: tuple[Condition, ...] = ()
    if promotion.decision is Decision.WAITING:
        found = conditions(decisions.facts(tx, release, promotion.stage, rollback=promotion.rollback))
    return Standing(release=release, promotion=promotion, conditions=found)
