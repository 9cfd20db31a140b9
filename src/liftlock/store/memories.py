"""The database behind the ports of the rooms below: each call is a transaction of its own, from any thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select

from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.store import tables as t
from liftlock.store.tags import M
from liftlock.store.turns import put
from liftlock.targets.canonical import Compressed

if TYPE_CHECKING:
    from liftlock.store.store import Store

__all__ = ["LayerMemory", "PromotionJournal"]


class PromotionJournal:
    """The journal of one attempt (`liftlock.transfer.journal.Journal`): on the disk before the first tag moves."""

    def __init__(self, store: Store, promotion: int, attempt: int) -> None:
        self._store = store
        self._promotion = promotion
        self._attempt = attempt

    def begin(self, moves: Sequence[M]) -> Sequence[M]:
        with self._store.begin() as tx:
            return tx.tag_moves.record(self._promotion, self._attempt, moves)

    def finish(self) -> None:
        with self._store.begin() as tx:
            tx.tag_moves.settle(self._promotion, self._attempt)


class LayerMemory:
    """What compressed layer stands for a diff id (`liftlock.targets.canonical.DiffIds`); the newest answer counts."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, diff_id: Digest) -> Compressed | None:
        with self._store.read() as tx:
            row = tx.connection.execute(select(t.diff_ids).where(t.diff_ids.c.diff_id == diff_id)).one_or_none()
        if row is None:
            return None
        return Compressed(Descriptor(row.media_type, Digest(row.digest), row.size), row.recipe)

    def put(self, diff_id: Digest, compressed: Compressed) -> None:
        layer = compressed.layer
        row = {
            "diff_id": diff_id,
            "media_type": layer.media_type,
            "digest": layer.digest,
            "size": layer.size,
            "recipe": compressed.recipe,
        }
        with self._store.begin() as tx:
            put(tx.connection, t.diff_ids, {**row, "learnt_at": tx.now})
