"""`liftlock promote`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import click

from liftlock.cli.artifact import build_of
from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import network_options, output_option
from liftlock.cli.output import bytes_text
from liftlock.cli.progress import Mode, watcher
from liftlock.cli.project import assignments, file_option, images_for, opened, variable_option, wait_of, wait_options
from liftlock.cli.promoted import show
from liftlock.cli.results import reported, results_options
from liftlock.errors import UsageError

if TYPE_CHECKING:
    from liftlock.release.people import Actor
    from liftlock.release.release import Release
    from liftlock.services.project import Project
    from liftlock.services.session import Session

__all__ = ["promote"]


@click.command(
    cls=Verb,
    examples=(
        "liftlock promote 42 --to test",
        "liftlock promote 42 --to production --wait=2h",
        "liftlock promote --plan plan.json",
        "liftlock promote --to production --var tag=latest",
        "liftlock promote --to production --image web=registry.example/web@sha256:…",
    ),
)
@click.argument("release", metavar="[RELEASE]", required=False)
@click.option("--to", "stage", metavar="STAGE", help="The stage that the release goes into.")
@click.option("--plan", metavar="FILE", help="Do what liftlock plan --save wrote there, if nothing has moved since.")
@click.option(
    "--image",
    "pins",
    metavar="NAME=REF@DIGEST",
    multiple=True,
    help="Promote exactly this image, instead of what the source's tag holds (repeatable, or several with commas).",
)
@click.option("--build", metavar="ID", help="The build's id, without a release. In CI it is known.")
@variable_option
@results_options
@wait_options
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
    stage: str | None,
    plan: str | None,
    pins: tuple[str, ...],
    build: str | None,
    variables: tuple[str, ...],
    summary_file: str | None,
    variables_file: str | None,
    wait: str | None,
    no_wait: bool,
    progress: Mode,
    file: str | None,
) -> None:
    """Take a release into a stage.

    It is asked for, and goes ahead once the stage's conditions are met: all content is brought and verified first,
    then the stage's tags move. The same command may be run again at any time: it goes on where it stopped. Where it has
    to wait for people or time, it says so and ends with 8; --wait waits for them.

    RELEASE is a build id, or how the release's id begins. Without it, the images that the pipeline's source names are
    pinned to their digests and made a release: one command for a CI job, which needs no state that is kept. What has
    to be in an earlier stage is then proven by that stage's registries.
    """
    from liftlock.ci.results import image_words
    from liftlock.services import promote as service
    from liftlock.services.actor import local_actor

    patience = wait_of(wait, no_wait=no_wait)
    watch = watcher(progress, invocation.output, os.environ, sys.stderr)
    by = local_actor(os.environ)
    wanted = _Wanted(release=release, stage=stage, plan=plan, pins=pins, build=build, variables=variables)
    results = reported(file, stage, summary_file=summary_file, variables_file=variables_file)
    with results as report, opened(invocation, file) as (project, session):
        if variables_file:
            image_words(project.pipeline.images)
        chosen, to, proven = wanted.choose(invocation, project, session, by)
        report.about(chosen, to)
        if no_wait:
            promoted = service.ask(project, chosen, to, by, proven=proven)
        else:
            with watch:
                promoted = service.promote(
                    project,
                    images_for(invocation, project),
                    chosen,
                    to,
                    by,
                    proven=proven,
                    wait=patience,
                    on_event=watch,
                    cancel=invocation.cancel,
                )
        report.promoted = promoted
        if promoted.result:
            blobs = promoted.result["blobs"]
            invocation.summary = f"{blobs['mounted']} mounted, {bytes_text(promoted.result['copiedBytes'])} copied"
        show(invocation, project, promoted, asked_only=no_wait)


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What shall go where, as typed."""

    release: str | None
    stage: str | None
    plan: str | None
    pins: tuple[str, ...]
    build: str | None
    variables: tuple[str, ...]

    def choose(
        self, invocation: Invocation, project: Project, session: Session, by: Actor
    ) -> tuple[Release, str, frozenset[str]]:
        """The release, the stage, and the earlier stages that registries prove it to be in."""
        from liftlock.services.pinning import pin_release
        from liftlock.services.releases import choose_release

        if self.plan is not None:
            return (*self._planned(invocation, project, session), frozenset())
        if self.stage is None:
            raise UsageError("which stage?", hint="name it: --to STAGE")
        if self.release is None:
            pinned = pin_release(
                project,
                session,
                self.stage,
                build=build_of(self.build, None, None, None, {}),
                variables=assignments(self.variables, "--var"),
                pins=assignments([pin for pins in self.pins for pin in pins.split(",")], "--image"),
                by=by,
                cancel=invocation.cancel,
            )
            return pinned.release, self.stage, pinned.proven
        if self.pins or self.variables or self.build is not None:
            raise UsageError("a release is what it is: --image, --build and --var are for promoting without one")
        return choose_release(project, self.release, self.stage), self.stage, frozenset()

    def _planned(self, invocation: Invocation, project: Project, session: Session) -> tuple[Release, str]:
        from liftlock.services import plans
        from liftlock.services.releases import find_release

        if self.release or self.stage or self.pins or self.variables or self.build is not None:
            raise UsageError("a plan says which release goes where: --plan stands alone")
        saved = plans.load(str(self.plan))
        release = find_release(project, saved.release).release
        plans.require_unchanged(plans.make(project, session, release, saved.stage, invocation.cancel), saved)
        return release, saved.stage
