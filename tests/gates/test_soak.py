"""The soak's clock: what starts it, what voids it, and what leaves it alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.gates.base import Question
from liftlock.gates.soak import Soak, SoakOptions
from liftlock.kinds.tools import Tools
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.release.artifact import Artifact
from liftlock.release.conditions import Outcome, Verdict
from liftlock.release.pipeline import Pipeline
from liftlock.release.promotion import Attempt, Decision, Execution, Promotion
from liftlock.release.release import Release
from liftlock.release.stage import Stage, Trigger
from liftlock.release.template import Template

START = dt.datetime(2031, 5, 6, 12, tzinfo=dt.UTC)
OK, FAILED, ERRORED, CANCELED = Execution.SUCCEEDED, Execution.FAILED, Execution.ERRORED, Execution.CANCELED
PASS, WAIT, FAIL = Outcome.PASS, Outcome.WAIT, Outcome.FAIL
MINE = "42"


def stage(name: str, *after: str, any_of: bool = False) -> Stage:
    return Stage(
        name=name,
        after=after,
        after_any=any_of,
        to=(Template(text=f"registry.example/{name}"),),
        tags=(Template(text="x"),),
    )


PIPELINE = Pipeline(
    name="demo",
    images=("web",),
    stages=(
        stage("dev"),
        stage("scan"),
        stage("test", "dev"),
        stage("prod", "dev", "scan"),
        stage("beta", "dev", "scan", any_of=True),
    ),
)


@cache
def release(build: str) -> Release:
    image = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(build.encode()), 1)
    return Release.create(Artifact(images={"web": image}, build=build), PIPELINE, created=START)


@cache
def identity(build: str) -> Digest:
    return release(build).id


def at(minutes: float) -> dt.datetime:
    return START + dt.timedelta(minutes=minutes)


@dataclass
class History:
    """What ended, in this order; `now` is in minutes."""

    promotions: list[Promotion] = field(default_factory=list)

    def ended(
        self,
        minutes: float,
        build: str = MINE,
        execution: Execution = OK,
        *,
        where: str = "dev",
        rollback: bool = False,
        started: bool = True,
        arrived: float | None = None,
    ) -> History:
        order = len(self.promotions) + 1
        attempt = Attempt(
            number=1,
            execution=execution,
            queued_at=at(minutes),
            started_at=at(minutes) if started else None,
            ended_at=at(minutes),
            order=order,
            arrived_at=None if arrived is None else at(arrived),
        )
        self.promotions.append(
            Promotion(
                id=order,
                release=identity(build),
                pipeline="demo",
                stage=where,
                requested_at=at(minutes),
                requested_by=(),
                trigger=Trigger.MANUAL,
                rollback=rollback,
                decision=Decision.ADMITTED,
                decided_at=at(minutes),
                attempts=(attempt,),
            )
        )
        return self

    def question(self, minutes: float, to: str = "test", build: str = MINE) -> Question:
        """As the engine asks it: `later` is what others succeeded after this release's first success."""
        mine = identity(build)
        first = {
            place: min(
                (each.id for each in self.promotions if (each.release, each.stage) == (mine, place) and each.arrived),
                default=len(self.promotions) + 1,
            )
            for place in ("dev", "scan")
        }
        return Question(
            release=release(build),
            stage=to,
            now=at(minutes),
            mine=[each for each in self.promotions if each.release == mine],
            later={
                place: [
                    each
                    for each in self.promotions
                    if each.stage == place and each.release != mine and each.arrived and each.id > after
                ]
                for place, after in first.items()
            },
        )


def asked(question: Question, length: str = "1h", *, while_current: bool = False) -> Verdict:
    options = SoakOptions.model_validate({"for": length, "while-current": while_current})
    return Soak().evaluate(question, options, Tools(folder=Path(), environment={}))


def test_it_clears_at_the_very_moment() -> None:
    history = History().ended(0)

    before = asked(history.question(59.999))

    assert (before.outcome, before.clears_at) == (WAIT, at(60))
    assert before.reason == "it soaks in dev: 59 m 59 s of 1 h"
    assert asked(history.question(60)).outcome is PASS
    assert asked(history.question(90)).reason == "it soaked in dev for 1 h 30 m"


