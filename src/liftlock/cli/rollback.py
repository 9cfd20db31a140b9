"""`liftlock rollback`."""

from __future__ import annotations

import os
import sys
from typing import get_args

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import network_options, output_option
from liftlock.cli.progress import Mode, watcher
from liftlock.cli.project import file_option, images_for, opened, to_option, wait_of, wait_options
from liftlock.cli.promoted import show
from liftlock.cli.results import reported, results_options

__all__ = ["rollback"]


@click.command(
    cls=Verb,
    examples=("liftlock rollback --to production", "liftlock rollback --to production --release 41"),
)
@to_option
@click.option(
    "--release", metavar="RELEASE", help="The release to bring back; by default the one that was there before."
)
@results_options
@wait_options
@click.option(
    "--progress", type=click.Choice(get_args(Mode)), default="auto", show_default=True, help="How progress is shown."
)
@file_option
@output_option("text", "json", "ndjson")
@network_options
@pass_invocation
def rollback(
    invocation: Invocation,
    *,
    stage: str,
    release: str | None,
    summary_file: str | None,
    variables_file: str | None,
    wait: str | None,
    no_wait: bool,
    progress: Mode,
    file: str | None,
) -> None:
    """Bring an earlier release back into a stage, and hold the stage.

    It is a promotion like any other, with the stage's conditions; what it need not meet is said in the stage, under
    rollback. Nothing newer goes there until the hold is released with: liftlock unhold STAGE.
    """
    from liftlock.ci.results import image_words
    from liftlock.services import promote as service
    from liftlock.services.actor import local_actor

    patience = wait_of(wait, no_wait=no_wait)
    watch = watcher(progress, invocation.output, os.environ, sys.stderr)
    by = local_actor(os.environ)
    results = reported(file, stage, summary_file=summary_file, variables_file=variables_file)
    with results as report, opened(invocation, file) as (project, _):
        if variables_file:
            image_words(project.pipeline.images)
        promoted = service.roll_back(project, stage, release, by)
        report.about(promoted.release, stage)
        if not no_wait:
            with watch:
                promoted = service.carry_out(
                    project,
                    images_for(invocation, project),
                    promoted,
                    by,
                    wait=patience,
                    on_event=watch,
                    cancel=invocation.cancel,
                )
        report.promoted = promoted
        show(invocation, project, promoted, asked_only=no_wait)
