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
    examples=(
        "liftlock trace prod.example/web:stable",
        "liftlock trace sha256:…",
        "liftlock trace 42",
        "liftlock trace production",
    ),
)
@click.argument("image", metavar="IMAGE|DIGEST|BUILD|STAGE")
@file_option
@output_option("text", "json")
@network_options
@pass_invocation
def trace(invocation: Invocation, image: str, file: str | None) -> None:
    """Tell where an image came from, and where it went.

    From the build and its commit by way of gates, approvals and overrides to the stages. An image is asked for its
    digest first; of a stage, what it holds now is traced. What is told is what is recorded here.
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
    published = journey.published
    artifact = published.artifact
    fields(
        [
            ("build", artifact.build or "-"),
            ("commit", artifact.commit),
            ("author", published.author),
            *((f"{name} url", link) for name, link in artifact.links.items()),
            ("artifact", artifact.id),
            ("published", f"{published.published_at:{WHEN}} UTC{_by(published.published_by)}"),
        ]
    )
    line("")
    table([[name, image.digest] for name, image in artifact.images.items()], indent="  ")
    for travel in journey.releases:
        release = travel.created.release
        line("")
        fields(
            [
                ("release", f"{release.id.short} of pipeline {release.pipeline.name}"),
                ("now in", ", ".join(travel.here)),
            ]
        )
        rows = [row for step in travel.steps for row in _rows(project, step)]
        if rows:
            line("")
            table(rows, indent="  ")


def _by(person: str) -> str:
    return f", by {person}" if person else ""


def _rows(project: Project, step: Step) -> Iterator[list[str]]:
    """A row for each thing that happened: who asked, what gates and people said, every attempt and its tags."""
    promotion = step.promotion
    what = "rollback asked for" if promotion.rollback else "asked for"
    people = ", ".join(str(each) for each in promotion.requested_by)
    by = f"by {people}" if people else ""
    trigger = "" if promotion.trigger.value == "manual" else f" ({promotion.trigger.value})"
    yield [promotion.stage, what, f"{promotion.requested_at:{WHEN}}", f"{by}{trigger}".strip()]
    yield from (["", *row] for row in _said(step))
    if promotion.decided_at and not promotion.attempts:
        yield ["", promotion.state, f"{promotion.decided_at:{WHEN}}", promotion.reason]
    for attempt in promotion.attempts:
        places: dict[str, list[str]] = {}
        for move in step.moves:
            if move.attempt == attempt.number:
                places.setdefault(project.written(move.destination), []).append(move.tag)
        at = attempt.ended_at or attempt.started_at or attempt.queued_at
        told = [attempt.reason] if attempt.reason else []
        told += [f"{place}:{', '.join(tags)}" for place, tags in places.items()]
        yield ["", attempt.execution.value, f"{at:{WHEN}}", told[0] if told else ""]
        yield from (["", "", "", more] for more in told[1:])


def _said(step: Step) -> Iterator[list[str]]:
    """What gates and people said."""
    if step.sample:
        for kind, verdict in zip(step.gates, step.sample.verdicts, strict=False):
            yield [f"gate {kind}: {verdict.outcome.value}", f"{step.sample.at:{WHEN}}", verdict.reason]
    for each in step.approvals:
        said = "approved" if each.approved else "rejected"
        comment = f": {each.comment}" if each.comment else ""
        yield [said, f"{each.at:{WHEN}}", f"by {each.by}{comment}"]
    if step.override:
        yield ["overridden", f"{step.override.at:{WHEN}}", f"by {step.override.by}: {step.override.reason}"]
