"""Gates, freezes, holds, overrides, rollbacks: what keeps a promotion waiting, what clears it, and when one looks."""

from __future__ import annotations

import datetime as dt

import pytest

from liftlock.engine import decisions
from liftlock.errors import Conflict, NotFound, RefusedError, UsageError
from liftlock.release.conditions import Outcome, Verdict
from liftlock.release.promotion import Decision, Execution
from liftlock.release.release import Release
from tests.engine.conftest import MakeWorld
from tests.engine.deciding import FAIL, PASS, WAIT, World, actor

APPROVED = "approvals: {from: [managers], count: 1}"
GATED = "gates: [{command: [x]}, {labels: {a: b}}], sampling: {every: 5m, timeout: 1d}"
FROZEN = 'freeze: ["tue 14:00 - wed 08:00 UTC"]'


def in_dev(world: World, build: str = "1") -> Release:
    release = world.release(build)
    world.bring(release, "dev")
    return release


def told(world: World, *verdicts: Verdict) -> None:
    world.answers = lambda facts: verdicts


class TestGates:
    def test_it_waits_until_all_gates_pass_in_one_sample(self, make_world: MakeWorld) -> None:
        world = make_world(GATED)
        promotion = world.ask(in_dev(world), "prod")
        assert world.next_look(promotion) == world.now
        told(world, PASS, WAIT)
        world.look()
        assert world.state(promotion) == "waiting"
        assert world.next_look(promotion) == world.now + dt.timedelta(minutes=5)

        world.later(minutes=5)
        told(world, FAIL, PASS)
        world.look()
        found = [each for each in world.conditions(promotion) if each.kind == "gate"]
        assert [each.outcome for each in found] == [Outcome.FAIL, Outcome.PASS]
        assert world.state(promotion) == "waiting"

        world.later(minutes=5)
        told(world, PASS, PASS)
        world.look()
        assert world.state(promotion) == "queued"
        assert world.asked == 3

    def test_the_first_sample_comes_after_the_delay(self, make_world: MakeWorld) -> None:
        world = make_world("gates: [{command: [x]}], sampling: {delay: 10m}")
        promotion = world.ask(in_dev(world), "prod")

        assert world.next_look(promotion) == world.now + dt.timedelta(minutes=10)
        world.later(minutes=9)
        world.look()
        assert (world.asked, world.state(promotion)) == (0, "waiting")
        world.later(minutes=1)
        world.look()
        assert (world.asked, world.state(promotion)) == (1, "queued")

    def test_a_gate_that_knows_when_it_clears_is_asked_then(self, make_world: MakeWorld) -> None:
        world = make_world("gates: [{command: [x]}]")
        promotion = world.ask(in_dev(world), "prod")
        clears = world.now + dt.timedelta(hours=2)
        told(world, Verdict(outcome=Outcome.WAIT, reason="1 h of 3 h", clears_at=clears))
        world.look()

        assert world.next_look(promotion) == clears
        found = next(each for each in world.conditions(promotion) if each.kind == "gate")
        assert (found.reason, found.clears_by, found.clears_at) == ("1 h of 3 h", "time", clears)

    def test_when_the_gates_have_not_passed_in_time_they_are_asked_a_last_time_and_it_expires(
        self, make_world: MakeWorld
    ) -> None:
        world = make_world(GATED)
        promotion = world.ask(in_dev(world), "prod")
        never = Verdict(outcome=Outcome.WAIT, reason="later", clears_at=world.now + dt.timedelta(days=9))
        told(world, never, PASS)
        world.look()
        assert world.next_look(promotion) == world.get(promotion).requested_at + dt.timedelta(days=1)

        world.later(days=1)
        world.look()

        assert (world.asked, world.get(promotion).decision) == (2, Decision.EXPIRED)
        assert world.get(promotion).reason == "its gates did not pass within 1 d"

    def test_a_last_sample_that_passes_saves_it(self, make_world: MakeWorld) -> None:
        world = make_world(GATED)
        promotion = world.ask(in_dev(world), "prod")
        told(world, WAIT, PASS)
        world.look()
        world.later(days=2)
        told(world, PASS, PASS)
        world.look()

        assert world.state(promotion) == "queued"

    def test_gates_that_passed_are_not_asked_again_until_the_approvals_are_there(self, make_world: MakeWorld) -> None:
        world = make_world(f"{GATED}, {APPROVED}")
        promotion = world.ask(in_dev(world), "prod")
        world.look()
        for _ in range(10):
            world.later(hours=1)
            world.look()
        assert world.asked == 1

        assert world.approve(promotion, "ann").state == "waiting"  # the answer is old by now
        world.look()

        assert (world.asked, world.state(promotion)) == (2, "queued")

    def test_a_sample_for_a_promotion_that_was_decided_meanwhile_changes_nothing(self, make_world: MakeWorld) -> None:
        world = make_world(GATED)
        promotion = world.ask(in_dev(world), "prod")
        world.do(decisions.cancel, promotion.id, actor("dev"))

        assert world.do(decisions.weigh, promotion.id, [PASS, PASS]).decision is Decision.CANCELED