def test_what_never_succeeded_there_waits() -> None:
    verdict = asked(History().ended(0, execution=FAILED).ended(0, build="other").question(600))

    assert (verdict.outcome, verdict.clears_at) == (WAIT, None)
    assert verdict.reason == "nothing on record says when it succeeded in dev"


def test_without_after_there_is_nothing_to_soak_in() -> None:
    verdict = asked(History().ended(0).question(600, to="dev"))

    assert verdict.outcome is FAIL
    assert "'dev' has no after" in verdict.reason


@pytest.mark.parametrize("execution", [FAILED, ERRORED, CANCELED])
def test_a_later_attempt_that_did_not_succeed_voids_it(execution: Execution) -> None:
    history = History().ended(0).ended(10, execution=execution)

    verdict = asked(history.question(600))
    again = asked(history.ended(620).question(630))

    assert (verdict.outcome, verdict.reason) == (
        FAIL,
        f"it does not soak in dev: its last attempt there {execution.value}",
    )
    assert (again.outcome, again.clears_at) == (WAIT, at(680))


def test_one_that_was_canceled_before_it_began_changed_nothing() -> None:
    history = History().ended(0).ended(10, execution=CANCELED, started=False)

    assert asked(history.question(60)).outcome is PASS


def test_what_came_last_is_not_a_matter_of_clocks() -> None:
    history = History().ended(10).ended(5, execution=FAILED)

    assert asked(history.question(600)).outcome is FAIL


def test_succeeding_again_does_not_start_the_clock_anew() -> None:
    history = History().ended(0).ended(50)

    assert asked(history.question(60)).outcome is PASS
    assert asked(history.question(60), while_current=True).outcome is PASS


def test_a_rollback_away_from_it_voids_it() -> None:
    history = History().ended(0, "41").ended(10).ended(20, "41", rollback=True)

    verdict = asked(history.question(600))

    assert (verdict.outcome, verdict.reason) == (FAIL, "it does not soak in dev: it was rolled back there")
    assert asked(history.ended(620).question(679)).clears_at == at(680)


def test_a_rollback_past_it_voids_it_too() -> None:
    history = History().ended(0, "41").ended(10).ended(20, "43").ended(30, "41", rollback=True)

    assert asked(history.question(600)).outcome is FAIL


def test_a_rollback_among_later_ones_is_no_business_of_it() -> None:
    history = History().ended(0).ended(10, "43").ended(20, "44").ended(30, "43", rollback=True)

    assert asked(history.question(60)).outcome is PASS


def test_a_rollback_to_it_is_a_success_of_it() -> None:
    history = History().ended(0).ended(10, "43").ended(20, rollback=True)

    assert asked(history.question(60)).outcome is PASS
    assert asked(history.question(79), while_current=True).clears_at == at(80)
    assert asked(history.question(60, build="43")).reason == "it does not soak in dev: it was rolled back there"


def test_a_rollback_that_did_not_succeed_voids_nothing() -> None:
    history = History().ended(0, "41").ended(10).ended(20, "41", FAILED, rollback=True)

    assert asked(history.question(70)).outcome is PASS


def test_while_current_the_time_of_the_next_one_does_not_count() -> None:
    history = History().ended(0).ended(40, "43")

    replaced = asked(history.question(600), while_current=True)
    again = asked(history.ended(620).question(630), while_current=True)

    assert (replaced.outcome, replaced.clears_at) == (FAIL, None)
    assert replaced.reason == "it soaked in dev for 40 m of 1 h, and was replaced by another"
    assert (again.outcome, again.clears_at) == (WAIT, at(680))


def test_while_current_the_longest_time_counts() -> None:
    history = History().ended(0).ended(60, "43").ended(70).ended(80, "44")

    assert asked(history.question(90), while_current=True).reason == "it soaked in dev for 1 h"
    assert asked(history.question(90), "61m", while_current=True).outcome is FAIL


def test_one_that_arrived_took_its_place_although_nobody_could_be_told() -> None:
    history = History().ended(0).ended(45, "43", FAILED, arrived=40)
    away = History().ended(0, "41").ended(10).ended(25, "41", FAILED, rollback=True, arrived=20)

    assert asked(history.question(600)).outcome is PASS
    replaced = asked(history.question(600), while_current=True)
    assert replaced.reason == "it soaked in dev for 40 m of 1 h, and was replaced by another"
    assert asked(away.question(600)).reason == "it does not soak in dev: it was rolled back there"


