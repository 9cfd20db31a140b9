"""What has to hold before a release may enter a stage, and what follows from it.

`conditions` answers with every condition, met or not, who or what clears it, and when: what `explain` prints, and
what a page shows. `decide` draws the consequence. Both are functions of `Facts`, which somebody else has gathered; what
the facts do not say did not happen.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from liftlock.release.people import Approval, Hold, Override
from liftlock.release.promotion import Decision, Promotion
from liftlock.release.release import Release

__all__ = ["Condition", "Facts", "Outcome", "Ruling", "Sample", "Verdict", "conditions", "decide"]


class Outcome(enum.Enum):
    """What a condition says."""

    PASS = "pass"
    WAIT = "wait"
    """Not yet: time, a person or another look may clear it."""
    FAIL = "fail"
    """No, and waiting does not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one gate answered. An error while asking is a ``wait`` that says what went wrong: it never passes."""

    outcome: Outcome
    reason: str
    """One sentence, without secrets."""
    clears_at: dt.datetime | None = None
    """When it may pass, as far as that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """All gates of a stage, asked together."""

    at: dt.datetime
    verdicts: tuple[Verdict, ...]
    """In the order of the stage's gates."""

    @property
    def passed(self) -> bool:
        return all(verdict.outcome is Outcome.PASS for verdict in self.verdicts)


Kind = Literal["after", "gate", "approvals", "freeze", "hold", "queue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One line of `explain`."""

    kind: Kind
    name: str
    """Which one, where a stage has several: the gate's kind, the earlier stages, the hold's stage."""
    outcome: Outcome
    reason: str
    clears_by: str = ""
    """Who or what can clear it; empty when it is met."""
    clears_at: dt.datetime | None = None
    skipped: bool = False
    """It is not met, and need not be: an override, or the stage's rule for rollbacks."""

    @property
    def met(self) -> bool:
        return self.skipped or self.outcome is Outcome.PASS


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that the rules about one release and one stage read, as of one moment."""

    now: dt.datetime
    release: Release
    stage: str
    promotion: Promotion | None = None
    """The one that is decided about; None while nobody has asked (`explain` ahead of `promote`)."""
    rollback: bool = False
    mine: Sequence[Promotion] = ()
    """Every promotion of this release, in any stage."""
    others: Sequence[Promotion] = ()
    """Promotions of other releases into this stage that wait or are under way."""
    later: Mapping[str, Sequence[Promotion]] = field(default_factory=dict)
    """For each stage of ``after``: what other releases succeeded there after this one did (for soaks)."""
    proven: frozenset[str] = frozenset()
    """Stages whose registries hold exactly this release's digests; asked only where nothing is on record."""
    holds: Sequence[Hold] = ()
    approvals: Sequence[Approval] = ()
    override: Override | None = None
    sample: Sample | None = None
    """The newest; None when the gates were not asked yet."""
    ready: Sequence[int] = ()
    """Of ``others``, the waiting ones for which nothing but the queue is left (for the queue's order)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What follows from the conditions for a promotion that waits."""

    decision: Decision
    """`WAITING` when it goes on waiting."""
    reason: str = ""
    look_again: dt.datetime | None = None
    """When it makes sense to look again though nobody did anything; None: when somebody does."""
    sample: bool = False
    """Its gates have to be asked before anything else can be said."""
    supersedes: tuple[int, ...] = ()
    """The promotions that its admission supersedes."""
    conditions: tuple[Condition, ...] = ()


def conditions(facts: Facts) -> tuple[Condition, ...]:
    """Every condition of the stage, in the order: after, gates, approvals, freeze, hold, queue."""
    raise NotImplementedError(facts)


def decide(facts: Facts) -> Ruling:
    """What becomes of a waiting promotion now. ``facts.promotion`` is there and waits."""
    raise NotImplementedError(facts)
