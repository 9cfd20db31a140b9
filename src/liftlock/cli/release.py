"""`liftlock release`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from liftlock.cli.commands import SETTINGS
from liftlock.cli.difference import show_difference
from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import debug_option, network_options, output_option
from liftlock.cli.output import document, fields, line, table
from liftlock.cli.project import assignments, file_option, images_for, opened, variable_option
from liftlock.cli.standing import show
from liftlock.cli.watched import told

if TYPE_CHECKING:
    from liftlock.release.promotion import Promotion
    from liftlock.store.releases import Created

__all__ = ["release"]


some_stage_option = click.option("--to", "stage", metavar="STAGE", help="To which stage, where there are several.")


@click.group(context_settings=SETTINGS)
def release() -> None:
    """Make releases of published artifacts, follow them, and stop them."""


@release.command(cls=Verb, examples=("liftlock release create 42", "liftlock release create 42 --var region=eu"))
@click.argument("artifact", metavar="ARTIFACT")
@variable_option
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def create(invocation: Invocation, *, artifact: str, variables: tuple[str, ...], file: str | None) -> None:
    """Make a release: an artifact, with the pipeline as it is now.

    A later change of the file does not change the release. Creating it again gives the same one.
    """
    from liftlock.services.actor import local_actor
    from liftlock.services.project import Project
    from liftlock.services.releases import create_release, history_of

    with Project(file) as project:
        created = create_release(project, artifact, assignments(variables, "--var"), local_actor(os.environ))
        history = history_of(project, created.release)
    _show(invocation, created, history)


@release.command(name="list", cls=Verb, examples=("liftlock release list", "liftlock release list --limit 100"))
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", default=20, show_default=True, help="The newest N releases."
)
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def list_(invocation: Invocation, *, limit: int, file: str | None) -> None:
    """List the pipeline's releases, the newest first."""
    from liftlock.services.project import Project
    from liftlock.services.releases import page, release_json

    with Project(file) as project:
        found, total = page(project, limit)
    if invocation.output == "json":
        document("ReleaseList", {"releases": [release_json(*each) for each in found], "total": total})
        return
    if not found:
        sys.stderr.write("there is no release yet: liftlock release create ARTIFACT\n")
        return
    rows = [
        [
            each.release.id.short,
            each.release.artifact.build or "-",
            each.release.artifact.id.short,
            f"{each.created_at:%Y-%m-%d %H:%M}",
        ]
        for each, _ in found
    ]
    table([["RELEASE", "BUILD", "ARTIFACT", "CREATED (UTC)"], *rows])
    if len(found) < total:
        sys.stderr.write(f"{total - len(found)} older releases are shown with --limit {total}\n")


@release.command(name="show", cls=Verb, examples=("liftlock release show 42",))
@click.argument("text", metavar="RELEASE")
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def show_(invocation: Invocation, text: str, file: str | None) -> None:
    """Show a release, named by its build id or by how its id begins."""
    from liftlock.services.project import Project
    from liftlock.services.releases import find_release, history_of

    with Project(file) as project:
        created = find_release(project, text)
        history = history_of(project, created.release)
    _show(invocation, created, history)


@release.command(cls=Verb, examples=("liftlock release diff 41 42",))
@click.argument("before", metavar="RELEASE")
@click.argument("after", metavar="RELEASE")
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def diff(invocation: Invocation, *, before: str, after: str, file: str | None) -> None:
    """Show what differs between two releases.

    Images, what the artifacts say, variables, the pipeline's definition, and what each stage's tags would hold.
    """
    from liftlock.release.difference import differences
    from liftlock.services.project import Project
    from liftlock.services.releases import find_release

    with Project(file) as project:
        found = differences(*(find_release(project, text).release for text in (before, after)))
    if invocation.output == "json":
        document("ReleaseDiff", found.to_json())
    else:
        show_difference(found)


@release.command(cls=Verb, examples=("liftlock release watch 42", "liftlock release watch 42 -o ndjson"))
@click.argument("text", metavar="RELEASE")
@file_option
@output_option("text", "ndjson")
@network_options
@pass_invocation
def watch(invocation: Invocation, text: str, file: str | None) -> None:
    """Follow a release live, until nothing of it is open any more.

    Where the state is kept on this machine alone, this command does the work as well. Stopping it (Ctrl-C) stops
    nobody: what is under way goes on with a worker, or with the next command.
    """
    from liftlock.services.promote import Wait
    from liftlock.services.releases import find_release
    from liftlock.services.watch import require_success
    from liftlock.services.watch import watch as follow

    with opened(invocation, file) as (project, _):
        found = follow(
            project,
            images_for(invocation, project),
            find_release(project, text).release,
            wait=Wait(people=True),
            on_seen=told(invocation),
            cancel=invocation.cancel,
        )
        if invocation.output == "ndjson":
            for each in found:
                document("Promotion", each.to_json(), compact=True)
        elif not found:
            sys.stderr.write("nothing of this release is open; see: liftlock status\n")
        else:
            table([[each.promotion.stage, each.promotion.state] for each in found])
        require_success(found)


@release.command(cls=Verb, examples=("liftlock release cancel 42", "liftlock release cancel 42 --to production"))
@click.argument("text", metavar="RELEASE")
@some_stage_option
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def cancel(invocation: Invocation, *, text: str, stage: str | None, file: str | None) -> None:
    """Take a promotion back that waits, or stop one that is under way."""
    from liftlock.services.actor import local_actor
    from liftlock.services.decide import cancel as take_back
    from liftlock.services.project import Project

    with Project(file) as project:
        standing = take_back(project, text, stage, local_actor(os.environ))
        show(invocation, project, standing)
    if not standing.promotion.over:
        sys.stderr.write("note: whoever works on it was asked to stop\n")


@release.command(cls=Verb, examples=("liftlock release retry 42", "liftlock release retry 42 --to production"))
@click.argument("text", metavar="RELEASE")
@some_stage_option
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def retry(invocation: Invocation, *, text: str, stage: str | None, file: str | None) -> None:
    """Try again what was admitted and did not succeed."""
    from liftlock.services.actor import local_actor
    from liftlock.services.decide import retry as try_again
    from liftlock.services.project import Project

    with Project(file) as project:
        show(invocation, project, try_again(project, text, stage, local_actor(os.environ)))


def _show(invocation: Invocation, created: Created, history: Sequence[Promotion]) -> None:
    from liftlock.release.rules import next_stages
    from liftlock.services.releases import release_json

    made = created.release
    if invocation.output == "json":
        document("Release", release_json(created, history))
        return
    fields(
        [
            ("release", made.id),
            ("build", made.artifact.build),
            ("commit", made.artifact.commit),
            ("artifact", made.artifact.id),
            ("pipeline", made.pipeline.name),
            ("next", ", ".join(next_stages(made, history))),
        ]
    )
    line("")
    table([[name, image.digest] for name, image in made.artifact.images.items()], indent="  ")
