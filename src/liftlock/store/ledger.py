"""The ledger: what was decided and done, appended and never changed, each entry holding the digest of the one before.

There is one chain per pipeline. An entry is canonical JSON (RFC 8785), and its digest is over exactly those bytes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, insert, select, update

from liftlock.oci.canonical import canonical_json
from liftlock.oci.digest import Digest
from liftlock.release.people import Actor
from liftlock.store import tables as t

__all__ = ["Ledger"]


class Ledger:
    """The ledger of one transaction."""

    def __init__(self, connection: Connection, now: dt.datetime) -> None:
        self._connection = connection
        self._now = now

    def append(self, pipeline: str, kind: str, by: Actor, data: Mapping[str, Any]) -> Digest:
        """Write down what was done, by whom; ``data`` has digests and names, no floats and no secrets.

        Others who append to the same chain wait until the transaction is over: do it last.
        """
        heads = t.ledger_heads
        head = self._connection.execute(
            select(heads).where(heads.c.pipeline == pipeline).with_for_update()
        ).one_or_none()
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
        if head:
            self._connection.execute(update(heads).where(heads.c.pipeline == pipeline).values(row))
        else:
            self._connection.execute(insert(heads).values(row))
        return digest

    def rows(self, pipeline: str) -> Iterator[tuple[int, str, str]]:
        """Every entry as it was written: number, text and digest, the oldest first."""
        query = select(t.ledger).where(t.ledger.c.pipeline == pipeline).order_by(t.ledger.c.number)
        for row in self._connection.execute(query):
            yield row.number, row.entry, row.digest
