"""`liftlock artifact`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, get_args

import click

from liftlock.cli.commands import SETTINGS
from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import debug_option, network_options, output_option
from liftlock.cli.output import bytes_text, count, document, line, table
from liftlock.cli.progress import Mode, watcher
from liftlock.cli.project import assignments, file_option, images_for, opened, variable_option, wait_of
from liftlock.cli.promoted import WAITS
from liftlock.cli.published import show_artifact, show_publication
from liftlock.cli.watched import told

if TYPE_CHECKING:
    from liftlock.services.project import Project
    from liftlock.services.promote import Wait
    from liftlock.services.publish import Build, Publication

__all__ = ["artifact"]

progress_option = click.option(
    "--progress", type=click.Choice(get_args(Mode)), default="auto", show_default=True, help="How progress is shown."
)


@click.group(context_settings=SETTINGS)
def artifact() -> None:
    """Publish what a build made, and look at it."""


@artifact.command(
    cls=Verb,
    examples=(
        "liftlock artifact publish web=docker-archive:web.tar worker=docker-archive:worker.tar --build 42",
        "liftlock artifact publish app=oci:build/app:1.4 --commit 3f2c1e --label team=shop",
        "liftlock artifact publish app=registry.example/app:ci",
        "liftlock artifact publish app=registry.example/app:ci --wait=30m",
    ),
)
@click.argument("images", metavar="NAME=SOURCE...", nargs=-1, required=True)
@click.option("--build", metavar="ID", help="The build's id. In CI it is known.")
@click.option("--commit", metavar="COMMIT", help="The commit that was built. In CI it is known.")
@click.option("--author", metavar="PERSON", help="Who wrote the commit. In CI it is known.")
@click.option("--url", metavar="URL", help="The build's page. In CI it is known.")
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="A label of the artifact (repeatable).")
@variable_option
@click.option(
    "--wait",
    metavar="DURATION",
    is_flag=False,
    flag_value="",
    default=None,
    help="Carry on until nothing that follows moves by itself any more; with a duration (--wait=15m) at most so long.",
)
@progress_option
@file_option
@output_option("text", "json")
@network_options
@pass_invocation
def publish(
    invocation: Invocation,
    *,
    images: tuple[str, ...],
    build: str | None,
    commit: str | None,
    author: str | None,
    url: str | None,
    labels: tuple[str, ...],
    variables: tuple[str, ...],
    wait: str | None,
    progress: Mode,
    file: str | None,
) -> None:
    """Publish images as an immutable artifact.

    What comes from a docker-save tar is brought into the form that registries hold, once; from then on its digests
    never change. Images of a registry are pinned to their digests, and stored too when the pipeline names a store. A
    build id stands for one content for ever: used again for other images it is refused.

    SOURCE is docker-archive:FILE[:REFERENCE], oci:DIR[:TAG], oci-archive:FILE[:TAG] or a registry's image.

    Where a stage has trigger: on-publish, a release is made of it (with --var) and asked for there. With --wait all
    that follows is carried out: ends with 8 when something waits in the end.
    """
    from liftlock.services import publish as service
    from liftlock.services.actor import publisher

    sources = assignments(images, "image")
    made = build_of(build, commit, author, url, assignments(labels, "label"))
    chosen = assignments(variables, "--var")
    patience = wait_of(wait, no_wait=False)
    watch = watcher(progress, invocation.output, os.environ, sys.stderr)
    with opened(invocation, file) as (project, session):
        with watch:
            publication = service.publish(
                project,
                session,
                sources,
                made,
                publisher(os.environ),
                variables=chosen,
                on_event=watch,
                cancel=invocation.cancel,
            )
        if wait is not None and publication.release is not None:
            publication = _carried_on(invocation, project, publication, patience)
        show_publication(invocation, project, publication)


def _carried_on(invocation: Invocation, project: Project, publication: Publication, wait: Wait) -> Publication:
    from dataclasses import replace

    from liftlock.services.watch import require_success, watch

    assert publication.release is not None  # noqa: S101 - the caller looked
    found = watch(
        project,
        images_for(invocation, project),
        publication.release,
        wait=replace(wait, people=False),
        on_seen=told(invocation),
        cancel=invocation.cancel,
    )
    require_success(found)
    if any(not each.promotion.over for each in found):
        invocation.code = WAITS
    return replace(publication, asked=found)


def build_of(
    build: str | None, commit: str | None, author: str | None, url: str | None, labels: dict[str, str]
) -> Build:
    """What made the images: as given, else as the surrounding CI system says."""
    from liftlock.release.build_facts import build_facts
    from liftlock.services.publish import Build

    facts = build_facts(os.environ)
    page = url if url is not None else facts.url
    return Build(
        id=build if build is not None else facts.build,
        commit=commit if commit is not None else facts.commit,
        links={"build": page} if page else {},
        labels=labels,
        author=author if author is not None else facts.author,
    )


@artifact.command(name="list", cls=Verb, examples=("liftlock artifact list", "liftlock artifact list -o json"))
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def list_(invocation: Invocation, file: str | None) -> None:
    """List the artifacts that were published here, the newest first."""
    from liftlock.services.project import Project
    from liftlock.services.publish import all_artifacts, artifact_json

    with Project(file) as project:
        found = all_artifacts(project)
    if invocation.output == "json":
        document("ArtifactList", {"artifacts": [artifact_json(project, each) for each in found]})
        return
    rows = [
        [
            each.artifact.id.short,
            each.artifact.build or "-",
            each.artifact.commit[:12] or "-",
            f"{each.published_at:%Y-%m-%d %H:%M}",
            each.kept,
            ", ".join(each.artifact.images),
        ]
        for each in found
    ]
    if rows:
        table([["ARTIFACT", "BUILD", "COMMIT", "PUBLISHED (UTC)", "KEPT", "IMAGES"], *rows])
    else:
        sys.stderr.write("nothing was published here yet: liftlock artifact publish\n")


@artifact.command(cls=Verb, examples=("liftlock artifact show 42",))
@click.argument("text", metavar="ARTIFACT")
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def show(invocation: Invocation, text: str, file: str | None) -> None:
    """Show an artifact, named by its build id or by how its id begins."""
    from liftlock.services.project import Project
    from liftlock.services.publish import find_artifact

    with Project(file) as project:
        show_artifact(invocation, project, find_artifact(project, text))


@artifact.command(
    cls=Verb,
    examples=("liftlock artifact export 42 oci-archive:app-42.tar", "liftlock artifact export 42 oci:app-42"),
)
@click.argument("text", metavar="ARTIFACT")
@click.argument("destination", metavar="oci:DIR|oci-archive:FILE")
@progress_option
@file_option
@output_option("text", "json")
@network_options
@pass_invocation
def export(invocation: Invocation, *, text: str, destination: str, progress: Mode, file: str | None) -> None:
    """Write an artifact's images into one layout or archive, each tagged with its name."""
    from liftlock.services import publish as service

    watch = watcher(progress, invocation.output, os.environ, sys.stderr)
    with opened(invocation, file) as (project, session), watch:
        published = service.export(project, session, text, destination, on_event=watch, cancel=invocation.cancel)
    if invocation.output == "json":
        document("ArtifactExport", {"destination": destination, **service.artifact_json(project, published)})
    else:
        for name, image in published.artifact.images.items():
            line(f"{destination}:{name}@{image.digest}")


