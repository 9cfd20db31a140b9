"""What gates answered, sample by sample."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select

from liftlock.release.conditions import Outcome, Sample, Verdict
from liftlock.store import tables as t

__all__ = ["Samples"]


class Samples:
    """The samples of one transaction."""

    def __init__(self, connection: Connection, now: dt.datetime) -> None:
        self._connection = connection
        self._now = now

    def add(self, promotion: int, verdicts: Sequence[Verdict]) -> Sample:
        """Record what all gates of a promotion's stage answered just now."""
        number = self._connection.scalar(
            select(func.count()).select_from(t.samples).where(t.samples.c.promotion_id == promotion)
        )
        text = json.dumps(
            [
                {
                    "outcome": verdict.outcome.value,
                    "reason": verdict.reason,
                    "clearsAt": verdict.clears_at.isoformat() if verdict.clears_at else None,
                }
                for verdict in verdicts
            ]
        )
        row = {"promotion_id": promotion, "number": (number or 0) + 1, "at": self._now, "verdicts": text}
        self._connection.execute(insert(t.samples).values(row))
        return Sample(at=self._now, verdicts=tuple(verdicts))

    def latest(self, promotion: int) -> Sample | None:
        """The newest sample; None when the gates were not asked yet."""
        here = select(t.samples).where(t.samples.c.promotion_id == promotion)
        found = self._read(here.order_by(t.samples.c.number.desc()).limit(1))  # weeks of samples stay where they are
        return found[0] if found else None

    def of(self, promotion: int) -> Sequence[Sample]:
        """Every sample, the oldest first."""
        here = select(t.samples).where(t.samples.c.promotion_id == promotion)
        return self._read(here.order_by(t.samples.c.number))

    def _read(self, query: Select[Any]) -> list[Sample]:
        return [
            Sample(
                at=row.at,
                verdicts=tuple(
                    Verdict(
                        outcome=Outcome(one["outcome"]),
                        reason=one["reason"],
                        clears_at=dt.datetime.fromisoformat(one["clearsAt"]) if one["clearsAt"] else None,
                    )
                    for one in json.loads(row.verdicts)
                ),
            )
            for row in self._connection.execute(query)
        ]
