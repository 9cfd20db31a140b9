"""`liftlock digest`."""

from __future__ import annotations

import click

from liftlock.cli import images as action
from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import network_options, output_option

__all__ = ["digest"]

EXAMPLES = ("liftlock digest prod.example/app:1.4",)


@click.command(cls=Verb, examples=EXAMPLES)
@click.argument("image")
@output_option("text", "json")
@network_options
@pass_invocation
def digest(invocation: Invocation, image: str) -> None:
    """Print the digest that a tag names."""
    action.digest(invocation, image)