class TestFreeze:
    def test_it_waits_for_the_end_of_the_freeze(self, make_world: MakeWorld) -> None:
        world = make_world(FROZEN)
        release = in_dev(world)
        world.later(hours=3)
        promotion = world.ask(release, "prod")

        assert world.unmet(promotion) == {"freeze": "frozen until Wed 2031-05-07 08:00 UTC"}
        assert world.next_look(promotion) == dt.datetime(2031, 5, 7, 8, tzinfo=dt.UTC)
        world.later(hours=17)
        world.look()
        assert world.state(promotion) == "queued"

    def test_while_people_are_missing_its_end_decides_nothing(self, make_world: MakeWorld) -> None:
        world = make_world(f"{FROZEN}, {APPROVED}")
        release = in_dev(world)
        world.later(hours=3)
        promotion = world.ask(release, "prod")

        assert world.next_look(promotion) == world.now + dt.timedelta(days=7)  # the approvals'
        world.approve(promotion, "ann")
        assert world.next_look(promotion) == dt.datetime(2031, 5, 7, 8, tzinfo=dt.UTC)

    def test_after_a_freeze_they_go_in_the_order_they_were_asked_for(self, make_world: MakeWorld) -> None:
        world = make_world(FROZEN)
        releases = [in_dev(world, build) for build in "123"]
        world.later(hours=3)
        first, second, third = (world.ask(release, "prod") for release in releases)
        world.later(hours=17)
        for promotion in (third, second, first):  # whoever looks first
            world.look_at(promotion.id)

        assert [world.state(each) for each in (first, second, third)] == ["queued", "waiting", "waiting"]
        world.carry_out(first)
        assert [world.state(each) for each in (second, third)] == ["queued", "waiting"]


class TestHolds:
    @pytest.mark.parametrize("where", ["prod", ""])
    def test_nothing_is_admitted_until_the_hold_is_released(self, make_world: MakeWorld, where: str) -> None:
        world = make_world()
        releases = [in_dev(world, build) for build in "12"]
        world.do(decisions.hold, world.pipeline, where, actor("ann"), "the disk is full")
        first, second = (world.ask(release, "prod") for release in releases)

        assert world.unmet(first) == {"hold": "held by local:ann: the disk is full"}
        assert world.next_look(first) is None
        released = world.do(decisions.unhold, world.pipeline, where, actor("bob"))

        assert [each.reason for each in released] == ["the disk is full"]
        assert [world.state(each) for each in (first, second)] == ["queued", "waiting"]
        assert {"hold.set", "hold.released"} <= {*world.kinds()}
        with pytest.raises(NotFound, match="is not held"):
            world.do(decisions.unhold, world.pipeline, where, actor("bob"))

    def test_a_hold_of_another_stage_stops_nothing(self, make_world: MakeWorld) -> None:
        world = make_world()
        release = in_dev(world)
        world.do(decisions.hold, world.pipeline, "dev", actor("ann"), "wait")

        assert world.ask(release, "prod").state == "queued"

    def test_an_unknown_stage_is_not_held(self, make_world: MakeWorld) -> None:
        world = make_world()
        with pytest.raises(NotFound):
            world.do(decisions.hold, world.pipeline, "live", actor("ann"), "wait")


