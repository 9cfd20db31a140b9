"""The ledger: what was decided and done, appended and never changed, each entry holding the digest of the one before.

There is one chain per pipeline. An entry is canonical JSON (RFC 8785), and its digest is over exactly those bytes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Any

from sqlalchemy import ColumnElement, Connection, LargeBinary, cast, insert, select

from liftlock.oci.canonical import canonical_json
from liftlock.oci.digest import Digest
from liftlock.release.people import Actor
from liftlock.store import tables as t
from liftlock.store.chain import Chain, Entry, Head, check
from liftlock.store.turns import on_postgresql, pipeline_turn, put

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
        number, previous = (int(str(head.number)) + 1, str(head.digest)) if head else (1, "")
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

    def pipelines(self) -> Sequence[str]:
        """Whose ledgers there are."""
        names = select(t.ledger.c.pipeline).union(select(t.ledger_heads.c.pipeline))
        return sorted(self._connection.scalars(names))

    def head(self, pipeline: str) -> Head | None:
        """The newest entry's number and digest, which are written down beside the chain; None without any entry."""
        heads = t.ledger_heads.c
        row = self._connection.execute(
            select(heads.number, heads.digest).where(heads.pipeline == pipeline)
        ).one_or_none()
        return None if row is None else Head(row.number, row.digest)

    def entries(self, pipeline: str, after: int | None = None) -> Generator[Entry]:
        """Every entry as it is there, the oldest first; those after a number, where one is given."""
        c = t.ledger.c
        columns: list[ColumnElement[Any]] = [c.number, c.entry, c.digest]
        if not on_postgresql(self._connection):
            # SQLite keeps whatever is put there, also what is no text and no number: that is found, too.
            columns = [cast(column, LargeBinary) for column in columns]
        query = select(*columns).where(c.pipeline == pipeline).order_by(c.number)
        if after is not None:
            query = query.where(c.number > after)
        with self._connection.execute(query, execution_options={"yield_per": 1000}) as rows:
            for number, entry, digest in rows:
                yield Entry(_number(number), _text(entry), _text(digest))

    def check(self, pipeline: str) -> Chain:
        """Recompute the whole ledger of a pipeline."""
        head = self.head(pipeline) or Head(0, "")
        with closing(self.entries(pipeline)) as entries:
            return check(pipeline, entries, head)


def _text(value: object) -> object:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else value


def _number(value: object) -> object:
    text = _text(value)
    return int(text) if isinstance(text, str) and text.isascii() and text.isdecimal() else text
