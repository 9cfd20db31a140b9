"""`liftlock validate`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import network_options, output_option
from liftlock.cli.output import count, document, line, printable, table
from liftlock.cli.project import assignments, opened, variable_option
from liftlock.errors import UsageError

if TYPE_CHECKING:
    from liftlock.services.online import Checked

__all__ = ["validate"]

EXAMPLES = ("liftlock validate", "liftlock validate ci/liftlock.yaml", "liftlock validate --online")


@click.command(cls=Verb, examples=EXAMPLES)
@click.argument("file", default="liftlock.yaml", required=False)
@click.option(
    "--online",
    is_flag=True,
    help="Ask each registry of each stage, too: whether it answers, and whether these credentials may push. An upload "
    "is opened and canceled; nothing is pushed.",
)
@variable_option
@output_option("text", "json")
@network_options
@pass_invocation
def validate(invocation: Invocation, file: str, online: bool, variables: tuple[str, ...]) -> None:
    """Check a pipeline file. What is wrong is named with its line; what this version cannot do is wrong too."""
    from liftlock.release.check import doubts

    if variables and not online:
        raise UsageError("--var has a meaning only with --online", hint="the file itself needs no values")
    with opened(invocation, file) as (project, session):
        pipeline = project.pipeline
        warnings = list(doubts(pipeline))
        found: list[Checked] = []
        if online:
            from liftlock.services.online import check

            found = check(pipeline, session, variables=assignments(variables, "--var"))
    for doubt in warnings:
        sys.stderr.write(f"warning: {printable(doubt.message)}\n")
        if doubt.hint:
            sys.stderr.write(f"hint: {printable(doubt.hint)}\n")
    if invocation.output == "json":
        content: dict[str, Any] = {
            "file": file,
            "pipeline": pipeline.name,
            "images": list(pipeline.images),
            "stages": [stage.name for stage in pipeline.stages],
            "warnings": [doubt.message for doubt in warnings],
        }
        document("Validation", {**content, "places": [each.to_json() for each in found]} if online else content)
    else:
        parts = f"{count(len(pipeline.images), 'image')}, {count(len(pipeline.stages), 'stage')}"
        line(f"{file} is valid: pipeline {pipeline.name}, {parts}")
        if online:
            _show(found)
    if online:
        from liftlock.services.online import require

        require(found)


def _show(found: list[Checked]) -> None:
    """A line for each place, and below those with a problem what it is."""
    if not found:
        line("no stage has a registry: there was nobody to ask")
        return
    rows = [(each.place or "?", ", ".join(each.stages), _word(each)) for each in found]
    table(rows, indent="  ")
    for each in found:
        if each.problem:
            where = "" if each.registry in each.problem.message else f"{each.place}: "
            line(f"{where}{each.problem.message}")
            if each.problem.hint:
                line(f"hint: {each.problem.hint}")


def _word(place: Checked) -> str:
    if place.problem:
        return "failed"
    if not place.unknown:
        return "may push"
    names = ", ".join(f"{{{name}}}" for name in place.unknown)
    return f"{'answers' if place.registry else 'not asked'}; the rest depends on {names}"
