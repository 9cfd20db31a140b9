"""Images in a bucket of an object store: one repository, as a target.

    layout.json                                          says of which version all this is
    blobs/<algorithm>/<hex>                              blobs and manifests, as in an OCI layout
    tags/<tag>                                           a descriptor: media type, digest, size
    referrers/<algorithm>/<hex>/<algorithm>/<hex>        of this subject, this manifest: a descriptor

**Whole or not there.** An object appears when its last byte was taken, and its digest is verified before. Small ones
are written only where there is none (``If-None-Match: *``); large ones, which are sent in parts, cannot be, and need
not: under one digest everybody writes the same bytes.

**Safe for several writers.** Every tag and every referrer is an object of its own, so nobody's write takes another's
away. **Resumable**: what is there is asked for first, so a run after a crash sends what is missing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence

from liftlock.errors import CorruptContent, LiftlockError, NotFound
from liftlock.oci.bucket import BucketName
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import MAX_MANIFEST, Descriptor, Manifest
from liftlock.oci.reference import is_tag
from liftlock.targets.base import BlobReader, BlobSource, Importer, Locker, Placed
from liftlock.targets.files import pour
from liftlock.targets.image_layout import as_digest, require_content
from liftlock.targets.object_access import open_bucket
from liftlock.targets.object_bucket import PART, Bucket, Found, ObjectReader

__all__ = ["ObjectTarget", "digest_of"]

LAYOUT = b'{"liftlockObjectLayout":1}'
MAX_TAG = 64 * 1024
"""Bytes of a tag's or a referrer's object; annotations of a referrer are in it."""


def digest_of(key: str) -> Digest | None:
    """The digest that an object's name ends in; None for what is not ours."""
    parts = key.split("/")
    try:
        return Digest(":".join(parts[-2:])) if len(parts) > 1 else None
    except CorruptContent:
        return None


