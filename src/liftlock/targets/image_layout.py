"""What a layout folder and a layout archive have in common: names, manifests and referrers above a store of blobs.

Only what has a tag is listed in ``index.json``; children of an index and untagged manifests are blobs, found by digest.
Referrers are listed in an index under the fallback tag ``sha256-<hex>`` (distribution spec 1.1, "Referrers tag
schema"), where skopeo, oras and regctl find them; those that oras lists in ``index.json`` itself are found as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from liftlock.errors import CorruptContent, NotFound, RegistryError
from liftlock.oci import media_types as mt
from liftlock.oci.digest import HEX_LENGTH, Digest
from liftlock.oci.distribution import fallback_tag
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.targets.base import Importer, Locker
from liftlock.targets.layout_index import LayoutIndex

__all__ = ["ImageLayout", "as_digest", "require_content"]


def as_digest(reference: str) -> Digest | None:
    """The digest that a reference is; None for a tag. Raises `CorruptContent` when it only looks like a digest."""
    return Digest(reference) if reference.partition(":")[0] in HEX_LENGTH else None


def require_content(manifest: Manifest, is_there: Callable[[Digest], bool], name: str) -> None:
    """Raise what a registry raises when a blob or child of this manifest is not there, so that it can be brought."""
    for descriptor in (*manifest.blobs, *manifest.manifests):
        if not descriptor.is_nondistributable and not is_there(descriptor.digest):
            raise RegistryError(
                f"{name} does not hold {descriptor.digest}, which manifest {manifest.digest} names",
                status=404,
                codes=("MANIFEST_BLOB_UNKNOWN",),
            )


class ImageLayout(ABC):
    """The reading half of `WritableTarget`, and its manifests and tags; blobs are the subclass's."""

    name: str
    metered = False
    importer: Importer | None = None
    locker: Locker | None = None

    def __init__(self) -> None:
        self._subjects: dict[Digest, tuple[Digest | None, Descriptor]] = {}

    @abstractmethod
    def _index(self) -> LayoutIndex:
        """The names, as they are now."""

    @abstractmethod
    def _changing(self) -> AbstractContextManager[LayoutIndex]:
        """The names, for this caller alone; what it changes is kept when it leaves without an error."""

    @abstractmethod
    def _size(self, digest: Digest) -> int | None:
        """The size of a blob in bytes; None when it is absent."""

    @abstractmethod
    def _load(self, digest: Digest) -> bytes | None:
        """A small blob, not verified; None when it is absent. Raises `CorruptContent` when it is large."""

    @abstractmethod
    def _store(self, manifest: Manifest) -> None:
        """Keep a manifest's bytes under its digest."""

    # -- reading

    def resolve(self, reference: str) -> Descriptor | None:
        """As `Target.resolve`; an empty reference means the only image there is. A tag on what is gone is absent."""
        digest = as_digest(reference)
        if digest is not None:
            raw = self._load(digest)
            return None if raw is None else self._parsed(raw, "", digest).descriptor
        entry = self._index().find(reference)
        if entry is None or self._size(entry.digest) != entry.size:
            return None
        return entry._replace(extra={})

    def manifest(self, reference: str) -> Manifest:
        digest, media_type = as_digest(reference), ""
        if digest is None:
            index = self._index()
            entry = index.find(reference)
            if entry is None:
                what = f"no image {reference!r}" if reference else "no image"
                raise NotFound(f"{self.name} has {what}", hint=index.candidates and f"it has {index.candidates}")
            digest, media_type = entry.digest, entry.media_type
        raw = self._load(digest)
        if raw is None:
            raise NotFound(f"{self.name} has no manifest {digest}")
        return self._parsed(raw, media_type, digest)

    def referrers(self, subject: Digest, tags: frozenset[str] | None = None) -> Sequence[Descriptor]:  # noqa: ARG002  # asking costs nothing here
        index = self._index()
        listing = self._listing(index, subject)
        found = {descriptor.digest: descriptor for descriptor in (listing.manifests if listing else ())}
        for entry in index.entries:
            about, descriptor = self._subject(entry)
            if about == subject:
                found.setdefault(entry.digest, descriptor)
        return tuple(found.values())

    def tags(self) -> Iterator[str]:
        return self._index().tags()

    def has_blob(self, digest: Digest) -> bool:
        return self._size(digest) is not None

    # -- writing

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        """As `WritableTarget.put_manifest`; raises `RegistryError` when what the manifest names is not there."""
        require_content(manifest, self.has_blob, self.name)
        self._store(manifest)
        if tag is None and manifest.subject is None:
            return
        with self._changing() as index:
            if manifest.subject is not None:
                self._list_referrer(index, manifest.subject.digest, manifest)
            if tag is not None:
                index.set(tag, manifest)

    def delete_tag(self, tag: str) -> None:
        """As `WritableTarget.delete_tag`; raises `NotFound` when there is no such tag."""
        with self._changing() as index:
            if not index.remove_tag(tag):
                raise NotFound(
                    f"{self.name} has no tag {tag!r}", hint=index.candidates and f"it has {index.candidates}"
                )

    # -- referrers

    def _listing(self, index: LayoutIndex, subject: Digest) -> Manifest | None:
        """The index under the fallback tag; None when there is none, or the tag names something else."""
        tag = fallback_tag(subject)
        entry = index.find(tag) if tag in index.tags() else None
        raw = self._load(entry.digest) if entry is not None else None
        if entry is None or raw is None:
            return None
        listing = self._parsed(raw, entry.media_type, entry.digest)
        return listing if listing.is_index else None

    def _list_referrer(self, index: LayoutIndex, subject: Digest, manifest: Manifest) -> None:
        listing = self._listing(index, subject)
        if listing is None or all(manifest.digest != held.digest for held in listing.manifests):
            self._relist(index, subject, listing, manifest)

    def _unlist_referrer(self, index: LayoutIndex, subject: Digest, digest: Digest) -> None:
        listing = self._listing(index, subject)
        if listing is not None and any(digest == held.digest for held in listing.manifests):
            self._relist(index, subject, listing, without=digest)

    def _relist(
        self,
        index: LayoutIndex,
        subject: Digest,
        listing: Manifest | None,
        more: Manifest | None = None,
        without: Digest | None = None,
    ) -> None:
        entries = [held for held in (listing.manifests if listing else ()) if held.digest != without]
        if more is not None:
            entries.append(more.referrer_descriptor())
        if not entries:
            index.remove_tag(fallback_tag(subject))
            return
        fields = listing.json if listing else {"schemaVersion": 2, "mediaType": mt.OCI_INDEX}
        renewed = Manifest.build({**fields, "manifests": [held.to_json() for held in entries]})
        self._store(renewed)
        index.set(fallback_tag(subject), renewed)

    def _subject(self, entry: Descriptor) -> tuple[Digest | None, Descriptor]:
        """What a listed manifest is about, and how a list of referrers shows it; read once, for it cannot change."""
        known = self._subjects.get(entry.digest)
        if known is None:
            raw = self._load(entry.digest) if entry.is_manifest else None
            if raw is None:
                return None, entry
            manifest = self._parsed(raw, entry.media_type, entry.digest)
            known = manifest.subject.digest if manifest.subject else None, manifest.referrer_descriptor()
            self._subjects[entry.digest] = known
        return known

    def _parsed(self, raw: bytes, media_type: str, digest: Digest) -> Manifest:
        try:
            return Manifest.parse(raw, media_type, digest)
        except CorruptContent as error:
            raise CorruptContent(f"{self.name}: {error.message}", hint=error.hint) from None
