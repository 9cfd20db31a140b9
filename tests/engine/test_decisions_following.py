"""What follows from a decision: who is told, which stages are asked for, and what the clock asks for."""

from __future__ import annotations

import datetime as dt

import pytest

from liftlock.engine import decisions
from liftlock.errors import Conflict
from liftlock.release.promotion import Execution, Promotion
from liftlock.release.rules import current, has_succeeded
from liftlock.release.stage import Trigger
from liftlock.store.notifications import Notification
from tests.engine.conftest import MakeWorld
from tests.engine.deciding import PASS, WAIT, World, actor

APPROVED = "approvals: {from: [managers], count: 1}"


def notify(*rules: str) -> str:
    return f"notify: [{', '.join(f'{{command: [x], {rule}}}' for rule in rules)}]"


def pending(world: World, promotion: Promotion) -> list[Notification]:
    with world.store.read() as tx:
        return [each for each in tx.notifications.of(promotion.id) if each.state == "pending"]


class TestFollowing:
    def test_a_success_asks_for_the_stages_that_follow_by_themselves(self, make_world: MakeWorld) -> None:
        world = make_world("trigger: on-success")
        release = world.release("1", publisher="dev", author="ann")
        world.bring(release, "dev")

        follower = world.newest(release, "prod")

        assert follower is not None
        assert (follower.trigger, follower.state) == (Trigger.ON_SUCCESS, "queued")
        assert [each.person for each in follower.requested_by] == ["dev", "ann"]

    @pytest.mark.parametrize("end", [Execution.FAILED, Execution.ERRORED, Execution.CANCELED])
    def test_nothing_follows_what_did_not_succeed(self, make_world: MakeWorld, end: Execution) -> None:
        world = make_world("trigger: on-success")
        release = world.release("1")
        world.carry_out(world.ask(release, "dev"), end)

        assert world.newest(release, "prod") is None

    def test_what_is_in_the_next_stage_is_not_asked_for_again(self, make_world: MakeWorld) -> None:
        world = make_world("trigger: on-success")
        release = world.release("1")
        world.bring(release, "dev")
        follower = world.newest(release, "prod")
        assert follower is not None
        world.carry_out(follower)

        world.bring(release, "dev")

        newest = world.newest(release, "prod")
        assert newest is not None
        assert newest.id == follower.id

    def test_a_rollback_is_not_followed(self, make_world: MakeWorld) -> None:
        world = make_world(f"trigger: on-success, {APPROVED}")
        one, two = world.release("1"), world.release("2")
        for release in (one, two):
            world.bring(release, "dev")
        waiting = world.newest(one, "prod")
        assert waiting is not None
        world.do(decisions.cancel, waiting.id, actor("ann"))

        world.carry_out(world.do(decisions.rollback, world.pipeline, "dev", one, by=actor("ann")))

        newest = world.newest(one, "prod")
        assert newest is not None
        assert newest.id == waiting.id

    def test_what_waits_is_looked_at_when_the_stage_before_succeeds_again(self, make_world: MakeWorld) -> None:
        world = make_world(APPROVED)
        release = world.release("1")
        world.bring(release, "dev")
        promotion = world.ask(release, "prod")
        world.carry_out(world.ask(release, "dev"), Execution.ERRORED)
        assert world.approve(promotion, "ann").state == "waiting"
        assert world.unmet(promotion) == {"after": "it has not succeeded in dev"}

        world.bring(release, "dev")

        assert world.state(promotion) == "queued"

    def test_a_publication_asks_for_the_stages_that_wait_for_one(self, make_world: MakeWorld) -> None:
        world = make_world(dev="trigger: on-publish")

        _release, asked = world.released("1", publisher="dev")

        assert [(each.stage, each.trigger) for each in asked] == [("dev", Trigger.ON_PUBLISH)]
        assert asked[0].requested_by == (actor("dev"),)


class TestTelling:
    def test_each_occasion_is_told_once_to_those_who_want_it(self, make_world: MakeWorld) -> None:
        rules = notify("on: [approval-needed]", "on: [waiting]", "on: [success]", "on: [failure]")
        world = make_world(f"{APPROVED}, gates: [{{labels: {{a: b}}}}], sampling: {{every: 5m}}, {rules}")
        release = world.release("1")
        world.bring(release, "dev")
        promotion = world.ask(release, "prod")
        assert world.told(promotion) == [("approval-needed", 0, "pending")]  # its gates have not said that it waits
        world.answers = lambda facts: [WAIT]
        for _ in range(3):
            world.look()
            world.later(minutes=5)
        assert world.told(promotion) == [("approval-needed", 0, "pending"), ("waiting", 1, "pending")]

        world.approve(promotion, "ann")
        world.answers = lambda facts: [PASS]
        world.look()
        world.carry_out(promotion, Execution.ERRORED)
        world.carry_out(world.do(decisions.retry, promotion.id, actor("ann")))

        assert [(occasion, rule) for occasion, rule, _ in world.told(promotion)[2:]] == [("failure", 3), ("success", 2)]

    def test_what_goes_at_once_tells_nobody_that_it_waits(self, make_world: MakeWorld) -> None:
        world = make_world(notify("on: [waiting, approval-needed]"))
        release = world.release("1")
        world.bring(release, "dev")

        assert world.told(world.ask(release, "prod")) == []

    def test_who_takes_a_request_back_is_not_told_that_it_failed(self, make_world: MakeWorld) -> None:
        world = make_world(f"{APPROVED}, {notify('on: [failure]')}")
        release = world.release("1")
        world.bring(release, "dev")
        promotion = world.ask(release, "prod")
        world.do(decisions.cancel, promotion.id, actor("dev"))

        assert world.told(promotion) == []


