"""What people said, what gates answered, whom somebody told, and what watchers see."""

from __future__ import annotations

import datetime as dt
import threading

from sqlalchemy import text

from liftlock.oci.digest import Digest
from liftlock.release.conditions import Outcome, Sample, Verdict
from liftlock.release.people import Actor, Approval
from liftlock.release.promotion import Promotion
from liftlock.store.store import Store
from tests.store.support import ANN, BOB, NOON, at_once, released, requested
from tests.support.waiting import until

BINDING = Digest.of(b"binding")


def asked(store: Store) -> Promotion:
    return requested(store, released(store))


class TestPeople:
    def test_words_come_back_in_their_order_with_who_said_them(self, store: Store) -> None:
        promotion = asked(store).id
        with store.begin() as tx:
            tx.people.approve(promotion, ANN, BINDING, approved=True, comment="ü fine")
        with store.begin() as tx:
            tx.people.approve(promotion, BOB, BINDING, approved=True)
            tx.people.approve(promotion, ANN, Digest.of(b"other"), approved=False)
            at = tx.now

        with store.read() as tx:
            first, second, third = tx.people.approvals(promotion)
            assert tx.people.approvals(promotion + 1) == []
        before = at - dt.timedelta(minutes=1)
        assert first == Approval(by=ANN, approved=True, at=before, binding=BINDING, comment="ü fine")
        assert (second.by, second.by.asserted, second.comment) == (BOB, False, "")
        assert (third.approved, third.binding) == (False, Digest.of(b"other"))

    def test_the_first_override_stays_also_when_two_come_at_once(self, store: Store, other: Store) -> None:
        promotion = asked(store).id

        def override(opened: Store, by: Actor) -> None:
            with opened.begin() as tx:
                tx.people.override(promotion, by, f"by {by.person}")

        with store.read() as tx:
            assert tx.people.overridden(promotion) is None
        assert not at_once(lambda: override(store, ANN), lambda: override(other, BOB))
        with store.read() as tx:
            found = tx.people.overridden(promotion)
        assert found is not None
        assert found.reason == f"by {found.by.person}"
        override(store, Actor(person="late"))
        with store.read() as tx:
            assert tx.people.overridden(promotion) == found

    def test_a_hold_is_there_until_it_is_released(self, store: Store) -> None:
        with store.begin() as tx:
            first = tx.people.hold("demo", "dev", ANN, "incident 7")
            second = tx.people.hold("demo", "", BOB, "holidays")
            third = tx.people.hold("demo", "dev", BOB, "rolled back", by_rollback=True)
            tx.people.hold("other", "dev", BOB, "not ours")
        with store.read() as tx:
            assert tx.people.holds("demo") == [first, second, third]
        assert (first.by, first.reason, first.by_rollback, third.by_rollback) == (ANN, "incident 7", False, True)

        with store.begin() as tx:
            assert tx.people.unhold("demo", "dev", BOB) == [first, third]
            assert tx.people.unhold("demo", "dev", BOB) == []
        with store.read() as tx:
            assert tx.people.holds("demo") == [second]
            assert len(tx.people.holds("other")) == 1


def test_samples_come_back_as_they_were_taken(store: Store) -> None:
    promotion = asked(store).id
    first = (Verdict(outcome=Outcome.WAIT, reason="not yet", clears_at=NOON), Verdict(outcome=Outcome.FAIL, reason="ü"))
    with store.read() as tx:
        assert tx.samples.latest(promotion) is None
    with store.begin() as tx:
        taken = tx.samples.add(promotion, first)
        assert taken == Sample(at=tx.now, verdicts=first)
    with store.begin() as tx:
        last = tx.samples.add(promotion, [Verdict(outcome=Outcome.PASS, reason="")])

    with store.read() as tx:
        assert tx.samples.of(promotion) == [taken, last]
        assert tx.samples.latest(promotion) == last
        assert tx.samples.latest(promotion + 1) is None


