"""`liftlock copy`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import network_options, output_option
from liftlock.cli.output import bytes_text, count, document, fields, printable, table
from liftlock.cli.progress import Mode, watcher
from liftlock.errors import CorruptContent, UsageError

if TYPE_CHECKING:
    from liftlock.oci.digest import Digest
    from liftlock.services.copying import Copied
    from liftlock.services.pairs import Pair
    from liftlock.transfer.model import ImageSurvey, Plan, Result

__all__ = ["copy"]

Verify = Literal["auto", "destination", "client"]

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
    from liftlock.oci.manifest import Platform
    from liftlock.services import copying as service
    from liftlock.services.pairs import want
    from liftlock.transfer.model import Options

    pairs = _pairs(images, listing)
    if expect and len(pairs) > 1:
        raise UsageError("--expect says what one destination holds, but several images are copied")
    wanted = [want(pair, tags=tags, expect=_digest(expect)) for pair in pairs]
    options = Options(
        platforms=tuple(Platform.parse(text) for text in platforms), referrers=not no_referrers, no_clobber=no_clobber
    )
    if progress == "auto" and (dry_run or invocation.verbose):
        # A survey has no phases to show, and a redrawn line cannot live among the lines of requests.
        progress = "none" if dry_run else "plain"
    watch = watcher(progress, invocation.output, os.environ, sys.stderr)
    with invocation.session(verify=verify) as session:
        with watch:
            copied = service.copy(session, wanted, options, dry_run=dry_run, on_event=watch, cancel=invocation.cancel)
        if copied.result is not None:
            result = copied.result
            invocation.summary = f"{result.mounted} mounted, {bytes_text(result.copied_bytes)} copied"
    _show(copied, invocation)


def _digest(text: str | None) -> Digest | None:
    from liftlock.oci.digest import Digest

    try:
        return Digest(text) if text else None
    except CorruptContent as error:
        raise UsageError(f"--expect: {error.message}", hint=error.hint) from None


def _pairs(images: Sequence[str], listing: str | None) -> list[Pair]:
    from liftlock.services.pairs import Pair, parse_pairs

    if len(images) % 2:
        raise UsageError(
            f"{images[-1]!r} is a source without a destination" if len(images) > 1 else "a destination is missing",
            hint="liftlock copy SOURCE DESTINATION [SOURCE DESTINATION]...",
        )
    pairs = [Pair(*each) for each in zip(images[::2], images[1::2], strict=True)]
    if listing:
        # What is no UTF-8 is found, with its line, as what is no reference.
        with open(0 if listing == "-" else listing, encoding="utf-8", errors="replace") as lines:
            pairs.extend(parse_pairs(lines, "stdin" if listing == "-" else listing))
    if not pairs:
        raise UsageError(
            f"{listing} names no images" if listing else "nothing to copy",
            hint="liftlock copy SOURCE DESTINATION, or --from FILE with one such pair per line",
        )
    return pairs


def _show(copied: Copied, invocation: Invocation) -> None:
    plan, result = copied.plan, copied.result
    if invocation.output != "text":
        kind = "CopyPlan" if result is None else "CopyResult"
        document(kind, copied.to_json(), compact=invocation.output == "ndjson")
        return
    if len(plan.images) > 1:
        table([[image.target_digest, image.request.destination, _tags(image)] for image in plan.images])
    if plan.empty:
        done = [("blobs", "nothing to do: everything is there")]
    else:
        done = _planned(plan) if result is None else _moved(result)
    fields((_image(plan.images[0]) if len(plan.images) == 1 else []) + done)
    for note in copied.notes:
        sys.stderr.write(f"note: {printable(note)}\n")


def _image(image: ImageSurvey) -> list[tuple[str, str]]:
    request = image.request
    # A docker archive's references have colons as well: docker-archive:app.tar:app:1.
    separator = "@" if request.reference.startswith(("sha256:", "sha512:")) else ":"
    return [
        ("digest", image.target_digest),
        ("source", f"{request.source}{separator}{request.reference}" if request.reference else request.source),
        ("destination", request.destination),
        ("tags", _tags(image)),
        ("attached", ", ".join(dict.fromkeys(each.label for each in image.attachments if each.label))),
    ]


def _planned(plan: Plan) -> list[tuple[str, str]]:
    from liftlock.transfer.render import request_count

    moving = {step.blob.digest for step in plan.blobs}
    needed = {
        blob.digest
        for image in plan.images
        for manifest in (*image.manifests, *([image.root] if image.root else []))
        for blob in manifest.blobs
    }
    copying = [step.blob.size for step in plan.blobs if step.action != "mount"]
    return [
        ("to copy", f"{count(len(copying), 'blob')}, {bytes_text(sum(copying))}"),
        ("to mount", count(len(plan.blobs) - len(copying), "blob")),
        ("present", count(len(needed - moving), "blob")),
        ("to store", count(len(plan.manifests), "manifest")),
        ("requests", f"{request_count(plan)}, if every mount is granted"),
    ]


def _moved(result: Result) -> list[tuple[str, str]]:
    copied = f"{result.copied} copied ({bytes_text(result.copied_bytes)})"
    return [("blobs", f"{copied}, {result.mounted} mounted, {result.present} present")]


def _tags(image: ImageSurvey) -> str:
    new = image.target_digest
    shown = (f"{tag} ({_was(image.tags.get(tag), new)})" for tag in image.request.tags)
    return ", ".join(shown) or "none: reachable by digest only"


def _was(old: Digest | None, new: Digest) -> str:
    if old is None:
        return "new"
    return "unchanged" if old == new else f"was {old.algorithm}:{old.short}"
