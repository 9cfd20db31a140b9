"""Images in memory: for tests, and as the simplest reading of what `targets.base` asks for."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence

from liftlock.errors import Cancelled, NotFound
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.targets.base import BlobReader, BlobSource, Importer, Locker, Placed
from liftlock.targets.files import pour
from liftlock.targets.image_layout import as_digest, require_content

__all__ = ["MemoryTarget"]


class MemoryTarget:
    """A target that lives as long as this object, whose fields are there to be looked at."""

    metered = False
    importer: Importer | None = None
    locker: Locker | None = None

    def __init__(self, name: str = "memory:") -> None:
        self.name = name
        self.blobs: dict[Digest, bytes] = {}
        self.manifests: dict[Digest, Manifest] = {}
        self.tagged: dict[str, Digest] = {}
        self._lock = threading.Lock()
        self._aborted = False

    @property
    def home(self) -> str:
        return self.name

    def resolve(self, reference: str) -> Descriptor | None:
        self._check_aborted()
        with self._lock:
            digest = as_digest(reference) or self.tagged.get(reference)
            found = self.manifests.get(digest) if digest else None
        return found.descriptor if found else None

    def manifest(self, reference: str) -> Manifest:
        found = self.resolve(reference)
        if found is None:
            raise NotFound(f"{self.name} has no image {reference!r}")
        return self.manifests[found.digest]

    def open_blob(self, blob: Descriptor) -> BlobReader:
        self._check_aborted()
        if blob.digest not in self.blobs:
            raise NotFound(f"{self.name} has no blob {blob.digest}")
        return io.BytesIO(self.blobs[blob.digest])

    def referrers(self, subject: Digest, tags: frozenset[str] | None = None) -> Sequence[Descriptor]:  # noqa: ARG002  # asking costs nothing here
        self._check_aborted()
        with self._lock:
            found = [each for each in self.manifests.values() if each.subject and each.subject.digest == subject]
        return [manifest.referrer_descriptor() for manifest in found]

    def tags(self) -> Iterator[str]:
        self._check_aborted()
        with self._lock:
            return iter(list(self.tagged))

    def abort(self) -> None:
        self._aborted = True

    def close(self) -> None:
        """Nothing to give back."""

    def prepare(self, upload_bytes: int) -> None:
        """Nothing to prepare."""

    def has_blob(self, digest: Digest) -> bool:
        self._check_aborted()
        return digest in self.blobs

    def put_blob(
        self,
        blob: Descriptor,
        source: BlobSource | None,
        *,
        mount_from: Sequence[str] = (),  # noqa: ARG002  # there is no second repository of this home
        absent: bool = False,  # noqa: ARG002  # asking costs nothing here
    ) -> Placed:
        if self.has_blob(blob.digest):
            return Placed.PRESENT
        if source is None:
            raise NotFound(f"{self.name} has no blob {blob.digest}, and there is nowhere to take it from")
        data = bytearray()
        pour(blob, source, data.extend, self.name)
        self._check_aborted()
        self.blobs[blob.digest] = bytes(data)
        return Placed.COPIED

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        """As `WritableTarget.put_manifest`; raises `RegistryError` when what the manifest names is not there."""
        self._check_aborted()
        with self._lock:
            require_content(manifest, lambda digest: digest in self.blobs or digest in self.manifests, self.name)
            self.manifests[manifest.digest] = manifest
            if tag is not None:
                self.tagged[tag] = manifest.digest

    def delete_tag(self, tag: str) -> None:
        self._check_aborted()
        with self._lock:
            if self.tagged.pop(tag, None) is None:
                raise NotFound(f"{self.name} has no tag {tag!r}")

    def delete_manifest(self, digest: Digest) -> None:
        self._check_aborted()
        with self._lock:
            if self.manifests.pop(digest, None) is None:
                raise NotFound(f"{self.name} has no manifest {digest}")
            self.tagged = {tag: held for tag, held in self.tagged.items() if held != digest}

    def _check_aborted(self) -> None:
        if self._aborted:
            raise Cancelled(f"{self.name}: stopped on request")
