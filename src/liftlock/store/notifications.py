"""What has to be told to whom, and whether it was."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, select, update

from liftlock.oci.digest import Digest
from liftlock.store import tables as t
from liftlock.store.turns import insert_missing

__all__ = ["Notification", "Notifications"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One message to one receiver of a stage's ``notify``."""

    id: int
    promotion: int
    attempt: int | None
    occasion: str
    rule: int
    """Which entry of the stage's ``notify``, from 0."""
    key: str
    """Sent along, so that a receiver that gets it twice sees it once."""
    state: str
    """``pending``, ``delivered`` or ``failed``."""
    created_at: dt.datetime
    tries: int
    next_at: dt.datetime | None
    delivered_at: dt.datetime | None
    reason: str


class Notifications:
    """The notifications of one transaction."""

    def __init__(self, connection: Connection, now: dt.datetime) -> None:
        self._connection = connection
        self._now = now

    def add(self, promotion: int, attempt: int | None, occasion: str, rule: int) -> None:
        """Something has to be told; adding the same again changes nothing."""
        c = t.promotions.c
        columns = (c.release_id, c.pipeline, c.stage, c.requested_at)
        asked = self._connection.execute(select(*columns).where(c.id == promotion)).one()
        # Numbers begin anew in every database: a receiver must not take one job's message for that of another.
        about = f"{asked.release_id}:{asked.stage}:{asked.requested_at.isoformat()}"
        key = Digest.of(f"{about}:{promotion}:{attempt}:{occasion}:{rule}".encode()).hex[:32]
        row = {
            "promotion_id": promotion,
            "attempt": attempt,
            "occasion": occasion,
            "rule": rule,
            "key": key,
            "state": "pending",
            "created_at": self._after_others(promotion, asked.pipeline, asked.stage),
            "tries": 0,
            "next_at": self._now,
            "reason": "",
        }
        insert_missing(self._connection, t.notifications, [row])

    def _after_others(self, promotion: int, pipeline: str, stage: str) -> dt.datetime:
        """Now, and in any case after what was told of other promotions into the stage: receivers tell by the time which
        is later, and one worker's clock may be behind another's.
        """
        n, p = t.notifications.c, t.promotions.c
        before: dt.datetime | None = self._connection.scalar(
            select(n.created_at)
            .join(t.promotions, p.id == n.promotion_id)
            .where(p.pipeline == pipeline, p.stage == stage, p.id != promotion)
            .order_by(n.id.desc())
            .limit(1)
        )
        return max(self._now, before + dt.timedelta(microseconds=1)) if before else self._now

    def get(self, notification_id: int) -> Notification:
        """The notification of this id, which exists."""
        return self._select(t.notifications.c.id == notification_id)[0]

    def due(self, limit: int = 100) -> Sequence[tuple[int, int, str]]:
        """What it is time to deliver, due longest first: each id with how often it was tried, and its pipeline."""
        c = t.notifications.c
        rows = self._connection.execute(
            select(c.id, c.tries, t.promotions.c.pipeline)
            .join(t.promotions, t.promotions.c.id == c.promotion_id)
            .where(c.state == "pending", c.next_at <= self._now)
            .order_by(c.next_at, c.id)
            .limit(limit)
        )
        return [(row.id, row.tries, row.pipeline) for row in rows]

    def put_off(self, notification_id: int, tries: int, until: dt.datetime) -> None:
        """The try that is due after so many could not be made: it is due again then, and others get their turn."""
        c = t.notifications.c
        same = (c.id == notification_id) & (c.tries == tries) & (c.next_at <= self._now)
        self._connection.execute(update(t.notifications).where(same).values(next_at=until))

    def of(self, promotion: int) -> Sequence[Notification]:
        """Everything that was to be told about a promotion."""
        return self._select(t.notifications.c.promotion_id == promotion)

    def delivered(self, notification_id: int) -> None:
        """It arrived."""
        self._set(notification_id, state="delivered", delivered_at=self._now, next_at=None, reason="")

    def undelivered(self, notification_id: int, reason: str, next_at: dt.datetime | None) -> None:
        """It did not arrive; it is tried again then, or never (None)."""
        self._set(notification_id, state="pending" if next_at else "failed", next_at=next_at, reason=reason)

    def _set(self, notification_id: int, **values: object) -> None:
        c = t.notifications.c
        changed = update(t.notifications).where(c.id == notification_id).values(tries=c.tries + 1, **values)
        self._connection.execute(changed)

    def _select(self, condition: ColumnElement[bool]) -> list[Notification]:
        return [
            Notification(
                id=row.id,
                promotion=row.promotion_id,
                attempt=row.attempt,
                occasion=row.occasion,
                rule=row.rule,
                key=row.key,
                state=row.state,
                created_at=row.created_at,
                tries=row.tries,
                next_at=row.next_at,
                delivered_at=row.delivered_at,
                reason=row.reason,
            )
            for row in self._connection.execute(select(t.notifications).where(condition).order_by(t.notifications.c.id))
        ]
