"""What people and triggers decide: who may, what follows, in which order, and what is left on the record."""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from liftlock.engine import decisions
from liftlock.errors import Conflict, NotFound, RefusedError
from liftlock.release.conditions import Outcome
from liftlock.release.people import binding
from liftlock.release.promotion import Decision, Execution, Promotion
from tests.engine.conftest import MakeWorld
from tests.engine.deciding import actor

APPROVED = "approvals: {from: [managers], count: 2, expires: 72h}"


class TestRequests:
    def test_a_release_goes_through_its_stages_and_everything_is_on_the_ledger(self, make_world: MakeWorld) -> None:
        world = make_world("trigger: on-success", dev="trigger: on-publish")
        release, (first,) = world.released("1", publisher="dev")

        assert first.state == "queued"
        world.carry_out(first)
        second = world.newest(release, "prod")

        assert second is not None
        assert second.state == "queued"
        assert [each.person for each in second.requested_by] == ["dev"]
        world.carry_out(second)
        once = [
            "promotion.requested", "promotion.admitted", "attempt.queued", "attempt.started", "attempt.ended"
        ]  # fmt: skip
        assert world.kinds() == once + once
        for entry in world.ledger():
            assert entry["data"]["release"] == str(release.id)
            assert entry["data"]["images"] == {"web": str(release.artifact.digests["web"])}
        with world.store.read() as tx:
            states = [(each.promotion, each.data["state"]) for each in tx.events.after(0)]
        assert [state for promotion, state in states if promotion == second.id] == ["queued", "running", "succeeded"]

    def test_what_the_stage_before_lacks_is_refused_at_once_and_recorded(self, make_world: MakeWorld) -> None:
        world = make_world()
        release = world.release("1")

        refused = world.ask(release, "prod")

        assert refused.decision is Decision.REFUSED
        assert refused.reason == "it has not succeeded in dev"
        assert world.kinds()[-2:] == ["promotion.requested", "promotion.refused"]

    def test_an_unknown_stage_is_not_found(self, make_world: MakeWorld) -> None:
        world = make_world()
        with pytest.raises(NotFound, match="no stage 'live'"):
            world.ask(world.release("1"), "live")

    def test_registries_prove_a_stage_that_nothing_is_on_record_about(self, make_world: MakeWorld) -> None:
        world = make_world("approvals: {from: [managers]}")
        one, two = world.release("1"), world.release("2")

        proven = world.ask(one, "prod", proven=frozenset({"dev"}))

        assert world.approve(proven, "ann").state == "queued"  # the proof is remembered
        world.carry_out(world.ask(two, "dev"), Execution.ERRORED)
        assert world.ask(two, "prod", proven=frozenset({"dev"})).state == "refused"

    def test_asking_again_joins_what_waits_or_is_under_way(self, make_world: MakeWorld) -> None:
        world = make_world(APPROVED)
        release = world.release("1")
        dev = world.ask(release, "dev")
        assert world.ask(release, "dev").id == dev.id
        world.carry_out(dev)

        waiting = world.ask(release, "prod", by="dev")

        assert world.ask(release, "prod", by="ann").id == waiting.id
        assert world.get(waiting).requested_by == (actor("dev"),)

    def test_what_was_admitted_and_did_not_succeed_is_tried_again_without_asking_anybody(
        self, make_world: MakeWorld
    ) -> None:
        world = make_world(APPROVED)
        release = world.release("1")
        world.bring(release, "dev")
        promotion = world.ask(release, "prod")
        for person in ("ann", "bob"):
            world.approve(promotion, person)
        world.carry_out(promotion, Execution.ERRORED, "the registry was gone")

        again = world.ask(release, "prod")

        assert again.id == promotion.id
        assert [each.execution for each in again.attempts] == [Execution.ERRORED, Execution.QUEUED]
        world.carry_out(again)
        anew = world.ask(release, "prod")
        assert (anew.id == promotion.id, anew.state) == (False, "waiting")

    def test_while_another_has_the_stage_asking_again_takes_a_turn(self, make_world: MakeWorld) -> None:
        world = make_world()
        one, two = world.release("1"), world.release("2")
        for each in (one, two):
            world.bring(each, "dev")
        broken = world.carry_out(world.ask(one, "prod"), Execution.ERRORED)
        busy = world.ask(two, "prod")

        again = world.ask(one, "prod")

        assert (again.id == broken.id, again.state) == (False, "waiting")
        with pytest.raises(Conflict):
            world.do(decisions.retry, broken.id, actor("dev"))
        world.carry_out(busy)
        assert world.state(again) == "queued"


