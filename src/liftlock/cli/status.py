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
    from collections.abc import Iterator

    from liftlock.services.status import Cell, Column, Status

__all__ = ["status"]

MARKS = {"here": "●", "was here": "○", "ready": "▶", "waiting": "⏳", "running": "…", "queued": "…", "superseded": "↷"}
"""A sign before the word, for the eye; the word says it all."""


@click.command(cls=Verb, examples=("liftlock status", "liftlock status --limit 100", "liftlock status -o json"))
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    default=20,
    show_default=True,
    help="Show the newest N releases, and those that a stage holds now.",
)
@click.option("--all", "everything", is_flag=True, help="Show every release.")
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def status(invocation: Invocation, *, limit: int, everything: bool, file: str | None) -> None:
    """Show which release is in which stage.

    A stage holds what arrived there last, whatever is newer. Below the matrix is said what waits for what, and why
    something did not happen.
    """
    from liftlock.services.project import Project
    from liftlock.services.status import status as look

    with Project(file) as project:
        found = look(project, sys.maxsize if everything else limit)
    if invocation.output == "json":
        document("Status", found.to_json())
    elif found.rows:
        _show(found)
    else:
        sys.stderr.write("there is no release yet: liftlock artifact publish, then liftlock release create\n")
        _show_stops(found)


def _show(found: Status) -> None:
    table(
        [
            ["RELEASE", "BUILD", *(_header(column) for column in found.columns)],
            *(
                [
                    row.created.release.id.short,
                    row.created.release.artifact.build or "-",
                    *(_text(cell) for cell in row.cells),
                ]
                for row in found.rows
            ),
        ]
    )
    reasons = [
        (f"{row.created.release.name} → {cell.stage}", reason)
        for row in found.rows
        for cell in row.cells
        for reason in _reasons(cell)
    ]
    if reasons:
        line("")
        fields(reasons)
    _show_stops(found)
    if len(found.rows) < found.releases:
        sys.stderr.write(f"{found.releases - len(found.rows)} older releases are shown with --all\n")


def _show_stops(found: Status) -> None:
    stops = [(column.stage, stop) for column in found.columns for stop in _stops(column)]
    if stops:
        line("")
        fields(stops)


def _header(column: Column) -> str:
    stops = ["held"] * bool(column.holds) + ["frozen"] * bool(column.frozen)
    return column.stage.upper() + (f" ({', '.join(stops)})" if stops else "")


def _stops(column: Column) -> Iterator[str]:
    for hold in column.holds:
        every = "" if hold.stage else ", as every stage"
        why = f": {hold.reason}" if hold.reason else ""
        yield f"held by {hold.by} since {hold.since:%m-%d %H:%M}{every}{why}"
    if column.frozen:
        yield f"frozen until {column.frozen}"


def _text(cell: Cell) -> str:
    when = f" {cell.at:%m-%d %H:%M}" if cell.at else ""
    return f"{MARKS.get(cell.state, '✖')} {cell.state}{when}" if cell.state else "-"


def _reasons(cell: Cell) -> Iterator[str]:
    if cell.reason:
        yield f"{cell.state}: {cell.reason}"
    for untold in cell.untold:
        yield f"not told: {untold}"
