"""Descriptors, image manifests and indexes, with their raw bytes kept.

The bytes are the truth: a manifest is never serialised again, since its digest is the digest of exactly these bytes.
Unknown fields survive for the same reason. Sources: OCI image spec 1.1 ``descriptor.md``, ``manifest.md``,
``image-index.md``; Docker's image manifest version 2, schema 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from liftlock.errors import CorruptContent, LiftlockError, UsageError
from liftlock.oci import media_types as mt
from liftlock.oci.digest import Digest
from liftlock.typed import Any, NamedTuple

__all__ = ["MAX_MANIFEST", "Descriptor", "Manifest", "Platform"]

MAX_MANIFEST = 4 * 1024 * 1024
"""Bytes; the distribution spec lets registries refuse larger manifests, and metadata reads must be bounded."""

MAX_BLOB = 1 << 50
"""Bytes; a larger size in a descriptor is a lie or a mistake."""


class Platform(NamedTuple):
    """``os/architecture[/variant]`` of a child of an index (image-index.md, ``platform``)."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read ``linux/arm64/v8`` or ``linux/amd64``; raises `UsageError` on other shapes."""
        parts = text.lower().split("/")
        if not 2 <= len(parts) <= 3 or not all(parts):
            raise UsageError(f"{text!r} is not a platform", hint="write os/architecture[/variant]: linux/arm64/v8")
        return cls(*parts)

    def matches(self, wanted: Platform) -> bool:
        """Whether this platform is what was asked for; a variant that was not asked for is free."""
        return (
            (self.os, self.architecture) == (wanted.os, wanted.architecture)
            and wanted.variant in ("", self.variant)
            and wanted.os_version in ("", self.os_version)
        )

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}" + (f"/{self.variant}" if self.variant else "")


class Descriptor(NamedTuple):
    """What points at content: media type, digest and size in bytes; ``extra`` holds every other field as it came."""

    media_type: str
    digest: Digest
    size: int
    extra: Mapping[str, Any] = {}

    @classmethod
    def from_json(cls, value: object, where: str = "descriptor") -> Descriptor:
        """Read one; raises `CorruptContent` naming ``where`` when a required field is missing or of another type."""
        if not isinstance(value, dict):
            raise CorruptContent(f"{where} is not an object")
        media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
        if not isinstance(media_type, str) or not isinstance(digest, str):
            raise CorruptContent(f"{where} lacks mediaType or digest")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_BLOB:
            raise CorruptContent(f"{where} has no valid size")
        extra = {key: item for key, item in value.items() if key not in ("mediaType", "digest", "size")}
        try:
            return cls(media_type, Digest(digest), size, extra)
        except CorruptContent as error:
            error.message = f"{where}: {error.message}"
            raise

    def to_json(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size, **self.extra}

    @property
    def annotations(self) -> Mapping[str, str]:
        found = self.extra.get("annotations")
        return found if isinstance(found, dict) else {}

    @property
    def artifact_type(self) -> str:
        return str(self.extra.get("artifactType") or "")

    @property
    def platform(self) -> Platform | None:
        found = self.extra.get("platform")
        if not isinstance(found, dict):
            return None
        return Platform(*(str(found.get(key) or "") for key in ("os", "architecture", "variant", "os.version")))

    @property
    def is_index(self) -> bool:
        return self.media_type in mt.INDEXES

    @property
    def is_manifest(self) -> bool:
        return self.media_type in mt.MANIFESTS or self.media_type in mt.INDEXES

    @property
    def is_nondistributable(self) -> bool:
        return mt.is_nondistributable(self.media_type)


