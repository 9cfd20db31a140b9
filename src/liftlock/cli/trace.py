"""`liftlock trace`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import network_options, output_option
from liftlock.cli.output import document, fields, line, table
from liftlock.cli.project import file_option, opened

if TYPE_CHECKING:
    from liftlock.services.trace import Journey, Step

__all__ = ["trace"]


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
    """Tell where an image came from, and where it went: build, commit, stages, tags.

    An image is asked for its digest first. What is told is what is recorded here.
    """
    from liftlock.services.trace import trace as follow

    with opened(invocation, file) as (project, session):
        found = follow(project, session, image)
    if invocation.output == "json":
        document("Trace", found.to_json())
        return
    if found.digest:
        fields([("digest", found.digest)])
    for journey in found.journeys:
        if found.digest:
            line("")
        _show(journey)


def _show(journey: Journey) -> None:
    artifact = journey.published.artifact
    fields(
        [
            ("build", artifact.build or "-"),
            ("commit", artifact.commit),
            *((name, link) for name, link in artifact.links.items()),
            ("artifact", artifact.id),
            ("published", f"{journey.published.published_at:%Y-%m-%d %H:%M:%S} UTC"),
        ]
    )
    table([[name, image.digest] for name, image in artifact.images.items()], indent="  ")
    for created, steps in journey.releases:
        line("")
        fields([("release", f"{created.release.id.short} of pipeline {created.release.pipeline.name}")])
        rows = [_row(step) for step in steps]
        if rows:
            table(rows, indent="  ")


def _row(step: Step) -> list[str]:
    promotion = step.promotion
    last = promotion.last
    at = (last.ended_at or last.started_at or last.queued_at) if last else promotion.decided_at
    tags = ", ".join(f"{move.destination}:{move.tag}" for move in step.moves)
    reason = (last.reason if last else promotion.reason) or tags
    return [promotion.stage, promotion.state, f"{at:%Y-%m-%d %H:%M:%S}", reason]
