"""`liftlock release`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from liftlock.cli.commands import SETTINGS
from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import debug_option, output_option
from liftlock.cli.output import document, fields, line, table
from liftlock.cli.project import assignments, file_option, variable_option

if TYPE_CHECKING:
    from liftlock.release.promotion import Promotion
    from liftlock.store.releases import Created

__all__ = ["release"]


@click.group(context_settings=SETTINGS)
def release() -> None:
    """Make releases of published artifacts."""


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
    from liftlock.services.project import Project
    from liftlock.services.releases import create_release, history_of

    with Project(file) as project:
        created = create_release(project, artifact, assignments(variables, "--var"))
        history = history_of(project)
    _show(invocation, created, history)


@release.command(name="list", cls=Verb, examples=("liftlock release list",))
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def list_(invocation: Invocation, file: str | None) -> None:
    """List the pipeline's releases, the newest first."""
    from liftlock.services.project import Project
    from liftlock.services.releases import all_releases, history_of, release_json

    with Project(file) as project:
        found, history = all_releases(project), history_of(project)
    if invocation.output == "json":
        document("ReleaseList", {"releases": [release_json(each, history) for each in found]})
    elif found:
        rows = [
            [
                each.release.id.short,
                each.release.artifact.build or "-",
                each.release.artifact.id.short,
                f"{each.created_at:%Y-%m-%d %H:%M}",
            ]
            for each in found
        ]
        table([["RELEASE", "BUILD", "ARTIFACT", "CREATED (UTC)"], *rows])
    else:
        sys.stderr.write("there is no release yet: liftlock release create ARTIFACT\n")


@release.command(cls=Verb, examples=("liftlock release show 42",))
@click.argument("text", metavar="RELEASE")
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def show(invocation: Invocation, text: str, file: str | None) -> None:
    """Show a release, named by its build id or by how its id begins."""
    from liftlock.services.project import Project
    from liftlock.services.releases import find_release, history_of

    with Project(file) as project:
        created, history = find_release(project, text), history_of(project)
    _show(invocation, created, history)


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
