"""What does not fit together in the rules of one stage: `liftlock.release.check` asks for each."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from liftlock.errors import UsageError
from liftlock.release import freeze, schedule
from liftlock.release.durations import seconds, written
from liftlock.release.names import is_clean, suggestion
from liftlock.release.pipeline import Pipeline
from liftlock.release.stage import ApprovalRule, Sampling, Stage, Trigger

__all__ = ["Flaw", "Place", "doubts_of_rules", "flaws_of_groups", "flaws_of_rules", "repeated"]

_SECRET = re.compile(r"(?:env|file):")
_ANY_DAY = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)

Place = tuple[str | int, ...]
"""The way through the file: ``("stages", 1, "after", 0)``."""

SKIPPABLE = ("approvals", "freeze", "hold")
"""What a rollback may go without, beside kinds of gates."""


SOAK = "soak"
"""The kind of gate that is about `Stage.after`."""


class Flaw(NamedTuple):
    """One thing that is wrong, and where."""

    place: Place
    message: str
    hint: str = ""


def repeated(names: tuple[str, ...], what: str, place: Place) -> Iterator[Flaw]:
    """Names that are there more than once."""
    for position, name in enumerate(names):
        if name in names[:position]:
            yield Flaw((*place, position), f"the {what} {name!r} is named twice")


def flaws_of_groups(pipeline: Pipeline) -> Iterator[Flaw]:
    """What is wrong with the persons in the groups."""
    for group, persons in pipeline.groups.items():
        yield from repeated(persons, "person", ("groups", group))
        for position, person in enumerate(persons):
            if not is_clean(person, 256) or person != person.strip() or _SECRET.match(person):
                yield Flaw(("groups", group, position), f"{person!r} names nobody", "write a name or an e-mail address")


def flaws_of_rules(pipeline: Pipeline, stage: Stage, place: Place) -> Iterator[Flaw]:
    """What is wrong with trigger, approvals, override, rollback, sampling, freeze and notify of a stage."""
    yield from _trigger(stage, (*place, "trigger"))
    for position, gate in enumerate(stage.gates):
        if gate.kind == SOAK and not stage.after:
            said = f"the stage {stage.name!r} comes after no other, so that there is nowhere to soak"
            yield Flaw((*place, "gates", position), said, "say after: [STAGE], or gates: []")
    yield from _sampling(stage.sampling, (*place, "sampling"))
    if stage.approvals:
        yield from _approvals(pipeline, stage.approvals, (*place, "approvals"))
    yield from _groups(pipeline, stage.override, (*place, "override", "from"))
    yield from _rollback(pipeline, stage, (*place, "rollback", "without"))
    yield from _freeze(stage, (*place, "freeze"))
    for position, rule in enumerate(stage.notify):
        yield from repeated(rule.on, "occasion", (*place, "notify", position, "on"))
    yield from repeated(tuple(to.text for to in stage.to), "target", (*place, "to"))


def doubts_of_rules(pipeline: Pipeline, stage: Stage, place: Place) -> Iterator[Flaw]:
    """What may be meant, and is rarely: it makes a pipeline wait where nobody expects it."""
    for position, gate in enumerate(stage.gates):
        soak = gate.options.get("for", "0s") if gate.kind == SOAK else "0s"
        if seconds(soak) >= stage.sampling.timeout:
            yield Flaw(
                (*place, "gates", position),
                f"in stage {stage.name!r} what is asked for before it has soaked for {soak} may expire before: "
                f"its gates are asked for {written(stage.sampling.timeout)}",
                "make timeout under sampling longer",
            )
    for name in sorted(pipeline.undeclared) if stage.trigger is Trigger.ON_PUBLISH else ():
        if name in pipeline.stage_variables:
            yield Flaw(
                (*place, "trigger"),
                f"in stage {stage.name!r} a promotion starts by itself, and {{{name}}} has no value in the file",
                f"give it one in variables, or say --var {name}=… whenever an artifact is published",
            )
    rule = stage.approvals
    if rule and not rule.requester_may_approve:
        persons = pipeline.members(rule.groups)
        if rule.count == len(persons):
            yield Flaw(
                (*place, "approvals", "count"),
                f"in stage {stage.name!r} all {rule.count} persons have to approve: what one of them asks for "
                "never has its approvals",
                "add a person to the groups, ask for fewer, or say requester-may-approve: true",
            )


def _refused(read: Callable[[str], object], text: str, place: Place) -> Iterator[Flaw]:
    """A flaw when ``read`` does not take a text."""
    try:
        read(text)
    except UsageError as error:
        yield Flaw(place, error.message, error.hint)


def _trigger(stage: Stage, place: Place) -> Iterator[Flaw]:
    if stage.trigger is Trigger.SCHEDULE:
        yield from _refused(schedule.parse, stage.schedule, (*place, "schedule"))
    if stage.trigger is Trigger.ON_SUCCESS and not stage.after:
        yield Flaw(
            place,
            f"the stage {stage.name!r} comes after no other, so that no success can start it",
            "say after: [STAGE], or trigger: on-publish",
        )
    if stage.trigger is Trigger.ON_PUBLISH and stage.after:
        yield Flaw(
            place,
            f"the stage {stage.name!r} comes after {', '.join(stage.after)}, where what was just published cannot be",
            "say trigger: on-success, or leave after out",
        )


def _freeze(stage: Stage, place: Place) -> Iterator[Flaw]:
    yield from repeated(stage.freeze, "window", place)
    refused = [
        flaw for position, text in enumerate(stage.freeze) for flaw in _refused(freeze.parse, text, (*place, position))
    ]
    yield from refused
    if refused:
        return
    weekly = [window for window in map(freeze.parse, stage.freeze) if window.weekly]
    closed = freeze.closed(weekly, _ANY_DAY)
    if closed and closed.until is None:
        yield Flaw(place, f"the stage {stage.name!r} would be frozen all week", "leave a gap, or use liftlock hold")


def _sampling(sampling: Sampling, place: Place) -> Iterator[Flaw]:
    if sampling.every < 1:
        yield Flaw((*place, "every"), "gates cannot be asked all the time", "write every: 30s, or longer")
    if sampling.delay >= sampling.timeout:
        yield Flaw(
            (*place, "timeout"),
            f"the time is over after {written(sampling.timeout)}, before the gates are asked for the first time "
            f"({written(sampling.delay)})",
            "make timeout longer than delay",
        )


def _approvals(pipeline: Pipeline, rule: ApprovalRule, place: Place) -> Iterator[Flaw]:
    unknown = list(_groups(pipeline, rule.groups, (*place, "from")))
    yield from unknown
    persons = pipeline.members(rule.groups)
    if not unknown and rule.count > len(persons):
        there = "is 1 person" if len(persons) == 1 else f"are {len(persons)} persons"
        yield Flaw(
            (*place, "count"),
            f"{rule.count} persons have to approve, and there {there} in {', '.join(rule.groups)}",
            "add persons to the groups, or ask for fewer",
        )
    if rule.expires < 1:
        yield Flaw((*place, "expires"), "nobody can approve in no time", "write expires: 72h, or longer")


def _groups(pipeline: Pipeline, groups: tuple[str, ...], place: Place) -> Iterator[Flaw]:
    yield from repeated(groups, "group", place)
    for position, name in enumerate(groups):
        if name not in pipeline.groups:
            hint = suggestion(name, pipeline.groups) or "add it to groups: {NAME: [PERSON, …]}"
            yield Flaw((*place, position), f"there is no group {name!r}", hint)


def _rollback(pipeline: Pipeline, stage: Stage, place: Place) -> Iterator[Flaw]:
    yield from repeated(stage.rollback_without, "condition", place)
    # Those of all stages: what the defaults say is not wrong for a stage that has fewer gates.
    kinds = sorted({gate.kind for each in pipeline.stages for gate in each.gates})
    known = (*SKIPPABLE, *kinds)
    for position, name in enumerate(stage.rollback_without):
        if name not in known:
            hint = suggestion(name, known, "it may go without ")
            yield Flaw((*place, position), f"a rollback has no condition {name!r}", hint)
