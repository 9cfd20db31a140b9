"""Promoting: a release goes into a stage, admitted by the rules, content first, tags last, written down throughout."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from liftlock.errors import (
    Cancelled,
    Conflict,
    LiftlockError,
    NotFound,
    RefusedError,
    WaitRanOut,
)
from liftlock.release.place import Destination
from liftlock.release.promotion import Execution, Promotion
from liftlock.release.release import Release
from liftlock.release.rules import admit
from liftlock.services.project import Project
from liftlock.services.session import Session
from liftlock.store.memories import PromotionJournal
from liftlock.targets.locate import Location
from liftlock.transfer.events import Cancel, OnEvent, ignore
from liftlock.transfer.execute import execute
from liftlock.transfer.model import CopyRequest, Plan, Result
from liftlock.transfer.plan import make_plan
from liftlock.transfer.survey import survey

__all__ = ["Promoted", "promote"]

TURN = 0.1
"""Seconds between two looks whether it is our turn on a stage."""

GONE = "the process that worked on it was gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """What a promotion did, or, while ``result`` is None, that it is queued."""

    release: Release
    stage: str
    promotion: Promotion
    destinations: tuple[Destination, ...]
    plan: Plan | None = None
    result: Result | None = None

    def to_json(self) -> dict[str, Any]:
        result = self.result.to_json() if self.result else {}
        return {
            "release": self.release.id,
            "name": self.release.name,
            "stage": self.stage,
            "promotion": self.promotion.id,
            "state": self.promotion.state,
            "images": [
                {
                    "image": each.image,
                    "digest": each.digest,
                    "destination": each.target,
                    "tags": list(each.tags),
                }
                for each in self.destinations
            ],
            **result,
        }


def promote(
    project: Project,
    session: Session,
    release: Release,
    stage: str,
    *,
    wait: bool | float = True,
    on_event: OnEvent = ignore,
    cancel: Cancel | None = None,
) -> Promoted:
    """Take a release into a stage; returns when every tag there holds it, read back.

    ``wait`` in seconds bounds the time: what is under way then stops, and the same command goes on later. With False
    the promotion is only admitted and queued. While another process works on the stage, this one waits.

    Raises `RefusedError` when the rules say no (that is recorded), `WaitRanOut`, and what the copy raises.
    """
    cancel = cancel or Cancel()
    destinations = release.destinations(stage)
    promotion = _admitted(project, release, stage)
    if wait is False:
        return Promoted(release=release, stage=stage, promotion=promotion, destinations=destinations)
    with (
        project.home.alone(release.pipeline.name, stage, wait=lambda: cancel.wait(0.1)),
        _bounded(wait, cancel),
    ):
        promotion = _started(project, release, promotion, stage)
        try:
            plan = make_plan(survey(_requests(project, session, release, stage), session.targets, cancel=cancel))
            result = execute(
                plan,
                session.targets,
                state=session.folders.state,
                journal=PromotionJournal(project.home.store, promotion.id, len(promotion.attempts)),
                on_event=on_event,
                cancel=cancel,
            )
        except BaseException as error:
            _ended(project, promotion, error)
            raise
        with project.home.store.begin() as tx:
            promotion = tx.promotions.end(promotion.id, Execution.SUCCEEDED)
    return Promoted(
        release=release, stage=stage, promotion=promotion, destinations=destinations, plan=plan, result=result
    )


def _admitted(project: Project, release: Release, stage: str) -> Promotion:
    """The promotion, with a queued attempt; a refusal is recorded before it is raised."""
    refusal: RefusedError | None = None
    with project.home.store.begin() as tx:
        try:
            admit(release, stage, tx.promotions.history(release.pipeline.name))
        except RefusedError as error:
            refusal = error
            tx.promotions.refuse(release, stage, error.message)
        else:
            latest = tx.promotions.latest(release.id, stage)
            if latest is not None and latest.unfinished:
                return latest
            return tx.promotions.queue(tx.promotions.admit(release, stage).id)
    raise refusal


def _started(project: Project, release: Release, promotion: Promotion, stage: str) -> Promotion:
    """Begin, alone on the stage: whatever is still running there was left by a process that died."""
    with project.home.store.begin() as tx:
        for left in tx.promotions.unfinished(release.pipeline.name, stage):
            if left.last is not None and left.last.execution is Execution.RUNNING:
                tx.promotions.end(left.id, Execution.ERRORED, GONE)
        # While we waited for our turn things may have changed: the rules are asked again, now that nobody else works.
        admit(release, stage, tx.promotions.history(release.pipeline.name))
        if tx.promotions.get(promotion.id).unfinished is None:
            tx.promotions.queue(promotion.id)
        return tx.promotions.start(promotion.id)


def _ended(project: Project, promotion: Promotion, error: BaseException) -> None:
    if isinstance(error, (Cancelled, KeyboardInterrupt)):
        execution = Execution.CANCELED
    elif isinstance(error, (Conflict, RefusedError)):
        execution = Execution.FAILED
    else:
        execution = Execution.ERRORED
    reason = error.message if isinstance(error, LiftlockError) else type(error).__name__
    with project.home.store.begin() as tx:
        tx.promotions.end(promotion.id, execution, reason)


@contextmanager
def _bounded(wait: bool | float, cancel: Cancel) -> Iterator[None]:
    """Stop what is inside when the time runs out."""
    if isinstance(wait, bool):
        yield
        return
    ran_out = threading.Event()

    def stop() -> None:
        ran_out.set()
        cancel.request()

    timer = threading.Timer(wait, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Cancelled:
        if not ran_out.is_set():
            raise
        raise WaitRanOut(
            f"not done within {wait:g} s; it was stopped", hint="the same command goes on where it stopped"
        ) from None
    finally:
        timer.cancel()


# -- from where


def _requests(project: Project, session: Session, release: Release, stage: str) -> list[CopyRequest]:
    holders = _Holders(project, session, release, stage)
    return [
        CopyRequest(holders.of(each), each.digest, project.target(each.target), each.tags)
        for each in release.destinations(stage)
    ]


class _Holders:
    """Finds the cheapest place that verifiably holds an image: one that the destination can mount from, if any."""

    def __init__(self, project: Project, session: Session, release: Release, stage: str) -> None:
        self._session = session
        self._earlier: dict[str, list[str]] = {}
        with project.home.store.read() as tx:
            published = tx.artifacts.get(release.artifact.id)
            history = tx.promotions.history(release.pipeline.name)
        for name in release.pipeline.images:
            origin = published.origins[name]
            pinned = Location.parse(origin.source).target if origin.source else ""
            self._earlier[name] = [each for each in (origin.stored, pinned) if each]
        for promotion in history:
            if promotion.release == release.id and promotion.stage != stage and promotion.succeeded:
                for each in release.destinations(promotion.stage):
                    self._earlier[each.image].insert(0, project.target(each.target))
        self._homes = {
            each.image: session.targets.open(project.target(each.target)).home for each in release.destinations(stage)
        }

    def of(self, destination: Destination) -> str:
        """Raises `NotFound` naming every place that was looked at."""
        places = list(dict.fromkeys(self._earlier[destination.image]))
        # Stable: within each kind the latest stage comes first, then the store, then what was pinned.
        places.sort(key=lambda name: self._session.targets.open(name).home != self._homes[destination.image])
        for place in places[:-1]:
            if self._session.targets.open(place).resolve(destination.digest) is not None:
                return place
        if not places:
            raise NotFound(f"nothing is known of where image {destination.image!r} is kept")
        return places[-1]