class TestOverrides:
    def test_it_skips_gates_approvals_and_freeze_and_says_who_did_it(self, make_world: MakeWorld) -> None:
        world = make_world(f"{GATED}, {APPROVED}, {FROZEN}, override: {{from: [chiefs]}}")
        release = in_dev(world)
        world.later(hours=3)
        promotion = world.ask(release, "prod")
        told(world, FAIL, FAIL)
        world.look()

        done = world.do(decisions.override, promotion.id, actor("eve"), "the site is down")

        assert (done.state, done.reason) == ("queued", "overridden by local:eve: the site is down")
        admitted = [e for e in world.ledger() if e["kind"] == "promotion.admitted"][-1]["data"]
        assert admitted["override"]["by"] == "eve"
        skipped = [each["kind"] for each in admitted["conditions"] if each["skipped"]]
        assert skipped == ["gate", "gate", "approvals", "freeze"]

    def test_it_does_not_pass_a_hold_nor_its_turn(self, make_world: MakeWorld) -> None:
        world = make_world(f"{APPROVED}, override: {{from: [chiefs]}}")
        one, two = in_dev(world, "1"), in_dev(world, "2")
        busy = world.ask(one, "prod")
        world.approve(busy, "ann")
        promotion = world.ask(two, "prod")
        assert world.do(decisions.override, promotion.id, actor("eve"), "now").state == "waiting"
        assert world.unmet(promotion)["queue"].startswith(f"promotion {busy.id} of release")
        world.do(decisions.hold, world.pipeline, "prod", actor("ann"), "no")
        world.carry_out(busy)
        world.look()
        assert (world.state(promotion), world.next_look(promotion)) == ("waiting", None)

        world.do(decisions.unhold, world.pipeline, "prod", actor("ann"))

        world.look()
        assert world.state(promotion) == "queued"

    def test_in_a_freeze_it_does_not_wait_behind_those_that_are_frozen(self, make_world: MakeWorld) -> None:
        world = make_world(f"{FROZEN}, override: {{from: [chiefs]}}")
        one, two = in_dev(world, "1"), in_dev(world, "2")
        world.later(hours=3)
        frozen, urgent = world.ask(one, "prod"), world.ask(two, "prod")

        assert world.do(decisions.override, urgent.id, actor("eve"), "now").state == "queued"
        assert world.state(frozen) == "waiting"

    def test_only_those_whom_the_stage_names_may(self, make_world: MakeWorld) -> None:
        world = make_world(f"{APPROVED}, override: {{from: [chiefs]}}")
        promotion = world.ask(in_dev(world), "prod")

        with pytest.raises(RefusedError, match="ann may not override"):
            world.do(decisions.override, promotion.id, actor("ann"), "now")
        with pytest.raises(UsageError, match="needs a reason"):
            world.do(decisions.override, promotion.id, actor("eve"), " ")
        assert "override.given" not in world.kinds()


