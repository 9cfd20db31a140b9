"""Which workers are alive: each has a lease, and renews it while it is.

Leases are measured by the database's clock alone: those of the workers' machines need not agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, select

from liftlock.store import tables as t
from liftlock.store.turns import on_postgresql, put

__all__ = ["Workers"]


class Workers:
    """The leases, as of one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def beat(self, worker: str, host: str, ttl_seconds: float) -> None:
        """A worker is alive, and counts as such for this long from now on."""
        row = {"id": worker, "host": host, "expires_at": self._clock(ttl_seconds)}
        put(self._connection, t.workers, row)

    def alive(self) -> frozenset[str]:
        """The workers whose lease runs."""
        return frozenset(self._connection.scalars(select(t.workers.c.id).where(t.workers.c.expires_at > self._clock())))

    def dead(self) -> Sequence[str]:
        """The workers whose lease ran out, and who did not say good-bye."""
        query = select(t.workers.c.id).where(t.workers.c.expires_at <= self._clock()).order_by(t.workers.c.id)
        return list(self._connection.scalars(query))

    def drop(self, worker: str) -> None:
        """A worker ended, or others have taken over what it was at."""
        self._connection.execute(delete(t.workers).where(t.workers.c.id == worker))

    def _clock(self, ahead: float = 0) -> ColumnElement[Any]:
        """The database's time, this many seconds from now."""
        if on_postgresql(self._connection):
            return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, ahead)
        # As SQLAlchemy writes times: UTC, with six digits.
        return func.strftime("%Y-%m-%d %H:%M:%f000", "now", f"{ahead:+f} seconds", type_=t.Utc())
