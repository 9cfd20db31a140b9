"""What the watchers of a promotion see: phases and progress, as they happened. The record is the ledger, not this.

An event's id is a cursor, so ids have to become visible in their order. They are given at the very end of a
transaction, by one transaction at a time.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from liftlock.store import tables as t
from liftlock.store.turns import take_turn

__all__ = ["Events", "Seen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One event; its ``id`` is the cursor to go on from."""

    id: int
    pipeline: str
    promotion: int
    attempt: int | None
    at: dt.datetime
    kind: str
    """``state`` (the promotion's state changed), else a kind of `liftlock.transfer.events.Event`."""
    data: Mapping[str, Any]


class Events:
    """The events of one transaction."""

    def __init__(self, connection: Connection, now: dt.datetime) -> None:
        self._connection = connection
        self._now = now
        self._added: list[dict[str, Any]] = []

    def add(self, pipeline: str, promotion: int, attempt: int | None, kind: str, data: Mapping[str, Any]) -> None:
        """Tell the watchers, when the transaction is over."""
        self._added.append(
            {
                "pipeline": pipeline,
                "promotion_id": promotion,
                "attempt": attempt,
                "at": self._now,
                "kind": kind,
                "data": json.dumps(dict(data)),
            }
        )

    def flush(self) -> None:
        """Write what was added: the last thing that the transaction does."""
        added, self._added = self._added, []
        if added:
            take_turn(self._connection, "events")
            self._connection.execute(insert(t.events), added)

    def after(self, cursor: int, *, promotion: int | None = None, limit: int = 1000) -> Sequence[Seen]:
        """What happened after the event with this id, of one promotion or of all; the oldest first."""
        query = select(t.events).where(t.events.c.id > cursor)
        if promotion is not None:
            query = query.where(t.events.c.promotion_id == promotion)
        return [
            Seen(
                id=row.id,
                pipeline=row.pipeline,
                promotion=row.promotion_id,
                attempt=row.attempt,
                at=row.at,
                kind=row.kind,
                data=json.loads(row.data),
            )
            for row in self._connection.execute(query.order_by(t.events.c.id).limit(limit))
        ]
