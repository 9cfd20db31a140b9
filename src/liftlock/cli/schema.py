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

    from liftlock.gates.table import GATES
    from liftlock.notify.table import NOTIFIERS
    from liftlock.pipeline.schema import schema as made

    sys.stdout.write(json.dumps(made(GATES, NOTIFIERS), indent=2, ensure_ascii=False) + "\n")
