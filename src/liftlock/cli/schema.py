"""`liftlock schema`."""

from __future__ import annotations

import sys

import click

from liftlock.cli.lazy import Verb

__all__ = ["schema"]


@click.command(cls=Verb, examples=("liftlock schema > liftlock.schema.json",))
def schema() -> None:
    """Print the JSON Schema of a pipeline file, for editors."""
    import json

    from liftlock.pipeline.model import schema as made

    sys.stdout.write(json.dumps(made(), indent=2, ensure_ascii=False) + "\n")
