"""A layout's ``index.json``: which names it has, and what each stands for (OCI image spec 1.1, image-layout.md).

A tag is the annotation ``org.opencontainers.image.ref.name``. podman writes a full reference into it
(``localhost/app:1``), containerd and Docker write ``io.containerd.image.name`` beside it: both are found by their full
text, by another spelling of the same reference, and by the tag alone as long as that means one image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from liftlock.errors import CorruptContent, UsageError
from liftlock.oci import media_types as mt
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.oci.reference import Reference, is_tag
from liftlock.typed import Any

__all__ = ["IMAGE_NAME", "MAX_INDEX", "REF_NAME", "LayoutIndex", "check_layout_version"]

REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"

MAX_INDEX = 16 * 1024 * 1024
"""Bytes of an ``index.json``: some sixty thousand tags."""

SHOWN = 20
"""Candidates that an error lists."""

_ATTACHED = re.compile(r"sha(?:256|512)-[0-9a-f]{64}(?:\.[a-z]+)?\Z")


def check_layout_version(raw: bytes, where: str) -> None:
    """Raise `CorruptContent` unless this is an ``oci-layout`` file of version 1."""
    document = _document(raw, f"{where}: oci-layout")
    version = document.get("imageLayoutVersion")
    if not isinstance(version, str) or not version.startswith("1."):
        raise CorruptContent(f"{where} is an image layout of version {str(version)[:20]!r}, not 1.x")


class LayoutIndex:
    """The entries of one ``index.json``, with every field that it came with. ``where`` is for messages.

    A change replaces the list ``entries``, so that one thread may read while another changes.
    """

    def __init__(self, raw: bytes | None, where: str) -> None:
        self.where = where
        self.changed = False
        self._fields: dict[str, Any] = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX}
        self.entries: list[Descriptor] = []
        if raw is not None:
            self._fields = _document(raw, f"{where}: index.json")
            listed = self._fields.get("manifests")
            if not isinstance(listed, list):
                raise CorruptContent(f"{where}: index.json has no list of manifests")
            self.entries = [
                Descriptor.from_json(item, f"{where}: index.json, manifests[{position}]")
                for position, item in enumerate(listed)
            ]

    def find(self, reference: str) -> Descriptor | None:
        """What a tag or a full reference names; None when nothing. An empty reference means the only image there is.

        Raises `UsageError`, listing what there is, when it could be several images.
        """
        ways = (self._named, self._spelled) if reference else (self._tagged, self._untagged)
        for way in ways:
            found = list({entry.digest: entry for entry in way(reference)}.values())
            if len(found) > 1:
                asked = f"{reference!r} names" if reference else "it holds"
                raise UsageError(f"{self.where}: {asked} {len(found)} images", hint=f"name one of: {_listed(found)}")
            if found:
                return found[0]
        return None

    def tags(self) -> Iterator[str]:
        """Every name, in the index's order, each once."""
        return iter(dict.fromkeys(label for entry in self.entries for label in _labels(entry)[:1]))

    @property
    def candidates(self) -> str:
        """What could be named, for a hint; empty when there is nothing."""
        return _listed(self.entries)

    def set(self, tag: str, manifest: Manifest) -> None:
        """Let a tag name a manifest, in the place of what it named before."""
        extra: dict[str, Any] = {"annotations": {REF_NAME: tag}}
        if isinstance(kind := manifest.json.get("artifactType"), str) and kind:
            extra["artifactType"] = kind
        held = [position for position, entry in enumerate(self.entries) if entry.annotations.get(REF_NAME) == tag]
        if [self.entries[position].digest for position in held] == [manifest.digest]:
            return
        self._keep(lambda entry: entry.annotations.get(REF_NAME) != tag)
        position = held[0] if held else len(self.entries)
        entry = manifest.descriptor._replace(extra=extra)
        self.entries = [*self.entries[:position], entry, *self.entries[position:]]
        self.changed = True

    def add(self, manifest: Manifest) -> None:
        """List a manifest without a tag."""
        self.entries = [*self.entries, manifest.descriptor]
        self.changed = True

    def remove_tag(self, tag: str) -> bool:
        """Take away a tag; False when there was none."""
        return self._keep(lambda entry: entry.annotations.get(REF_NAME) != tag)

    def remove_digest(self, digest: Digest) -> bool:
        """Take away every entry of a manifest; False when there was none."""
        return self._keep(lambda entry: entry.digest != digest)

    def encode(self) -> bytes:
        """The bytes of the file."""
        document = {**self._fields, "manifests": [entry.to_json() for entry in self.entries]}
        return json.dumps(document, separators=(",", ":")).encode()

    def _keep(self, wanted: Callable[[Descriptor], bool]) -> bool:
        kept = [entry for entry in self.entries if wanted(entry)]
        removed = len(kept) < len(self.entries)
        self.entries = kept
        self.changed = self.changed or removed
        return removed

    def _named(self, reference: str) -> Iterator[Descriptor]:
        return (entry for entry in self.entries if reference in _labels(entry))

    def _spelled(self, reference: str) -> Iterator[Descriptor]:
        wanted = _parsed(reference)
        for entry in self.entries:
            for label in map(_parsed, _labels(entry)):
                if label is not None and (label == wanted or (is_tag(reference) and label.tag == reference)):
                    yield entry

    def _tagged(self, _: str) -> Iterator[Descriptor]:
        return (entry for entry in self.entries if any(not _ATTACHED.match(label) for label in _labels(entry)))

    def _untagged(self, _: str) -> Iterator[Descriptor]:
        return (entry for entry in self.entries if not _labels(entry))


def _labels(entry: Descriptor) -> list[str]:
    names = (entry.annotations.get(key) for key in (REF_NAME, IMAGE_NAME))
    return [name for name in names if isinstance(name, str) and name]


def _parsed(name: str) -> Reference | None:
    """A name as a full reference; None for a mere tag."""
    if not {"/", ":"}.intersection(name):
        return None
    try:
        return Reference.parse(name)
    except UsageError:
        return None


def _listed(entries: list[Descriptor]) -> str:
    names = list(dict.fromkeys((_labels(entry) or [entry.digest])[-1] for entry in entries))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _document(raw: bytes, where: str) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise CorruptContent(f"{where} is not JSON") from None
    if not isinstance(document, dict):
        raise CorruptContent(f"{where} is not a JSON object")
    return document
