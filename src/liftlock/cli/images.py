"""What `copy`, `tag` and `digest` do with what was asked for, and how they show it.

Apart from their click commands, so that the plain forms of these commands run without click (`liftlock.cli.plain`).
The defaults here are those of the options.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from liftlock.cli.invocation import Invocation
from liftlock.cli.output import bytes_text, count, document, fields, line, printable, table
from liftlock.cli.progress import Mode, watcher
from liftlock.errors import CorruptContent, UsageError
from liftlock.typed import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from liftlock.oci.digest import Digest
    from liftlock.services.copying import Copied
    from liftlock.services.pairs import Pair
    from liftlock.transfer.model import ImageSurvey, Plan, Result

__all__ = ["Verify", "copy", "digest", "tag"]

Verify = Literal["auto", "destination", "client"]


def digest(invocation: Invocation, image: str) -> None:
    """Print what a reference names."""
    from liftlock.services import images

    with invocation.session() as session:
        found = images.digest(session, image)
    if invocation.output == "json":
        document("Digest", found.to_json())
    else:
        line(found.digest)


def tag(invocation: Invocation, image: str, tags: tuple[str, ...]) -> None:
    """Give an image further tags."""
    from liftlock.services import images

    with invocation.session() as session:
        tagged = images.tag(session, image, tags)
    if invocation.output == "json":
        document("Tagged", tagged.to_json())
    else:
        fields([("digest", tagged.digest), ("image", tagged.name), ("tags", ", ".join(tagged.tags))])


def copy(
    invocation: Invocation,
    *,
    images: tuple[str, ...],
    listing: str | None = None,
    tags: tuple[str, ...] = (),
    platforms: tuple[str, ...] = (),
    no_referrers: bool = False,
    no_clobber: bool = False,
    expect: str | None = None,
    dry_run: bool = False,
    verify: Verify = "auto",
    progress: Mode = "auto",
) -> None:
    """Copy images, or say what copying them would do."""
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
    strategies = plan.strategies if result is None else [strategy for _, _, strategy in result.ways]
    if len(plan.images) > 1:
        table(
            [
                [image.target_digest, image.request.destination, _tags(image), strategy]
                for image, strategy in zip(plan.images, strategies, strict=True)
            ]
        )
    if plan.empty:
        done = [("blobs", "nothing to do: everything is there")]
    else:
        done = _planned(plan) if result is None else _moved(result)
    fields((_image(plan.images[0], strategies[0]) if len(plan.images) == 1 else []) + done)
    for note in copied.notes:
        sys.stderr.write(f"note: {printable(note)}\n")


def _image(image: ImageSurvey, strategy: str) -> list[tuple[str, str]]:
    request = image.request
    # A docker archive's references have colons as well: docker-archive:app.tar:app:1.
    separator = "@" if request.reference.startswith(("sha256:", "sha512:")) else ":"
    return [
        ("digest", image.target_digest),
        ("source", f"{request.source}{separator}{request.reference}" if request.reference else request.source),
        ("destination", request.destination),
        ("tags", _tags(image)),
        ("strategy", strategy),
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
