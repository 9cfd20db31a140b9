"""The tar that ``docker save`` writes since Docker 25: an OCI layout and a docker archive in one.

The layout part holds each image whole, with the registry's own compressed blobs, so its digest survives.
``manifest.json`` is for those who read docker archives: it names one image of each, this machine's platform's where
there are several, and points at the same blobs. Sources: moby, ``image/tarexport/save.go``; containerd,
``core/images/archive/exporter.go``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from liftlock.ci.docker.names import familiar
from liftlock.ci.docker.platforms import of_host
from liftlock.ci.docker.store import Image
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Manifest
from liftlock.targets.layout_index import IMAGE_NAME, REF_NAME
from liftlock.targets.oci_archive import OciArchive
from liftlock.typed import Any

__all__ = ["SavedTar", "ticket"]


def ticket(image: Image) -> str:
    """The tag under which an image is copied into a `SavedTar`, until `SavedTar.describe` names it."""
    return image.name or str(image.digest)


class SavedTar(OciArchive):
    """A new archive of images that are copied into it under their `ticket`."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.name = "oci-archive:docker-save"  # a path may hold a colon, which a target's name may not

    def describe(self, images: Sequence[Image]) -> None:
        """Name the images as docker does, and write ``manifest.json``. Called once, when all of them are there."""
        with self._changing() as index:
            index.entries = [
                image.descriptor._replace(extra={"annotations": _annotations(image)} if _is_named(image) else {})
                for image in images
            ]
        by_digest: dict[Digest, list[str]] = {}
        for image in images:
            names = by_digest.setdefault(image.digest, [])
            if _is_named(image):
                names.append(familiar(image.reference))
        entries = [self._entry(digest, names) for digest, names in by_digest.items()]
        self._begun().tar.add("manifest.json", json.dumps([entry for entry in entries if entry]).encode())

    def _entry(self, digest: Digest, names: Sequence[str]) -> dict[str, Any] | None:
        """What ``manifest.json`` says of an image; None for what is no image."""
        manifest = self.manifest(digest)
        while manifest.is_index:
            child = of_host(manifest)
            if child is None:
                return None
            manifest = self.manifest(child.digest)
        return None if manifest.config is None else _described(manifest, names)


def _described(manifest: Manifest, names: Sequence[str]) -> dict[str, Any]:
    blobs = [f"blobs/{blob.digest.algorithm}/{blob.digest.hex}" for blob in manifest.blobs]
    return {"Config": blobs[0], "RepoTags": list(names) or None, "Layers": blobs[1:]}


def _is_named(image: Image) -> bool:
    """Whether a tar can hold its name: one with a digest in it is no tag."""
    return bool(image.name) and "@" not in image.name


def _annotations(image: Image) -> dict[str, str]:
    return {IMAGE_NAME: image.name, REF_NAME: str(image.reference.tag)}