@artifact.command(
    cls=Verb,
    examples=(
        "liftlock artifact gc --dry-run",
        "liftlock artifact gc --keep 90d --keep-last 20",
    ),
)
@click.option(
    "--keep-last",
    metavar="N",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="How many earlier releases each stage may go back to.",
)
@click.option(
    "--keep",
    metavar="DURATION",
    default="30d",
    show_default=True,
    help="How long an artifact stays after it was published, released or asked for.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
@file_option
@output_option("text", "json")
@network_options
@pass_invocation
def gc(invocation: Invocation, *, keep_last: int, keep: str, dry_run: bool, file: str | None) -> None:
    """Remove from the store what no stage needs any more.

    What a stage holds, may go back to or waits for stays, and so does everything young. An artifact that was collected
    cannot be promoted any more, unless a stage still holds its images; published again, it is what it was.
    """
    import datetime as dt

    from liftlock.release.durations import seconds
    from liftlock.services.actor import local_actor
    from liftlock.services.collecting import collect

    patience = dt.timedelta(seconds=seconds(keep))
    with opened(invocation, file) as (project, session), invocation.cancel.waking(session.abort):
        found = collect(project, session, local_actor(os.environ), last=keep_last, keep=patience, dry_run=dry_run)
        if invocation.output == "json":
            document("ArtifactCollection", found.to_json(project))
            return
    for each in found.removed:
        line(
            f"{each.artifact.id.short}  {each.artifact.build or '-'}  published {each.published_at:%Y-%m-%d %H:%M} UTC"
        )
    what = f"{count(len(found.removed), 'artifact')} and {count(found.swept.objects, 'object')}"
    doing = "would be removed" if dry_run else "removed"
    freed = bytes_text(found.swept.size)
    where = project.written(found.place)
    line(f"{what} {doing} from {where}, {freed}; {count(len(found.kept), 'artifact')} kept")
    for note in found.swept.notes:
        sys.stderr.write(f"note: {note}\n")
