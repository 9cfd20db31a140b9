"""`liftlock trace`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import network_options, output_option
from liftlock.cli.output import document, fields, line, table
from liftlock.cli.project import file_option, opened

if TYPE_CHECKING:
    from liftlock.services.project import Project
    from liftlock.services.trace import Journey, Step

__all__ = ["trace"]

WHEN = "%Y-%m-%d %H:%M:%S"


@click.command(
    cls=Verb,
    examples=("liftlock trace prod.example/web:stable", "liftlock trace sha256:…", "liftlock trace 42"),
)
@click.argument("image", metavar="IMAGE|DIGEST|BUILD")
@file_option
@output_option("text", "json")
@network_options
@pass_invocation
def trace(invocation: Invocation, image: str, file: str | None) -> None:
    """Tell where an image came from, and where it went.

    An image is asked for its digest first. What is told is what is recorded here.
    """
    from liftlock.services.trace import trace as follow

    with opened(invocation, file) as (project, session):
        found = follow(project, session, image)
    if invocation.output == "json":
        document("Trace", found.to_json(project))
        return
    if found.digest:
        fields([("digest", found.digest)])
    for number, journey in enumerate(found.journeys):
        if found.digest or number:
            line("")
        _show(project, journey)


def _show(project: Project, journey: Journey) -> None:
    artifact = journey.published.artifact
    fields(
        [
            ("build", artifact.build or "-"),
            ("commit", artifact.commit),
            *((f"{name} url", link) for name, link in artifact.links.items()),
            ("artifact", artifact.id),
            ("published", f"{journey.published.published_at:{WHEN}} UTC"),
        ]
    )
    line("")
    table([[name, image.digest] for name, image in artifact.images.items()], indent="  ")
    for created, steps in journey.releases:
        line("")
        fields([("release", f"{created.release.id.short} of pipeline {created.release.pipeline.name}")])
        rows = [row for step in steps for row in _rows(project, step)]
        if rows:
            line("")
            table(rows, indent="  ")


def _rows(project: Project, step: Step) -> Iterator[list[str]]:
    """One row per attempt with what became of it, or of what was refused why; one row more for each place's tags."""
    promotion = step.promotion
    if not promotion.attempts:
        yield [promotion.stage, promotion.state, f"{promotion.decided_at:{WHEN}}", promotion.reason]
    for attempt in promotion.attempts:
        places: dict[str, list[str]] = {}
        for move in step.moves:
            if move.attempt == attempt.number:
                places.setdefault(project.written(move.destination), []).append(move.tag)
        at = attempt.ended_at or attempt.started_at or attempt.queued_at
        told = [attempt.reason] if attempt.reason else []
        told += [f"{place}:{', '.join(tags)}" for place, tags in places.items()]
        yield [promotion.stage, attempt.execution.value, f"{at:{WHEN}}", told[0] if told else ""]
        yield from (["", "", "", more] for more in told[1:])
