"""What may not happen when something is tried again: a stage does not go backwards, and nobody is told of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from liftlock.engine import decisions
from liftlock.errors import Conflict, RefusedError
from liftlock.release.promotion import Execution
from tests.engine.conftest import PIPELINE, MakeWorld
from tests.engine.deciding import World, actor

APPROVED = "approvals: {from: [managers]}"


class TestAfterANewerOneCame:
    def test_the_old_attempt_is_not_tried_again(self, make_world: MakeWorld) -> None:
        world = make_world()
        old, new = world.release("1"), world.release("2")
        for each in (old, new):
            world.bring(each, "dev")
        broken = world.carry_out(world.ask(old, "prod"), Execution.ERRORED, "the registry was gone")
        world.bring(new, "prod")

        with pytest.raises(Conflict, match="release 2 has come to 'prod' since"):
            world.do(decisions.retry, broken.id, actor("ann"))

        assert len(world.get(broken).attempts) == 1

    def test_who_asks_for_the_old_one_asks_anew_and_its_approvals_are_gone(self, make_world: MakeWorld) -> None:
        world = make_world(APPROVED)
        old, new = world.release("1"), world.release("2")
        for each in (old, new):
            world.bring(each, "dev")
        broken = world.approve(world.ask(old, "prod"), "ann")
        world.carry_out(broken, Execution.ERRORED, "the registry was gone")
        world.carry_out(world.approve(world.ask(new, "prod"), "ann"))

        again = world.ask(old, "prod")

        assert (again.id == broken.id, again.state) == (False, "waiting")
        assert world.unmet(again) == {"approvals": "0 of 1 approvals; still needed: 1 of managers"}

    def test_what_was_rolled_back_is_not_brought_again_by_a_retry(self, make_world: MakeWorld) -> None:
        world = make_world()
        one, two, three = (world.release(build) for build in "123")
        for each in (one, two, three):
            world.bring(each, "dev")
        world.bring(one, "prod")
        world.bring(two, "prod")
        broken = world.carry_out(world.ask(three, "prod"), Execution.ERRORED, "the registry was gone")
        world.carry_out(world.do(decisions.rollback, world.pipeline, "prod", None, by=actor("ann")))
        world.do(decisions.unhold, world.pipeline, "prod", actor("ann"))

        with pytest.raises(Conflict, match="has come to 'prod' since"):
            world.do(decisions.retry, broken.id, actor("ann"))


def test_a_hold_takes_nobodys_approval_away(make_world: MakeWorld) -> None:
    world = make_world(APPROVED)
    release = world.release("1")
    world.bring(release, "dev")
    promotion = world.approve(world.ask(release, "prod"), "ann")
    world.do(decisions.hold, world.pipeline, "prod", actor("ann"), "incident 7")
    world.carry_out(promotion, Execution.FAILED, "held by local:ann: incident 7")

    with pytest.raises(RefusedError, match="held by local:ann: incident 7"):
        world.ask(release, "prod")
    world.do(decisions.unhold, world.pipeline, "prod", actor("ann"))
    again = world.ask(release, "prod")

    assert (again.id, again.state, len(again.attempts)) == (promotion.id, "queued", 2)


def test_what_waits_for_no_person_waits_for_the_end_of_a_hold(make_world: MakeWorld) -> None:
    world = make_world()
    release = world.release("1")
    world.bring(release, "dev")
    promotion = world.ask(release, "prod")
    world.do(decisions.hold, world.pipeline, "prod", actor("ann"), "incident 7")
    world.carry_out(promotion, Execution.FAILED, "held by local:ann: incident 7")

    again = world.ask(release, "prod")

    assert (again.id == promotion.id, again.state) == (False, "waiting")


def test_approvals_are_not_good_for_ever(make_world: MakeWorld) -> None:
    world = make_world("approvals: {from: [managers], expires: 1d}")
    release = world.release("1")
    world.bring(release, "dev")
    promotion = world.approve(world.ask(release, "prod"), "ann")
    world.carry_out(promotion, Execution.ERRORED, "the registry was gone")
    world.later(hours=23)
    world.carry_out(world.do(decisions.retry, promotion.id, actor("ann")), Execution.ERRORED, "still gone")
    world.later(hours=1)

    with pytest.raises(Conflict, match="too old"):
        world.do(decisions.retry, promotion.id, actor("ann"))

    again = world.ask(release, "prod")
    assert (again.id == promotion.id, again.state) == (False, "waiting")


def test_what_was_asked_for_anew_is_not_tried_again_beside_it(make_world: MakeWorld) -> None:
    world = make_world()
    release = world.release("1")
    world.bring(release, "dev")
    broken = world.carry_out(world.ask(release, "prod"), Execution.ERRORED, "the registry was gone")
    world.do(decisions.hold, world.pipeline, "prod", actor("ann"), "stop")
    waiting = world.ask(release, "prod")
    assert (waiting.id == broken.id, waiting.state) == (False, "waiting")

    with pytest.raises(Conflict, match=f"promotion {waiting.id}"):
        world.do(decisions.retry, broken.id, actor("ann"))


def test_the_same_number_in_another_database_is_another_message(tmp_path: Path) -> None:
    """A job that keeps no state begins at 1 each time: a receiver must not take its message for the last one's."""
    keys = []
    for number in range(2):
        world = World(
            tmp_path / f"{number}.db",
            PIPELINE.replace("DEV", 'notify: [{command: ["tell"]}]').replace("PROD", "trigger: manual"),
        )
        world.later(days=number)
        promotion = world.bring(world.release("1"), "dev")
        with world.store.read() as tx:
            keys += [each.key for each in tx.notifications.of(promotion.id)]
        world.close()

    assert len(set(keys)) == 2


def test_what_is_told_later_is_later_though_a_clock_is_behind(make_world: MakeWorld) -> None:
    """A receiver that keeps what is in a stage drops what is older than what it has."""
    world = make_world(dev='notify: [{command: ["tell"]}, {command: ["note"]}]')
    first = world.bring(world.release("1"), "dev")
    world.later(minutes=-5)
    second = world.bring(world.release("2"), "dev")
    world.later(minutes=10)
    third = world.bring(world.release("3"), "dev")

    with world.store.read() as tx:
        told = [tx.notifications.of(promotion.id) for promotion in (first, second, third)]
    times = [{each.created_at for each in found} for found in told]
    assert [len(each) for each in times] == [1, 1, 1], "receivers of one occasion are told the same"
    assert max(times[0]) < max(times[1]) < max(times[2]) == world.now
