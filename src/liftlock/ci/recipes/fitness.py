"""What a pipeline file asks for that jobs without common state cannot know, each with its place and a way out.

`liftlock.services.proof` refuses the same when such a job runs; a recipe says it before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from liftlock.release.check import Place
from liftlock.release.pipeline import Pipeline
from liftlock.release.place import LAYOUT
from liftlock.release.stage import Queue, Stage, Trigger
from liftlock.release.template import Template

__all__ = ["Misfit", "misfits"]

_STATE = "or keep state in a database: LIFTLOCK_DATABASE_URL"
_OTHERS = "use {build}, {commit} or a variable of your own"
_PER_JOB = ("date", "release")
"""Variables whose value may be another one in the next job."""

At = Callable[[str], Place]
"""Where a key of the stage is written."""


class Misfit(NamedTuple):
    """One thing that does not work in jobs that share nothing: `Document.error` takes it as it is."""

    place: Place
    message: str
    hint: str


def misfits(pipeline: Pipeline, lines: Mapping[Place, int], approvals: str) -> Iterator[Misfit]:
    """All of them. ``lines`` are those of the file's `Document`; ``approvals`` says how the CI system asks people."""
    earlier = {name for stage in pipeline.stages for name in stage.after}
    if pipeline.source:
        yield from _labels(pipeline.source, ("source",))
    for position, stage in enumerate(pipeline.stages):

        def at(key: str, position: int = position) -> Place:
            """Where the stage's key is written: in the stage, or in the defaults."""
            here = ("stages", position, key)
            return here if here in lines else ("defaults", key)

        yield from _rules(stage, at, approvals)
        yield from _trigger(pipeline, stage, at("trigger"))
        yield from _places(stage, at)
        if stage.name in earlier:
            yield from _of_a_job(stage, at)


def _rules(stage: Stage, at: At, approvals: str) -> Iterator[Misfit]:
    unknown = "cannot be known without state that is kept"
    name = repr(stage.name)
    if stage.approvals:
        hint = f"take them away and let the CI system ask: {approvals}; {_STATE}"
        yield Misfit(at("approvals"), f"the approvals of {name} {unknown}", hint)
    for number, gate in enumerate(stage.gates):
        if gate.kind == "soak":
            yield Misfit((*at("gates"), number), f"the soak of {name} {unknown}", f"take it away, {_STATE}")
    if stage.queue is not Queue.QUEUE:
        hint = f"take it away, since the recipe lets one job at a time go to a stage; {_STATE}"
        yield Misfit(at("queue"), f"the queue of {name} {unknown}", hint)
    if stage.after_any:
        hint = "name the stages in a list, which means all of them"
        yield Misfit(at("after"), f"{name} comes after any of several stages, which a recipe cannot say", hint)


def _places(stage: Stage, at: At) -> Iterator[Misfit]:
    for to in stage.to:
        if to.text.startswith(LAYOUT):
            message = f"{to.text} is a folder of one machine, which the next job does not have"
            yield Misfit(at("to"), message, "a stage of a recipe is in a registry")
        yield from _labels(to, at("to"))
    for tag in stage.tags:
        yield from _labels(tag, at("tags"))


def _trigger(pipeline: Pipeline, stage: Stage, place: Place) -> Iterator[Misfit]:
    first = [each.name for each in pipeline.stages if not each.after]
    if stage.trigger is Trigger.SCHEDULE:
        message = f"the schedule of {stage.name!r} needs a worker, and these jobs are none"
        yield Misfit(place, message, f"take it away: here the CI system has the schedules; {_STATE}")
        return
    started_by_its_job = stage.trigger is Trigger.ON_PUBLISH and first == [stage.name]
    if stage.trigger is not Trigger.MANUAL and not started_by_its_job:
        message = f"trigger: {stage.trigger.value} would start {stage.name!r} in the job of another stage"
        yield Misfit(place, message, "take it away: here the CI system says when a stage begins")


def _labels(text: Template, place: Place) -> Iterator[Misfit]:
    for name in text.variables:
        if name.startswith("label."):
            yield Misfit(place, f"{{{name}}} is known only to the job that publishes the artifact", _OTHERS)


def _of_a_job(stage: Stage, at: At) -> Iterator[Misfit]:
    for key, texts in (("to", stage.to), ("tags", stage.tags)):
        for name in (name for text in texts for name in text.variables if name in _PER_JOB):
            message = f"{{{name}}} may be another one in the next job, which then does not find what {stage.name!r} has"
            yield Misfit(at(key), message, _OTHERS)
