"""Small content for target tests: blobs that count how often they are opened, and manifests around them."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from typing import Any

from liftlock.errors import LiftlockError
from liftlock.oci import media_types as mt
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.targets.base import BlobReader


class Bytes:
    """A reader over bytes in memory, in pieces of at most `piece` bytes; raises `error` once `fail_at` are read."""

    def __init__(
        self, data: bytes, piece: int = 1 << 16, fail_at: int | None = None, error: LiftlockError | None = None
    ) -> None:
        self._file = io.BytesIO(data)
        self._piece = piece
        self._fail_at = fail_at
        self._error = error
        self.closed = False

    def readinto(self, buffer: memoryview, /) -> int:
        if self._error is not None and self._fail_at is not None and self._file.tell() >= self._fail_at:
            raise self._error
        return self._file.readinto(buffer[: self._piece])

    def close(self) -> None:
        self.closed = True


class Content:
    """A blob: its bytes, what a descriptor says of it, and how often somebody opened it."""

    def __init__(self, data: bytes, media_type: str = mt.OCI_LAYER_GZIP, *, descriptor: Descriptor | None = None):
        self.data = data
        self.descriptor = descriptor or Descriptor(media_type, Digest.of(data), len(data))
        self.readers: list[Bytes] = []

    @property
    def opened(self) -> int:
        return len(self.readers)

    def open(self) -> BlobReader:
        self.readers.append(Bytes(self.data))
        return self.readers[-1]


def some_bytes(size: int, seed: object = 0) -> bytes:
    """Reproducible bytes that are not the same anywhere."""
    return random.Random(f"{seed}").randbytes(size)


def read_all(reader: BlobReader, piece: int = 1 << 16) -> bytes:
    """Read to the end, and close."""
    found = bytearray()
    buffer = memoryview(bytearray(piece))
    try:
        while count := reader.readinto(buffer):
            found += buffer[:count]
    finally:
        reader.close()
    return bytes(found)


def image_of(config: Content, layers: Sequence[Content] = (), **fields: Any) -> Manifest:
    """An image manifest with these blobs; `subject`, `artifactType`, … as further fields."""
    return Manifest.build(
        {
            "schemaVersion": 2,
            "mediaType": mt.OCI_MANIFEST,
            "config": config.descriptor.to_json(),
            "layers": [layer.descriptor.to_json() for layer in layers],
            **fields,
        }
    )


def index_of(*manifests: Manifest, **fields: Any) -> Manifest:
    """An OCI index of these manifests."""
    entries = [manifest.descriptor.to_json() for manifest in manifests]
    return Manifest.build({"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": entries, **fields})


def referrer_to(subject: Manifest, config: Content, *, kind: str = "application/example", **fields: Any) -> Manifest:
    """An artifact manifest about `subject`."""
    return image_of(config, artifactType=kind, subject=subject.descriptor.to_json(), **fields)
