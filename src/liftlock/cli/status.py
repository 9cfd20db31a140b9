"""`liftlock status`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import debug_option, output_option
from liftlock.cli.output import document, fields, line, table
from liftlock.cli.project import file_option

if TYPE_CHECKING:
    from liftlock.services.status import Cell

__all__ = ["status"]

MARKS = {"here": "●", "was here": "○", "ready": "▶", "running": "…", "queued": "…"}
"""A sign before the word, for the eye; the word says it all."""


@click.command(cls=Verb, examples=("liftlock status", "liftlock status -o json"))
@click.option("--all", "everything", is_flag=True, help="Show every release, not only the newest twenty.")
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def status(invocation: Invocation, everything: bool, file: str | None) -> None:
    """Show which release is in which stage."""
    from liftlock.services.project import Project
    from liftlock.services.status import status as look

    with Project(file) as project:
        found = look(project)
    if invocation.output == "json":
        document("Status", found.to_json())
        return
    if not found.rows:
        sys.stderr.write("there is no release yet: liftlock artifact publish, then liftlock release create\n")
        return
    shown = found.rows if everything else found.rows[:20]
    table(
        [
            ["RELEASE", "BUILD", *(stage.upper() for stage in found.stages)],
            *(
                [
                    row.created.release.id.short,
                    row.created.release.artifact.build or "-",
                    *(_text(cell) for cell in row.cells),
                ]
                for row in shown
            ),
        ]
    )
    reasons = [
        (f"{row.created.release.name} → {cell.stage}", f"{cell.state}: {cell.reason}")
        for row in shown
        for cell in row.cells
        if cell.reason
    ]
    if reasons:
        line("")
        fields(reasons)
    if len(shown) < len(found.rows):
        sys.stderr.write(f"{len(found.rows) - len(shown)} older releases are shown with --all\n")


def _text(cell: Cell) -> str:
    when = f" {cell.at:%m-%d %H:%M}" if cell.at else ""
    return f"{MARKS.get(cell.state, '✖')} {cell.state}{when}" if cell.state else "-"
