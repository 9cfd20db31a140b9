"""Where everything is: releases by stages, from what is recorded here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from liftlock.release.promotion import Promotion
from liftlock.release.release import Release
from liftlock.release.rules import current, has_succeeded, next_stages
from liftlock.services.attempts import bury
from liftlock.services.project import Project
from liftlock.store.releases import Created

__all__ = ["Cell", "Row", "Status", "status"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One release in one stage."""

    stage: str
    state: str
    """``here``: what the stage holds now; ``was here``; ``ready``: may be promoted; else the last promotion's state;
    empty when its turn has not come."""
    at: dt.datetime | None = None
    """When that became so."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One release in every stage of its own snapshot."""

    created: Created
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The matrix, the newest release first."""

    pipeline: str
    stages: tuple[str, ...]
    """As the pipeline file has them now."""
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "pipeline": self.pipeline,
            "stages": list(self.stages),
            "releases": [
                {
                    "id": row.created.release.id,
                    "name": row.created.release.name,
                    "createdAt": row.created.created_at.isoformat(),
                    "stages": {
                        cell.stage: {
                            "state": cell.state,
                            "at": cell.at.isoformat() if cell.at else None,
                            "reason": cell.reason,
                        }
                        for cell in row.cells
                    },
                }
                for row in self.rows
            ],
        }


def status(project: Project) -> Status:
    """What is where. What a stage holds is its last success, whatever came before or is newer."""
    pipeline = project.pipeline
    bury(project, pipeline.name)
    with project.home.store.read() as tx:
        releases = tx.releases.of(pipeline.name)
        history = tx.promotions.history(pipeline.name)
    stages = tuple(stage.name for stage in pipeline.stages)
    return Status(
        pipeline=pipeline.name,
        stages=stages,
        rows=tuple(
            Row(created=created, cells=tuple(_cell(created.release, stage, history) for stage in stages))
            for created in releases
        ),
    )


def _cell(release: Release, stage: str, history: Sequence[Promotion]) -> Cell:
    if all(each.name != stage for each in release.pipeline.stages):
        return Cell(stage=stage, state="")
    mine = [each for each in history if each.release == release.id and each.stage == stage]
    attempts = [attempt for each in mine for attempt in each.attempts]
    if attempts and not attempts[-1].execution.ended:
        last = attempts[-1]
        return Cell(stage=stage, state=last.execution.value, at=last.started_at or last.queued_at)
    if has_succeeded(history, release.id, stage):
        success = max((each.succeeded for each in mine if each.succeeded), key=lambda each: each.order or 0)
        here = current(history, stage)
        state = "here" if here is not None and here.release == release.id else "was here"
        return Cell(stage=stage, state=state, at=success.ended_at)
    if attempts:
        last = attempts[-1]
        return Cell(stage=stage, state=last.execution.value, at=last.ended_at, reason=last.reason)
    if stage in next_stages(release, history):
        return Cell(stage=stage, state="ready")
    if mine:
        return Cell(stage=stage, state=mine[-1].state, at=mine[-1].decided_at, reason=mine[-1].reason)
    return Cell(stage=stage, state="")
