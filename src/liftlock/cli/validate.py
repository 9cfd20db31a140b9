"""`liftlock validate`."""

from __future__ import annotations

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import debug_option, output_option
from liftlock.cli.output import count, document, line

__all__ = ["validate"]


@click.command(cls=Verb, examples=("liftlock validate", "liftlock validate ci/liftlock.yaml"))
@click.argument("file", default="liftlock.yaml", required=False)
@output_option("text", "json")
@debug_option
@pass_invocation
def validate(invocation: Invocation, file: str) -> None:
    """Check a pipeline file. What is wrong is named with its line; what this version cannot do is wrong too."""
    from liftlock.services.project import Project

    with Project(file) as project:
        pipeline = project.pipeline
    if invocation.output == "json":
        document(
            "Validation",
            {
                "file": file,
                "pipeline": pipeline.name,
                "images": list(pipeline.images),
                "stages": [stage.name for stage in pipeline.stages],
            },
        )
    else:
        parts = f"{count(len(pipeline.images), 'image')}, {count(len(pipeline.stages), 'stage')}"
        line(f"{file} is valid: pipeline {pipeline.name}, {parts}")
