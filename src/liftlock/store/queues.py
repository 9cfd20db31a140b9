"""Who wants into a stage: what waits for it, in which order, and what has it now."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Select, exists, func, select, text, update

from liftlock.oci.digest import Digest
from liftlock.release.conditions import Rival
from liftlock.release.promotion import Decision
from liftlock.release.stage import Queue
from liftlock.store import tables as t

__all__ = ["Queues"]


class Queues:
    """The queues of one transaction. No question reads more than what waits for one stage."""

    def __init__(self, connection: Connection, now: dt.datetime) -> None:
        self._connection = connection
        self._now = now

    def rivals(self, release: Digest, pipeline: str, stage: str, queue: Queue) -> Sequence[Rival]:
        """The promotions of other releases that this kind of queue looks at, in the order they were asked for."""
        c = t.promotions.c
        # As the index of these rows is written: `active = 1` would not find it.
        active = self._query(release, pipeline, stage).where(text("ll_promotions.active"))
        waiting = self._query(release, pipeline, stage).where(_waits()).order_by(c.id)
        if queue is Queue.QUEUE:  # a thousand may wait here, and one of them is next
            waiting = waiting.where(c.ready).limit(1)
        rows = [*self._connection.execute(active), *self._connection.execute(waiting)]
        return [
            Rival(
                id=row.id,
                release=Digest(row.release_id),
                under_way=row.active,
                ready=row.ready and not row.active,
                older=bool(row.older),
            )
            for row in sorted(rows, key=lambda row: int(row.id))
        ]

    def next(self, pipeline: str, stage: str, *, newest: bool = False) -> int | None:
        """Of those that wait for nothing but their turn, the one that was asked for first (or last)."""
        c = t.promotions.c
        chosen = func.max(c.id) if newest else func.min(c.id)
        return self._connection.scalar(select(chosen).where(_here(pipeline, stage), _waits(), c.ready))

    def is_ready(self, promotion: int) -> bool:
        """Whether a promotion waits, and for nothing but its turn and an open stage."""
        c = t.promotions.c
        return self._connection.scalar(select(c.id).where(c.id == promotion, _waits(), c.ready)) is not None

    def busy(self, pipeline: str, stage: str) -> bool:
        """Whether a promotion has the stage."""
        has_it = text("ll_promotions.active")
        return self._connection.scalar(select(t.promotions.c.id).where(_here(pipeline, stage), has_it)) is not None

    def wake(self, pipeline: str, stage: str) -> None:
        """Look now at what is ready and may pass what stops the others: rollbacks, and what was overridden."""
        c = t.promotions.c
        overridden = exists().where(t.overrides.c.promotion_id == c.id)
        self._connection.execute(
            update(t.promotions)
            .where(_here(pipeline, stage), _waits(), c.ready, c.rollback | overridden)
            .values(look_at=self._now)
        )

    def _query(self, release: Digest, pipeline: str, stage: str) -> Select[tuple[int, str, bool, bool, bool]]:
        c = t.promotions.c
        mine = select(t.releases.c.created_at).where(t.releases.c.id == release).scalar_subquery()
        return (
            select(c.id, c.release_id, c.active, c.ready, (t.releases.c.created_at < mine).label("older"))
            .join(t.releases, t.releases.c.id == c.release_id)
            .where(_here(pipeline, stage), c.release_id != release)
        )


def _here(pipeline: str, stage: str) -> ColumnElement[bool]:
    return (t.promotions.c.pipeline == pipeline) & (t.promotions.c.stage == stage)


def _waits() -> ColumnElement[bool]:
    return t.promotions.c.decision == Decision.WAITING.value
