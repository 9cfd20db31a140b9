"""Where everything is: releases by stages, from what is recorded here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from liftlock.release.promotion import Promotion
from liftlock.release.release import Release
from liftlock.release.rules import current, next_stages
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
    with project.home.store.read() as tx:
        releases = tx.releases.of(pipeline.name)
        history = tx.promotions.history(pipeline.name)
    here = {stage.name: current(history, stage.name) for stage in pipeline.stages}
    return Status(
        pipeline=pipeline.name,
        stages=tuple(stage.name for stage in pipeline.stages),
        rows=tuple(
            Row(
                created=created,
                cells=tuple(
                    _cell(created.release, stage.name, history, here.get(stage.name)) for stage in pipeline.stages
                ),
            )
            for created in releases
        ),
    )


def _cell(release: Release, stage: str, history: Sequence[Promotion], here: Promotion | None) -> Cell:
    if all(each.name != stage for each in release.pipeline.stages):
        return Cell(stage=stage, state="")
    mine = [each for each in history if each.release == release.id and each.stage == stage]
    last = mine[-1] if mine else None
    if here is not None and here.release == release.id and here.succeeded and (last is None or not last.unfinished):
        return Cell(stage=stage, state="here", at=here.succeeded.ended_at)
    if last is not None and last.last is not None and not last.succeeded:
        attempt = last.last
        return Cell(stage=stage, state=last.state, at=attempt.ended_at or attempt.started_at, reason=attempt.reason)
    success = next((each.succeeded for each in reversed(mine) if each.succeeded), None)
    if success is not None:
        return Cell(stage=stage, state="was here", at=success.ended_at)
    if stage in next_stages(release, history):
        return Cell(stage=stage, state="ready")
    if last is not None:
        return Cell(stage=stage, state=last.state, at=last.decided_at, reason=last.reason)
    return Cell(stage=stage, state="")
