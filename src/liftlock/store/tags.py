"""Which tags a promotion moves, written down before the first one moves: what a crash leaves can be finished or undone.

`PromotionJournal` is to promotions what `liftlock.transfer.journal.FileJournal` is to copies, and fulfils the same
protocol without knowing it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, insert, or_, select, update

from liftlock.oci.digest import Digest
from liftlock.store import tables as t

__all__ = ["Move", "RecordedMove", "TagMoves"]


class Move(Protocol):
    """A tag that changes: what it held (None: nothing) and what it will hold."""

    @property
    def destination(self) -> str: ...

    @property
    def tag(self) -> str: ...

    @property
    def old(self) -> Digest | None: ...

    @property
    def new(self) -> Digest: ...

    def _replace(self, *, old: Digest | None) -> Self: ...


M = TypeVar("M", bound=Move)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedMove:
    """One tag move of one attempt."""

    promotion: int
    attempt: int
    destination: str
    tag: str
    old: Digest | None
    new: Digest
    recorded_at: dt.datetime
    settled_at: dt.datetime | None
    """When it was over, made or put back; None when nobody knows, because the process was gone before."""


class TagMoves:
    """The tag moves of one transaction."""

    def __init__(self, connection: Connection, now: dt.datetime) -> None:
        self._connection = connection
        self._now = now

    def record(self, promotion: int, attempt: int, moves: Sequence[M]) -> Sequence[M]:
        """Write down what an attempt is about to do; returns the moves as they should be undone.

        A tag that holds the new digest already was moved by an attempt that died, and comes back with what it held
        before that one; or it needs no move, and does not come back.
        """
        merged: list[M] = []
        for move in moves:
            if move.old != move.new:
                merged.append(move)
            elif (left := self._left(move)) is not None:
                merged.append(move._replace(old=left.old))
        if merged:
            self._connection.execute(
                insert(t.tag_moves),
                [
                    {
                        "promotion_id": promotion,
                        "attempt": attempt,
                        "destination": move.destination,
                        "tag": move.tag,
                        "old": move.old,
                        "new": move.new,
                        "recorded_at": self._now,
                    }
                    for move in merged
                ],
            )
        return merged

    def settle(self, promotion: int, attempt: int) -> None:
        """The attempt's moves are over, and with them whatever earlier ones left undecided about the same tags.

        An attempt that found every tag moved already has written down nothing: what it settles is what the earlier
        attempts of its promotion left.
        """
        earlier = self._select((t.tag_moves.c.promotion_id == promotion) & (t.tag_moves.c.attempt <= attempt))
        names = {(move.destination, move.tag) for move in earlier}
        moves = t.tag_moves.c
        for destination, tag in names:
            here = and_(moves.destination == destination, moves.tag == tag, moves.settled_at.is_(None))
            self._connection.execute(update(t.tag_moves).where(here).values(settled_at=self._now))

    def of(self, promotion: int, attempt: int) -> Sequence[RecordedMove]:
        """What an attempt wrote down."""
        return self._select((t.tag_moves.c.promotion_id == promotion) & (t.tag_moves.c.attempt == attempt))

    def of_tag(self, destination: str, tag: str) -> Sequence[RecordedMove]:
        """Everything that was ever written down about one tag, the oldest first."""
        return self._select((t.tag_moves.c.destination == destination) & (t.tag_moves.c.tag == tag))

    def with_digest(self, digest: Digest) -> Sequence[RecordedMove]:
        """Every move from or to this digest, the oldest first."""
        return self._select(or_(t.tag_moves.c.old == digest, t.tag_moves.c.new == digest))

    def _left(self, move: Move) -> RecordedMove | None:
        """The newest undecided record about this tag, when it is about the same digest."""
        left = [each for each in self.of_tag(move.destination, move.tag) if each.settled_at is None]
        return left[-1] if left and left[-1].new == move.new else None

    def _select(self, condition: ColumnElement[bool]) -> list[RecordedMove]:
        return [
            RecordedMove(
                promotion=row.promotion_id,
                attempt=row.attempt,
                destination=row.destination,
                tag=row.tag,
                old=Digest(row.old) if row.old else None,
                new=Digest(row.new),
                recorded_at=row.recorded_at,
                settled_at=row.settled_at,
            )
            for row in self._connection.execute(select(t.tag_moves).where(condition).order_by(t.tag_moves.c.id))
        ]