class TestRequired:
    def arrived(self, world: World) -> Promotion:
        """A promotion to dev whose tags are there, and whose receivers are not told yet."""
        promotion = world.ask(world.release("1"), "dev")
        return world.carry_out(promotion)

    def test_the_success_comes_when_those_who_must_be_told_were(self, make_world: MakeWorld) -> None:
        rules = notify("required: true", "required: true", "on: [success]")
        world = make_world("trigger: on-success", dev=rules)
        promotion = self.arrived(world)
        assert world.state(promotion) == "running"
        assert world.told(promotion) == [("success", 0, "pending"), ("success", 1, "pending")]
        with world.store.read() as tx:
            release = tx.releases.get(promotion.release).release
            assert tx.promotions.under_way() == []  # no worker carries it out
        first, second = pending(world, promotion)

        world.do(decisions.untold, first.id, "connection refused", world.now + dt.timedelta(minutes=1))
        world.do(decisions.told, second.id)
        assert world.state(promotion) == "running"
        assert world.newest(release, "prod") is None
        world.do(decisions.told, first.id)

        assert world.state(promotion) == "succeeded"
        assert world.newest(release, "prod") is not None
        assert world.told(promotion)[2] == ("success", 2, "pending")

    def test_what_could_not_be_told_fails_it_and_the_tags_stay(self, make_world: MakeWorld) -> None:
        world = make_world("trigger: on-success", dev=notify("required: true", "on: [failure]"))
        promotion = self.arrived(world)
        only = pending(world, promotion)[0]

        failed = world.do(decisions.untold, only.id, "410 Gone", None)

        assert failed.last is not None
        assert failed.last.execution is Execution.FAILED
        assert failed.last.reason == "its tags are there, but command was not told: 410 Gone"
        with world.store.read() as tx:
            mine = tx.promotions.of_release(promotion.release)
            here = tx.promotions.current("demo", "dev")
            assert here == current(mine, "dev") == failed
            assert not has_succeeded(mine, promotion.release, "dev")
            assert tx.promotions.latest(promotion.release, "prod") is None
        assert world.told(promotion)[1] == ("failure", 1, "pending")
        assert world.kinds()[-2:] == ["notification.failed", "attempt.ended"]

    def test_trying_again_tells_again(self, make_world: MakeWorld) -> None:
        world = make_world(dev=notify("required: true"))
        promotion = self.arrived(world)
        world.do(decisions.untold, pending(world, promotion)[0].id, "410 Gone", None)

        world.carry_out(world.do(decisions.retry, promotion.id, actor("ann")))
        world.do(decisions.told, pending(world, promotion)[0].id)

        assert world.state(promotion) == "succeeded"

    def test_a_worker_that_says_so_twice_changes_nothing(self, make_world: MakeWorld) -> None:
        world = make_world(dev=notify("required: true"))
        promotion = self.arrived(world)
        record = world.kinds()

        world.do(decisions.ended, promotion.id, Execution.SUCCEEDED)

        assert (world.state(promotion), world.kinds()) == ("running", record)
        with pytest.raises(Conflict):
            world.do(decisions.started, promotion.id)

    def test_somebody_who_does_not_wait_for_them_cancels_it(self, make_world: MakeWorld) -> None:
        world = make_world(dev=notify("required: true"))
        promotion = self.arrived(world)

        assert world.do(decisions.cancel, promotion.id, actor("ann")).state == "canceled"
        late = world.do(decisions.told, pending(world, promotion)[0].id)

        assert late.state == "canceled"
        assert late.arrived is not None

    def test_another_that_need_not_be_told_changes_nothing(self, make_world: MakeWorld) -> None:
        world = make_world(dev=notify("on: [success]"))
        promotion = self.arrived(world)
        assert world.state(promotion) == "succeeded"

        world.do(decisions.untold, pending(world, promotion)[0].id, "410 Gone", None)

        assert world.state(promotion) == "succeeded"
        assert world.kinds()[-1] == "notification.failed"


class TestSchedules:
    EVERY_DAY = 'trigger: {schedule: "0 6 * * * Europe/Berlin"}'

    def test_the_newest_release_that_may_come_is_asked_for_when_the_time_has_come(self, make_world: MakeWorld) -> None:
        world = make_world(self.EVERY_DAY)
        assert self.due(world) == []
        releases = [world.release(build) for build in "123"]
        for release in releases[:2]:
            world.bring(release, "dev")
        world.later(hours=15, minutes=59)
        assert self.due(world) == []  # 5:59 in Berlin

        world.later(minutes=1)
        asked = self.due(world)

        assert [(each.release, each.trigger, each.state) for each in asked] == [
            (releases[1].id, Trigger.SCHEDULE, "queued")
        ]
        assert self.due(world) == []

    def test_nothing_older_than_what_is_there_comes(self, make_world: MakeWorld) -> None:
        world = make_world(self.EVERY_DAY)
        self.due(world)
        older, newer = world.release("1"), world.release("2")
        for release in (newer, older):
            world.bring(release, "dev")
        world.bring(newer, "prod")
        world.later(days=1)

        assert self.due(world) == []

    def test_a_time_that_nobody_was_there_for_counts_once(self, make_world: MakeWorld) -> None:
        world = make_world(self.EVERY_DAY)
        self.due(world)
        world.bring(world.release("1"), "dev")
        world.later(days=10)

        assert len(self.due(world)) == 1
        assert self.due(world) == []

    def due(self, world: World) -> list[Promotion]:
        return world.do(decisions.schedule_due, world.pipeline, world.now)
