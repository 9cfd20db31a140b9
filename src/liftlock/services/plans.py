"""The exact plan of a promotion: what would move, and what stands against it; saved, and applied as it was saved."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liftlock.engine.holders import copy_requests
from liftlock.errors import ConfigError, Conflict, LiftlockError, NotFound
from liftlock.oci.digest import Digest
from liftlock.release.release import Release
from liftlock.services.explain import Explanation, explained
from liftlock.services.project import Project
from liftlock.services.session import Session
from liftlock.transfer.events import Cancel
from liftlock.transfer.model import Options, Plan, TagMove
from liftlock.transfer.plan import make_plan
from liftlock.transfer.render import plan_json
from liftlock.transfer.survey import survey

__all__ = ["MAX_BYTES", "SavedPlan", "StagePlan", "load", "make", "require_unchanged", "save"]

KIND = {"apiVersion": "liftlock/v1", "kind": "Plan"}

MAX_BYTES = 64 * 1024 * 1024
"""Of a saved plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """What taking a release into a stage would do now."""

    release: Release
    stage: str
    definition: Digest
    """The pipeline as its file is now; the release keeps the one that it was made with."""
    copy: Plan
    explanation: Explanation

    def to_json(self) -> dict[str, Any]:
        return {
            "release": self.release.id,
            "name": self.release.name,
            "stage": self.stage,
            "pipeline": self.release.pipeline.id,
            "definition": self.definition,
            **plan_json(self.copy),
            "tags": [_move_json(move) for move in self.copy.moves],
            "outcome": self.explanation.outcome.value,
            "conditions": [each.to_json() for each in self.explanation.conditions],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """What a saved plan promises."""

    path: str
    release: str
    stage: str
    definition: str
    tags: frozenset[tuple[str, str, str | None, str]]
    """Destination, tag, what it held, what it will hold."""


def make(project: Project, session: Session, release: Release, stage: str, cancel: Cancel | None = None) -> StagePlan:
    """Look at everything, exactly, and change nothing. Raises `NotFound` for an unknown stage or a lost image."""
    requests = copy_requests(
        release,
        stage,
        release.destinations(stage),
        store=project.home.store,
        places=project,
        images=session,
        cancel=cancel or Cancel(),
    )
    return StagePlan(
        release=release,
        stage=stage,
        definition=project.pipeline.id,
        copy=make_plan(survey(requests, session.targets, Options(exact=True, lock=True), cancel=cancel)),
        explanation=explained(project, release, stage),
    )


def save(plan: StagePlan, path: str) -> None:
    """Write a plan to a file, for `load`."""
    try:
        Path(path).write_text(json.dumps({**KIND, **plan.to_json()}, indent=2) + "\n")
    except OSError as error:
        raise LiftlockError(f"the plan cannot be written to {path}: {error.strerror}") from None


def load(path: str) -> SavedPlan:
    """Read a saved plan; raises `NotFound` and `ConfigError`."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no plan {path}", hint="liftlock plan RELEASE --to STAGE --save FILE") from None
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}", path=path) from None
    try:
        value: Any = json.loads(data)
        saved = SavedPlan(
            path=path,
            release=str(value["release"]),
            stage=str(value["stage"]),
            definition=str(value["definition"]),
            tags=frozenset((each["destination"], each["tag"], each["old"], each["new"]) for each in value["tags"]),
        )
        ours = {key: value[key] for key in KIND} == KIND
    except (ValueError, KeyError, TypeError, RecursionError):
        ours, saved = False, None
    if saved is None or not ours:
        raise ConfigError("it is no plan of this version", path=path, hint="save it again")
    return saved


def require_unchanged(plan: StagePlan, saved: SavedPlan) -> None:
    """Raise `Conflict`, naming the first thing that moved since a plan was saved."""
    if str(plan.definition) != saved.definition:
        raise _stale(saved, "the pipeline file has changed")
    now = frozenset((move.destination, move.tag, move.old, str(move.new)) for move in plan.copy.moves)
    planned = {(destination, tag): (old, new) for destination, tag, old, new in saved.tags}
    for destination, tag, old, new in sorted(now, key=lambda each: each[:2]):
        was_old, was_new = planned.pop((destination, tag), (None, None))
        if (old, new) != (was_old, was_new):
            raise _stale(
                saved, f"{destination}:{tag} holds {old or 'nothing'}, and held {was_old or 'nothing'} when it was made"
            )
    if planned:
        raise _stale(saved, "it names tags that would not move any more")


def _stale(saved: SavedPlan, why: str) -> Conflict:
    return Conflict(
        f"the plan {saved.path} is stale: {why}",
        hint="nothing was changed; look at it anew: liftlock plan RELEASE --to STAGE --save FILE",
    )


def _move_json(move: TagMove) -> dict[str, Any]:
    return {"destination": move.destination, "tag": move.tag, "old": move.old, "new": move.new}
