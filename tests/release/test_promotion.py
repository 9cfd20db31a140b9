"""Promotions move only along the allowed steps; the rules follow from what ended, in the order it ended."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from liftlock.errors import Conflict, NotFound, UsageError
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.release.artifact import Artifact
from liftlock.release.people import Actor
from liftlock.release.pipeline import Pipeline
from liftlock.release.promotion import (
    Arrived,
    Attempt,
    Decided,
    Decision,
    Ended,
    Event,
    Execution,
    Promotion,
    Queued,
    Started,
    apply,
)
from liftlock.release.release import Release
from liftlock.release.rules import choose, current, has_succeeded, next_stages, unmet
from liftlock.release.stage import Stage, Trigger
from liftlock.release.template import Template

NOW = dt.datetime(2031, 5, 6, 12, tzinfo=dt.UTC)
ENDS = [each for each in Execution if each.ended]


def stage(name: str, *after: str) -> Stage:
    return Stage(name=name, after=after, to=(Template(text=f"registry.example/{name}"),), tags=(Template(text="x"),))


# dev → test → prod, and dev → scan → prod
PIPELINE = Pipeline(
    name="demo",
    images=("web",),
    stages=(stage("dev"), stage("test", "dev"), stage("scan", "dev"), stage("prod", "test", "scan")),
)


def release(build: str) -> Release:
    image = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(build.encode()), 1)
    return Release.create(Artifact(images={"web": image}, build=build), PIPELINE, created=NOW)


def promotion(of: Release, to: str, *ends: tuple[Execution, int], decision: Decision = Decision.ADMITTED) -> Promotion:
    attempts = tuple(
        Attempt(number=number, execution=execution, queued_at=NOW, started_at=NOW, ended_at=NOW, order=order)
        for number, (execution, order) in enumerate(ends, 1)
    )
    return Promotion(
        id=1,
        release=of.id,
        pipeline="demo",
        stage=to,
        requested_at=NOW,
        requested_by=(Actor(person="dev@example.org"),),
        trigger=Trigger.MANUAL,
        decision=decision,
        decided_at=NOW if decision.made else None,
        attempts=attempts,
    )


ONE, TWO = release("1"), release("2")
OK, BROKE = Execution.SUCCEEDED, Execution.ERRORED


def test_without_history_only_a_first_stage_is_open() -> None:
    assert next_stages(ONE, []) == ("dev",)
    assert unmet(ONE, "dev", []) == ()
    assert unmet(ONE, "prod", []) == ("test", "scan")


def test_every_earlier_stage_is_asked_for() -> None:
    history = [promotion(ONE, "dev", (OK, 1)), promotion(ONE, "test", (OK, 2))]

    assert unmet(ONE, "prod", history) == ("scan",)
    assert next_stages(ONE, history) == ("scan",)
    assert next_stages(ONE, [*history, promotion(ONE, "scan", (OK, 3))]) == ("prod",)


def test_another_releases_success_opens_nothing() -> None:
    assert unmet(TWO, "test", [promotion(ONE, "dev", (OK, 1))]) == ("dev",)


def test_a_later_release_does_not_close_what_an_earlier_one_has_passed() -> None:
    assert unmet(ONE, "test", [promotion(ONE, "dev", (OK, 1)), promotion(TWO, "dev", (OK, 2))]) == ()


def test_any_of_the_earlier_stages_is_enough_where_the_pipeline_says_so() -> None:
    stages = [dataclasses.replace(each, after_any=each.name == "prod") for each in PIPELINE.stages]
    release = dataclasses.replace(ONE, pipeline=dataclasses.replace(PIPELINE, stages=tuple(stages)))

    assert unmet(release, "prod", []) == ("test", "scan")
    assert unmet(release, "prod", [promotion(release, "scan", (OK, 1))]) == ()


def test_what_a_registry_proves_counts_only_where_nothing_is_on_record() -> None:
    proven = frozenset({"dev"})

    assert unmet(ONE, "test", [], proven=proven) == ()
    assert unmet(ONE, "test", [promotion(TWO, "dev", (OK, 1))], proven=proven) == ()
    assert unmet(ONE, "test", [promotion(ONE, "dev", (BROKE, 1))], proven=proven) == ("dev",)


@pytest.mark.parametrize("end", [Execution.FAILED, Execution.ERRORED, Execution.CANCELED])
def test_a_later_failure_takes_a_success_back_and_a_later_success_restores_it(end: Execution) -> None:
    history = [promotion(ONE, "dev", (OK, 1), (end, 5))]

    assert not has_succeeded(history, ONE.id, "dev")
    assert has_succeeded([*history, promotion(ONE, "dev", (OK, 6))], ONE.id, "dev")
    assert not has_succeeded([*history, promotion(ONE, "dev", (OK, 4))], ONE.id, "dev")


def test_an_attempt_that_was_canceled_before_it_began_takes_nothing_back() -> None:
    never = Attempt(number=2, execution=Execution.CANCELED, queued_at=NOW, ended_at=NOW, order=2)
    done = promotion(ONE, "dev", (OK, 1))
    both = dataclasses.replace(done, attempts=(*done.attempts, never))

    assert has_succeeded([both], ONE.id, "dev")


def test_what_is_in_a_stage_is_what_ended_last_whatever_its_version_or_place_in_the_list() -> None:
    newest, older = promotion(TWO, "dev", (OK, 3)), promotion(ONE, "dev", (OK, 7), (BROKE, 9))

    for history in ([newest, older], [older, newest]):
        found = current(history, "dev")
        assert found is not None
        assert found.release == ONE.id
    assert current([newest], "test") is None
    assert current([promotion(ONE, "dev", (BROKE, 1)), promotion(TWO, "dev")], "dev") is None


def test_an_unknown_stage_is_not_found() -> None:
    with pytest.raises(NotFound, match="no stage 'live'"):
        unmet(ONE, "live", [])


def test_a_release_is_named_by_build_or_by_the_beginning_of_its_id() -> None:
    for text in ("1", ONE.id, ONE.id.hex, ONE.id.short, ONE.id.hex[:4], f"sha256:{ONE.id.hex[:9]}"):
        assert choose(text, [ONE, TWO]) is ONE
    for text in ("3", ONE.id.hex[:3], ONE.id.hex[1:], "", "sha256:"):
        with pytest.raises(NotFound):
            choose(text, [ONE, TWO])


def test_a_name_of_two_releases_is_no_name() -> None:
    again = dataclasses.replace(ONE, variables={"x": "y"})

    with pytest.raises(UsageError, match="names 2 releases") as caught:
        choose("1", [ONE, again])
    assert ONE.id.short in str(caught.value)
    assert again.id.short in str(caught.value)


def test_a_refused_promotion_is_never_tried() -> None:
    refused = promotion(ONE, "dev", decision=Decision.REFUSED)

    with pytest.raises(Conflict):
        apply(refused, Queued(at=NOW))


def test_a_decision_is_made_once() -> None:
    waiting = promotion(ONE, "dev", decision=Decision.WAITING)
    made = apply(waiting, Decided(at=NOW, decision=Decision.SUPERSEDED, reason="later", successor=7))

    assert (made.decision, made.decided_at, made.successor) == (Decision.SUPERSEDED, NOW, 7)
    for promotion_, decision in ((made, Decision.ADMITTED), (waiting, Decision.WAITING)):
        with pytest.raises(Conflict):
            apply(promotion_, Decided(at=NOW, decision=decision))
    with pytest.raises(Conflict):
        apply(waiting, Queued(at=NOW))


def test_what_arrived_and_then_failed_is_there_and_opens_nothing() -> None:
    state = promotion(ONE, "dev")
    for event in (Queued(at=NOW), Started(at=NOW), Arrived(at=NOW)):
        state = apply(state, event)
    assert state.state == "running"
    assert current([state], "dev") is None

    failed = apply(state, Ended(at=NOW, execution=Execution.FAILED, order=3, reason="nobody answered"))

    assert current([promotion(TWO, "dev", (OK, 1)), failed], "dev") == failed
    assert not has_succeeded([failed], ONE.id, "dev")


EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.just(Queued(at=NOW)),
    st.just(Started(at=NOW)),
    st.just(Arrived(at=NOW)),
    st.builds(Ended, at=st.just(NOW), execution=st.sampled_from(Execution), order=st.integers(1, 99)),
)
STEPS = {
    (None, "queued"), ("queued", "running"), ("queued", "canceled"), ("running", "arrived"),
    *((before, end) for before in ("running", "arrived") for end in ("succeeded", "failed", "errored", "canceled")),
}  # fmt: skip
"""What an attempt may become, written down again so that the reducer is not compared with itself."""


class Reducer(RuleBasedStateMachine):
    """Any events in any order: the allowed steps happen, all others change nothing, and what has ended stays."""

    def __init__(self) -> None:
        super().__init__()
        self.promotion = promotion(ONE, "dev")

    @rule(event=EVENTS)
    def happens(self, event: Event) -> None:
        before = self.promotion
        word = {Queued: "queued", Started: "running", Arrived: "arrived"}.get(type(event), "")
        if isinstance(event, Ended):
            word = event.execution.value if event.execution in ENDS else "ended without an end"
        now = before.unfinished.execution.value if before.unfinished else None
        if before.unfinished and before.unfinished.arrived:
            now = "arrived"
        try:
            self.promotion = apply(before, event)
        except Conflict:
            assert (now, word) not in STEPS
            return
        assert (now, word) in STEPS
        ended = [attempt for attempt in before.attempts if attempt.execution.ended]
        assert list(self.promotion.attempts[: len(ended)]) == ended

    @invariant()
    def attempts_are_numbered_and_at_most_the_last_is_open(self) -> None:
        attempts = self.promotion.attempts
        assert [attempt.number for attempt in attempts] == list(range(1, len(attempts) + 1))
        assert all(attempt.execution.ended for attempt in attempts[:-1])
        for attempt in attempts:
            assert attempt.execution.ended == (attempt.ended_at is not None) == (attempt.order is not None)
            assert attempt.started_at is not None or attempt.execution in (Execution.QUEUED, Execution.CANCELED)


TestReducer = Reducer.TestCase


class Journey(RuleBasedStateMachine):
    """Releases that go wherever the rules let them: none is ever in a stage that it has not earned."""

    releases: Bundle[Release] = Bundle("releases")

    def __init__(self) -> None:
        super().__init__()
        self.history: list[Promotion] = []
        self.order = 0
        self.now: dict[str, Digest] = {}
        self.last: dict[tuple[Digest, str], Execution] = {}

    @rule(target=releases, build=st.sampled_from(["1", "2", "3"]))
    def built(self, build: str) -> Release:
        return release(build)

    @rule(of=releases, to=st.sampled_from([each.name for each in PIPELINE.stages]), end=st.sampled_from(ENDS))
    def promoted(self, of: Release, to: str, end: Execution) -> None:
        earned = all(self.last.get((of.id, earlier)) is OK for earlier in PIPELINE.stage(to).after)
        assert earned is not bool(unmet(of, to, self.history))
        if not earned:
            return
        self.order += 1
        made = promotion(of, to)
        events = (Queued(at=NOW), Started(at=NOW), Ended(at=NOW, execution=end, order=self.order))
        for event in events:
            made = apply(made, event)
        self.history.append(made)
        self.last[of.id, to] = end
        if end is OK:
            self.now[to] = of.id

    @precondition(lambda self: self.history)
    @rule(data=st.data())
    def listed_in_another_order(self, data: st.DataObject) -> None:
        self.history = data.draw(st.permutations(self.history))

    @invariant()
    def a_stage_holds_the_last_success(self) -> None:
        for each in PIPELINE.stages:
            found = current(self.history, each.name)
            assert (found.release if found else None) == self.now.get(each.name)

    @rule(of=releases)
    def next_stages_are_those_that_admit(self, of: Release) -> None:
        for to in next_stages(of, self.history):
            assert not unmet(of, to, self.history)
            assert self.last.get((of.id, to)) is not OK


Reducer.TestCase.settings = Journey.TestCase.settings = settings(max_examples=50)
TestJourney = Journey.TestCase


@given(st.lists(EVENTS, max_size=12))
def test_the_same_events_give_the_same_promotion(events: list[Event]) -> None:
    def run() -> Promotion:
        state = promotion(ONE, "dev")
        for event in events:
            try:
                state = apply(state, event)
            except Conflict:
                continue
        return state

    assert run() == run()
