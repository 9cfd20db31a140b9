"""`liftlock ci`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from liftlock.cli.commands import SETTINGS
from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import debug_option, output_option
from liftlock.cli.output import document, line

__all__ = ["ci"]

SYSTEMS = ("codepipeline", "azure-pipelines", "github", "gitlab")


@click.group(context_settings=SETTINGS)
def ci() -> None:
    """Write what makes a CI system promote."""


@ci.command(
    cls=Verb,
    examples=(
        "liftlock ci init github",
        "liftlock ci init azure-pipelines --dry-run",
        "liftlock ci init codepipeline --file ci/liftlock.yaml --folder deploy",
    ),
)
@click.argument("system", metavar="SYSTEM", type=click.Choice(SYSTEMS))
@click.option("-f", "--file", metavar="FILE", default="liftlock.yaml", help="The pipeline file.")
@click.option("--folder", metavar="DIR", default=".", help="Where the files go, instead of the current folder.")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@click.option("--dry-run", is_flag=True, help="Write nothing, and print the files.")
@output_option("text", "json")
@debug_option
@pass_invocation
def init(invocation: Invocation, *, system: str, file: str, folder: str, force: bool, dry_run: bool) -> None:
    """Write a recipe: files with which a CI system takes a pipeline's images through its stages.

    SYSTEM is codepipeline, azure-pipelines, github or gitlab. The recipe is made from the pipeline file: a job for each
    stage, which shares nothing with the others; what is to be filled in is said at the head of the files. Run it where
    the repository begins. What needs state that is kept (approvals, a soak) is refused, since a stage's job could not
    know it.
    """
    from liftlock.ci.recipes.table import make

    texts = make(system, file, folder, force=force, dry_run=dry_run)
    if invocation.output == "json":
        document("Recipe", {"system": system, "folder": folder, "written": not dry_run, "files": texts})
    elif dry_run:
        for name, text in texts.items():
            sys.stdout.write(f"# === {name}\n{text}\n")
    else:
        for name in texts:
            line(f"wrote {Path(folder) / name}")
        line("what is to be filled in is said at the head of the first one")
