"""Promoting: a release goes into a stage, admitted by the rules, content first, tags last, written down throughout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from liftlock.engine.holders import copy_requests
from liftlock.release.place import Destination
from liftlock.release.promotion import Promotion
from liftlock.release.release import Release
from liftlock.services.attempts import Deadline, admitted, working
from liftlock.services.project import Project
from liftlock.services.session import Session
from liftlock.store.memories import PromotionJournal
from liftlock.transfer.events import Cancel, OnEvent, ignore
from liftlock.transfer.execute import execute
from liftlock.transfer.model import Result
from liftlock.transfer.plan import make_plan
from liftlock.transfer.survey import survey

__all__ = ["Promoted", "promote", "queue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """What a promotion did, or, while ``result`` is None, that it is queued."""

    release: Release
    stage: str
    promotion: Promotion
    destinations: tuple[Destination, ...]
    """Layouts with their whole path."""
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


def queue(project: Project, release: Release, stage: str) -> Promoted:
    """Admit a release to a stage, and no more: the next `promote` of it carries it out.

    Raises `RefusedError` when the rules say no; that is recorded.
    """
    destinations = _destinations(project, release, stage)
    promotion = admitted(project, release, stage)
    return Promoted(release=release, stage=stage, promotion=promotion, destinations=destinations)


def promote(
    project: Project,
    session: Session,
    release: Release,
    stage: str,
    *,
    wait: float | None = None,
    on_event: OnEvent = ignore,
    cancel: Cancel | None = None,
) -> Promoted:
    """Take a release into a stage; returns when every tag there holds it, read back.

    ``wait`` bounds the seconds: what is under way then stops, and the same command goes on later. While another
    process works on the stage, this one waits.

    Raises `RefusedError` when the rules say no (that is recorded), `WaitRanOut`, and what the copy raises.
    """
    cancel = cancel or Cancel()
    destinations = _destinations(project, release, stage)
    queued = admitted(project, release, stage)
    with Deadline(wait, cancel) as deadline, working(project, release, queued, deadline, cancel) as running:
        requests = copy_requests(
            release,
            stage,
            release.destinations(stage),
            store=project.home.store,
            places=project,
            images=session,
            cancel=cancel,
        )
        result = execute(
            make_plan(survey(requests, session.targets, cancel=cancel)),
            session.targets,
            state=session.folders.state,
            journal=PromotionJournal(project.home.store, running.id, len(running.attempts)),
            on_event=on_event,
            cancel=cancel,
        )
    with project.home.store.read() as tx:
        done = tx.promotions.get(running.id)
    return Promoted(release=release, stage=stage, promotion=done, destinations=destinations, result=result)


def _destinations(project: Project, release: Release, stage: str) -> tuple[Destination, ...]:
    return tuple(replace(each, target=project.target(each.target)) for each in release.destinations(stage))
