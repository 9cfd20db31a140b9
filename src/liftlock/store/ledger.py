"""The ledger: what was decided and done, appended and never changed, each entry holding the digest of the one before.

There is one chain per pipeline. An entry is canonical JSON (RFC 8785), and its digest is over exactly those bytes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from liftlock.oci.canonical import canonical_json
from liftlock.oci.digest import Digest
from liftlock.release.people import Actor
from liftlock.store import tables as t
from liftlock.store.turns import pipeline_turn, put

__all__ = ["Ledger"]


class Ledger:
    """The ledger of one transaction."""

    def __init__(self, connection: Connection, now: dt.datetime) -> None:
        self._connection = connection
        self._now = now

    def append(self, pipeline: str, kind: str, by: Actor, data: Mapping[str, Any]) -> Digest:
        """Write down what was done, by whom; ``data`` has digests and names, no floats and no secrets.

        Others who append to the same chain wait until the transaction is over.
        """
        pipeline_turn(self._connection, pipeline)
        head = self.head(pipeline)
        number, previous = (head.number + 1, head.digest) if head else (1, "")
        entry = canonical_json(
            {
                "pipeline": pipeline,
                "number": number,
                "previous": previous,
                "at": self._now.astimezone(dt.UTC).isoformat(),
                "by": by.person,
                "asserted": by.asserted,
                "kind": kind,
                "data": dict(data),
            }
        )
        digest = Digest.of(entry)
        row = {"pipeline": pipeline, "number": number, "digest": digest}
        self._connection.execute(insert(t.ledger).values(**row, entry=entry.decode()))
        put(self._connection, t.ledger_heads, row)
        return digest

    def head(self, pipeline: str) -> Row[tuple[str, int, str]] | None:
        """The newest entry's number and digest, which are written down beside the chain; None without any entry."""
        heads = t.ledger_heads
        return self._connection.execute(select(heads).where(heads.c.pipeline == pipeline)).one_or_none()

    def rows(self, pipeline: str) -> Iterator[tuple[int, str, str]]:
        """Every entry as it was written: number, text and digest, the oldest first."""
        query = select(t.ledger).where(t.ledger.c.pipeline == pipeline).order_by(t.ledger.c.number)
        for row in self._connection.execute(query):
            yield row.number, row.entry, row.digest
