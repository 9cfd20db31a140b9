"""`liftlock explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import debug_option, output_option
from liftlock.cli.output import document, fields, line, table
from liftlock.cli.project import file_option, to_option
from liftlock.cli.standing import condition_rows, named

if TYPE_CHECKING:
    from liftlock.services.explain import Explanation

__all__ = ["CODES", "explain"]

CODES = {"pass": 0, "fail": 3, "wait": 8}
"""What a command ends with that found the conditions to be so."""


@click.command(
    cls=Verb, examples=("liftlock explain 42 --to production", "liftlock explain 42 --to production -o json")
)
@click.argument("release", metavar="RELEASE")
@to_option
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def explain(invocation: Invocation, *, release: str, stage: str, file: str | None) -> None:
    """Tell what stands between a release and a stage.

    Every condition is shown, met or not, with who or what clears it and when. Gates are shown as they answered last;
    they are asked now when nobody has asked for this promotion yet, or it would be tried again. Nothing is changed.

    Ends with 0 when all are met, 8 when it has to wait, 3 when waiting does not help.
    """
    from liftlock.services.explain import explain as look
    from liftlock.services.project import Project

    with Project(file) as project:
        found = look(project, release, stage)
    _show(invocation, found)
    invocation.code = CODES[found.outcome.value]


def _show(invocation: Invocation, found: Explanation) -> None:
    if invocation.output != "text":
        document("Explanation", found.to_json())
        return
    said = {
        "pass": "every condition is met",
        "wait": "it has to wait",
        "fail": "it may not go there, and waiting alone does not help",
    }[found.outcome.value]
    fields(
        [
            ("release", named(found.release)),
            ("stage", found.stage),
            ("state", found.promotion.state if found.promotion else "nobody has asked for it"),
            ("answer", said),
        ]
    )
    if found.conditions:
        line("")
        table(condition_rows(found.conditions), indent="  ")
