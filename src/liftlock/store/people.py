"""What people said about promotions, and the holds they set."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import Connection, Row, insert, select, update

from liftlock.oci.digest import Digest
from liftlock.release.people import Actor, Approval, Hold, Override
from liftlock.store import tables as t
from liftlock.store.turns import insert_missing

__all__ = ["People"]


class People:
    """Approvals, overrides and holds of one transaction."""

    def __init__(self, connection: Connection, now: dt.datetime) -> None:
        self._connection = connection
        self._now = now

    def approve(self, promotion: int, by: Actor, binding: Digest, *, approved: bool, comment: str = "") -> None:
        """A person's yes or no; the newest of a person counts."""
        self._connection.execute(
            insert(t.approvals).values(
                promotion_id=promotion,
                person=by.person,
                asserted=by.asserted,
                approved=approved,
                at=self._now,
                binding=binding,
                comment=comment,
            )
        )

    def approvals(self, promotion: int) -> Sequence[Approval]:
        """What was said about a promotion, in that order."""
        query = select(t.approvals).where(t.approvals.c.promotion_id == promotion).order_by(t.approvals.c.id)
        return [
            Approval(
                by=Actor(person=row.person, asserted=row.asserted),
                approved=row.approved,
                at=row.at,
                binding=Digest(row.binding),
                comment=row.comment,
            )
            for row in self._connection.execute(query)
        ]

    def override(self, promotion: int, by: Actor, reason: str) -> None:
        """A person takes it on themselves; the first one's word stays."""
        row = {"promotion_id": promotion, "person": by.person, "asserted": by.asserted, "reason": reason}
        insert_missing(self._connection, t.overrides, [{**row, "at": self._now}])

    def overridden(self, promotion: int) -> Override | None:
        """Who overrode the conditions of a promotion."""
        row = self._connection.execute(select(t.overrides).where(t.overrides.c.promotion_id == promotion)).one_or_none()
        if row is None:
            return None
        return Override(by=Actor(person=row.person, asserted=row.asserted), reason=row.reason, at=row.at)

    def hold(self, pipeline: str, stage: str, by: Actor, reason: str, *, by_rollback: bool = False) -> Hold:
        """Stop everything that would go to a stage (empty: to any stage)."""
        row = self._connection.execute(
            insert(t.holds)
            .values(
                pipeline=pipeline,
                stage=stage,
                person=by.person,
                asserted=by.asserted,
                reason=reason,
                by_rollback=by_rollback,
                since=self._now,
            )
            .returning(t.holds)
        ).one()
        return _hold(row)

    def unhold(self, pipeline: str, stage: str, by: Actor, *, by_rollback: bool = False) -> Sequence[Hold]:
        """Release the holds of exactly this stage (empty: those of every stage together); which they were.

        With ``by_rollback`` only those that a rollback has set.
        """
        c = t.holds.c
        mine = (c.pipeline == pipeline) & (c.stage == stage) & c.released_at.is_(None)
        rows = self._connection.execute(
            update(t.holds)
            .where(mine & c.by_rollback if by_rollback else mine)
            .values(released_at=self._now, released_by=str(by))
            .returning(t.holds)
        )
        return sorted(map(_hold, rows), key=lambda hold: hold.id)

    def holds(self, pipeline: str) -> Sequence[Hold]:
        """The holds that are there now, the oldest first."""
        query = select(t.holds).where(t.holds.c.pipeline == pipeline, t.holds.c.released_at.is_(None))
        return [_hold(row) for row in self._connection.execute(query.order_by(t.holds.c.id))]


def _hold(row: Row[tuple[object, ...]]) -> Hold:
    return Hold(
        id=row.id,
        pipeline=row.pipeline,
        stage=row.stage,
        by=Actor(person=row.person, asserted=row.asserted),
        reason=row.reason,
        since=row.since,
        by_rollback=row.by_rollback,
    )
