"""`liftlock plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import network_options, output_option
from liftlock.cli.output import bytes_text, count, document, fields, line, table
from liftlock.cli.project import file_option, opened, to_option
from liftlock.cli.standing import condition_rows, named

if TYPE_CHECKING:
    from liftlock.oci.digest import Digest
    from liftlock.services.plans import StagePlan
    from liftlock.services.project import Project

__all__ = ["plan"]


@click.command(
    cls=Verb,
    examples=("liftlock plan 42 --to production", "liftlock plan 42 --to production --save plan.json"),
)
@click.argument("release", metavar="RELEASE")
@to_option
@click.option("--save", metavar="FILE", help="Write the plan there, for: liftlock promote --plan FILE.")
@file_option
@output_option("text", "json")
@network_options
@pass_invocation
def plan(invocation: Invocation, *, release: str, stage: str, save: str | None, file: str | None) -> None:
    """Tell exactly what a promotion would do.

    Which tags would move from what to what, how each image would come there (retag, mount, import or copy), how many
    bytes and requests that takes, and which conditions are not met. Nothing is changed. A saved plan is applied as it
    is, or refused as stale.
    """
    from liftlock.services import plans
    from liftlock.services.releases import find_release

    with opened(invocation, file) as (project, session):
        made = plans.make(project, session, find_release(project, release).release, stage, invocation.cancel)
        if save:
            plans.save(made, save)
        _show(invocation, project, made, save)


def _show(invocation: Invocation, project: Project, made: StagePlan, saved: str | None) -> None:
    content = made.to_json()
    if invocation.output != "text":
        document("Plan", content)
        return
    blobs = content["blobs"]
    copied, mounted = blobs["copy"], blobs["mount"]
    fields(
        [
            ("release", named(made.release)),
            ("stage", made.stage),
            ("blobs", f"{copied['count']} copied ({bytes_text(copied['bytes'])}), {mounted['count']} mounted"),
            ("imports", f"{content['imports']}, by the destination's registry" if content["imports"] else ""),
            ("manifests", str(content["manifests"])),
            ("requests", str(content["requests"])),
            ("saved", f"{saved}; apply it with: liftlock promote --plan {saved}" if saved else ""),
        ]
    )
    line("")
    table(
        [
            [f"{project.written(move.destination)}:{move.tag}", _short(move.old), "→", _short(move.new), strategy]
            if move.old != move.new
            else [f"{project.written(move.destination)}:{move.tag}", _short(move.old), "", "holds it already", strategy]
            for move, strategy in zip(made.copy.moves, _strategies(made), strict=True)
        ],
        indent="  ",
    )
    unmet = [each for each in made.explanation.conditions if not each.met]
    line("")
    line(f"{count(len(unmet), 'condition')} not met" + (":" if unmet else ": it may go there now"))
    if unmet:
        table(condition_rows(unmet), indent="  ")


def _strategies(made: StagePlan) -> list[str]:
    """For each tag that was asked for, how its image comes there."""
    images = zip(made.copy.images, made.copy.strategies, strict=True)
    return [strategy for image, strategy in images for _ in image.tags]


def _short(digest: Digest | None) -> str:
    return digest.short if digest else "nothing"
