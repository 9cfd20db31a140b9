"""Promoting: a release is asked for in a stage, and followed until that is over or has to wait."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from liftlock.engine import decisions
from liftlock.errors import (
    AccessDenied,
    Cancelled,
    ConfigError,
    Conflict,
    CorruptContent,
    LiftlockError,
    NotFound,
    RefusedError,
    UsageError,
    WaitRanOut,
)
from liftlock.release.conditions import conditions
from liftlock.release.people import Actor
from liftlock.release.place import Destination
from liftlock.release.promotion import Decision, Execution, Promotion
from liftlock.release.release import Release
from liftlock.services.follow import Follower, Stop, as_copy_events, only_queued, settled, until
from liftlock.services.project import OpenImages, Project
from liftlock.services.standing import Standing, standing
from liftlock.store.events import Seen
from liftlock.store.store import Transaction
from liftlock.transfer.events import Cancel, Event, OnEvent, ignore

__all__ = ["Promoted", "Wait", "ask", "carry_out", "latest", "promote", "roll_back", "unsuccessful"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """How long a command waits for what it asked for."""

    people: bool = False
    """Also for what does not come by itself at once: people, soaks, the end of a freeze."""
    seconds: float | None = None
    """At most so long; None: any time."""


PATIENT = Wait()

NO_ERROR: Mapping[str, str] = {}

_KINDS = {kind.code: kind for kind in (AccessDenied, ConfigError, Conflict, CorruptContent, NotFound, UsageError)}
"""The errors that end a command with another code than 1, and those that programs tell apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """What became of a promotion, and what it did."""

    standing: Standing
    destinations: tuple[Destination, ...]
    """Layouts with their whole path."""
    result: Mapping[str, Any] = field(default_factory=dict)
    """Of the attempt that succeeded: blobs, bytes, tags, notes; empty while there is none."""
    untold: tuple[str, ...] = ()
    """Who was not told yet, and why."""
    joined: bool = False
    """It waited, or was under way, before this command asked for it."""

    @property
    def promotion(self) -> Promotion:
        return self.standing.promotion

    @property
    def release(self) -> Release:
        return self.standing.release

    def strategy(self, destination: Destination) -> str:
        """How an image came to its destination; empty where it did not (yet).

        Its content came first, and then its tags, each with a strategy: what moved the content is what is told.
        """
        mine = (destination.target, destination.digest)
        ways = [
            each["strategy"]
            for each in self.result.get("strategies", ())
            if (each["destination"], each["digest"]) == mine
        ]
        return next((way for way in ways if way != "present"), ways[0] if ways else "")

    def to_json(self) -> dict[str, Any]:
        return {
            **self.standing.to_json(),
            "images": [
                {
                    "image": each.image,
                    "digest": each.digest,
                    "destination": each.target,
                    "tags": list(each.tags),
                    "strategy": self.strategy(each),
                }
                for each in self.destinations
            ],
            "untold": list(self.untold),
            **{key: value for key, value in self.result.items() if key != "strategies"},
        }


def ask(project: Project, release: Release, stage: str, by: Actor, *, proven: frozenset[str] = frozenset()) -> Promoted:
    """Ask for a release in a stage, and no more.

    Raises `RefusedError` when the rules say no at once; that is recorded. Raises what `Release.destinations` raises.
    """
    destinations = _destinations(project, release, stage)
    with project.home.store.begin() as tx:
        before = _open(tx, release.pipeline.name, stage)
        promotion = decisions.request(tx, release, stage, by=[by], proven=proven)
        found = standing(tx, release, promotion)
        if promotion.decision is Decision.REFUSED:
            found = replace(found, conditions=conditions(decisions.facts(tx, release, stage, proven=proven)))
    if promotion.decision is Decision.REFUSED:
        raise _refused(found)
    return Promoted(standing=found, destinations=destinations, joined=promotion.id in before)


def latest(project: Project, release: Release, stage: str) -> Promoted | None:
    """What the newest promotion of a release to a stage has come to; None where it was never asked for."""
    with project.home.store.read() as tx:
        promotion = tx.promotions.latest(release.id, stage)
        found = promotion and standing(tx, release, promotion)
    return Promoted(standing=found, destinations=_destinations(project, release, stage)) if found else None


