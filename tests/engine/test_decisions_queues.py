"""Who goes when several could: one at a time, in the order that the stage's queue says, and each gets its turn."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import event

from liftlock.engine import decisions
from liftlock.errors import Conflict
from liftlock.release.conditions import Facts, Outcome, Verdict
from liftlock.release.promotion import Decision, Execution, Promotion
from liftlock.release.release import Release
from tests.engine.conftest import MakeWorld
from tests.engine.deciding import PASS, WAIT, World, actor

SOAK = dt.timedelta(hours=1)


def soaked(world: World, releases: list[Release]) -> None:
    """The stage's gate passes an hour after a release came to dev."""
    came: dict[str, dt.datetime] = {}
    with world.store.read() as tx:
        for release in releases:
            last = tx.promotions.of_release(release.id)[0].last
            assert last is not None
            assert last.ended_at is not None
            came[release.id] = last.ended_at

    def answer(facts: Facts) -> list[Verdict]:
        clears = came[facts.release.id] + SOAK
        if facts.now >= clears:
            return [PASS]
        return [Verdict(outcome=Outcome.WAIT, reason="it soaks", clears_at=clears)]

    world.answers = answer


def ready(world: World, *builds: str) -> list[Promotion]:
    """Promotions to prod, the first of which has the stage, while the others wait for their turn."""
    releases = [world.release(build) for build in builds]
    for release in releases:
        world.bring(release, "dev")
    return [world.ask(release, "prod") for release in releases]


class TestQueue:
    def test_they_go_one_at_a_time_in_the_order_they_were_asked_for(self, make_world: MakeWorld) -> None:
        world = make_world()
        promotions = ready(world, "1", "2", "3")
        assert [world.state(each) for each in promotions] == ["queued", "waiting", "waiting"]
        assert "goes first" in world.unmet(promotions[2])["queue"] or "under way" in world.unmet(promotions[2])["queue"]

        for position, promotion in enumerate(promotions):
            assert [world.state(each) for each in promotions[position:]] == ["queued"] + ["waiting"] * (2 - position)
            end = Execution.ERRORED if position == 1 else Execution.SUCCEEDED
            world.carry_out(promotion, end)

    def test_who_takes_a_request_back_lets_the_next_one_go(self, make_world: MakeWorld) -> None:
        world = make_world()
        first, second, third = ready(world, "1", "2", "3")
        canceled = world.do(decisions.cancel, second.id, actor("ann"))
        assert (canceled.decision, canceled.reason) == (Decision.CANCELED, "taken back by local:ann")

        ended = world.do(decisions.cancel, first.id, actor("ann"))  # nobody has begun it

        assert ended.state == "canceled"
        assert world.state(third) == "queued"
        with pytest.raises(Conflict, match="canceled already"):
            world.do(decisions.cancel, first.id, actor("ann"))

    def test_what_runs_is_asked_to_stop_and_ends_when_it_has(self, make_world: MakeWorld) -> None:
        world = make_world()
        first, second = ready(world, "1", "2")
        world.do(decisions.started, first.id)

        assert world.do(decisions.cancel, first.id, actor("ann")).state == "running"
        with world.store.read() as tx:
            assert tx.promotions.canceled([first.id, second.id]) == [(first.id, 1)]
        world.do(decisions.ended, first.id, Execution.CANCELED, "canceled on request")
        assert [world.state(each) for each in (first, second)] == ["canceled", "queued"]

    def test_one_whose_gates_say_no_when_its_turn_has_come_lets_the_next_one_go(self, make_world: MakeWorld) -> None:
        world = make_world("gates: [{command: [x]}], sampling: {every: 5m}")
        promotions = ready(world, "1", "2", "3")
        world.look()
        first, second, third = promotions
        assert [world.state(each) for each in promotions] == ["queued", "waiting", "waiting"]
        world.later(hours=1)  # what the gates of the others said is old
        world.answers = lambda facts: [WAIT if facts.promotion and facts.promotion.id == second.id else PASS]
        asked = world.asked
        world.carry_out(first)
        assert world.next_look(third) is None

        world.look()

        assert [world.state(each) for each in promotions] == ["succeeded", "waiting", "queued"]
        assert world.asked == asked + 2

    def test_a_retry_waits_for_nobody_and_takes_the_stage(self, make_world: MakeWorld) -> None:
        world = make_world()
        first, second = ready(world, "1", "2")
        world.do(decisions.hold, world.pipeline, "prod", actor("ann"), "stop")
        world.carry_out(first, Execution.ERRORED)
        assert world.state(second) == "waiting"

        again = world.do(decisions.retry, first.id, actor("ann"))

        assert [each.execution for each in again.attempts] == [Execution.ERRORED, Execution.QUEUED]
        world.carry_out(first)
        with pytest.raises(Conflict, match="nothing to try again"):
            world.do(decisions.retry, first.id, actor("ann"))