class TestRollbacks:
    def brought(self, world: World, *builds: str) -> list[Release]:
        releases = [in_dev(world, build) for build in builds]
        for release in releases:
            world.bring(release, "prod")
        return releases

    def test_what_was_there_before_comes_back_and_the_stage_is_held(self, make_world: MakeWorld) -> None:
        world = make_world()
        one, _two = self.brought(world, "1", "2")
        three = in_dev(world, "3")

        back = world.do(decisions.rollback, world.pipeline, "prod", None, by=actor("ann"))

        assert (back.release, back.rollback, back.state) == (one.id, True, "queued")
        assert world.unmet(world.ask(three, "prod"))["hold"] == "held by local:ann: rolled back to release 1"
        world.carry_out(back)
        assert world.waiting("prod") != []
        world.do(decisions.unhold, world.pipeline, "prod", actor("ann"))
        assert world.waiting("prod") == []

    def test_again_it_goes_further_back_and_not_forward(self, make_world: MakeWorld) -> None:
        world = make_world()
        one, two, _three = self.brought(world, "1", "2", "3")

        for expected in (two, one):
            back = world.do(decisions.rollback, world.pipeline, "prod", None, by=actor("ann"))
            assert back.release == expected.id
            world.carry_out(back)
        with pytest.raises(RefusedError, match="nothing was there before"):
            world.do(decisions.rollback, world.pipeline, "prod", None, by=actor("ann"))
        with world.store.read() as tx:
            (hold,) = tx.people.holds(world.pipeline.name)
        assert hold.reason == f"rolled back to release {one.name}"
        assert (world.kinds().count("hold.set"), world.kinds().count("hold.released")) == (2, 1)

    def test_a_named_release_has_to_have_been_there_and_to_be_gone(self, make_world: MakeWorld) -> None:
        world = make_world()
        one, _two, three = self.brought(world, "1", "2", "3")
        other = in_dev(world, "4")
        with pytest.raises(RefusedError, match="was never in 'prod'"):
            world.do(decisions.rollback, world.pipeline, "prod", other, by=actor("ann"))
        with pytest.raises(RefusedError, match="is what 'prod' holds now"):
            world.do(decisions.rollback, world.pipeline, "prod", three, by=actor("ann"))
        assert "hold.set" not in world.kinds()

        assert world.do(decisions.rollback, world.pipeline, "prod", one, by=actor("ann")).state == "queued"

    def test_an_empty_stage_has_nothing_to_go_back_to(self, make_world: MakeWorld) -> None:
        world = make_world()
        with pytest.raises(RefusedError, match="it is empty"):
            world.do(decisions.rollback, world.pipeline, "prod", None, by=actor("ann"))

    @pytest.mark.parametrize(
        ("rule", "kinds", "then"),
        [
            ("", {"gate", "approvals"}, "waiting"),
            (", rollback: {without: [approvals, labels]}", {"gate"}, "queued"),
        ],
    )
    def test_it_needs_what_any_promotion_needs_unless_the_stage_says_otherwise(
        self, make_world: MakeWorld, rule: str, kinds: set[str], then: str
    ) -> None:
        world = make_world(f"{GATED}, {APPROVED}{rule}")
        for build in "12":
            promotion = world.ask(in_dev(world, build), "prod")
            world.approve(promotion, "ann")
            world.look()
            world.carry_out(promotion)
        told(world, WAIT, WAIT)
        back = world.do(decisions.rollback, world.pipeline, "prod", None, by=actor("dev"))
        world.look()

        assert {*world.unmet(back)} == kinds
        told(world, PASS, WAIT)
        world.later(minutes=5)
        world.look()
        assert world.state(back) == then

    def test_a_hold_of_a_person_stops_it_too(self, make_world: MakeWorld) -> None:
        world = make_world()
        self.brought(world, "1", "2")
        world.do(decisions.hold, world.pipeline, "prod", actor("bob"), "nobody touches it")

        back = world.do(decisions.rollback, world.pipeline, "prod", None, by=actor("ann"))

        assert world.unmet(back) == {"hold": "held by local:bob: nobody touches it"}

    def test_it_is_asked_for_anew_although_the_release_waits_to_come_again(self, make_world: MakeWorld) -> None:
        world = make_world(APPROVED)
        one, two = in_dev(world, "1"), in_dev(world, "2")
        for release in (one, two):
            promotion = world.ask(release, "prod")
            world.approve(promotion, "ann")
            world.carry_out(promotion)
        again = world.ask(one, "prod")

        back = world.do(decisions.rollback, world.pipeline, "prod", one, by=actor("ann"))

        assert (world.get(again).decision, world.get(again).successor) == (Decision.SUPERSEDED, back.id)

    def test_what_failed_in_the_stage_before_since_does_not_keep_it_away(self, make_world: MakeWorld) -> None:
        world = make_world()
        one, _two = self.brought(world, "1", "2")
        world.carry_out(world.ask(one, "dev"), Execution.ERRORED)

        assert world.do(decisions.rollback, world.pipeline, "prod", one, by=actor("ann")).state == "queued"
        with pytest.raises(Conflict):
            world.do(decisions.retry, world.newest(one, "prod").id, actor("ann"))  # type: ignore[union-attr]
