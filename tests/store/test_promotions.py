"""Promotions are recorded step by step, one at a time per stage, and in one order."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from liftlock.errors import Conflict, NotFound
from liftlock.oci.digest import Digest
from liftlock.release.promotion import Decision, Execution
from liftlock.release.rules import current
from liftlock.release.stage import Trigger
from liftlock.store import promotions
from liftlock.store.store import Store
from tests.store.support import ANN, BOB, NOON, at_once, ended, queued, released, requested


def test_a_request_waits_and_is_looked_at_right_away(store: Store) -> None:
    release = released(store)
    with store.begin() as tx:
        made = tx.promotions.request(
            release, "test", requested_by=[ANN, BOB], trigger=Trigger.ON_SUCCESS, rollback=True, proven=["dev"]
        )
        assert tx.promotions.due() == [(made.id, 0, "demo")]

    with store.read() as tx:
        (found,) = tx.promotions.history("demo")
        assert tx.promotions.latest(release.id, "test") == tx.promotions.get(made.id) == found == made
        assert tx.promotions.latest(release.id, "dev") is None
        assert [each.id for each in tx.promotions.open("demo", "test")] == [made.id]
    assert (found.requested_by, found.trigger, found.rollback) == ((ANN, BOB), Trigger.ON_SUCCESS, True)
    assert (found.decision, found.decided_at, found.state) == (Decision.WAITING, None, "waiting")
    assert found.proven == {"dev"}


def test_an_unknown_stage_or_promotion_is_not_found(store: Store) -> None:
    release = released(store)
    with pytest.raises(NotFound), store.begin() as tx:
        tx.promotions.request(release, "live", requested_by=[ANN])
    with pytest.raises(NotFound), store.begin() as tx:
        tx.promotions.lock(7)

    with store.read() as tx:
        assert not tx.promotions.history("demo")


def test_a_parked_promotion_comes_up_when_its_time_has_come(store: Store) -> None:
    """The clock is a minute further with each transaction."""
    made = requested(store, released(store))
    with store.begin() as tx:
        assert tx.promotions.park(made.id, tx.now + dt.timedelta(minutes=2), ready=False) == 1
    with store.read() as tx:
        assert tx.promotions.due() == []
    with store.read() as tx:
        assert tx.promotions.due() == [(made.id, 1, "demo")]
    with store.begin() as tx:
        assert tx.promotions.park(made.id, None, ready=True) == 2
        assert tx.promotions.next_look(made.id) is None
    with store.read() as tx:
        assert tx.promotions.due() == []


def test_what_is_put_off_comes_after_what_is_due_longer(store: Store) -> None:
    """The clock is a minute further with each transaction."""
    first, second = requested(store, released(store)), requested(store, released(store, "2"))
    with store.begin() as tx:
        assert tx.promotions.due() == [(first.id, 0, "demo"), (second.id, 0, "demo")]
        tx.promotions.put_off(first.id, 0, tx.now + dt.timedelta(minutes=1))
        tx.promotions.put_off(second.id, 1, tx.now + dt.timedelta(hours=1))  # it was weighed once less
        assert tx.promotions.due() == [(second.id, 0, "demo")]

    with store.read() as tx:
        assert tx.promotions.due() == [(second.id, 0, "demo"), (first.id, 0, "demo")]


@pytest.mark.parametrize("decision", [each for each in Decision if each.made])
def test_a_decision_is_made_once(store: Store, decision: Decision) -> None:
    first, second = requested(store, released(store)), requested(store, released(store, "2"))
    with store.begin() as tx:
        made = tx.promotions.decide(first.id, decision, "because", successor=second.id)
        assert tx.promotions.due() == [(second.id, 0, "demo")]

    with pytest.raises(Conflict), store.begin() as tx:
        tx.promotions.decide(first.id, Decision.REFUSED)
    with store.read() as tx:
        assert tx.promotions.get(first.id) == made
        assert [each.id for each in tx.promotions.open("demo", "dev")] == [second.id]
    assert (made.decision, made.reason, made.successor) == (decision, "because", second.id)


def test_an_attempt_is_recorded_step_by_step(store: Store) -> None:
    release = released(store)
    made = queued(store, release)
    with store.read() as tx:
        assert tx.promotions.under_way() == [(made.id, 1)]
        assert [each.id for each in tx.promotions.open("demo", "dev")] == [made.id]
        assert not tx.promotions.open("demo", "test")
    after = ended(store, made.id, Execution.ERRORED, "the network was gone")
    with store.read() as tx:
        assert tx.promotions.under_way() == []
        assert not tx.promotions.open("demo", "dev")
    with store.begin() as tx:
        tx.promotions.queue(made.id)

    with store.read() as tx:
        (found,) = tx.promotions.history("demo")
        assert tx.promotions.get(made.id) == tx.promotions.latest(release.id, "dev") == found
    first, second = found.attempts
    assert first == after.attempts[0]
    assert (first.execution, first.reason, first.order) == (Execution.ERRORED, "the network was gone", 1)
    assert first.queued_at < (first.started_at or NOON) < (first.ended_at or NOON)
    assert (second.number, second.execution) == (2, Execution.QUEUED)


def test_a_step_that_cannot_follow_is_a_conflict_and_leaves_no_trace(store: Store) -> None:
    made = queued(store, released(store))

    with pytest.raises(Conflict), store.begin() as tx:
        tx.promotions.queue(made.id)
    with pytest.raises(Conflict), store.begin() as tx:
        tx.promotions.end(made.id, Execution.SUCCEEDED)
    with store.read() as tx:
        assert [each.execution for each in tx.promotions.get(made.id).attempts] == [Execution.QUEUED]


def test_a_stage_is_had_by_one_promotion_and_the_transaction_goes_on(store: Store) -> None:
    first, second = queued(store, released(store)), requested(store, released(store, "2"))
    with store.begin() as tx:
        tx.promotions.decide(second.id, Decision.ADMITTED)
        with pytest.raises(Conflict, match="another promotion is under way"):
            tx.promotions.queue(second.id)
        assert tx.promotions.get(second.id).attempts == ()

    ended(store, first.id)
    with store.begin() as tx:
        assert tx.promotions.queue(second.id).attempts


def test_a_request_to_cancel_reaches_who_works_on_it(store: Store) -> None:
    mine, theirs = queued(store, released(store)), queued(store, released(store, "2"), "test")
    with store.begin() as tx:
        tx.promotions.cancel(mine.id, ANN)

    with store.read() as tx:
        assert tx.promotions.canceled([mine.id, theirs.id]) == [(mine.id, 1)]
        assert tx.promotions.canceled([theirs.id]) == []
    with store.begin() as tx:
        tx.promotions.end(mine.id, Execution.CANCELED)
        assert tx.promotions.canceled([mine.id]) == []


def test_what_ended_last_is_in_the_stage_even_when_the_clock_went_back(where: Path | str) -> None:
    times = iter(NOON - dt.timedelta(hours=hour) for hour in range(100))
    store = Store(where, lambda: next(times))
    for build in ("2", "1"):
        ended(store, queued(store, released(store, build)).id)

    with store.read() as tx:
        found = current(tx.promotions.history("demo"), "dev")
        assert found is not None
        assert tx.releases.get(found.release).release.name == "1"
        assert tx.promotions.current("demo", "dev") == found
    store.close()


def test_what_is_where_is_the_last_success_of_each_stage(store: Store) -> None:
    old, new = released(store, "1"), released(store, "2")
    with store.read() as tx:
        assert tx.promotions.currents("demo") == {}
        assert tx.promotions.current("demo", "dev") is None
    first = ended(store, queued(store, old).id)
    in_test = ended(store, queued(store, old, "test").id)
    second = ended(store, queued(store, new).id)
    failed = ended(store, queued(store, new, "test").id, Execution.FAILED)

    with store.read() as tx:
        assert tx.promotions.currents("demo") == {"dev": second, "test": in_test}
        assert tx.promotions.current("demo", "test") == in_test
        assert tx.promotions.currents("other") == {}
        assert [each.id for each in tx.promotions.succeeded_since("demo", "dev", 1)] == [second.id]
        assert tx.promotions.of_releases([new.id, old.id, Digest.of(b"none")]) == {
            new.id: [second, failed],
            old.id: [first, in_test],
            Digest.of(b"none"): [],
        }
        assert tx.promotions.of_release(old.id) == [first, in_test]


def test_many_are_read_as_few_are(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    release = released(store)
    ended(store, queued(store, release).id)
    ended(store, queued(store, release, "test").id)
    with store.read() as tx:
        few = tx.promotions.history("demo")
        monkeypatch.setattr(promotions, "FEW", 0)
        assert tx.promotions.history("demo") == few
    assert [len(each.attempts) for each in few] == [1, 1]


class TestAtOnce:
    """Several workers and persons, at the same instant."""

    def test_ends_of_many_have_one_order(self, store: Store, other: Store) -> None:
        release = released(store)
        running = [queued(store, release, stage).id for stage in ("dev", "test")]

        assert not at_once(
            *[
                lambda opened=opened, made=made: ended(opened, made)
                for opened, made in zip((store, other), running, strict=True)
            ]
        )
        with store.read() as tx:
            orders = [each.last.order for each in tx.promotions.history("demo") if each.last]
        assert sorted(each or 0 for each in orders) == [1, 2]

    def test_of_two_admissions_to_a_stage_one_is_a_conflict(self, store: Store, other: Store) -> None:
        made = [requested(store, released(store, str(number))).id for number in range(4)]

        def admit(opened: Store, promotion: int) -> None:
            with opened.begin() as tx:
                tx.promotions.decide(promotion, Decision.ADMITTED)
                tx.promotions.queue(promotion)

        raised = at_once(
            *[
                lambda opened=opened, promotion=promotion: admit(opened, promotion)
                for opened, promotion in zip((store, other) * 2, made, strict=True)
            ]
        )
        assert [type(each) for each in raised] == [Conflict] * 3
        with store.read() as tx:
            assert len(tx.promotions.under_way()) == 1

    def test_who_supersedes_whom_never_ends_in_a_deadlock(self, store: Store, other: Store) -> None:
        """Each locks one of two promotions and then decides about the other: without turns they would wait for ever."""
        for _ in range(5):
            release = released(store)
            mine, theirs = requested(store, release).id, requested(store, release).id

            def decide(opened: Store, first: int, second: int) -> None:
                with opened.begin() as tx:
                    tx.promotions.lock(first)
                    if not tx.promotions.lock(second).decision.made:
                        tx.promotions.decide(second, Decision.SUPERSEDED, successor=first)

            assert not at_once(lambda: decide(store, mine, theirs), lambda: decide(other, theirs, mine))  # noqa: B023

    def test_each_of_two_approvers_sees_the_others_word(self, store: Store, other: Store) -> None:
        """Who comes second finds both: exactly one of them completes the number."""
        binding = Digest.of(b"binding")
        for _ in range(10):
            made = requested(store, released(store)).id
            counted: list[int] = []

            def approve(opened: Store, who: int, promotion: int = made, counted: list[int] = counted) -> None:
                with opened.begin() as tx:
                    tx.promotions.lock(promotion)
                    tx.people.approve(promotion, (ANN, BOB)[who], binding, approved=True)
                    counted.append(len(tx.people.approvals(promotion)))

            assert not at_once(lambda: approve(store, 0), lambda: approve(other, 1))
            assert sorted(counted) == [1, 2]
