"""`liftlock ls`."""

from __future__ import annotations

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import network_options, output_option
from liftlock.cli.output import document, line

__all__ = ["ls"]

EXAMPLES = (
    "liftlock ls localhost:5000                 # a registry's repositories",
    "liftlock ls prod.example/team/app          # a repository's tags",
    "liftlock ls oci:build/app                  # a layout's tags",
)


@click.command(cls=Verb, examples=EXAMPLES)
@click.argument("place", metavar="REGISTRY|REPOSITORY")
@output_option("text", "json", "ndjson")
@network_options
@pass_invocation
def ls(invocation: Invocation, place: str) -> None:
    """List a registry's repositories, or a repository's tags.

    A word without a slash that has a dot or a colon, or is localhost, is a registry, and so is a word that ends with a
    slash (registry/); everything else is a repository.
    """
    from liftlock.services import images

    with invocation.session() as session:
        listing = images.ls(session, place)
        if invocation.output == "text":
            for name in listing.names:
                line(name)
        elif invocation.output == "ndjson":
            for name in listing.names:
                document(listing.kind, {"name": name}, compact=True)
        else:
            document(f"{listing.kind}List", {"name": listing.name, "items": list(listing.names)})
