"""Promotions and their attempts: what `liftlock.release.promotion` decides, row by row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from liftlock.errors import NotFound
from liftlock.oci.digest import Digest
from liftlock.release.promotion import Attempt, Decision, Ended, Event, Execution, Promotion, Queued, Started, apply
from liftlock.release.release import Release
from liftlock.store import tables as t

__all__ = ["Promotions"]


class Promotions:
    """The promotions of one transaction."""

    def __init__(self, connection: Connection, now: dt.datetime) -> None:
        self._connection = connection
        self._now = now

    def admit(self, release: Release, stage: str) -> Promotion:
        """Record that a release may go to a stage: the promotion of which nothing was tried yet."""
        return self._decide(release, stage, Decision.ADMITTED)

    def refuse(self, release: Release, stage: str, reason: str) -> Promotion:
        """Record that a release may not go to a stage, and why."""
        return self._decide(release, stage, Decision.REFUSED, reason)

    def queue(self, promotion_id: int) -> Promotion:
        """A new attempt; raises `Conflict` while one has not ended."""
        return self._apply(promotion_id, Queued(at=self._now))

    def start(self, promotion_id: int) -> Promotion:
        """Work on the queued attempt begins; raises `Conflict` when there is none."""
        return self._apply(promotion_id, Started(at=self._now))

    def end(self, promotion_id: int, execution: Execution, reason: str = "") -> Promotion:
        """The attempt ends so, and after everything that has ended before; raises `Conflict` when it cannot."""
        last: int | None = self._connection.scalar(select(func.max(t.attempts.c.ended_order)))
        return self._apply(promotion_id, Ended(at=self._now, execution=execution, order=(last or 0) + 1, reason=reason))

    def get(self, promotion_id: int) -> Promotion:
        """The promotion of this id; raises `NotFound`."""
        found = self._select(t.promotions.c.id == promotion_id)
        if not found:
            raise NotFound(f"there is no promotion {promotion_id}")
        return found[0]

    def history(self, pipeline: str) -> Sequence[Promotion]:
        """Every promotion of the pipeline of this name, in the order of their decisions: what the rules read."""
        return self._select(t.promotions.c.pipeline == pipeline)

    def latest(self, release: Digest, stage: str) -> Promotion | None:
        """The newest promotion of a release to a stage."""
        found = self._select((t.promotions.c.release_id == release) & (t.promotions.c.stage == stage))
        return found[-1] if found else None

    def unfinished(self, pipeline: str, stage: str) -> Sequence[Promotion]:
        """The promotions to a stage with an attempt that has not ended: at work, or left by a process that died."""
        waiting = select(t.attempts.c.promotion_id).where(t.attempts.c.ended_order.is_(None))
        return self._select(
            (t.promotions.c.pipeline == pipeline) & (t.promotions.c.stage == stage) & t.promotions.c.id.in_(waiting)
        )

    def _decide(self, release: Release, stage: str, decision: Decision, reason: str = "") -> Promotion:
        release.pipeline.stage(stage)
        promotion_id = self._connection.scalar(
            insert(t.promotions)
            .values(
                release_id=release.id,
                pipeline=release.pipeline.name,
                stage=stage,
                decision=decision.value,
                decided_at=self._now,
                reason=reason,
            )
            .returning(t.promotions.c.id)
        )
        assert promotion_id is not None  # noqa: S101  # RETURNING gives one row for the one inserted
        return self.get(promotion_id)

    def _apply(self, promotion_id: int, event: Event) -> Promotion:
        promotion = apply(self.get(promotion_id), event)
        attempt = promotion.attempts[-1]
        row = {
            "execution": attempt.execution.value,
            "queued_at": attempt.queued_at,
            "started_at": attempt.started_at,
            "ended_at": attempt.ended_at,
            "ended_order": attempt.order,
            "reason": attempt.reason,
        }
        if isinstance(event, Queued):
            key = {"promotion_id": promotion_id, "number": attempt.number}
            self._connection.execute(insert(t.attempts).values({**key, **row}))
        else:
            here = (t.attempts.c.promotion_id == promotion_id) & (t.attempts.c.number == attempt.number)
            self._connection.execute(update(t.attempts).where(here).values(row))
        return promotion

    def _select(self, condition: ColumnElement[bool]) -> list[Promotion]:
        rows = self._connection.execute(select(t.promotions).where(condition).order_by(t.promotions.c.id)).all()
        attempts: dict[int, list[Attempt]] = {row.id: [] for row in rows}
        query = (
            select(t.attempts)
            .join(t.promotions, t.promotions.c.id == t.attempts.c.promotion_id)
            .where(condition)
            .order_by(t.attempts.c.number)
        )
        for row in self._connection.execute(query):
            attempts[row.promotion_id].append(
                Attempt(
                    number=row.number,
                    execution=Execution(row.execution),
                    queued_at=row.queued_at,
                    started_at=row.started_at,
                    ended_at=row.ended_at,
                    order=row.ended_order,
                    reason=row.reason,
                )
            )
        return [
            Promotion(
                id=row.id,
                release=Digest(row.release_id),
                pipeline=row.pipeline,
                stage=row.stage,
                decision=Decision(row.decision),
                decided_at=row.decided_at,
                reason=row.reason,
                attempts=tuple(attempts[row.id]),
            )
            for row in rows
        ]
