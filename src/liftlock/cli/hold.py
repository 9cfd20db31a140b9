"""`liftlock hold`, `liftlock unhold`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import debug_option, output_option
from liftlock.cli.output import document, line
from liftlock.cli.project import file_option
from liftlock.errors import UsageError

if TYPE_CHECKING:
    from liftlock.release.people import Hold

__all__ = ["hold", "unhold"]


def _named(context: click.Context, _parameter: click.Parameter, stage: str | None) -> str:
    """An empty name is most likely a variable that is not set: it must not mean every stage."""
    if stage == "":
        raise UsageError("the stage's name is empty", hint=f"for every stage: {context.command_path} without a name")
    return stage or ""


stage_argument = click.argument("stage", metavar="[STAGE]", required=False, callback=_named)


@click.command(
    cls=Verb,
    examples=('liftlock hold production --reason "incident 7"', 'liftlock hold --reason "holidays"'),
)
@stage_argument
@click.option("--reason", metavar="TEXT", default="", help="Why; those who wait read it.")
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def hold(invocation: Invocation, *, stage: str, reason: str, file: str | None) -> None:
    """Stop a stage, or every stage.

    Nothing goes there until the hold is released. What is under way is stopped before its tags move.
    """
    from liftlock.services import decide
    from liftlock.services.actor import local_actor
    from liftlock.services.project import Project

    with Project(file) as project:
        made = decide.hold(project, stage, local_actor(os.environ), reason)
    _show(invocation, [made], "held")


@click.command(cls=Verb, examples=("liftlock unhold production", "liftlock unhold"))
@stage_argument
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def unhold(invocation: Invocation, *, stage: str, file: str | None) -> None:
    """Release the holds of a stage.

    Without STAGE: those that were set for every stage together.
    """
    from liftlock.services import decide
    from liftlock.services.actor import local_actor
    from liftlock.services.project import Project

    with Project(file) as project:
        released = decide.unhold(project, stage, local_actor(os.environ))
    _show(invocation, released, "released")


def _show(invocation: Invocation, holds: Sequence[Hold], state: str) -> None:
    from liftlock.services.decide import hold_json

    if invocation.output != "text":
        document("HoldList", {"holds": [{**hold_json(each), "state": state} for each in holds]})
        return
    for each in holds:
        why = f": {each.reason}" if each.reason else ""
        line(f"{each.stage or 'every stage'} is {state} (set by {each.by}{why})")
    if state == "held":
        where = f" {holds[0].stage}" if holds[0].stage else ""
        line(f"released with: liftlock unhold{where}")
