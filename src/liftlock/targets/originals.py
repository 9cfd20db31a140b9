"""A registry's own manifests inside a docker archive: found, checked to be whole, and then used byte for byte.

The containerd store saves what it pulled: ``index.json`` → index → manifests → compressed blobs, so an image keeps the
digest it has in its registry. Docker 25 to 28 with a graph driver write the same files, but with manifests of their own
over *uncompressed* layers, which no registry ever had; their first releases wrote them wrong as well: without layers
(moby#47065), with wrong sizes (moby#47072), as ``null`` (moby#47210), with entries lost (moby#51389). So nothing here
is believed before every size and every digest was checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from liftlock.errors import CorruptContent
from liftlock.oci import media_types as mt
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.targets.tar_index import MAX_METADATA, TarIndex
from liftlock.typed import Any, NamedTuple

__all__ = ["Originals", "blob_member", "collect", "image_manifests", "read_diff_ids", "read_json", "read_roots"]

IMAGE_CONFIGS = frozenset({mt.OCI_CONFIG, mt.DOCKER_CONFIG})
PLAIN_LAYERS = frozenset({mt.OCI_LAYER, "application/vnd.docker.image.rootfs.diff.tar"})


class Originals(NamedTuple):
    """An image as its registry has it: the root, everything below it, and the blobs of all."""

    root: Manifest
    manifests: dict[Digest, Manifest]
    blobs: dict[Digest, Descriptor]

    @property
    def compressed(self) -> bool:
        """Whether no layer is a plain tar: registries hold compressed ones."""
        layers = (layer for manifest in self.manifests.values() for layer in manifest.layers)
        return all(layer.media_type not in PLAIN_LAYERS for layer in layers)


def blob_member(digest: Digest) -> str:
    """Where a layout keeps a blob (image spec 1.1, image-layout.md)."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


def read_json(tar: TarIndex, name: str) -> Any:
    """A JSON document of at most 4 MiB; raises `CorruptContent`."""
    try:
        return json.loads(tar.read(name, MAX_METADATA))
    except (ValueError, RecursionError):
        raise CorruptContent(f"{tar.path}: {name!r} is not JSON") from None


def read_diff_ids(tar: TarIndex, config: str, layers: int) -> tuple[Digest, ...]:
    """The digests of an image's uncompressed layers, from its config (image spec 1.1, config.md, ``rootfs``).

    Raises `CorruptContent` when it is no image config, or one of another number of layers.
    """
    document = read_json(tar, config)
    rootfs = document.get("rootfs") if isinstance(document, dict) else None
    listed = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise CorruptContent(f"{tar.path}: {config!r} is no image config: it has no list rootfs.diff_ids")
    if len(listed) != layers:
        raise CorruptContent(f"{tar.path}: {config!r} is of {len(listed)} layers, its manifest lists {layers}")
    return tuple(map(Digest, listed))


def read_roots(tar: TarIndex) -> list[Descriptor]:
    """The entries of ``index.json``, none when there is no such file; raises `CorruptContent`."""
    if "index.json" not in tar:
        return []
    index = read_json(tar, "index.json")
    listed = index.get("manifests") if isinstance(index, dict) else None
    if not isinstance(listed, list):
        raise CorruptContent(f"{tar.path}: index.json has no list of manifests")
    return [Descriptor.from_json(item, f"{tar.path}: index.json: manifests[{at}]") for at, item in enumerate(listed)]


def image_manifests(tar: TarIndex, root: Descriptor) -> Iterator[Manifest]:
    """The image manifests below a root, itself included, as far as they are there and sound."""
    pending, seen = [root], set[Digest]()
    while pending:
        descriptor = pending.pop(0)
        if descriptor.digest in seen:
            continue
        seen.add(descriptor.digest)
        try:
            manifest = _manifest(tar, descriptor)
        except CorruptContent:
            continue
        pending += manifest.manifests
        if manifest.config is not None:
            yield manifest


def collect(tar: TarIndex, root: Descriptor) -> Originals:
    """Everything below a root. Raises `CorruptContent` when anything is missing or of another size.

    Manifests are verified; blobs only measured, since hashing them reads the whole archive.
    """
    top = _manifest(tar, root)
    manifests, blobs = {top.digest: top}, dict[Digest, Descriptor]()
    pending = [top]
    while pending:
        manifest = pending.pop()
        for blob in manifest.blobs:
            if not blob.is_nondistributable:
                _check_size(tar, blob)
                blobs[blob.digest] = blob
        if manifest.config is not None and manifest.config.media_type in IMAGE_CONFIGS:
            read_diff_ids(tar, blob_member(manifest.config.digest), len(manifest.layers))
        for child in manifest.manifests:
            if child.digest not in manifests:
                manifests[child.digest] = _manifest(tar, child)
                pending.append(manifests[child.digest])
    return Originals(top, manifests, blobs)


def _manifest(tar: TarIndex, descriptor: Descriptor) -> Manifest:
    _check_size(tar, descriptor)
    return Manifest.parse(tar.read(blob_member(descriptor.digest)), descriptor.media_type, descriptor.digest)


def _check_size(tar: TarIndex, blob: Descriptor) -> None:
    member = tar.find(blob_member(blob.digest))
    if member is None:
        raise CorruptContent(f"{tar.path}: {blob.digest} is named, but not there")
    if member.size != blob.size:
        raise CorruptContent(f"{tar.path}: {blob.digest} has {member.size} bytes, its descriptor says {blob.size}")
