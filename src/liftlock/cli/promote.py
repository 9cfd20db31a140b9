"""`liftlock promote`."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, get_args

import click

from liftlock.cli.artifact import build_of
from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import network_options, output_option
from liftlock.cli.output import bytes_text, document, fields, line, table
from liftlock.cli.progress import Mode, watcher
from liftlock.cli.project import assignments, file_option, opened, variable_option
from liftlock.errors import UsageError

if TYPE_CHECKING:
    from liftlock.release.release import Release
    from liftlock.services.project import Project
    from liftlock.services.promote import Promoted
    from liftlock.services.session import Session

__all__ = ["promote"]

_UNITS = {"s": 1, "m": 60, "h": 3600}


@click.command(
    cls=Verb,
    examples=(
        "liftlock promote 42 --to test",
        "liftlock promote --to production --var tag=latest",
        "liftlock promote --to production --image web=registry.example/web@sha256:…",
    ),
)
@click.argument("release", metavar="[RELEASE]", required=False)
@click.option("--to", "stage", metavar="STAGE", required=True, help="The stage that the release goes into.")
@click.option(
    "--image",
    "pins",
    metavar="NAME=REF@DIGEST",
    multiple=True,
    help="Promote exactly this image, instead of what the source's tag holds (repeatable).",
)
@variable_option
@click.option(
    "--wait",
    metavar="DURATION",
    is_flag=False,
    flag_value="",
    default="",
    help="Wait until it is done (the default); with a duration (90s, 15m, 2h) at most so long.",
)
@click.option("--no-wait", is_flag=True, help="Only queue it: the next promote of this release to this stage does it.")
@click.option(
    "--progress", type=click.Choice(get_args(Mode)), default="auto", show_default=True, help="How progress is shown."
)
@file_option
@output_option("text", "json", "ndjson")
@network_options
@pass_invocation
def promote(
    invocation: Invocation,
    *,
    release: str | None,
    stage: str,
    pins: tuple[str, ...],
    variables: tuple[str, ...],
    wait: str,
    no_wait: bool,
    progress: Mode,
    file: str | None,
) -> None:
    """Take a release into a stage.

    All content is brought and verified first, then the stage's tags move. The same command may be run again at any
    time: it does what is left to do.

    RELEASE is a build id, or how the release's id begins. Without it, the images that the pipeline's source names are
    pinned to their digests and made a release: one command for a CI job. That works for stages without after.
    """
    from liftlock.services import promote as service

    if wait and no_wait:
        raise UsageError("--wait and --no-wait contradict each other")
    bound = _seconds(wait) if wait else None
    watch = watcher(progress, invocation.output, os.environ, sys.stderr)
    with opened(invocation, file) as (project, session):
        chosen = _release(invocation, project, session, release, stage, pins=pins, variables=variables)
        if no_wait:
            promoted = service.queue(project, chosen, stage)
        else:
            with watch:
                promoted = service.promote(
                    project, session, chosen, stage, wait=bound, on_event=watch, cancel=invocation.cancel
                )
        if promoted.result is not None:
            result = promoted.result
            invocation.summary = f"{result.mounted} mounted, {bytes_text(result.copied_bytes)} copied"
        _show(invocation, project, promoted)


def _release(
    invocation: Invocation,
    project: Project,
    session: Session,
    text: str | None,
    stage: str,
    *,
    pins: tuple[str, ...],
    variables: tuple[str, ...],
) -> Release:
    from liftlock.services.releases import choose_release, pin_release

    if text is None:
        return pin_release(
            project,
            session,
            stage,
            build=build_of(None, None, None, {}),
            variables=assignments(variables, "--var"),
            pins=assignments(pins, "--image"),
            cancel=invocation.cancel,
        )
    if pins or variables:
        raise UsageError("a release is what it is: --image and --var are for promoting without one")
    return choose_release(project, text, stage)


def _seconds(text: str) -> float:
    # Without a unit it is no duration: `--wait 42 --to prod` would take the release for one.
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not match or not float(match[1]):
        raise UsageError(f"--wait: {text!r} is no duration", hint="write --wait=90s, --wait=15m or --wait=2h")
    return float(match[1]) * _UNITS[match[2]]


def _show(invocation: Invocation, project: Project, promoted: Promoted) -> None:
    if invocation.output != "text":
        document("Promotion", promoted.to_json(), compact=invocation.output == "ndjson")
        return
    release, result = promoted.release, promoted.result
    if promoted.promotion.state == "queued":
        said = f"carried out by: liftlock promote {release.name} --to {promoted.stage}"
    elif result is None:
        said = "another process is at work on it"
    else:
        copied = f"{result.copied} copied ({bytes_text(result.copied_bytes)})"
        said = f"{copied}, {result.mounted} mounted, {result.present} present"
    fields(
        [
            ("release", f"{release.name} ({release.id.short})" if release.artifact.build else release.id.short),
            ("stage", promoted.stage),
            ("state", promoted.promotion.state),
            ("blobs" if result else "next", said),
        ]
    )
    line("")
    table(
        [
            [each.image, each.digest, f"{project.written(each.target)}:{', '.join(each.tags)}"]
            for each in promoted.destinations
        ],
        indent="  ",
    )
    notes = list(result.notes) if result else []
    if release.pipeline.id != project.pipeline.id:
        notes.append(f"{project.file} has changed since this release was made, which keeps the file as it was")
    for note in notes:
        sys.stderr.write(f"note: {note}\n")
