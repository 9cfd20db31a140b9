"""When stages with the trigger ``schedule`` ask for a release the next time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, select, update

from liftlock.store import tables as t
from liftlock.store.turns import put

__all__ = ["Schedule", "Schedules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One stage's."""

    pipeline: str
    stage: str
    text: str
    """As it was written."""
    next_at: dt.datetime


class Schedules:
    """The schedules of one transaction."""

    def __init__(self, connection: Connection, now: dt.datetime) -> None:
        self._connection = connection
        self._now = now

    def register(self, pipeline: str, stages: Mapping[str, tuple[str, dt.datetime]]) -> None:
        """These are all the schedules of a pipeline: by stage, the text and when it comes up next.

        A stage whose text stayed keeps the time that it had.
        """
        known = {each.stage: each for each in self.of(pipeline)}
        for stage in known.keys() - stages.keys():
            self._connection.execute(delete(t.schedules).where(*_here(pipeline, stage)))
        for stage, (text, next_at) in stages.items():
            if stage not in known or known[stage].text != text:
                row = {"pipeline": pipeline, "stage": stage, "schedule": text, "next_at": next_at}
                put(self._connection, t.schedules, row)

    def of(self, pipeline: str) -> Sequence[Schedule]:
        """Every schedule of a pipeline."""
        return self._select(t.schedules.c.pipeline == pipeline)

    def due(self) -> Sequence[Schedule]:
        """Those whose time has come, the longest overdue first."""
        return self._select(t.schedules.c.next_at <= self._now)

    def advance(self, due: Schedule, next_at: dt.datetime) -> bool:
        """What was due comes up again then; False when another has seen to it meanwhile."""
        changed = self._connection.execute(
            update(t.schedules)
            .where(*_here(due.pipeline, due.stage), t.schedules.c.next_at == due.next_at)
            .values(next_at=next_at)
        )
        return changed.rowcount == 1

    def _select(self, condition: ColumnElement[bool]) -> list[Schedule]:
        c = t.schedules.c
        return [
            Schedule(pipeline=row.pipeline, stage=row.stage, text=row.schedule, next_at=row.next_at)
            for row in self._connection.execute(select(t.schedules).where(condition).order_by(c.next_at, c.stage))
        ]


def _here(pipeline: str, stage: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return t.schedules.c.pipeline == pipeline, t.schedules.c.stage == stage
