"""`liftlock tag`."""

from __future__ import annotations

import click

from liftlock.cli import images as action
from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import network_options, output_option

__all__ = ["tag"]

EXAMPLES = (
    "liftlock tag prod.example/app:1.4 stable",
    "liftlock tag prod.example/app@sha256:… 1.4 latest",
)


@click.command(cls=Verb, examples=EXAMPLES)
@click.argument("image")
@click.argument("tags", metavar="TAG...", nargs=-1, required=True)
@output_option("text", "json")
@network_options
@pass_invocation
def tag(invocation: Invocation, image: str, tags: tuple[str, ...]) -> None:
    """Give an image further tags in its own repository.

    Nothing is copied. To tag in another repository, use liftlock copy.
    """
    action.tag(invocation, image, tags)
