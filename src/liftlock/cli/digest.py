"""`liftlock digest`."""

from __future__ import annotations

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import network_options, output_option
from liftlock.cli.output import document, line

__all__ = ["digest"]

EXAMPLES = ("liftlock digest prod.example/app:1.4",)


@click.command(cls=Verb, examples=EXAMPLES)
@click.argument("image")
@output_option("text", "json")
@network_options
@pass_invocation
def digest(invocation: Invocation, image: str) -> None:
    """Print the digest that a tag names."""
    from liftlock.services import images

    with invocation.session() as session:
        found = images.digest(session, image)
    if invocation.output == "json":
        document("Digest", found.to_json())
    else:
        line(found.digest)
