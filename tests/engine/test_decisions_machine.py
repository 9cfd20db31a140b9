"""Anything may happen in any order: what is decided stays so, nothing goes that may not, and nobody is forgotten."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from liftlock.engine import decisions
from liftlock.errors import LiftlockError
from liftlock.release.conditions import Outcome, Verdict
from liftlock.release.people import Hold
from liftlock.release.promotion import Attempt, Decision, Execution, Promotion
from liftlock.release.ruling import decide
from liftlock.store.store import Store, Transaction
from tests.engine.conftest import PIPELINE
from tests.engine.deciding import FAIL, NOON, PASS, WAIT, World, actor

QUEUES = ("queue", "supersede", "reject")
EVERYTHING = """\
gates: [{command: [x]}], approvals: {from: [managers], count: 2}, override: {from: [chiefs]},
    freeze: ["wed 00:00 - thu 00:00 UTC"], rollback: {without: [approvals, command]}"""
RULES = (
    "trigger: on-success",
    "approvals: {from: [managers], expires: 2d}, override: {from: [chiefs]}",
    "gates: [{command: [x]}], sampling: {every: 5m, timeout: 3d}, override: {from: [chiefs]}",
    'freeze: ["tue 13:00 - tue 15:00 UTC", "tue 15:00 - wed 06:00 UTC"], override: {from: [chiefs]}',
    EVERYTHING,
)
ENDS = [each for each in Execution if each.ended]
ANSWERS = st.sampled_from(["pass", "wait", "fail", "later"])


class Decisions(RuleBasedStateMachine):
    """One stage, seven releases, and everything that people, gates, workers and the clock can do to it."""

    template: Path

    @initialize(queue=st.sampled_from(QUEUES), rules=st.sampled_from(RULES))
    def opened(self, queue: str, rules: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "liftlock.db"
        shutil.copy(self.template, path)
        text = PIPELINE.replace("DEV", "trigger: manual").replace("PROD", f"queue: {queue}, {rules}")
        self.world = World(path, text)
        self.world.answers = lambda facts: [self._verdict(self.answer)]
        self.answer = "wait"
        self.releases = self.world.releases(*"1234567")
        self.decided: dict[int, tuple[Decision, dt.datetime | None, str, int | None]] = {}
        self.attempts: dict[tuple[int, int], Attempt] = {}
        self.read = 0
        self.holds: dict[int, bool] = {}
        self.rollbacks: set[int] = set()
        self.overridden: set[int] = set()
        self.yes: dict[int, set[str]] = {}

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.close()
            self.folder.cleanup()

    def _verdict(self, answer: str) -> Verdict:
        if answer == "later":
            clears = self.world.now + dt.timedelta(minutes=90)
            return Verdict(outcome=Outcome.WAIT, reason="later", clears_at=clears)
        return {"pass": PASS, "wait": WAIT, "fail": FAIL}[answer]

    def _all(self) -> list[Promotion]:
        with self.world.store.read() as tx:
            return list(tx.promotions.history("demo"))

    def _open(self) -> list[Promotion]:
        return [each for each in self._all() if not each.over]

    def _holds(self) -> list[Hold]:
        with self.world.store.read() as tx:
            return list(tx.people.holds("demo"))

    def _one(self, data: st.DataObject) -> Promotion | None:
        """Mostly one that is open."""
        found = self._open() or self._all()
        return data.draw(st.sampled_from(found)) if found else None

    @rule(number=st.integers(0, 6), person=st.sampled_from(["dev", "ann"]))
    def asked(self, number: int, person: str) -> None:
        self.world.ask(self.releases[number], "prod", by=person, proven=frozenset({"dev"}))

    @rule(data=st.data(), person=st.sampled_from(["ann", "bob", "dev"]), yes=st.sampled_from([True, True, True, False]))
    def said(self, data: st.DataObject, person: str, yes: bool) -> None:
        if promotion := self._one(data):
            self._try(lambda: self.world.approve(promotion, person, approved=yes))

    @rule(data=st.data())
    def overrode(self, data: st.DataObject) -> None:
        if promotion := self._one(data):
            self._try(lambda: self.world.do(decisions.override, promotion.id, actor("eve"), "now"))

    @rule(data=st.data())
    def took_back(self, data: st.DataObject) -> None:
        if promotion := self._one(data):
            self._try(lambda: self.world.do(decisions.cancel, promotion.id, actor("dev")))

    @rule(data=st.data())
    def tried_again(self, data: st.DataObject) -> None:
        if promotion := self._one(data):
            self._try(lambda: self.world.do(decisions.retry, promotion.id, actor("dev")))

    @rule(stage=st.sampled_from(["", "prod"]))
    def held(self, stage: str) -> None:
        if not self._holds():
            self.world.do(decisions.hold, self.world.pipeline, stage, actor("ann"), "stop")

    @precondition(lambda self: self._holds())
    @rule()
    def released(self) -> None:
        self.world.do(decisions.unhold, self.world.pipeline, self._holds()[0].stage, actor("ann"))

    @rule(number=st.sampled_from([None, 0, 1, 2]))
    def rolled_back(self, number: int | None) -> None:
        release = None if number is None else self.releases[number]
        self._try(lambda: self.world.do(decisions.rollback, self.world.pipeline, "prod", release, by=actor("dev")))

    @rule(end=st.sampled_from([*ENDS, Execution.SUCCEEDED, Execution.SUCCEEDED]))
    def worked(self, end: Execution) -> None:
        for promotion in self._open():
            if promotion.unfinished and promotion.unfinished.execution is Execution.QUEUED:
                self.world.do(decisions.started, promotion.id)
            elif promotion.unfinished:
                self.world.do(decisions.ended, promotion.id, end)

    @rule(minutes=st.sampled_from([1, 5, 90, 600, 3000]), answer=ANSWERS)
    def time_passed(self, minutes: int, answer: str) -> None:
        self.answer = answer
        self.world.later(minutes=minutes)

    def _try(self, deed: Callable[[], object]) -> None:
        """People may ask for what is refused; that it is said is all that happens then."""
        try:
            deed()
        except LiftlockError:
            assert self.world.ledger(after=self.read) == []

    @invariant()
    def all_is_well(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.look()
        with self.world.store.read() as tx:
            found = tx.promotions.history("demo")
            assert sum(1 for each in found if each.unfinished) <= 1
            for each in found:
                if not each.decision.made:
                    self._is_not_forgotten(tx, each)
        self._stays(found)
        self._names_its_successor({each.id: each for each in found})
        self._follow_the_ledger()

    def _is_not_forgotten(self, tx: Transaction, promotion: Promotion) -> None:
        """What could go has gone, and what the clock decides is looked at when it does."""
        ruling = decide(decisions.facts(tx, tx.releases.get(promotion.release).release, "prod"))
        look = tx.promotions.next_look(promotion.id)
        assert ruling.decision is Decision.WAITING, (promotion.id, ruling)
        assert not ruling.sample
        if ruling.look_again is not None:
            assert look is not None, (promotion.id, ruling)
            assert look <= ruling.look_again

    def _stays(self, found: Sequence[Promotion]) -> None:
        """What was decided, and what has ended, never changes."""
        for each in found:
            if each.decision.made:
                now = (each.decision, each.decided_at, each.reason, each.successor)
                assert self.decided.setdefault(each.id, now) == now
            for attempt in each.attempts:
                if attempt.execution.ended:
                    assert self.attempts.setdefault((each.id, attempt.number), attempt) == attempt

    def _names_its_successor(self, found: Mapping[int, Promotion]) -> None:
        for each in found.values():
            assert (each.successor is not None) is (each.decision is Decision.SUPERSEDED)
            if each.successor is not None:
                successor = found[each.successor]
                assert successor.id > each.id
                assert successor.decision is Decision.ADMITTED or successor.rollback

    def _follow_the_ledger(self) -> None:
        """Nothing was admitted that lacked anything, by what the ledger says, read without any of our rules."""
        rule = self.world.pipeline.stage("prod").approvals
        for entry in self.world.ledger(after=self.read):
            self.read = entry["number"]
            about = entry["data"]
            match entry["kind"]:
                case "hold.set":
                    self.holds[about["hold"]] = about["byRollback"]
                case "hold.released":
                    del self.holds[about["hold"]]
                case "promotion.requested" if about["rollback"]:
                    self.rollbacks.add(about["promotion"])
                case "override.given":
                    self.overridden.add(about["promotion"])
                case "approval.given":
                    self.yes.setdefault(about["promotion"], set()).add(entry["by"])
                case "promotion.admitted":
                    number = about["promotion"]
                    assert all(each["met"] for each in about["conditions"])
                    assert not [mine for mine in self.holds.values() if not (mine and number in self.rollbacks)]
                    if rule and number not in self.overridden | self.rollbacks:
                        assert len(self.yes.get(number, ())) >= rule.count


@pytest.fixture(autouse=True)
def template(tmp_path: Path) -> None:
    """A database as it is made once; each history begins with a copy."""
    Store(tmp_path / "template.db", lambda: NOON).close()
    Decisions.template = tmp_path / "template.db"


@pytest.mark.timeout(300)
class TestDecisions(Decisions.TestCase):  # type: ignore[valid-type, misc]  # Hypothesis makes it
    settings = settings(max_examples=5, stateful_step_count=20)


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestManyDecisions(Decisions.TestCase):  # type: ignore[valid-type, misc]  # Hypothesis makes it
    settings = settings(max_examples=100, stateful_step_count=40)
