"""`liftlock delete`."""

from __future__ import annotations

import sys

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import network_options, output_option
from liftlock.cli.output import document, line
from liftlock.errors import UsageError

__all__ = ["delete"]

EXAMPLES = (
    "liftlock delete staging.example/app:old",
    "liftlock delete staging.example/app@sha256:… --yes",
)


@click.command(cls=Verb, examples=EXAMPLES)
@click.argument("image")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_option("text", "json")
@network_options
@pass_invocation
def delete(invocation: Invocation, image: str, yes: bool) -> None:
    """Delete a tag, or an image by its digest.

    A tag goes alone, its image stays. A digest takes the image and every tag on it; bytes are freed by the registry's
    own garbage collection. A registry that can only delete a tag together with its image is not asked to.
    """
    from liftlock.services import images

    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody is here to confirm the deletion", hint="add --yes to delete without being asked")
        if not click.confirm(f"Delete {image}?", err=True):
            raise click.exceptions.Exit(1)
    with invocation.session() as session:
        deleted = images.delete(session, image)
    if invocation.output == "json":
        document("Deleted", deleted.to_json())
    elif deleted.tag:
        line(f"deleted the tag {deleted.name}:{deleted.tag}; its image {deleted.digest} stays")
    else:
        line(f"deleted {deleted.name}@{deleted.digest}")
