"""Tags are written down before they move."""

from __future__ import annotations

import pytest

from liftlock.oci.digest import Digest
from liftlock.release.promotion import Execution
from liftlock.store.memories import PromotionJournal
from liftlock.store.store import Store
from liftlock.transfer.journal import Journal
from liftlock.transfer.model import TagMove
from tests.store.support import queued, released


class TestTagMoves:
    A, B, C = (Digest.of(letter) for letter in (b"a", b"b", b"c"))

    @pytest.fixture
    def promotion(self, store: Store) -> int:
        made = queued(store, released(store))
        with store.begin() as tx:
            tx.promotions.start(made.id)
        return made.id

    def again(self, store: Store, promotion: int) -> None:
        with store.begin() as tx:
            tx.promotions.end(promotion, Execution.ERRORED, "killed")
            tx.promotions.queue(promotion)
            tx.promotions.start(promotion)

    def test_moves_are_on_record_before_they_are_made_and_settled_after(self, store: Store, promotion: int) -> None:
        journal: Journal = PromotionJournal(store, promotion, 1)
        moves = [
            TagMove("registry.example/web", "1", None, self.B),
            TagMove("registry.example/web", "x", self.B, self.B),
        ]

        assert journal.begin(moves) == moves[:1]
        with store.read() as tx:
            (recorded,) = tx.tag_moves.of(promotion, 1)
        assert (recorded.tag, recorded.old, recorded.new, recorded.settled_at) == ("1", None, self.B, None)
        journal.finish()
        with store.read() as tx:
            (recorded,) = tx.tag_moves.with_digest(self.B)
        assert recorded.settled_at is not None
        assert recorded.settled_at > recorded.recorded_at

    def test_after_a_crash_the_next_attempt_still_knows_what_the_tags_held(self, store: Store, promotion: int) -> None:
        name = "registry.example/web"
        both = [TagMove(name, "1", None, self.B), TagMove(name, "latest", self.A, self.B)]
        PromotionJournal(store, promotion, 1).begin(both)
        # When the process died, latest had moved and 1 had not; the second attempt dies there as well.
        left = [both[0], TagMove(name, "latest", self.B, self.B)]
        self.again(store, promotion)
        assert PromotionJournal(store, promotion, 2).begin(left) == both
        self.again(store, promotion)
        journal = PromotionJournal(store, promotion, 3)
        assert journal.begin(left) == both
        journal.finish()

        self.again(store, promotion)
        held = [TagMove(name, "1", self.B, self.B), TagMove(name, "latest", self.B, self.B)]
        assert PromotionJournal(store, promotion, 4).begin(held) == []
        with store.read() as tx:
            assert all(each.settled_at for each in tx.tag_moves.of_tag(name, "latest"))

    def test_another_digests_unfinished_move_is_not_taken_for_ones_own(self, store: Store, promotion: int) -> None:
        name = "registry.example/web"
        PromotionJournal(store, promotion, 1).begin([TagMove(name, "latest", self.A, self.B)])
        self.again(store, promotion)

        assert PromotionJournal(store, promotion, 2).begin([TagMove(name, "latest", self.C, self.C)]) == []
