"""The protocol of a target: one place that holds images, as the copier sees it.

A target is *one repository*: a registry's repository, an OCI layout folder, an archive file. Everything in it is found
by tag or by digest. `Target` is what can be read, `WritableTarget` what can be written as well. All of it is
synchronous and safe to call from several threads.

Absence is an answer (None), not an error; every other trouble is raised as an error of `liftlock.errors`, and what
cannot be classified is never taken for absence.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence

from liftlock.errors import CorruptContent
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.typed import Protocol

__all__ = [
    "MAX_METADATA",
    "BlobReader",
    "BlobSource",
    "Importer",
    "Locker",
    "Placed",
    "Target",
    "WritableTarget",
    "read_blob",
]


class BlobReader(Protocol):
    """The bytes of one blob, in order."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill some of the buffer; the number of bytes, 0 at the end."""
        ...

    def close(self) -> None: ...


BlobSource = Callable[[], BlobReader]
"""Opens a blob from its beginning; called again for a fresh attempt."""


MAX_METADATA = 4 * 1024 * 1024
"""Bytes of a blob that is read into memory: image configs and their like."""


def read_blob(target: Target, blob: Descriptor) -> bytes:
    """The bytes of a small blob, verified; raises `CorruptContent` when it is too large or not what its digest says."""
    if blob.size > MAX_METADATA:
        raise CorruptContent(f"{target.name}@{blob.digest} has {blob.size} bytes; at most {MAX_METADATA} are read")
    data = bytearray(blob.size + 1)
    view = memoryview(data)
    filled = 0
    reader = target.open_blob(blob)
    try:
        while filled < len(data) and (count := reader.readinto(view[filled:])):
            filled += count
    finally:
        reader.close()
    if filled != blob.size:
        raise CorruptContent(f"{target.name}@{blob.digest} does not have the {blob.size} bytes its descriptor says")
    content = bytes(view[:filled])
    blob.digest.verify(content, f"{target.name}@{blob.digest}")
    return content


class Placed(enum.Enum):
    """How a blob came to be at the destination."""

    PRESENT = "present"
    """It was there."""
    MOUNTED = "mounted"
    """The registry linked it from another of its repositories; no bytes moved."""
    COPIED = "copied"
    """Its bytes were sent."""


class Target(Protocol):
    """What images can be read from."""

    @property
    def name(self) -> str:
        """As written by the user, without tag or digest: ``registry.example/app``, ``oci:build/app``."""
        ...

    @property
    def home(self) -> str:
        """What holds the bytes: a registry's host, or the name itself. Blobs mount between targets of one home."""
        ...

    @property
    def metered(self) -> bool:
        """Whether reading a manifest counts against a quota while asking for its digest does not (Docker Hub)."""
        ...

    def resolve(self, reference: str) -> Descriptor | None:
        """What a tag or digest names (HEAD where there is one); None when absent. ``extra`` may be empty."""
        ...

    def manifest(self, reference: str) -> Manifest:
        """The manifest of a tag or digest, verified when it is a digest; raises `NotFound` when absent."""
        ...

    def open_blob(self, blob: Descriptor) -> BlobReader:
        """A blob's bytes, resumed underneath when the connection breaks. *Not* digest-verified: the reader's job."""
        ...

    def referrers(self, subject: Digest, tags: frozenset[str] | None = None) -> Sequence[Descriptor]:
        """Manifests whose ``subject`` is this digest, with artifact type and annotations; empty when none.

        ``tags`` are all tags of the target, when the caller knows them: where referrers hang on a fallback tag, one
        that is not among them costs no request.
        """
        ...

    def tags(self) -> Iterator[str]:
        """Every tag, in the target's own order; nothing when the repository does not exist."""
        ...

    def abort(self) -> None:
        """Wake every stalled call with `Cancelled`; called from another thread. The target is of no use afterwards."""
        ...

    def close(self) -> None:
        """Give back sockets and files."""
        ...


class Importer(Protocol):
    """Makes a registry fetch images by itself."""

    def import_image(self, source: str, digest: Digest, wait: Callable[[float], None]) -> str:
        """Have a whole image brought from another registry's repository, by digest, without a tag.

        ``wait`` sleeps, and raises `Cancelled` when somebody asked to stop. Returns nothing when it is done, and a
        sentence when this registry will not do it for this source: then it has to be copied. Everything else is
        raised, naming the registry. That it is there has to be looked at by the caller.
        """
        ...


class Locker(Protocol):
    """Keeps images as they are."""

    def lock(self, tag: str, digest: Digest) -> None:
        """Let neither the tag nor the manifest be changed or deleted any more; to do it again changes nothing.

        Raises `Conflict` when the tag turns out to hold another digest, now for good.
        """
        ...


class WritableTarget(Target, Protocol):
    """What images can be written to."""

    @property
    def importer(self) -> Importer | None:
        """What makes this place fetch images by itself; None where nothing does, or nobody asked for it."""
        ...

    @property
    def locker(self) -> Locker | None:
        """What locks promoted images here; None where nothing does, or nobody asked for it."""
        ...

    def prepare(self, upload_bytes: int) -> None:
        """Called once before blobs are put, with the most bytes that may come: room, rights, proofs are checked."""
        ...

    def has_blob(self, digest: Digest) -> bool:
        """Whether this blob is there."""
        ...

    def put_blob(
        self, blob: Descriptor, source: BlobSource | None, *, mount_from: Sequence[str] = (), absent: bool = False
    ) -> Placed:
        """Make sure that the blob is there, verified, by the cheapest way: present, mounted, copied.

        ``mount_from`` names repositories of the same home (their `name`) that should hold it. ``absent`` says that it
        is known not to be there, so that no request is spent on asking. Without a ``source`` it can only be found or
        mounted, and `NotFound` is raised when that fails. Raises `CorruptContent` when the source's bytes do not have
        the descriptor's digest and size; nothing wrong is then left behind under that digest.
        """
        ...

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        """Store the exact bytes, under their digest and, when given, under the tag; keeps referrers findable."""
        ...

    def delete_tag(self, tag: str) -> None:
        """Remove a tag, leaving its manifest; raises `LiftlockError` where that cannot be done."""
        ...

    def delete_manifest(self, digest: Digest) -> None:
        """Remove a manifest and every tag on it; raises `NotFound` when absent."""
        ...
