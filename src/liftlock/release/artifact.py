"""What one build made: named images, each pinned to a digest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from liftlock.errors import CorruptContent, UsageError
from liftlock.oci.canonical import canonical_json
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import MAX_MANIFEST, Descriptor
from liftlock.oci.reference import is_tag
from liftlock.release.names import IMAGE_NAME, is_clean

__all__ = ["ARTIFACT_TYPE", "Artifact"]

ARTIFACT_TYPE = "application/vnd.liftlock.artifact.v1+json"
"""The document's media type. It is part of the document, so that another kind of document never has the same id."""

_LABEL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}\Z")
_LINK = re.compile(r"https?://[^\s/?#@]+(?:[/?#]\S*)?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One or more images of one build. Immutable; its `id` is the digest of its canonical JSON (RFC 8785).

    It holds no times, paths or hosts of its own making: where the images came from and where they are stored is
    recorded beside it, so that the same build has the same id wherever it is published. Raises `UsageError` when a
    part of it is not well formed.
    """

    images: Mapping[str, Descriptor]
    """By name; of each descriptor only media type, digest and size are kept."""
    build: str = ""
    """The build's id, well formed as a tag; empty when the images were made by no known build."""
    commit: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    """By what they show (``build``): ``http`` or ``https`` URLs without credentials."""
    labels: Mapping[str, str] = field(default_factory=dict)
    _id: Digest | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.images:
            raise UsageError("an artifact has at least one image")
        for name in self.images:
            if not re.match(IMAGE_NAME, name) or not is_clean(name, 128):
                raise UsageError(
                    f"{name!r} cannot name an image",
                    hint="image names are lower-case letters and digits, joined by '.', '_', '__' or '-'",
                )
        bare = {name: Descriptor(image.media_type, image.digest, image.size) for name, image in self.images.items()}
        object.__setattr__(self, "images", bare)  # equal artifacts compare equal, however their images were found
        if self.build and not is_tag(self.build):
            raise UsageError(
                f"{self.build!r} cannot be a build id",
                hint="a build id can be a tag: at most 128 letters, digits, '.', '_' or '-', first none of '.' and '-'",
            )
        if not is_clean(self.commit, 256):
            raise UsageError(f"{self.commit[:80]!r} is not a commit")
        for name, link in self.links.items():
            if not _LABEL_KEY.match(name) or not is_clean(link, 2048) or not _LINK.match(link):
                # The link is not shown: what is wrong with it may be the password in it.
                raise UsageError(f"the link {name!r} is not a URL without credentials", hint="give an http(s) URL")
        for key, value in self.labels.items():
            if not _LABEL_KEY.match(key):
                raise UsageError(
                    f"{key!r} cannot be a label's key",
                    hint="keys have at most 128 letters, digits, '.', '_', '/' or '-', a letter or digit first",
                )
            if not is_clean(value, 4096):
                raise UsageError(f"the label {key!r} is not one line of at most 4096 characters")

    @property
    def id(self) -> Digest:
        if self._id is None:  # asked for again and again, and nothing that it is made of changes
            object.__setattr__(self, "_id", Digest.of(self.document))
        return cast(Digest, self._id)

    @property
    def document(self) -> bytes:
        """Its canonical JSON: what is stored, and what `id` is the digest of."""
        return canonical_json(
            {
                "mediaType": ARTIFACT_TYPE,
                "build": self.build,
                "commit": self.commit,
                "images": {name: image.to_json() for name, image in self.images.items()},
                "links": dict(self.links),
                "labels": dict(self.labels),
            }
        )

    @property
    def digests(self) -> dict[str, Digest]:
        """By image name: what a build id stands for."""
        return {name: image.digest for name, image in self.images.items()}

    @classmethod
    def parse(cls, document: bytes, expected: Digest) -> Artifact:
        """Read a stored document back; raises `CorruptContent` unless it is, to the byte, what ``expected`` names."""
        if len(document) > MAX_MANIFEST:
            raise CorruptContent(f"artifact {expected} is larger than {MAX_MANIFEST} bytes")
        expected.verify(document, f"artifact {expected.short}")
        try:
            value: Any = json.loads(document)
            artifact = cls(
                images={name: Descriptor.from_json(image, name) for name, image in value["images"].items()},
                build=value["build"],
                commit=value["commit"],
                links=value["links"],
                labels=value["labels"],
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UsageError) as error:
            raise CorruptContent(f"artifact {expected.short} cannot be read: {error}") from error
        if artifact.document != document:
            raise CorruptContent(
                f"artifact {expected.short} has parts that this version does not know",
                hint="it was published by a newer Liftlock: upgrade this one",
            )
        return artifact
