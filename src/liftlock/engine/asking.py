"""Asking gates, outside of any transaction, and what follows: a look at what waits, and the check before the tags."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from liftlock.engine import decisions
from liftlock.engine.attempts import Outcome, tried
from liftlock.engine.shift import Shift
from liftlock.errors import Cancelled, RefusedError
from liftlock.gates.base import Question
from liftlock.release.conditions import Facts, Sample, Verdict, conditions
from liftlock.release.ruling import decide
from liftlock.store.artifacts import Published
from liftlock.transfer.events import Cancel

__all__ = ["look", "recheck", "still"]

log = logging.getLogger(__name__)


def look(shift: Shift, promotion: int, looks: int) -> None:
    """Weigh a promotion that waits: ask its gates if they are due, and decide or park it.

    ``looks`` is how often it was weighed when this look became due: another look since has made this one needless.
    """
    shift.boundary("look")
    facts, published = shift.patiently(lambda: _facts(shift, promotion))
    if facts.promotion is None or facts.promotion.decision.made:
        return
    try:
        verdicts = _ask(shift, facts, published, lambda: shift.over) if decide(facts).sample else None
    except Cancelled:
        shift.own()  # no answer is no outcome: whoever takes over asks again
        raise
    shift.boundary("asked")

    def weigh() -> None:
        with shift.workplace.store.begin() as tx:
            tx.promotions.lock(promotion)
            if tx.promotions.looks(promotion) == looks:
                weighed = decisions.weigh(tx, promotion, verdicts)
                log.info("promotion %d of %s to %s: %s", promotion, facts.release.name, facts.stage, weighed.state)

    shift.patiently(weigh)
    shift.boundary("looked")


def recheck(shift: Shift, promotion: int, attempt: int) -> Outcome:
    """Ask for every condition once more, with fresh answers of all gates: ``failed`` when one does not hold now."""

    def checked(cancel: Cancel) -> dict[str, str]:
        shift.boundary("recheck")
        cancel.check()
        _require(shift, promotion, cancel)
        shift.boundary("rechecked")
        return {"worker": shift.lease.id}

    return tried(shift, promotion, attempt, checked)


def still(shift: Shift, promotion: int, attempt: int, asked: Outcome, cancel: Cancel) -> None:
    """Raise `RefusedError` when what `recheck` found does not hold any more, though no tag has begun to move.

    What this worker asked itself it asked just now. Another one may have died days ago.
    """
    if asked["data"].get("worker") == shift.lease.id:
        return
    with shift.workplace.store.read() as tx:
        begun = bool(tx.tag_moves.of(promotion, attempt))
    if not begun:
        _require(shift, promotion, cancel)


def _require(shift: Shift, promotion: int, cancel: Cancel) -> None:
    facts, published = _facts(shift, promotion)
    verdicts = _ask(shift, facts, published, lambda: cancel.requested or shift.over)
    asked = replace(facts, sample=Sample(at=facts.now, verdicts=tuple(verdicts)))
    unmet = [each for each in conditions(asked) if each.kind != "queue" and not each.met]
    if unmet:
        raise RefusedError("; ".join(each.reason for each in unmet))


def _facts(shift: Shift, promotion: int) -> tuple[Facts, Published]:
    """What the rules know of a promotion now, and of the artifact that it is about."""
    with shift.workplace.store.read() as tx:
        found = tx.promotions.get(promotion)
        release = tx.releases.get(found.release).release
        facts = decisions.facts(tx, release, found.stage, rollback=found.rollback)
        return facts, tx.artifacts.get(release.artifact.id)


def _ask(shift: Shift, facts: Facts, published: Published, stopped: Callable[[], bool]) -> Sequence[Verdict]:
    rules = facts.release.pipeline.stage(facts.stage).gates
    if not rules:
        return ()
    from liftlock.gates.ask import ask

    question = Question(
        release=facts.release,
        stage=facts.stage,
        now=facts.now,
        promotion=facts.promotion,
        mine=facts.mine,
        later=facts.later,
        author=published.author,
        publisher=published.published_by,
    )
    return ask(question, rules, replace(shift.workplace.tools, cancelled=stopped))
