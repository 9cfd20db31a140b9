"""``docker images``: the names of the store, the latest first."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from liftlock.ci.docker.contents import host_manifest, known_config, total
from liftlock.ci.docker.flags import Flags
from liftlock.ci.docker.names import familiar_name
from liftlock.ci.docker.run import Run
from liftlock.ci.docker.store import Image, Store
from liftlock.ci.docker.template import listing
from liftlock.ci.docker.texts import since, size_text
from liftlock.errors import CorruptContent, NotFound

__all__ = ["images"]

NONE = "<none>"
_HEADINGS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
}


def images(run: Run, given: Flags) -> None:
    """List them as a table, by a template, or their IDs alone."""
    wanted = given.arguments[0] if given.arguments else ""
    rows = [
        _row(run.store, image, whole="no-trunc" in given.on)
        for image in reversed(run.store.images())
        if not wanted or _matches(image, wanted)
    ]
    if "quiet" in given.on:
        lines = [row["ID"] for row in rows]
    else:
        left_out = {"CreatedAt"} if "digests" in given.on else {"CreatedAt", "Digest"}
        columns = [name for name in _HEADINGS if name not in left_out]
        lines = listing(given.values.get("format", ""), rows, _HEADINGS, columns)
    for line in lines:
        run.say(line)


def _row(store: Store, image: Image, *, whole: bool) -> Mapping[str, str]:
    reference = image.reference if image.name else None
    try:
        manifest = host_manifest(store, image)
    except (NotFound, CorruptContent):
        manifest = None  # what is damaged is listed all the same: it can be removed, or pulled again
    created = str(known_config(store, manifest).get("created") or "") if manifest else ""
    return {
        "Repository": familiar_name(reference) if reference else NONE,
        "Tag": (reference and reference.tag) or NONE,
        "Digest": str(image.digest),
        "ID": str(image.digest) if whole else image.digest.hex[:12],
        # Of an image whose config is not here nobody can tell without asking its registry.
        "CreatedSince": since(created),
        "CreatedAt": created or "N/A",
        "Size": size_text(total(manifest) if manifest else 0),
    }


def _matches(image: Image, wanted: str) -> bool:
    """Whether docker's ``REPOSITORY[:TAG]`` means it; both may hold shell patterns."""
    if not image.name:
        return False
    name = familiar_name(image.reference)
    return fnmatchcase(name, wanted) or fnmatchcase(f"{name}:{image.reference.tag}", wanted)
