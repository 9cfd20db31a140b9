"""Which artifacts must be kept: those that a stage runs, may roll back to, or waits for, and the young ones.

As `liftlock.release.rules`, a function of the history; what that does not hold is kept by nothing but its age.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from liftlock.oci.digest import Digest
from liftlock.release.promotion import Decision, Promotion

__all__ = ["LAST", "needed_releases"]

LAST = 10
"""How many earlier releases of each stage are kept, unless somebody says otherwise."""


def needed_releases(history: Sequence[Promotion], last: int = LAST) -> Mapping[Digest, str]:
    """The releases of a pipeline that must stay deployable, each with the reason, as people read it.

    For each stage these are what it holds now, what a rollback that names no release would bring back, and the
    ``last`` other releases that were there latest; besides, whatever waits for a stage or is under way to one.
    """
    found: dict[Digest, str] = {}
    for stage in dict.fromkeys(promotion.stage for promotion in history):
        arrivals = _arrivals(each for each in history if each.stage == stage)
        for number, promotion in enumerate(_distinct(arrivals)[: last + 1]):
            found.setdefault(promotion.release, f"{stage} may go back to it" if number else f"{stage} holds it")
        if (back := _replaced(arrivals)) is not None:
            found.setdefault(back, f"{stage} may go back to it")
    for promotion in history:
        if promotion.decision is Decision.WAITING:
            found.setdefault(promotion.release, f"it waits for {promotion.stage}")
        elif promotion.unfinished is not None:
            found.setdefault(promotion.release, f"it is under way to {promotion.stage}")
    return found


def _arrivals(history: Iterable[Promotion]) -> list[Promotion]:
    """What came to one stage, the latest first."""
    return sorted((each for each in history if each.arrived), key=_order, reverse=True)


def _distinct(arrivals: Sequence[Promotion]) -> list[Promotion]:
    """The latest arrival of each release."""
    first: dict[Digest, Promotion] = {}
    for promotion in arrivals:
        first.setdefault(promotion.release, promotion)
    return list(first.values())


def _replaced(arrivals: Sequence[Promotion]) -> Digest | None:
    """What was there before the current release came; after a rollback, before that came the first time.

    The same that `liftlock.store.promotions.Promotions.replaced` asks the database for.
    """
    if not arrivals:
        return None
    current = arrivals[0]
    came = _order(current)
    if current.rollback:
        first = [_order(each) for each in arrivals if each.release == current.release and not each.rollback]
        came = max((order for order in first if order < came), default=came)
    return next((each.release for each in arrivals if each.release != current.release and _order(each) < came), None)


def _order(promotion: Promotion) -> int:
    arrived = promotion.arrived
    return arrived.order or 0 if arrived else 0
