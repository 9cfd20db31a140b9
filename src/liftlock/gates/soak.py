"""The gate `soak`: a release has to have been in the stages before for a while.

The clock of a stage starts with the release's success there, and not again with another one while it runs. It is void
after an attempt that did not succeed, and after a rollback to what had been there before the release. Releases that
come later do not touch it, so that each of many quick builds gets its turn; with ``while-current`` it runs only until
the next one takes the release's place, and the longest such time counts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import ConfigDict, Field

from liftlock.gates.base import Question
from liftlock.kinds.tools import Tools
from liftlock.oci.digest import Digest
from liftlock.pipeline.kinds import Duration, Options
from liftlock.release.conditions import Outcome, Verdict
from liftlock.release.durations import seconds, written
from liftlock.release.promotion import Attempt, Execution, Promotion

__all__ = ["Soak", "SoakOptions"]

_NONE = dt.timedelta()


class SoakOptions(Options):
    """``soak: 2h``, or ``soak: {for: 2h, while-current: true}``."""

    model_config = ConfigDict(populate_by_name=False)
    shorthand: ClassVar[str] = "for"

    length: Duration = Field(
        alias="for", description="How long the release has to have been in the stages of after.", examples=["2h"]
    )
    while_current: bool = Field(
        alias="while-current",
        default=False,
        description="Count only the time until the next release took its place there.",
    )


class Soak:
    """Passes when the time has come in all stages of ``after``, or in one where any will do."""

    api_version: ClassVar[int] = 1
    options = SoakOptions

    def evaluate(self, question: Question, options: SoakOptions, tools: Tools) -> Verdict:  # noqa: ARG002 - a gate's
        stage = question.release.pipeline.stage(question.stage)
        if not stage.after:
            return Verdict(
                outcome=Outcome.FAIL,
                reason=f"the stage {stage.name!r} has no after, so there is no stage that a release could soak in",
            )
        needed = dt.timedelta(seconds=seconds(options.length))
        found = [_verdict(question, earlier, needed, while_current=options.while_current) for earlier in stage.after]
        return _best(found) if stage.after_any else _worst(found)


def _worst(found: list[Verdict]) -> Verdict:
    """Of stages that all have to be met: what takes longest, or can't be."""
    for outcome in (Outcome.FAIL, Outcome.WAIT):
        unmet = [verdict for verdict in found if verdict.outcome is outcome]
        if unmet:
            # What nobody knows the time of is worse than any time.
            unknown = [verdict for verdict in unmet if verdict.clears_at is None]
            return unknown[0] if unknown else max(unmet, key=_when)
    return Verdict(outcome=Outcome.PASS, reason=" and ".join(verdict.reason for verdict in found))


def _best(found: list[Verdict]) -> Verdict:
    """Of stages any of which will do: one that is met, or the one that is soonest."""
    for outcome in (Outcome.PASS, Outcome.WAIT):
        some = [verdict for verdict in found if verdict.outcome is outcome]
        if some:
            return min(some, key=_when)
    return found[0]


def _when(verdict: Verdict) -> dt.datetime:
    return verdict.clears_at or dt.datetime.max.replace(tzinfo=dt.UTC)


def _verdict(question: Question, stage: str, needed: dt.timedelta, *, while_current: bool) -> Verdict:
    clock = _clock(question, stage)
    since = clock.current if while_current else clock.since
    longest = max(clock.longest if while_current else _NONE, question.now - since if since else _NONE)
    if clock.since is None:
        if clock.void:
            return Verdict(outcome=Outcome.FAIL, reason=f"it does not soak in {stage}: {clock.void}")
        return Verdict(outcome=Outcome.WAIT, reason=f"nothing on record says when it succeeded in {stage}")
    if longest >= needed:
        return Verdict(outcome=Outcome.PASS, reason=f"it soaked in {stage} for {written(longest.total_seconds())}")
    had = f"{written(longest.total_seconds())} of {written(needed.total_seconds())}"
    if since is None:
        return Verdict(outcome=Outcome.FAIL, reason=f"it soaked in {stage} for {had}, and was replaced by another")
    return Verdict(outcome=Outcome.WAIT, reason=f"it soaks in {stage}: {had}", clears_at=since + needed)


@dataclass(slots=True)
class _Clock:
    """How long a release has been in one stage, as far as its history was read."""

    since: dt.datetime | None = None
    """Its success, that nothing has voided since."""
    current: dt.datetime | None = None
    """Since when nothing has taken its place; None when something has."""
    longest: dt.timedelta = _NONE
    """The longest time until something did."""
    void: str = ""
    """What voided the last one; empty when nothing did, or it succeeded again."""
    came: set[Digest] = field(default_factory=set)
    """The releases that came after it."""

    def mine(self, attempt: Attempt, at: dt.datetime) -> None:
        """An attempt of the release itself ended."""
        if attempt.execution is not Execution.SUCCEEDED:
            self._stop(f"its last attempt there {attempt.execution.value}")
            return
        self.void = ""
        self.since = self.since or at
        self.current = self.current or at

    def other(self, promotion: Promotion, at: dt.datetime) -> None:
        """Another release arrived there, whether or not those who had to be told of it were."""
        if self.since is None:
            return
        if promotion.rollback and promotion.release not in self.came:
            self._stop("it was rolled back there")
            return
        self.came.add(promotion.release)
        if self.current is not None:
            self.longest = max(self.longest, at - self.current)
            self.current = None

    def _stop(self, why: str) -> None:
        if self.since is not None or self.void:
            self.void = why
        self.since, self.current, self.longest, self.came = None, None, _NONE, set()


def _clock(question: Question, stage: str) -> _Clock:
    clock, mine = _Clock(), question.release.id
    history = {each.id: each for each in (*question.mine, *question.later.get(stage, ()))}
    for _, at, promotion, attempt in sorted(_ended(history.values(), stage), key=lambda event: event[0]):
        if promotion.release == mine:
            clock.mine(attempt, at)
        elif attempt.arrived:
            clock.other(promotion, attempt.arrived_at or at)
    return clock


def _ended(promotions: Iterable[Promotion], stage: str) -> Iterator[tuple[int, dt.datetime, Promotion, Attempt]]:
    """What ended in a stage after it had begun, with its rank and time."""
    for promotion in promotions:
        for attempt in promotion.attempts if promotion.stage == stage else ():
            if attempt.order is not None and attempt.ended_at is not None and attempt.started_at is not None:
                yield attempt.order, attempt.ended_at, promotion, attempt