def test_it_has_not_succeeded_when_nobody_could_be_told() -> None:
    history = History().ended(10, execution=FAILED, arrived=0)

    assert asked(history.question(600)).outcome is WAIT
    assert asked(history.ended(620).question(630)).clears_at == at(680)


def test_of_all_stages_the_latest_counts() -> None:
    history = History().ended(0).ended(30, where="scan")

    assert asked(history.question(60, to="prod")).clears_at == at(90)
    assert (
        asked(history.question(90, to="prod")).reason == "it soaked in dev for 1 h 30 m and it soaked in scan for 1 h"
    )
    for minutes in (30, 600):
        unknown = asked(History().ended(0).question(minutes, to="prod"))
        assert (unknown.outcome, unknown.clears_at) == (WAIT, None)


def test_of_any_stage_the_earliest_counts() -> None:
    history = History().ended(0, where="scan").ended(30)

    assert asked(history.question(30, to="beta")).clears_at == at(60)
    assert asked(history.question(60, to="beta")).reason == "it soaked in scan for 1 h"
    voided = History().ended(0, where="scan").ended(5, where="scan", execution=FAILED).ended(30)
    assert asked(voided.question(60, to="beta")).clears_at == at(90)
    assert asked(voided.question(90, to="beta")).outcome is PASS


def test_a_clock_that_was_set_back_does_not_pass() -> None:
    assert asked(History().ended(0).question(-30)) == Verdict(
        outcome=WAIT, reason="it soaks in dev: 0 s of 1 h", clears_at=at(60)
    )


@pytest.mark.parametrize("length", ["", "2", "2 hours", "-2h", "1.5h", "99999999w"])
def test_what_is_no_length_of_time_is_refused(length: str) -> None:
    with pytest.raises(ValueError, match="for"):
        SoakOptions.model_validate({"for": length})


STEPS = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.sampled_from(["40", "41", MINE, "43"]),
        st.sampled_from([OK, OK, OK, FAILED]),
        st.booleans(),
    ),
    max_size=12,
)


def made(steps: Sequence[tuple[int, str, Execution, bool]]) -> tuple[History, int]:
    history, clock = History(), 0
    for pause, build, execution, rollback in steps:
        clock += pause
        history.ended(clock, build, execution, rollback=rollback)
    return history, clock


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 200))
def test_each_of_many_quick_builds_gets_its_turn(pauses: list[int], minutes: int) -> None:
    history, clock = History(), 0
    times: dict[str, int] = {}
    for number, pause in enumerate(pauses):
        clock += pause
        times[f"b{number}"] = clock
        history.ended(clock, f"b{number}")

    for build, time in times.items():
        due = time + minutes
        assert asked(history.question(max(due, clock), build=build), f"{minutes}m").outcome is PASS
        if due > clock:
            waiting = asked(history.question(due - 0.001, build=build), f"{minutes}m")
            assert (waiting.outcome, waiting.clears_at) == (WAIT, at(due))


@given(STEPS, st.integers(1, 120), st.booleans(), st.integers(0, 300))
def test_time_alone_never_unmakes_a_pass_and_clears_what_it_says(
    steps: list[tuple[int, str, Execution, bool]], minutes: int, while_current: bool, wait: int
) -> None:
    history, clock = made(steps)

    def ask(minute: float) -> Verdict:
        return asked(history.question(minute), f"{minutes}m", while_current=while_current)

    now, later = ask(clock), ask(clock + wait)
    if now.outcome is PASS:
        assert later.outcome is PASS
    if now.outcome is FAIL:
        assert later.outcome is FAIL
    if now.clears_at is not None:
        due = (now.clears_at - START).total_seconds() / 60
        assert ask(due - 0.0001).outcome is WAIT
        assert ask(due).outcome is PASS


@given(STEPS, st.integers(1, 120))
def test_while_current_is_never_laxer(steps: list[tuple[int, str, Execution, bool]], minutes: int) -> None:
    history, clock = made(steps)
    question: Any = history.question(clock + 30)

    if asked(question, f"{minutes}m", while_current=True).outcome is PASS:
        assert asked(question, f"{minutes}m").outcome is PASS