def roll_back(project: Project, stage: str, text: str | None, by: Actor) -> Promoted:
    """Ask for an earlier release to come back (None: the one before the current), and hold the stage.

    Raises `NotFound` for an unknown stage or release, `RefusedError` as `decisions.rollback`.
    """
    project.pipeline.stage(stage)
    with project.home.store.begin() as tx:
        before = _open(tx, project.pipeline.name, stage)
        release = tx.releases.find(text, project.pipeline.name).release if text else None
        promotion = decisions.rollback(tx, project.pipeline, stage, release, by=by)
        release = release or tx.releases.get(promotion.release).release
        found = standing(tx, release, promotion)
    destinations = _destinations(project, release, stage)
    return Promoted(standing=found, destinations=destinations, joined=promotion.id in before)


def promote(
    project: Project,
    images: OpenImages,
    release: Release,
    stage: str,
    by: Actor,
    *,
    proven: frozenset[str] = frozenset(),
    wait: Wait = PATIENT,
    on_event: OnEvent = ignore,
    cancel: Cancel | None = None,
) -> Promoted:
    """Ask for a release in a stage, and carry it out, or wait for who does: until it is over, or has to wait.

    Raises as `ask` and `carry_out`.
    """
    asked = ask(project, release, stage, by, proven=proven)
    return carry_out(project, images, asked, by, wait=wait, on_event=on_event, cancel=cancel)


def carry_out(
    project: Project,
    images: OpenImages,
    asked: Promoted,
    by: Actor,
    *,
    wait: Wait = PATIENT,
    on_event: OnEvent = ignore,
    cancel: Cancel | None = None,
) -> Promoted:
    """Follow a promotion that was asked for; returns when it has succeeded, or waits for what does not come at once.

    When ``cancel`` is requested, an attempt under way is canceled, and on this machine alone also when the time is
    over; what waits goes on waiting, and what workers do for who asked before goes on, too. Raises `WaitRanOut` and
    `Cancelled` then, and an error that says why when the promotion did not succeed.
    """
    return _Pursuit(project, asked, by, wait, on_event).run(images, cancel or Cancel())


class _Pursuit:
    """One command that follows one promotion."""

    def __init__(self, project: Project, asked: Promoted, by: Actor, wait: Wait, on_event: OnEvent) -> None:
        self._project = project
        self._asked = asked
        self._by = by
        self._wait = wait
        self._standing = asked.standing
        self._on_event = on_event
        self._tell = as_copy_events(on_event)
        self._said = ""
        self._result: Mapping[str, Any] = {}
        self._attempt = len(asked.promotion.attempts)
        self._follower = Follower(self._on_seen, promotion=asked.promotion.id)

    def run(self, images: OpenImages, cancel: Cancel) -> Promoted:
        stopped = until(
            self._project, images, self._done, seconds=self._wait.seconds, cancel=cancel, give_up=self._give_up
        )
        found, promotion = self._standing, self._standing.promotion
        if stopped is not None and not self._succeeded(promotion):
            raise self._told(stopped)
        if promotion.over and not self._succeeded(promotion):
            raise unsuccessful(found, self._result.get("error", {}))
        return replace(self._asked, standing=found, result=self._result, untold=self._untold())

    def _untold(self) -> tuple[str, ...]:
        promotion = self._standing.promotion
        rules = self._asked.release.pipeline.stage(promotion.stage).notify
        if not rules:
            return ()
        with self._project.home.store.read() as tx:
            found = [each for each in tx.notifications.of(promotion.id) if each.reason and each.state != "delivered"]
        return tuple(
            f"{rules[each.rule].kind} was not told of {each.occasion}: {each.reason}"
            + ("; a worker, or a later command, tries again" if each.state == "pending" else "")
            for each in found
        )

    def _on_seen(self, seen: Seen) -> None:
        if (seen.attempt or 0) < self._attempt:  # of an earlier attempt of the same promotion
            return
        if seen.kind == "result":
            self._result = seen.data
        self._tell(seen)

    def _done(self) -> bool:
        with self._project.home.store.read() as tx:
            self._follower.look(tx)
            promotion = tx.promotions.get(self._asked.promotion.id)
            self._standing = standing(tx, self._asked.release, promotion)
            done = settled(tx, promotion, embedded=self._project.embedded) and (promotion.over or not self._wait.people)
        if not done:
            self._tell_of_waiting()
        return done

    def _tell_of_waiting(self) -> None:
        """What it waits for, once, and again when that has changed."""
        unmet = self._standing.unmet
        said = "; ".join(each.reason for each in unmet)
        if said != self._said and (self._wait.people or only_queued(unmet)):
            self._said = said
            if said:
                self._on_event(Event("note", f"waits: {said}"))

    def _give_up(self, why: Stop) -> bool:
        promotion = self._standing.promotion
        if promotion.over or (not self._project.embedded and (why is Stop.TIME or self._asked.joined)):
            return False  # workers go on with it
        if promotion.decision is Decision.WAITING and (why is Stop.TIME or not only_queued(self._standing.unmet)):
            return False
        with suppress(Conflict), self._project.home.store.begin() as tx:  # it may be over by now
            decisions.cancel(tx, promotion.id, self._by)
        return True

    def _told(self, stopped: Stop) -> LiftlockError:
        promotion = self._standing.promotion
        again = "the same command goes on where it stopped"
        if not promotion.over:
            name = f"{self._asked.release.name} --to {promotion.stage}"
            again = f"it goes on without this command; to take it back: liftlock release cancel {name}"
        if stopped is Stop.SIGNAL:
            return Cancelled("stopped on request", hint=again)
        left = "it was stopped" if promotion.over else f"it is {promotion.state}"
        reasons = "".join(f"; {each.kind}: {each.reason}" for each in self._standing.unmet)
        return WaitRanOut(f"not done within {self._wait.seconds:g} s; {left}{reasons}", hint=again)

    @staticmethod
    def _succeeded(promotion: Promotion) -> bool:
        return promotion.last is not None and promotion.last.execution is Execution.SUCCEEDED


