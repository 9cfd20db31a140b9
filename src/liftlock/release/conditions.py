"""What has to hold before a release may enter a stage.

`conditions` answers with every condition, met or not, who or what clears it, and when: what `explain` prints, and
what a page shows. `liftlock.release.ruling` draws the consequence. Both are functions of `Facts`, which somebody else
has gathered; what the facts do not say did not happen.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from liftlock.oci.digest import Digest
from liftlock.release import freeze
from liftlock.release.durations import written
from liftlock.release.people import Approval, Hold, Override, binding
from liftlock.release.promotion import Promotion
from liftlock.release.release import Release
from liftlock.release.rules import unmet
from liftlock.release.stage import ApprovalRule, GateRule, Queue, Stage

__all__ = [
    "Condition",
    "Facts",
    "Kind",
    "Outcome",
    "Rival",
    "Sample",
    "Verdict",
    "approvers",
    "conditions",
    "fresh",
    "next_sample",
    "passed",
    "words",
]


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

    def to_json(self) -> dict[str, Any]:
        """For programs, and the ledger; times are RFC 3339, UTC."""
        return {
            "kind": self.kind,
            "name": self.name,
            "outcome": self.outcome.value,
            "met": self.met,
            "skipped": self.skipped,
            "reason": self.reason,
            "clearsBy": self.clears_by,
            "clearsAt": self.clears_at.astimezone(dt.UTC).isoformat() if self.clears_at else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Another promotion into the same stage, which waits or is under way."""

    id: int
    release: Digest
    under_way: bool = False
    """It has the stage; else it waits."""
    ready: bool = False
    """When it was last looked at, nothing was missing but its turn and an open stage."""
    older: bool = False
    """Its release was made before the one that is decided about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that the rules about one release and one stage read, as of one moment."""

    now: dt.datetime
    release: Release
    stage: str
    promotion: Promotion | None = None
    """The one that is decided about, or would be tried again; None while there is none (`explain` before `promote`)."""
    rollback: bool = False
    mine: Sequence[Promotion] = ()
    """Every promotion of this release, in any stage."""
    others: Sequence[Rival] = ()
    """Promotions of other releases into this stage that wait or are under way, in the order they were asked for; those
    that the stage's queue looks at are enough."""
    later: Mapping[str, Sequence[Promotion]] = field(default_factory=dict)
    """For each stage of ``after``: what other releases succeeded there after this one did (for soaks)."""
    proven: frozenset[str] = frozenset()
    """Stages whose registries hold exactly this release's digests; counts only where nothing is on record."""
    holds: Sequence[Hold] = ()
    approvals: Sequence[Approval] = ()
    override: Override | None = None
    sample: Sample | None = None
    """The newest; None when the gates were not asked yet."""


def conditions(facts: Facts) -> tuple[Condition, ...]:
    """Every condition of the stage, in the order: after, gates, approvals, freeze, hold, queue."""
    stage = facts.release.pipeline.stage(facts.stage)
    found = [
        *_after(facts, stage),
        *_gates(facts, stage),
        *_approvals(facts, stage),
        *_freeze(facts, stage),
        *_holds(facts, stage),
    ]
    return (*found, _queue(facts, stage, past_stops=any(each.skipped and each.kind in _STOPS for each in found)))


_STOPS = ("freeze", "hold")
"""What keeps everybody out of a stage, whatever they have met themselves."""

_OVERRIDABLE = ("gate", "approvals", "freeze")


def _waived(facts: Facts, stage: Stage, condition: Condition) -> Condition:
    """The condition, skipped where it is not met and need not be."""
    if condition.met:
        return condition
    overridden = facts.override is not None and condition.kind in _OVERRIDABLE
    name = condition.name if condition.kind == "gate" else condition.kind
    if overridden or (facts.rollback and name in stage.rollback_without):
        return replace(condition, skipped=True)
    return condition


# after