class TestApprovals:
    def test_the_second_of_two_persons_starts_it(self, make_world: MakeWorld) -> None:
        world = make_world(APPROVED)
        release = world.release("1")
        world.bring(release, "dev")
        promotion = world.ask(release, "prod")
        assert world.unmet(promotion)["approvals"] == "0 of 2 approvals; still needed: 2 of managers"

        world.approve(promotion, "ann")

        assert world.unmet(promotion)["approvals"] == "1 of 2 approvals: ann; still needed: 1 of managers"
        assert world.approve(promotion, "ann").state == "waiting"  # a person counts once
        assert world.approve(promotion, "bob").state == "queued"
        admitted = next(
            e["data"] for e in world.ledger() if e["kind"] == "promotion.admitted" and "approvals" in e["data"]
        )
        assert [each["by"] for each in admitted["approvals"]] == ["ann", "ann", "bob"]
        assert all(each["met"] for each in admitted["conditions"])
        with pytest.raises(Conflict):
            world.approve(promotion, "cem")

    def test_the_requester_may_not_approve(self, make_world: MakeWorld) -> None:
        world = make_world(APPROVED)
        release = world.release("1")
        world.bring(release, "dev")
        promotion = world.ask(release, "prod", by="ann")

        with pytest.raises(RefusedError, match="somebody else has to approve") as caught:
            world.approve(promotion, "ann")
        assert "bob, cem" in caught.value.hint
        assert world.kinds().count("approval.given") == 0

    def test_the_requester_may_where_the_rule_says_so(self, make_world: MakeWorld) -> None:
        world = make_world("approvals: {from: [managers], requester-may-approve: true}")
        release = world.release("1")
        world.bring(release, "dev")

        assert world.approve(world.ask(release, "prod", by="ann"), "ann").state == "queued"

    def test_nobody_approves_automatic_promotions_of_their_own_work(self, make_world: MakeWorld) -> None:
        world = make_world(f"trigger: on-success, {APPROVED}")
        release = world.release("1", publisher="ann", author="bob")
        world.bring(release, "dev")
        promotion = world.newest(release, "prod")
        assert promotion is not None

        for person in ("ann", "bob"):
            with pytest.raises(RefusedError):
                world.approve(promotion, person)
        found = next(each for each in world.conditions(promotion) if each.kind == "approvals")
        assert found.outcome is Outcome.FAIL
        assert "1 of managers may still approve" in found.reason

    def test_who_is_in_no_group_may_not(self, make_world: MakeWorld) -> None:
        world = make_world(APPROVED)
        release = world.release("1")
        world.bring(release, "dev")
        promotion = world.ask(release, "prod")

        with pytest.raises(RefusedError, match="mallory may not approve"):
            world.approve(promotion, "mallory")

    def test_a_no_ends_it_and_the_failure_is_told(self, make_world: MakeWorld) -> None:
        world = make_world(f"{APPROVED}, notify: [{{command: [x], on: [failure]}}]")
        release = world.release("1")
        world.bring(release, "dev")
        promotion = world.ask(release, "prod")
        world.approve(promotion, "ann")

        refused = world.approve(promotion, "bob", approved=False)

        assert (refused.decision, refused.reason) == (Decision.REFUSED, "bob said no: so be it")
        assert world.told(promotion) == [("failure", 0, "pending")]
        assert world.kinds()[-2:] == ["approval.refused", "promotion.refused"]

    def test_the_newest_word_of_a_person_counts(self, make_world: MakeWorld) -> None:
        world = make_world(APPROVED)
        release = world.release("1")
        world.bring(release, "dev")
        promotion = world.ask(release, "prod")
        with world.store.begin() as tx:
            bound = binding(release, "prod")
            tx.people.approve(promotion.id, actor("ann"), bound, approved=False)
            tx.people.approve(promotion.id, actor("ann"), bound, approved=True)

        assert world.approve(promotion, "bob").state == "queued"

    def test_what_was_said_about_something_else_counts_for_nothing(self, make_world: MakeWorld) -> None:
        world = make_world(APPROVED)
        release, other = world.release("1"), world.release("2")
        world.bring(release, "dev")
        promotion = world.ask(release, "prod")
        with world.store.begin() as tx:
            for bound in (binding(other, "prod"), binding(release, "dev")):
                tx.people.approve(promotion.id, actor("ann"), bound, approved=True)
        assert world.unmet(promotion)["approvals"].startswith("0 of 2")

        assert world.approve(promotion, "bob").state == "waiting"

    def test_without_approvals_in_time_it_expires_and_nobody_approves_it_any_more(self, make_world: MakeWorld) -> None:
        world = make_world(APPROVED)
        release = world.release("1")
        world.bring(release, "dev")
        promotion = world.ask(release, "prod")
        world.approve(promotion, "ann")
        assert world.next_look(promotion) == world.now + dt.timedelta(hours=72)

        world.later(hours=72)
        late = world.approve(promotion, "bob")

        assert (late.decision, late.reason) == (Decision.EXPIRED, "it did not get its approvals within 3 d")
        assert world.kinds().count("approval.given") == 1

    def test_a_worker_finds_that_it_expired(self, make_world: MakeWorld) -> None:
        world = make_world(APPROVED)
        release = world.release("1")
        world.bring(release, "dev")
        promotion = world.ask(release, "prod")
        world.later(hours=71)
        world.look()
        assert world.state(promotion) == "waiting"

        world.later(hours=1)
        world.look()

        assert world.state(promotion) == "expired"
        assert world.kinds()[-1] == "promotion.expired"

    def test_a_stage_without_approvals_takes_none(self, make_world: MakeWorld) -> None:
        world = make_world("gates: [{command: [x]}]")
        release = world.release("1")
        world.bring(release, "dev")
        promotion = world.ask(release, "prod")

        with pytest.raises(Conflict, match="asks for no approvals"):
            world.approve(promotion, "ann")

    @pytest.mark.timeout(300)  # a hundred races
    def test_two_approvers_at_the_same_instant_start_it_once(self, make_world: MakeWorld) -> None:
        world = make_world(APPROVED)
        releases = world.releases(*map(str, range(100)))
        together = threading.Barrier(2)

        def approve(promotion: Promotion, person: str) -> str:
            together.wait()
            return world.approve(promotion, person).state

        with ThreadPoolExecutor(2) as both:
            for release in releases:
                promotion = world.ask(release, "prod", proven=frozenset({"dev"}))
                races = [both.submit(approve, promotion, person) for person in ("ann", "bob")]
                assert sorted(race.result() for race in races) == ["queued", "waiting"]
                world.do(decisions.cancel, promotion.id, actor("ann"))

        kinds = Counter(world.kinds())
        assert (kinds["approval.given"], kinds["promotion.admitted"], kinds["attempt.queued"]) == (200, 100, 100)