class TestNotifications:
    def test_the_same_is_told_once_with_one_key(self, store: Store, other: Store) -> None:
        promotion = asked(store).id

        def add(opened: Store) -> None:
            with opened.begin() as tx:
                tx.notifications.add(promotion, None, "waiting", 0)
                tx.notifications.add(promotion, 1, "success", 0)

        assert not at_once(lambda: add(store), lambda: add(other))
        add(store)
        with store.read() as tx:
            first, second = sorted(tx.notifications.of(promotion), key=lambda each: each.attempt or 0)
            assert tx.notifications.get(second.id) == second
            assert sorted(tx.notifications.due()) == sorted([(first.id, 0, "demo"), (second.id, 0, "demo")])
        assert first.key != second.key
        assert (second.attempt, second.occasion, second.rule, second.state) == (1, "success", 0, "pending")

    def test_what_did_not_arrive_is_tried_again_when_its_time_has_come_or_never(self, store: Store) -> None:
        promotion = asked(store).id
        with store.begin() as tx:
            tx.notifications.add(promotion, 1, "success", 0)
            ((made, _, _),) = tx.notifications.due()
            tx.notifications.undelivered(made, "503", tx.now + dt.timedelta(minutes=2))
        with store.read() as tx:
            assert tx.notifications.due() == []
        with store.read() as tx:
            assert tx.notifications.due() == [(made, 1, "demo")]
        with store.begin() as tx:
            tx.notifications.undelivered(made, "410 gone", None)

        with store.read() as tx:
            found = tx.notifications.get(made)
            assert tx.notifications.due() == []
        assert (found.state, found.reason, found.tries, found.next_at) == ("failed", "410 gone", 2, None)

    def test_what_is_put_off_comes_after_what_is_due_longer(self, store: Store) -> None:
        promotion = asked(store).id
        with store.begin() as tx:
            for rule in (0, 1):
                tx.notifications.add(promotion, 1, "success", rule)
            (first, _, _), (second, _, _) = tx.notifications.due()
            tx.notifications.put_off(first, 0, tx.now + dt.timedelta(minutes=1))
            tx.notifications.put_off(second, 1, tx.now + dt.timedelta(hours=1))  # it was tried once less
            assert tx.notifications.due() == [(second, 0, "demo")]

        with store.read() as tx:
            assert tx.notifications.due() == [(second, 0, "demo"), (first, 0, "demo")]

    def test_what_arrived_is_over(self, store: Store) -> None:
        promotion = asked(store).id
        with store.begin() as tx:
            tx.notifications.add(promotion, 1, "success", 0)
            ((made, _, _),) = tx.notifications.due()
            tx.notifications.delivered(made)

        with store.read() as tx:
            assert tx.notifications.due() == []
            found = tx.notifications.get(made)
        assert (found.state, found.tries, found.delivered_at) == ("delivered", 1, found.created_at)


class TestEvents:
    def test_watchers_go_on_from_where_they_were(self, store: Store) -> None:
        with store.begin() as tx:
            tx.events.add("demo", 1, None, "state", {"state": "waiting"})
            tx.events.add("demo", 2, 1, "copied", {"bytes": 7, "image": "ü"})
            tx.events.add("demo", 1, 1, "copied", {"bytes": 8})
        with store.read() as tx:
            first, second, third = tx.events.after(0)
            assert tx.events.after(first.id) == [second, third]
            assert tx.events.after(first.id, promotion=1) == [third]
            assert tx.events.after(0, limit=1) == [first]
            assert tx.events.after(third.id) == []
        assert (second.promotion, second.attempt, second.kind) == (2, 1, "copied")
        assert second.data == {"bytes": 7, "image": "ü"}
        assert (first.attempt, first.at.tzinfo) == (None, dt.UTC)

    def test_what_is_undone_is_not_told(self, store: Store) -> None:
        def fail() -> None:
            with store.begin() as tx:
                tx.events.add("demo", 1, None, "state", {})
                raise ZeroDivisionError

        assert [type(each) for each in at_once(fail)] == [ZeroDivisionError]
        with store.read() as tx:
            assert tx.events.after(0) == []

    def test_no_event_appears_behind_the_cursor_of_a_watcher(self, store: Store, other: Store) -> None:
        """One has its id and is not committed yet; another, that would get the next id, waits for it."""

        def tell() -> None:
            with other.begin() as quick:
                quick.events.add("demo", 2, None, "quick", {})

        def waits() -> bool:
            if other.engine.dialect.name == "sqlite":  # where a second writer waits in any case
                return True
            with other.read() as tx:
                waiting = tx.connection.execute(text("SELECT 1 FROM pg_locks WHERE NOT granted")).first()
            return waiting is not None or not quick.is_alive()

        quick = threading.Thread(target=tell)
        with store.begin() as slow:
            slow.events.add("demo", 1, None, "slow", {})
            slow.events.flush()
            quick.start()
            until(waits, "the second transaction to wait")
            with other.read() as tx:
                assert tx.events.after(0) == []
        quick.join()
        with other.read() as tx:
            assert [each.kind for each in tx.events.after(0)] == ["slow", "quick"]

    def test_many_that_tell_at_once_are_all_seen_in_order_by_one_who_looks_all_the_time(
        self, store: Store, other: Store
    ) -> None:
        seen: list[int] = []

        def tell(opened: Store) -> None:
            for _ in range(10):
                with opened.begin() as tx:
                    tx.events.add("demo", 1, None, "state", {})

        def look() -> None:
            while len(seen) < 40:
                with store.read() as tx:
                    seen.extend(each.id for each in tx.events.after(seen[-1] if seen else 0))

        assert not at_once(*[lambda opened=opened: tell(opened) for opened in (store, other) * 2], look)
        assert len(seen) == 40
        assert seen == sorted(seen)
