"""`liftlock copy`."""

from __future__ import annotations

from typing import get_args

import click

from liftlock.cli import images as action
from liftlock.cli.images import Verify
from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import network_options, output_option
from liftlock.cli.progress import Mode

__all__ = ["copy"]

EXAMPLES = (
    "liftlock copy staging.example/app:1.4 prod.example/app",
    "liftlock copy staging.example/app:1.4 prod.example/app:1.4 --tag stable --dry-run",
    "liftlock copy docker-archive:app.tar prod.example/app:1.4",
    "liftlock copy --from images.txt -o json",
)


@click.command(cls=Verb, examples=EXAMPLES)
@click.argument("images", metavar="[SOURCE DESTINATION]...", nargs=-1)
@click.option("--from", "listing", metavar="FILE", help="Read SOURCE DESTINATION per line; - is stdin, # a comment.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="A further tag at every destination (repeatable).")
@click.option("--platform", "platforms", metavar="OS/ARCH", multiple=True, help="Copy only this platform (repeatable).")
@click.option("--no-referrers", is_flag=True, help="Leave signatures, SBOMs and other attachments behind.")
@click.option("--no-clobber", is_flag=True, help="Refuse to move a tag that holds another image.")
@click.option("--expect", metavar="DIGEST", help="Refuse unless the destination's tags hold this digest now.")
@click.option("--dry-run", is_flag=True, help="Look at everything, change nothing, print the plan.")
@click.option(
    "--verify",
    type=click.Choice(get_args(Verify)),
    default="auto",
    show_default=True,
    help="Who hashes the bytes; auto: the destination, where it is proven to.",
)
@click.option(
    "--progress",
    type=click.Choice(get_args(Mode)),
    default="auto",
    show_default=True,
    help="How progress is shown on stderr.",
)
@output_option("text", "json", "ndjson")
@network_options
@pass_invocation
def copy(
    invocation: Invocation,
    *,
    images: tuple[str, ...],
    listing: str | None,
    tags: tuple[str, ...],
    platforms: tuple[str, ...],
    no_referrers: bool,
    no_clobber: bool,
    expect: str | None,
    dry_run: bool,
    verify: Verify,
    progress: Mode,
) -> None:
    """Copy images, with everything attached to them.

    Digests stay what they are: every manifest arrives with the bytes it had. All content is brought and verified
    first, over all images; tags move last. What is already there is not moved again, so the same command may be run
    again at any time.

    A place is written as a registry reference, oci:DIR[:TAG] or oci-archive:FILE[:TAG]; a source may also be
    docker-archive:FILE[:REFERENCE]. A destination without a tag takes the source's.
    """
    action.copy(
        invocation,
        images=images,
        listing=listing,
        tags=tags,
        platforms=platforms,
        no_referrers=no_referrers,
        no_clobber=no_clobber,
        expect=expect,
        dry_run=dry_run,
        verify=verify,
        progress=progress,
    )
