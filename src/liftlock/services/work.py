"""Working: what a worker process does until it is asked to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace

from liftlock.engine.setup import QUEUES, Queue
from liftlock.errors import UsageError
from liftlock.release.names import suggestion
from liftlock.release.pipeline import Pipeline
from liftlock.services.project import Project
from liftlock.services.session import Session
from liftlock.transfer.events import Cancel

__all__ = ["queues", "work"]


def queues(text: str) -> Sequence[Queue]:
    """The queues of a list separated by commas; raises `UsageError` for one that there is not."""
    named = [each.strip() for each in text.split(",")]
    unknown = [each for each in named if each not in QUEUES]
    if unknown:
        raise UsageError(f"there is no queue {unknown[0]!r}", hint=suggestion(unknown[0], QUEUES, "the queues are "))
    return [each for each in QUEUES if each in named]


def work(
    project: Project,
    images: Callable[[Pipeline], Session],
    *,
    only: Sequence[Queue] | None = None,
    until_idle: bool = False,
    cancel: Cancel,
) -> None:
    """Do what is due, from ``only`` these queues, until somebody asks to stop (``until_idle``: or nothing is due).

    The schedules of the project's pipeline are kept meanwhile, and its events are listened to; ``until_idle``, those
    that are there are handled first. Raises `LiftlockError` when it cannot begin.
    """
    from liftlock.engine.worker import Worker

    pipeline = project.known_pipeline
    arrivals = None
    if pipeline is not None and pipeline.events and (only is None or "promotions" in only):
        from liftlock.services.arrivals import Arrivals

        arrivals = Arrivals(project, images)
        if until_idle:
            with cancel.waking(arrivals.stop):
                arrivals.drain()
    listening = arrivals if arrivals and not until_idle else nullcontext()
    place = replace(project.workplace(images), pipeline=pipeline)
    with listening, Worker(place, queues=only) as worker, cancel.waking(worker.stop):
        worker.run_until(lambda: until_idle and worker.idle)