class ObjectTarget:
    """One repository in a bucket, which has to exist. Raises nothing until it is used."""

    metered = False
    importer: Importer | None = None
    locker: Locker | None = None

    def __init__(self, name: str, env: Mapping[str, str]) -> None:
        bucket = BucketName.parse(name)
        self.name = str(bucket)
        self.bucket = Bucket(self.name, lambda: open_bucket(bucket, env))
        self._known: set[Digest] = set()
        self._lock = threading.Lock()
        self._prepared = False

    @property
    def home(self) -> str:
        """The name: between repositories of a bucket nothing is linked."""
        return self.name

    # -- reading

    def resolve(self, reference: str) -> Descriptor | None:
        """As `Target.resolve`; a tag on what is gone is absent."""
        digest = as_digest(reference)
        if digest is not None:
            raw = self._load(digest)
            return None if raw is None else self._parsed(raw, "", digest).descriptor
        entry = self._tag(reference)
        if entry is None or self._size(entry.digest) != entry.size:
            return None
        return entry

    def manifest(self, reference: str) -> Manifest:
        digest, media_type = as_digest(reference), ""
        if digest is None:
            entry = self._tag(reference)
            if entry is None:
                raise NotFound(f"{self.name} has no image {reference!r}")
            digest, media_type = entry.digest, entry.media_type
        raw = self._load(digest)
        if raw is None:
            raise NotFound(f"{self.name} has no manifest {digest}")
        return self._parsed(raw, media_type, digest)

    def open_blob(self, blob: Descriptor) -> BlobReader:
        return ObjectReader(self.bucket, _blob_key(blob.digest), blob)

    def referrers(self, subject: Digest, tags: frozenset[str] | None = None) -> Sequence[Descriptor]:  # noqa: ARG002  # no fallback tags here
        found = [self._descriptor(each.key) for each in self.bucket.list(_referrers(subject))]
        return [each for each in found if each is not None]

    def tags(self) -> Iterator[str]:
        return (each.key.rpartition("/")[2] for each in self.bucket.list("tags"))

    def has_blob(self, digest: Digest) -> bool:
        with self._lock:
            known = digest in self._known
        return known or self._size(digest) is not None

    def contents(self) -> Iterator[Found]:
        """Every blob and manifest there is, for who collects what is not needed."""
        return self.bucket.list("blobs")

    # -- writing

    def prepare(self, upload_bytes: int) -> None:  # noqa: ARG002  # there is no telling how much room a bucket has
        """Find out, before anything is sent, whether the bucket is there and lets us write."""
        if not self._prepared and not self.bucket.put("layout.json", LAYOUT):
            found = self.bucket.get("layout.json", MAX_TAG)
            if found != LAYOUT:
                raise LiftlockError(f"{self.name} is written in a way that this version does not know", hint="upgrade")
        self._prepared = True

    def put_blob(
        self,
        blob: Descriptor,
        source: BlobSource | None,
        *,
        mount_from: Sequence[str] = (),  # noqa: ARG002  # nothing is linked between repositories of a bucket
        absent: bool = False,
    ) -> Placed:
        """As `WritableTarget.put_blob`; a blob that is there with another size is damaged, and written anew."""
        size = None if absent else self._size(blob.digest)
        if size == blob.size:
            return Placed.PRESENT
        if source is None:
            raise NotFound(f"{self.name} has no blob {blob.digest}, and there is nowhere to take it from")
        self.prepare(blob.size)
        try:
            placed = self._write(blob, source, replace=size is not None)
        except CorruptContent:  # damaged on its way, perhaps: one fresh attempt
            placed = self._write(blob, source, replace=size is not None)
        self._learn(blob.digest)
        return placed

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        """As `WritableTarget.put_manifest`; raises `RegistryError` when what the manifest names is not there."""
        self.prepare(manifest.size)
        require_content(manifest, self.has_blob, self.name)
        key = _blob_key(manifest.digest)
        if not self.bucket.put(key, manifest.raw) and self.bucket.get(key, MAX_MANIFEST) != manifest.raw:
            self.bucket.put(key, manifest.raw, replace=True)
        self._learn(manifest.digest)
        if manifest.subject is not None:
            listed = json.dumps(manifest.referrer_descriptor().to_json(), separators=(",", ":")).encode()
            self.bucket.put(_referrer(manifest.subject.digest, manifest.digest), listed)
        if tag is not None:
            entry = json.dumps(manifest.descriptor.to_json(), separators=(",", ":")).encode()
            self.bucket.put(f"tags/{tag}", entry, replace=True)

    def delete_tag(self, tag: str) -> None:
        """As `WritableTarget.delete_tag`; raises `NotFound` when there is no such tag."""
        if self._tag(tag) is None:
            raise NotFound(f"{self.name} has no tag {tag!r}")
        self.bucket.delete([f"tags/{tag}"])

    def delete_manifest(self, digest: Digest) -> None:
        """As `WritableTarget.delete_manifest`. Blobs stay: others may use them."""
        raw = self._load(digest)
        if raw is None:
            raise NotFound(f"{self.name} has no manifest {digest}")
        keys = [f"tags/{tag}" for tag in self.tags() if (entry := self._tag(tag)) and entry.digest == digest]
        try:
            subject = self._parsed(raw, "", digest).subject
        except LiftlockError:
            subject = None  # whatever it was about, it can be deleted
        if subject is not None:
            keys.append(_referrer(subject.digest, digest))
        # Names first: what is left of an interrupted deletion is a manifest without a name.
        self.bucket.delete(keys)
        self.bucket.delete([_blob_key(digest)])
        with self._lock:
            self._known.discard(digest)

    def abort(self) -> None:
        self.bucket.abort()

    def close(self) -> None:
        """Nothing to give back: connections end with the object."""

    def _write(self, blob: Descriptor, source: BlobSource, *, replace: bool) -> Placed:
        key = _blob_key(blob.digest)
        if blob.size > PART:
            with self.bucket.writer(key, blob.size) as writer:
                pour(blob, source, writer.write, self.name)
            return Placed.COPIED
        data = bytearray()
        pour(blob, source, data.extend, self.name)
        if self.bucket.put(key, bytes(data), replace=replace):
            return Placed.COPIED
        if self._size(blob.digest) == blob.size:
            return Placed.PRESENT
        self.bucket.put(key, bytes(data), replace=True)
        return Placed.COPIED

    def _size(self, digest: Digest) -> int | None:
        found = self.bucket.find(_blob_key(digest))
        if found is None:
            return None
        self._learn(digest)
        return found.size

    def _learn(self, digest: Digest) -> None:
        with self._lock:
            self._known.add(digest)

    def _load(self, digest: Digest) -> bytes | None:
        return self.bucket.get(_blob_key(digest), MAX_MANIFEST)

    def _tag(self, tag: str) -> Descriptor | None:
        return self._descriptor(f"tags/{tag}") if is_tag(tag) else None

    def _descriptor(self, key: str) -> Descriptor | None:
        raw = self.bucket.get(key, MAX_TAG)
        if raw is None:
            return None
        try:
            return Descriptor.from_json(json.loads(raw), f"{self.name}/{key}")
        except (ValueError, RecursionError):
            raise CorruptContent(f"{self.name}/{key} is no descriptor") from None

    def _parsed(self, raw: bytes, media_type: str, digest: Digest) -> Manifest:
        try:
            return Manifest.parse(raw, media_type, digest)
        except CorruptContent as error:
            raise CorruptContent(f"{self.name}: {error.message}", hint=error.hint) from None


def _blob_key(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _referrers(subject: Digest) -> str:
    return f"referrers/{subject.algorithm}/{subject.hex}"


def _referrer(subject: Digest, digest: Digest) -> str:
    return f"{_referrers(subject)}/{digest.algorithm}/{digest.hex}"