class Manifest:
    """An image manifest, an artifact manifest or an index: raw bytes, and a parsed view of them.

    Use `parse`; it raises `CorruptContent` when the bytes have another digest than expected, are no JSON object, or
    break the spec in a way that a copy could not survive.
    """

    __slots__ = ("config", "digest", "json", "layers", "manifests", "media_type", "raw", "subject")

    def __init__(self, raw: bytes, media_type: str, digest: Digest, document: Mapping[str, Any]) -> None:
        self.raw = raw
        self.media_type = media_type
        self.digest = digest
        self.json = document
        self.config = _one(document, "config")
        self.layers = _many(document, "layers")
        self.manifests = _many(document, "manifests")
        self.subject = _one(document, "subject")

    @classmethod
    def parse(cls, raw: bytes, media_type: str = "", expected: Digest | None = None) -> Manifest:
        """Read one. ``media_type`` is what the carrier said (``Content-Type``); the document's own wins."""
        if len(raw) > MAX_MANIFEST:
            raise CorruptContent(f"manifest has {len(raw)} bytes; the limit is {MAX_MANIFEST}")
        digest = Digest.of(raw, expected.algorithm if expected else "sha256")
        if expected is not None and digest != expected:
            raise CorruptContent(f"manifest has digest {digest}, expected {expected}")
        try:
            document = json.loads(raw)
        except (ValueError, RecursionError):
            raise CorruptContent(f"manifest {digest} is not JSON") from None
        if not isinstance(document, dict):
            raise CorruptContent(f"manifest {digest} is not a JSON object")
        own = document.get("mediaType")
        chosen = own if isinstance(own, str) else media_type.partition(";")[0].strip()
        if document.get("schemaVersion") == 1 or chosen in mt.DOCKER_SCHEMA1:
            raise LiftlockError(
                f"manifest {digest} is of Docker's schema 1, which registries no longer take",
                hint="pull and push the image once with a current tool, then promote that",
            )
        if chosen not in mt.INDEXES and chosen not in mt.MANIFESTS:
            chosen = _guess(document, digest)
        # A document that is both lets two readers see two images (CVE-2021-41190).
        if ("manifests" in document) == ("layers" in document or "config" in document):
            raise CorruptContent(f"manifest {digest} is neither an image manifest nor an index, or both")
        if (chosen in mt.INDEXES) != ("manifests" in document):
            raise CorruptContent(f"manifest {digest} is not of its media type {chosen}")
        return cls(raw, chosen, digest, document)

    @classmethod
    def build(cls, document: Mapping[str, Any]) -> Manifest:
        """Serialise a new manifest: the given field order, no whitespace, so equal documents have equal digests."""
        raw = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        return cls.parse(raw)

    @property
    def size(self) -> int:
        return len(self.raw)

    @property
    def is_index(self) -> bool:
        return self.media_type in mt.INDEXES

    @property
    def annotations(self) -> Mapping[str, str]:
        found = self.json.get("annotations")
        return found if isinstance(found, dict) else {}

    @property
    def artifact_type(self) -> str:
        """``artifactType``, else the config's media type (distribution spec, "Listing referrers")."""
        found = self.json.get("artifactType")
        if isinstance(found, str) and found:
            return found
        return self.config.media_type if self.config else ""

    @property
    def blobs(self) -> Sequence[Descriptor]:
        """Config and layers, in the manifest's order; nothing for an index."""
        return ([self.config] if self.config else []) + list(self.layers)

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, len(self.raw))

    def referrer_descriptor(self) -> Descriptor:
        """How a referrers list shows this manifest: with artifact type and annotations (distribution spec 1.1)."""
        extra: dict[str, Any] = {}
        if self.artifact_type:
            extra["artifactType"] = self.artifact_type
        if self.annotations:
            extra["annotations"] = dict(self.annotations)
        return Descriptor(self.media_type, self.digest, len(self.raw), extra)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifest) and self.digest == other.digest and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Manifest({self.media_type}, {self.digest}, {len(self.raw)} bytes)"


def _guess(document: Mapping[str, Any], digest: Digest) -> str:
    """OCI lets ``mediaType`` be absent; then the shape says which it is (image spec 1.1, manifest.md)."""
    if isinstance(document.get("manifests"), list):
        return mt.OCI_INDEX
    if isinstance(document.get("config"), dict):
        return mt.OCI_MANIFEST
    raise CorruptContent(f"manifest {digest} has no known media type")


def _one(document: Mapping[str, Any], field: str) -> Descriptor | None:
    value = document.get(field)
    return None if value is None else Descriptor.from_json(value, field)


def _many(document: Mapping[str, Any], field: str) -> tuple[Descriptor, ...]:
    value = document.get(field)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise CorruptContent(f"{field} is not a list")
    return tuple(Descriptor.from_json(item, f"{field}[{position}]") for position, item in enumerate(value))