def _after(facts: Facts, stage: Stage) -> Iterator[Condition]:
    if not stage.after:
        return
    name = " or ".join(stage.after) if stage.after_any else " and ".join(stage.after)
    missing = unmet(facts.release, facts.stage, facts.mine, proven=facts.proven)
    if not missing:
        yield Condition(kind="after", name=name, outcome=Outcome.PASS, reason=f"it has succeeded in {name}")
        return
    step = missing[0]
    while before := unmet(facts.release, step, facts.mine, proven=facts.proven):
        step = before[0]
    listed = (" or " if stage.after_any else " and ").join(missing)
    yield Condition(
        kind="after",
        name=name,
        outcome=Outcome.WAIT,
        reason=f"it has not succeeded in {listed}",
        clears_by=f"liftlock promote {facts.release.name} --to {step}",
        # It has been in this very stage: what the earlier ones are like today must not keep it from coming back.
        skipped=facts.rollback,
    )


# gates


def passed(facts: Facts) -> bool:
    """Whether every gate that counts passed in the newest sample, however old that is."""
    stage = facts.release.pipeline.stage(facts.stage)
    verdicts = _verdicts(facts, stage)
    return verdicts is not None and all(
        verdict.outcome is Outcome.PASS or (facts.rollback and gate.kind in stage.rollback_without)
        for gate, verdict in zip(stage.gates, verdicts, strict=True)
    )


def fresh(facts: Facts) -> bool:
    """Whether the newest sample is young enough to rest a decision on."""
    every = dt.timedelta(seconds=facts.release.pipeline.stage(facts.stage).sampling.every)
    return facts.sample is not None and facts.now - facts.sample.at <= every


def next_sample(facts: Facts) -> dt.datetime:
    """When the gates are asked next, while they have not passed; for a promotion that waits."""
    sampling = facts.release.pipeline.stage(facts.stage).sampling
    if facts.sample is None:
        asked = facts.promotion.requested_at if facts.promotion else facts.now
        return asked + dt.timedelta(seconds=sampling.delay)
    unclear = [verdict for verdict in facts.sample.verdicts if verdict.outcome is not Outcome.PASS]
    # As long as one gate says that it will not pass, asking is of no use; one that does not say is asked now and then.
    known = [verdict.clears_at for verdict in unclear if verdict.clears_at and verdict.clears_at > facts.sample.at]
    return max(known) if known else facts.sample.at + dt.timedelta(seconds=sampling.every)


def _gates(facts: Facts, stage: Stage) -> Iterator[Condition]:
    verdicts = _verdicts(facts, stage)
    for position, gate in enumerate(stage.gates):
        verdict = verdicts[position] if verdicts else None
        yield _waived(facts, stage, _gate(facts, stage, gate, verdict))


def _gate(facts: Facts, stage: Stage, gate: GateRule, verdict: Verdict | None) -> Condition:
    if verdict is None:
        return Condition(
            kind="gate",
            name=gate.kind,
            outcome=Outcome.WAIT,
            reason="it has not been asked yet",
            clears_by="the gate's answer",
            clears_at=next_sample(facts) if stage.sampling.delay else None,
        )
    outcome, reason = verdict.outcome, verdict.reason
    if outcome is Outcome.PASS and not fresh(facts):
        age = written((facts.now - facts.sample.at).total_seconds()) if facts.sample else ""
        outcome, reason = Outcome.WAIT, f"{reason} ({age} ago; it is asked again when the rest is there)"
    if outcome is Outcome.PASS:
        return Condition(kind="gate", name=gate.kind, outcome=outcome, reason=reason)
    return Condition(
        kind="gate",
        name=gate.kind,
        outcome=outcome,
        reason=reason,
        clears_by="time" if verdict.clears_at else "the gate's next answer",
        clears_at=verdict.clears_at,
    )


def _verdicts(facts: Facts, stage: Stage) -> tuple[Verdict, ...] | None:
    verdicts = facts.sample.verdicts if facts.sample else ()
    return verdicts if len(verdicts) == len(stage.gates) else None


# approvals


def approvers(facts: Facts, rule: ApprovalRule) -> frozenset[str]:
    """Who may approve this promotion."""
    members = facts.release.pipeline.members(rule.groups)
    if rule.requester_may_approve or facts.promotion is None:
        return members
    return members - {one.person for one in facts.promotion.requested_by}


def words(facts: Facts, rule: ApprovalRule) -> tuple[Approval, ...]:
    """What counts of what was said: the newest word of each person who may approve, about exactly this."""
    bound = binding(facts.release, facts.stage)
    allowed = approvers(facts, rule)
    newest = {each.by.person: each for each in facts.approvals if each.by.person in allowed and each.binding == bound}
    return tuple(newest.values())