def _refused(found: Standing) -> RefusedError:
    after = next((each for each in found.conditions if each.kind == "after" and not each.met), None)
    promotion = found.promotion
    hint = (
        f"first: {after.clears_by}" if after else f"see: liftlock explain {found.release.name} --to {promotion.stage}"
    )
    return RefusedError(
        f"release {found.release.name} may not go to {promotion.stage!r}: {promotion.reason}", hint=hint
    )


def unsuccessful(found: Standing, error: Mapping[str, str] = NO_ERROR) -> LiftlockError:
    """Why a promotion that is over has not succeeded; ``error`` has code and hint of what ended its attempt."""
    promotion = found.promotion
    last = promotion.last
    if last is None:
        return RefusedError(
            f"release {found.release.name} does not go to {promotion.stage!r}: it was {promotion.decision.value}"
            + (f": {promotion.reason}" if promotion.reason else ""),
            hint="see: liftlock trace " + found.release.name,
        )
    if last.arrived:
        return LiftlockError(
            f"the tags are set, but who has to be told was not: {last.reason}",
            hint=f"to tell again: liftlock release retry {found.release.name} --to {promotion.stage}",
        )
    if last.execution is Execution.FAILED:
        return RefusedError(
            f"no tag has moved: just before, the conditions did not hold: {last.reason}",
            hint=f"see: liftlock explain {found.release.name} --to {promotion.stage}",
        )
    if last.execution is Execution.CANCELED:
        return LiftlockError(
            f"it was canceled: {last.reason}" if last.reason else "it was canceled",
            hint="the same command goes on where it stopped",
        )
    kind = _KINDS.get(error.get("code", ""), LiftlockError)
    return kind(last.reason, hint=error.get("hint") or "the same command goes on where it stopped")


def _open(tx: Transaction, pipeline: str, stage: str) -> frozenset[int]:
    """What waits for a stage, or is under way there, until the end of the transaction."""
    tx.alone(pipeline)
    return frozenset(each.id for each in tx.promotions.open(pipeline, stage))


def _destinations(project: Project, release: Release, stage: str) -> tuple[Destination, ...]:
    return tuple(replace(each, target=project.target(each.target)) for each in release.destinations(stage))
