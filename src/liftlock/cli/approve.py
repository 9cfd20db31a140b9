"""`liftlock approve`, `liftlock reject`, `liftlock override`."""

from __future__ import annotations

import os

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import debug_option, output_option
from liftlock.cli.project import file_option, to_option
from liftlock.cli.standing import show

__all__ = ["approve", "override", "reject"]

release_argument = click.argument("release", metavar="RELEASE")
comment_option = click.option("--comment", metavar="TEXT", default="", help="What you want to say about it.")


@click.command(
    cls=Verb,
    examples=(
        "liftlock approve 42 --to production",
        'liftlock approve 42 --to production --comment "smoke test is green"',
    ),
)
@release_argument
@to_option
@comment_option
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def approve(invocation: Invocation, *, release: str, stage: str, comment: str, file: str | None) -> None:
    """Say yes to a release that waits for approvals.

    You are LIFTLOCK_USER, else the user you work as; who may approve is said by the groups of the pipeline file. The
    newest word of a person counts.
    """
    _decide(invocation, release, stage, comment, file, approved=True)


@click.command(
    cls=Verb,
    examples=('liftlock reject 42 --to production --comment "see incident 7"',),
)
@release_argument
@to_option
@comment_option
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def reject(invocation: Invocation, *, release: str, stage: str, comment: str, file: str | None) -> None:
    """Say no to a release that waits for approvals.

    That ends the promotion as refused.
    """
    _decide(invocation, release, stage, comment, file, approved=False)


@click.command(
    cls=Verb,
    examples=('liftlock override 42 --to production --reason "fix for incident 7"',),
)
@release_argument
@to_option
@click.option("--reason", metavar="TEXT", required=True, help="Why; it is kept for ever.")
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def override(invocation: Invocation, *, release: str, stage: str, reason: str, file: str | None) -> None:
    """Let a release go ahead although its conditions are not met.

    Gates, approvals and the freeze are overridden; stages that come before, a hold and the queue are not. It is no
    approval: it needs a right of its own (override in the stage), takes a reason, and stays on record as what it is.
    """
    from liftlock.services import decide
    from liftlock.services.actor import local_actor
    from liftlock.services.project import Project

    with Project(file) as project:
        show(invocation, project, decide.override(project, release, stage, local_actor(os.environ), reason))


def _decide(
    invocation: Invocation, release: str, stage: str, comment: str, file: str | None, *, approved: bool
) -> None:
    from liftlock.services import decide
    from liftlock.services.actor import local_actor
    from liftlock.services.project import Project

    with Project(file) as project:
        by = local_actor(os.environ)
        show(invocation, project, decide.approve(project, release, stage, by, approved=approved, comment=comment))
