"""How a promotion's result is written: the release, the stage, what moved, and where everything is."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from liftlock.cli.invocation import Invocation
from liftlock.cli.output import bytes_text, document, fields, line, table
from liftlock.cli.standing import condition_rows, named, next_step
from liftlock.release.build_facts import build_facts

if TYPE_CHECKING:
    from liftlock.services.project import Project
    from liftlock.services.promote import Promoted

__all__ = ["WAITS", "show"]

WAITS = 8
"""What a command ends with that leaves a promotion waiting."""


def show(invocation: Invocation, project: Project, promoted: Promoted, *, asked_only: bool = False) -> None:
    """What became of a promotion. One that waits ends the command with 8, unless it was only to be asked for."""
    standing = promoted.standing
    if standing.conditions and not asked_only:
        invocation.code = WAITS
    if invocation.output != "text":
        content = {**promoted.to_json(), "link": build_facts(os.environ).url}
        document("Promotion", content, compact=invocation.output == "ndjson")
        return
    result = promoted.result
    blobs = result.get("blobs", {})
    copied = f"{blobs['copied']} copied ({bytes_text(result['copiedBytes'])})" if blobs else ""
    moved = f"{copied}, {blobs['mounted']} mounted, {blobs['present']} present" if blobs else ""
    fields(
        [
            ("release", named(standing.release)),
            ("stage", standing.promotion.stage),
            ("state", standing.promotion.state),
            ("blobs", moved),
            ("next", next_step(project, standing)),
        ]
    )
    line("")
    if standing.conditions:
        table(condition_rows(standing.conditions), indent="  ")
        line("")
    table(
        [
            [
                each.image,
                each.digest,
                f"{project.written(each.target)}:{', '.join(each.tags)}",
                promoted.strategy(each),
            ]
            for each in promoted.destinations
        ],
        indent="  ",
    )
    notes = [*result.get("notes", ()), *promoted.untold]
    if standing.release.pipeline.id != project.pipeline.id:
        notes.append(f"{project.file} has changed since this release was made, which keeps the file as it was")
    for note in notes:
        sys.stderr.write(f"note: {note}\n")
