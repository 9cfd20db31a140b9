"""Tracing: from an image, a digest or a build to what is known of it, in both directions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from liftlock.errors import CorruptContent, NotFound
from liftlock.oci.digest import Digest
from liftlock.release.promotion import Promotion
from liftlock.services.attempts import bury
from liftlock.services.project import Project
from liftlock.services.publish import artifact_json
from liftlock.services.session import Session
from liftlock.store.artifacts import Published
from liftlock.store.releases import Created
from liftlock.store.tags import RecordedMove
from liftlock.targets.locate import Location

__all__ = ["Journey", "Step", "Trace", "trace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One promotion, and the tags it moved."""

    promotion: Promotion
    moves: tuple[RecordedMove, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """An artifact, its releases, and where they went."""

    published: Published
    releases: tuple[tuple[Created, tuple[Step, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What was asked for, the digest it stands for (of a build: none), and every journey it was part of."""

    asked: str
    digest: Digest | None
    journeys: tuple[Journey, ...]

    def to_json(self, project: Project) -> dict[str, Any]:
        return {
            "asked": self.asked,
            "digest": self.digest,
            "artifacts": [
                {
                    **artifact_json(project, journey.published),
                    "releases": [
                        {
                            "id": created.release.id,
                            "name": created.release.name,
                            "pipeline": created.release.pipeline.name,
                            "promotions": [_step_json(step) for step in steps],
                        }
                        for created, steps in journey.releases
                    ],
                }
                for journey in self.journeys
            ],
        }


def trace(project: Project, session: Session, text: str) -> Trace:
    """Everything recorded here about an image (``registry/app:tag``, asked for its digest), a digest, or a build.

    A digest may be that of a platform's manifest: it is found by the index that it is part of. Raises `NotFound` when
    nothing is recorded about it: it did not come through here, or its record is elsewhere.
    """
    digest = _digest(session, text)
    if project.namespace:
        bury(project, project.namespace)
    with project.home.store.read() as tx:
        found = tx.artifacts.holding(digest) if digest else []
        if digest is None:
            found = [tx.artifacts.find(text, project.namespace)]
        elif not found:
            found = [each for each in tx.artifacts.all() if each.artifact.id == digest]
        journeys = []
        for published in found:
            releases = []
            for created in tx.releases.of_artifact(published.artifact.id):
                history = tx.promotions.history(created.release.pipeline.name)
                mine = [each for each in history if each.release == created.release.id]
                releases.append(
                    (
                        created,
                        tuple(
                            Step(
                                promotion=promotion,
                                moves=tuple(
                                    move
                                    for attempt in promotion.attempts
                                    for move in tx.tag_moves.of(promotion.id, attempt.number)
                                ),
                            )
                            for promotion in mine
                        ),
                    )
                )
            journeys.append(Journey(published=published, releases=tuple(releases)))
    if not journeys:
        raise NotFound(
            f"nothing is recorded here about {text}" + (f" ({digest})" if digest and digest != text else ""),
            hint="it did not come through this pipeline, or its record is in another home",
        )
    return Trace(asked=text, digest=digest, journeys=tuple(journeys))


def _digest(session: Session, text: str) -> Digest | None:
    """The digest that the text is or names; None for a build, and for how an artifact's id begins."""
    if re.fullmatch(r"sha(?:256|512):[0-9a-f]+", text):
        try:
            return Digest(text)
        except CorruptContent:
            return None
    if "/" not in text and ":" not in text and "@" not in text:
        return None
    location = Location.parse(text)
    if location.digest:
        return location.digest
    wanted = location.reference or ("latest" if location.kind == "registry" else "")
    found = session.targets.open(location.target).resolve(wanted)
    if found is None:
        raise NotFound(f"{text} does not exist")
    return found.digest


def _step_json(step: Step) -> dict[str, Any]:
    promotion = step.promotion
    return {
        "id": promotion.id,
        "stage": promotion.stage,
        "decision": promotion.decision.value,
        "decidedAt": promotion.decided_at.isoformat(),
        "reason": promotion.reason,
        "attempts": [
            {
                "number": attempt.number,
                "execution": attempt.execution.value,
                "endedAt": attempt.ended_at.isoformat() if attempt.ended_at else None,
                "reason": attempt.reason,
            }
            for attempt in promotion.attempts
        ],
        "tags": _moves(step.moves),
    }


def _moves(moves: Sequence[RecordedMove]) -> list[dict[str, Any]]:
    return [
        {
            "destination": move.destination,
            "tag": move.tag,
            "old": move.old,
            "new": move.new,
            "settledAt": move.settled_at.isoformat() if move.settled_at else None,
        }
        for move in moves
    ]