def _approvals(facts: Facts, stage: Stage) -> Iterator[Condition]:
    rule = stage.approvals
    if rule is None:
        return
    said = words(facts, rule)
    yes = [each.by.person for each in said if each.approved]
    groups = " or ".join(rule.groups)
    reason = f"{len(yes)} of {rule.count} approvals{': ' if yes else ''}{', '.join(yes)}"
    no = next((each for each in said if not each.approved), None)
    left = sorted(approvers(facts, rule) - set(yes))
    missing = rule.count - len(yes)
    outcome, clears_by = Outcome.WAIT, f"{groups}: {', '.join(left)}"
    if no is not None:
        outcome, clears_by = Outcome.FAIL, "a new request"
        reason = f"{no.by.person} said no{': ' if no.comment else ''}{no.comment}"
    elif missing <= 0:
        outcome, clears_by = Outcome.PASS, ""
    elif len(left) < missing:
        outcome, clears_by = Outcome.FAIL, f"more members of {groups}"
        reason += f"; {missing} more are needed, and {len(left) or 'none'} of {groups} may still approve"
    else:
        reason += f"; still needed: {missing} of {groups}"
    found = Condition(kind="approvals", name=groups, outcome=outcome, reason=reason, clears_by=clears_by)
    yield _waived(facts, stage, found)


# freeze and hold


def _freeze(facts: Facts, stage: Stage) -> Iterator[Condition]:
    if not stage.freeze:
        return
    closed = freeze.closed([freeze.parse(text) for text in stage.freeze], facts.now)
    if closed is None:
        yield Condition(kind="freeze", name="", outcome=Outcome.PASS, reason="no freeze now")
        return
    until = f"frozen until {closed.window.written(closed.until)}" if closed.until else "frozen for ever"
    found = Condition(
        kind="freeze",
        name=closed.window.text,
        outcome=Outcome.WAIT if closed.until else Outcome.FAIL,
        reason=until,
        clears_by="time" if closed.until else "another pipeline",
        clears_at=closed.until,
    )
    yield _waived(facts, stage, found)


def _holds(facts: Facts, stage: Stage) -> Iterator[Condition]:
    here = [hold for hold in facts.holds if hold.stage in ("", facts.stage)]
    if not here:
        yield Condition(kind="hold", name="", outcome=Outcome.PASS, reason="nobody holds it")
    for hold in here:
        found = Condition(
            kind="hold",
            name=hold.stage or "every stage",
            outcome=Outcome.WAIT,
            reason=f"held by {hold.by}: {hold.reason}",
            clears_by=f"liftlock unhold {hold.stage}".rstrip(),
            skipped=facts.rollback and hold.by_rollback,
        )
        yield _waived(facts, stage, found)


# queue


def _queue(facts: Facts, stage: Stage, *, past_stops: bool) -> Condition:
    """Whose turn it is. Who may pass a stop that keeps the others out (``past_stops``) does not wait behind them."""
    busy = next((each for each in facts.others if each.under_way), None)
    if busy is not None:
        return _waits(busy, "is under way here")
    ahead = None if past_stops else _ahead(facts, stage)
    if ahead is not None:
        order = "a later one" if stage.queue is Queue.SUPERSEDE else "asked for earlier"
        return _waits(ahead, f"({order}) goes first")
    return Condition(kind="queue", name="", outcome=Outcome.PASS, reason="nothing is before it")


def _ahead(facts: Facts, stage: Stage) -> Rival | None:
    """The promotion that is ready and goes before this one; a request not made yet comes last."""
    ready = [each for each in facts.others if each.ready]
    own = facts.promotion.id if facts.promotion else None
    if stage.queue is Queue.SUPERSEDE:
        later = [each for each in ready if own is not None and each.id > own]
        return max(later, key=lambda each: each.id, default=None)
    earlier = [each for each in ready if own is None or each.id < own]
    return min(earlier, key=lambda each: each.id, default=None)


def _waits(rival: Rival, doing: str) -> Condition:
    return Condition(
        kind="queue",
        name="",
        outcome=Outcome.WAIT,
        reason=f"promotion {rival.id} of release {rival.release.short} {doing}",
        clears_by=f"promotion {rival.id}",
    )