class TestSupersede:
    def test_the_newest_goes_and_the_older_ones_name_it(self, make_world: MakeWorld) -> None:
        world = make_world("queue: supersede")
        first, second, third, fourth = ready(world, "1", "2", "3", "4")
        assert [world.state(each) for each in (second, third, fourth)] == ["waiting"] * 3

        world.carry_out(first)

        assert world.state(fourth) == "queued"
        for each in (second, third):
            found = world.get(each)
            assert (found.decision, found.successor) == (Decision.SUPERSEDED, fourth.id)
            assert found.reason == f"promotion {fourth.id} of release 4 went first"

    def test_one_that_is_not_ready_is_superseded_by_a_later_release_and_not_by_an_earlier_one(
        self, make_world: MakeWorld
    ) -> None:
        world = make_world("queue: supersede, gates: [{command: [x]}], sampling: {every: 5m}")
        one, two, three = (world.release(build) for build in "123")
        for release in (one, two, three):
            world.bring(release, "dev")
        of_three, of_one, of_two = (world.ask(release, "prod") for release in (three, one, two))
        world.answers = lambda facts: [PASS if facts.release.id == two.id else WAIT]

        world.look()

        assert world.state(of_two) == "queued"
        assert world.get(of_one).decision is Decision.SUPERSEDED
        assert world.state(of_three) == "waiting"

    def test_a_rollback_supersedes_nothing(self, make_world: MakeWorld) -> None:
        world = make_world("queue: supersede")
        one, two = world.release("1"), world.release("2")
        for release in (one, two):
            world.bring(release, "dev")
            world.bring(release, "prod")
        three = world.release("3")
        world.bring(three, "dev")
        busy = world.ask(two, "prod")
        waiting = world.ask(three, "prod")
        back = world.do(decisions.rollback, world.pipeline, "prod", one, by=actor("ann"))

        world.carry_out(busy)
        world.look()
        world.carry_out(back)

        assert [world.state(each) for each in (back, waiting)] == ["succeeded", "waiting"]


class TestReject:
    def test_while_one_waits_or_is_under_way_another_is_refused(self, make_world: MakeWorld) -> None:
        world = make_world("queue: reject, approvals: {from: [managers]}")
        releases = [world.release(build) for build in "12"]
        for release in releases:
            world.bring(release, "dev")
        first = world.ask(releases[0], "prod")

        for doing in ("waits", "is under way"):
            refused = world.ask(releases[1], "prod")
            assert refused.decision is Decision.REFUSED
            assert f"promotion {first.id} of release" in refused.reason
            assert doing in refused.reason
            if doing == "waits":
                world.approve(first, "ann")
        world.carry_out(first)
        assert world.ask(releases[1], "prod").state == "waiting"


@pytest.mark.parametrize("queue", ["queue", "supersede"])
def test_each_of_many_quick_builds_gets_its_turn_after_its_soak(make_world: MakeWorld, queue: str) -> None:
    world = make_world(f"queue: {queue}, gates: [{{soak: 1h}}]")
    releases: list[Release] = []
    promotions = []
    reached = []
    for number in range(24):  # a build every ten minutes, for much longer than the soak
        if number < 12:
            release = world.release(str(number))
            world.bring(release, "dev")
            releases.append(release)
            soaked(world, releases)
            promotions.append(world.ask(release, "prod"))
        world.look()
        for promotion in promotions:
            if world.state(promotion) == "queued":
                reached.append(promotion.id)
                world.carry_out(promotion)
        world.later(minutes=10)

    assert reached == [each.id for each in promotions]


def test_a_long_queue_costs_no_more_than_a_short_one(make_world: MakeWorld) -> None:
    world = make_world()
    releases = world.releases(*map(str, range(60)))
    statements: list[str] = []
    counts: list[int] = []
    rows: list[int] = []

    def seen(_connection: object, cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(world.store.engine, "before_cursor_execute", seen)
    for release in releases:
        statements.clear()
        world.ask(release, "prod", proven=frozenset({"dev"}))
        counts.append(len(statements))
    waiting = world.waiting("prod")
    assert len(waiting) == 59
    assert max(counts[2:]) == min(counts[2:])

    for promotion in [world.newest(releases[0], "prod")]:
        assert promotion is not None
        statements.clear()
        world.carry_out(promotion)
        rows.append(len(statements))
    assert world.waiting("prod") == waiting[1:]
    assert rows[0] < 4 * counts[-1]  # the end weighs the next one, and not all of them
