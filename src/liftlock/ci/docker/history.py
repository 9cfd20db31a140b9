"""``docker history``: how an image was built. Azure's task ``Docker@2`` asks for it after each push, and waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from liftlock.ci.docker.contents import config, host_manifest
from liftlock.ci.docker.flags import Flags
from liftlock.ci.docker.local import found
from liftlock.ci.docker.run import Run
from liftlock.ci.docker.store import Image
from liftlock.ci.docker.template import listing
from liftlock.ci.docker.texts import since, size_text
from liftlock.oci.manifest import Manifest
from liftlock.typed import Any

__all__ = ["history"]

MISSING = "<missing>"
"""The ID of a step that is no image of its own, which all but the last are."""
CREATED_BY = 45
"""Characters of a step's command that are shown."""
_HEADINGS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}


def history(run: Run, given: Flags) -> None:
    """List the steps of an image, the last one first."""
    image = found(run.store, given.arguments[0])
    manifest = host_manifest(run.store, image)
    steps = _steps(config(run, image, manifest), manifest) if manifest else []
    whole = "no-trunc" in given.on
    rows = [_row(image, step, size, last=not at, whole=whole) for at, (step, size) in enumerate(reversed(steps))]
    if "quiet" in given.on:
        lines = [row["ID"] for row in rows]
    else:
        columns = [name for name in _HEADINGS if name != "CreatedAt"]
        lines = listing(given.values.get("format", ""), rows, _HEADINGS, columns)
    for line in lines:
        run.say(line)


def _steps(configuration: Mapping[str, Any], manifest: Manifest) -> Sequence[tuple[Mapping[str, Any], int]]:
    """The steps from the first on, each with the bytes of its layer (compressed; 0 for one without)."""
    listed = configuration.get("history")
    steps = [step for step in listed if isinstance(step, dict)] if isinstance(listed, list) else []
    if sum(not step.get("empty_layer") for step in steps) != len(manifest.layers):
        # No history, or one of another image: what is certain is the layers.
        return [({}, layer.size) for layer in manifest.layers]
    layers = iter(manifest.layers)
    return [(step, 0 if step.get("empty_layer") else next(layers).size) for step in steps]


def _row(image: Image, step: Mapping[str, Any], size: int, *, last: bool, whole: bool) -> Mapping[str, str]:
    by, created = str(step.get("created_by") or "").replace("\t", " "), str(step.get("created") or "")
    shown = str(image.digest) if whole else image.digest.hex[:12]
    return {
        "ID": shown if last else MISSING,
        "CreatedAt": created or "N/A",
        "CreatedSince": since(created),
        "CreatedBy": by if whole or len(by) <= CREATED_BY else f"{by[: CREATED_BY - 1]}…",
        "Size": size_text(size),
        "Comment": str(step.get("comment") or ""),
    }
