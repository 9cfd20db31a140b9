"""One release going into one stage: its decision, its attempts, and the only steps that lead from one to the next.

Two axes. The *decision* belongs to the promotion and is made once:

    waiting ──→ admitted | refused | expired | canceled | superseded

Gates, approvals, a freeze, a hold and the queue are reasons for waiting (see `conditions`). The *execution*
belongs to an attempt, and there is none before admission:

    queued ──→ running ──→ succeeded
       │          ├──────→ failed      a re-check before the tags said no
       │          ├──────→ errored     something broke
       └──────────┴──────→ canceled

What has ended never changes: trying again is a new attempt, and so is doing again what succeeded.

Where a stage has receivers that must be told, an attempt whose tags are all there (`Attempt.arrived`) goes on running
until they were told. One that cannot be told fails the attempt, and the tags stay where they are.
"""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, replace

from liftlock.errors import Conflict
from liftlock.oci.digest import Digest
from liftlock.release.people import Actor
from liftlock.release.stage import Trigger

__all__ = [
    "Arrived",
    "Attempt",
    "Decided",
    "Decision",
    "Ended",
    "Event",
    "Execution",
    "Promotion",
    "Queued",
    "Started",
    "apply",
]


class Decision(enum.Enum):
    """Whether a promotion may happen."""

    WAITING = "waiting"
    ADMITTED = "admitted"
    REFUSED = "refused"
    """Our rules said no, or an approver did."""
    EXPIRED = "expired"
    """Its conditions were not met in time."""
    CANCELED = "canceled"
    """Somebody took the request back."""
    SUPERSEDED = "superseded"
    """A later one went first, and the stage's queue keeps only the latest."""

    @property
    def made(self) -> bool:
        return self is not Decision.WAITING


class Execution(enum.Enum):
    """How far an attempt is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """A re-check just before the tags said no, and no tag moved; or a receiver that must be told could not be."""
    ERRORED = "errored"
    """Something broke, or the process was gone."""
    CANCELED = "canceled"

    @property
    def ended(self) -> bool:
        return self not in (Execution.QUEUED, Execution.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at doing what was admitted. Times are aware."""

    number: int
    """From 1, within the promotion."""
    execution: Execution
    queued_at: dt.datetime
    started_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    order: int | None = None
    """Rank among everything that ended, given when it ends: it says what came last, which clocks cannot."""
    reason: str = ""
    arrived_at: dt.datetime | None = None
    """When its tags were all there, where that was not its end: receivers had to be told first."""

    @property
    def arrived(self) -> bool:
        """Whether its tags are all there, whatever became of it after that."""
        return self.execution is Execution.SUCCEEDED or self.arrived_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """One release going into one stage of its pipeline."""

    id: int
    release: Digest
    pipeline: str
    """The pipeline's name: the stages of all its snapshots are the same places."""
    stage: str
    requested_at: dt.datetime
    requested_by: tuple[Actor, ...]
    """Who asked. For an automatic promotion: those who published the artifact and wrote its commit."""
    trigger: Trigger
    """What asked."""
    rollback: bool = False
    proven: frozenset[str] = frozenset()
    """Earlier stages that nothing was on record about, and whose registries held the release when it was asked for."""
    decision: Decision = Decision.WAITING
    decided_at: dt.datetime | None = None
    reason: str = ""
    """Why it was decided so, where that is not obvious."""
    successor: int | None = None
    """The promotion that superseded it."""
    attempts: tuple[Attempt, ...] = ()

    @property
    def last(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def unfinished(self) -> Attempt | None:
        """The attempt that has not ended; there is never more than one."""
        return self.last if self.last and not self.last.execution.ended else None

    @property
    def succeeded(self) -> Attempt | None:
        """The newest attempt that succeeded."""
        return next((each for each in reversed(self.attempts) if each.execution is Execution.SUCCEEDED), None)

    @property
    def arrived(self) -> Attempt | None:
        """The newest attempt that has ended and had brought the release to its stage."""
        return next((each for each in reversed(self.attempts) if each.arrived and each.execution.ended), None)

    @property
    def over(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.unfinished is None if self.decision is Decision.ADMITTED else self.decision.made

    @property
    def state(self) -> str:
        """One word for people: the last attempt's execution, else the decision."""
        return self.last.execution.value if self.last else self.decision.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The decision was made."""

    at: dt.datetime
    decision: Decision
    reason: str = ""
    successor: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A new attempt was asked for."""

    at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Work on the queued attempt began."""

    at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """The tags are all there; receivers that must be told are told next."""

    at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The attempt came to an end."""

    at: dt.datetime
    execution: Execution
    order: int
    reason: str = ""


Event = Decided | Queued | Started | Arrived | Ended


def apply(promotion: Promotion, event: Event) -> Promotion:
    """The promotion after an event; raises `Conflict` when that event cannot follow what there is."""
    match event:
        case Decided():
            if promotion.decision.made or not event.decision.made:
                raise _impossible(promotion, f"be {event.decision.value}")
            return replace(
                promotion,
                decision=event.decision,
                decided_at=event.at,
                reason=event.reason,
                successor=event.successor,
            )
        case Queued():
            if promotion.decision is not Decision.ADMITTED or promotion.unfinished:
                raise _impossible(promotion, "be tried again")
            new = Attempt(number=len(promotion.attempts) + 1, execution=Execution.QUEUED, queued_at=event.at)
            return replace(promotion, attempts=(*promotion.attempts, new))
        case Started():
            return _changed(promotion, _started(promotion, event))
        case Arrived():
            return _changed(promotion, _arrived(promotion, event))
        case Ended():
            return _changed(promotion, _ended(promotion, event))


def _started(promotion: Promotion, event: Started) -> Attempt:
    last = promotion.last
    if last is None or last.execution is not Execution.QUEUED:
        raise _impossible(promotion, "be started")
    return replace(last, execution=Execution.RUNNING, started_at=event.at)


def _arrived(promotion: Promotion, event: Arrived) -> Attempt:
    last = promotion.last
    if last is None or last.execution is not Execution.RUNNING or last.arrived:
        raise _impossible(promotion, "arrive")
    return replace(last, arrived_at=event.at)


def _ended(promotion: Promotion, event: Ended) -> Attempt:
    last = promotion.last
    may_end = {Execution.RUNNING} | ({Execution.QUEUED} if event.execution is Execution.CANCELED else set())
    if last is None or last.execution not in may_end or not event.execution.ended:
        raise _impossible(promotion, f"become {event.execution.value}")
    return replace(last, execution=event.execution, ended_at=event.at, order=event.order, reason=event.reason)


def _changed(promotion: Promotion, last: Attempt) -> Promotion:
    return replace(promotion, attempts=(*promotion.attempts[:-1], last))


def _impossible(promotion: Promotion, deed: str) -> Conflict:
    return Conflict(
        f"the promotion of {promotion.release.short} to {promotion.stage!r} is {promotion.state} and cannot {deed}",
        hint="another process may have worked on it: look at its status",
    )
