"""Tracing: from an image, a digest, a build or a stage to what is known of it, in both directions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from liftlock.errors import CorruptContent, NotFound
from liftlock.oci.digest import Digest
from liftlock.release.conditions import Sample
from liftlock.release.people import Approval, Override
from liftlock.release.promotion import Promotion
from liftlock.release.release import Release
from liftlock.services.project import Project
from liftlock.services.publish import artifact_json
from liftlock.services.session import Session
from liftlock.store.artifacts import Published
from liftlock.store.releases import Created
from liftlock.store.store import Transaction
from liftlock.store.tags import RecordedMove
from liftlock.targets.locate import Location

__all__ = ["Journey", "Step", "Trace", "Travel", "trace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One promotion: what its gates answered, what people said, and the tags it moved."""

    promotion: Promotion
    gates: tuple[str, ...]
    """The kinds of the stage's gates, in the order of ``sample``'s verdicts."""
    sample: Sample | None
    """What the gates answered last."""
    approvals: tuple[Approval, ...]
    override: Override | None
    moves: tuple[RecordedMove, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Travel:
    """A release, and where it went."""

    created: Created
    steps: tuple[Step, ...]
    here: tuple[str, ...]
    """The stages that hold it now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """An artifact, and its releases."""

    published: Published
    releases: tuple[Travel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What was asked for, the digest it stands for (of a build or stage: none), and every journey it was part of."""

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
                            "id": travel.created.release.id,
                            "name": travel.created.release.name,
                            "pipeline": travel.created.release.pipeline.name,
                            "here": list(travel.here),
                            "promotions": [_step_json(step) for step in travel.steps],
                        }
                        for travel in journey.releases
                    ],
                }
                for journey in self.journeys
            ],
        }


def trace(project: Project, session: Session, text: str) -> Trace:
    """Everything recorded here about an image (``registry/app:tag``, asked for its digest), a digest, a build, or what
    a stage holds now.

    A digest may be that of a platform's manifest: it is found by the index that it is part of. Raises `NotFound` when
    nothing is recorded about it: it did not come through here, or its record is elsewhere.
    """
    pipeline = project.known_pipeline
    stage = text if pipeline and any(each.name == text for each in pipeline.stages) else ""
    digest = None if stage else _digest(session, text)
    with project.home.store.read() as tx:
        found = _in_stage(tx, project.namespace, stage) if stage else _published(tx, project.namespace, text, digest)
        journeys = tuple(
            Journey(
                published=published,
                releases=tuple(_travel(tx, each) for each in releases),
            )
            for published, releases in found
        )
    if not journeys:
        raise NotFound(
            f"nothing is recorded here about {text}" + (f" ({digest})" if digest and digest != text else ""),
            hint="it did not come through this pipeline, or its record is in another home",
        )
    return Trace(asked=text, digest=digest, journeys=journeys)


Found = list[tuple[Published, Sequence[Created]]]


def _in_stage(tx: Transaction, pipeline: str, stage: str) -> Found:
    """The artifact and release that a stage holds now."""
    here = tx.promotions.current(pipeline, stage)
    if here is None:
        raise NotFound(f"nothing is recorded here to be in {stage!r}", hint="see: liftlock status")
    created = tx.releases.get(here.release)
    return [(tx.artifacts.get(created.release.artifact.id), [created])]


def _published(tx: Transaction, namespace: str, text: str, digest: Digest | None) -> Found:
    """The artifacts that a digest or a text leads to, each with all of its releases."""
    found = tx.artifacts.holding(digest) if digest else [tx.artifacts.find(text, namespace)]
    if digest and not found:
        found = [each for each in tx.artifacts.all() if each.artifact.id == digest]
    return [(each, tx.releases.of_artifact(each.artifact.id)) for each in found]


def _travel(tx: Transaction, created: Created) -> Travel:
    release = created.release
    mine = tx.promotions.of_release(release.id)
    stages = dict.fromkeys(each.stage for each in mine if each.succeeded)
    now = {stage: tx.promotions.current(release.pipeline.name, stage) for stage in stages}
    return Travel(
        created=created,
        steps=tuple(_step(tx, release, each) for each in mine),
        here=tuple(stage for stage, promotion in now.items() if promotion and promotion.release == release.id),
    )


def _step(tx: Transaction, release: Release, promotion: Promotion) -> Step:
    return Step(
        promotion=promotion,
        gates=tuple(gate.kind for gate in release.pipeline.stage(promotion.stage).gates),
        sample=tx.samples.latest(promotion.id),
        approvals=tuple(tx.people.approvals(promotion.id)),
        override=tx.people.overridden(promotion.id),
        moves=tuple(move for attempt in promotion.attempts for move in tx.tag_moves.of(promotion.id, attempt.number)),
    )


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
        "requestedBy": [str(each) for each in promotion.requested_by],
        "requestedAt": promotion.requested_at.isoformat(),
        "trigger": promotion.trigger.value,
        "rollback": promotion.rollback,
        "decision": promotion.decision.value,
        "decidedAt": promotion.decided_at.isoformat() if promotion.decided_at else None,
        "reason": promotion.reason,
        "gates": [
            {"kind": kind, "outcome": verdict.outcome.value, "reason": verdict.reason, "at": step.sample.at.isoformat()}
            for kind, verdict in zip(step.gates, step.sample.verdicts, strict=False)
        ]
        if step.sample
        else [],
        "approvals": [
            {
                "by": str(each.by),
                "approved": each.approved,
                "comment": each.comment,
                "binding": each.binding,
                "at": each.at.isoformat(),
            }
            for each in step.approvals
        ],
        "override": {
            "by": str(step.override.by),
            "reason": step.override.reason,
            "at": step.override.at.isoformat(),
        }
        if step.override
        else None,
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
