"""Registries looked at and filled by hand: byte for byte, by plain HTTP, with none of the product's code.

A *place* is a `Registry` (its credentials and TLS are used) or a `host:port` spoken to in plain HTTP (a front).
"""

from __future__ import annotations

import hashlib
import json
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support import images
from tests.support.images import INDEXES, MANIFESTS, Blob
from tests.support.registry import Registry
from tests.support.wire import Body, Wire

Place = Registry | str

ACCEPT = ", ".join(sorted(INDEXES | MANIFESTS))
COSIGN_SUFFIXES = (".sig", ".att", ".sbom")


@dataclass(frozen=True)
class RawManifest:
    """A manifest as the registry gave it."""

    raw: bytes
    media_type: str
    digest: str
    """Computed from `raw`."""


def connect(place: Place) -> Wire:
    """A plain client for `place`. Close it."""
    return Wire(place) if isinstance(place, str) else place.wire()


def push(
    layout: Path, tag: str, place: Place, repository: str, *, to: str | None = None, attachments: bool = True
) -> str:
    """Push what `tag` names in the layout, everything below it, and what is attached; return its digest.

    `to` is the tag in the registry (`tag` when None; "" pushes by digest only). Attachments are the fallback indexes
    with their referrers, and cosign's tags, of every manifest on the way.
    """
    root = images.tags(layout)[tag]
    with connect(place) as wire:
        _Push(layout, repository, wire, attachments).manifest(root, tag if to is None else to)
    return root.digest


class _Push:
    def __init__(self, layout: Path, repository: str, wire: Wire, attachments: bool) -> None:
        self._layout = layout
        self._repository = repository
        self._wire = wire
        self._tags = images.tags(layout) if attachments else {}
        self._done: set[str] = set()

    def manifest(self, manifest: Blob, tag: str = "") -> None:
        if manifest.digest not in self._done:
            self._done.add(manifest.digest)
            for child in images.children(self._layout, manifest):
                if child.media_type in INDEXES | MANIFESTS:
                    self.manifest(child)
                else:
                    self._blob(child)
            self._put(manifest, manifest.digest)
            for suffix in ("", *COSIGN_SUFFIXES):
                name = images.fallback_tag(manifest.digest) + suffix
                if name in self._tags:
                    self.manifest(self._tags[name], name)
        if tag:
            self._put(manifest, tag)

    def _put(self, manifest: Blob, reference: str) -> None:
        raw = images.read_blob(self._layout, manifest.digest)
        _put_manifest(self._wire, self._repository, reference, raw, manifest.media_type)

    def _blob(self, blob: Blob) -> None:
        if blob.digest in self._done:
            return
        self._done.add(blob.digest)
        if self._wire.request("HEAD", f"/v2/{self._repository}/blobs/{blob.digest}").status == 200:
            return
        with images.blob_file(self._layout, blob.digest).open("rb") as file:
            _upload(self._wire, self._repository, blob.digest, blob.size, file)


# --- probes ----------------------------------------------------------------------------------------------------------


def get_manifest(place: Place, repository: str, reference: str) -> RawManifest | None:
    """The manifest under a tag or digest; None when there is none."""
    with connect(place) as wire:
        return _get_manifest(wire, repository, reference)


def digest_of(place: Place, repository: str, reference: str) -> str | None:
    """The digest of what a tag names; None when there is no such tag."""
    found = get_manifest(place, repository, reference)
    return None if found is None else found.digest


def get_blob(place: Place, repository: str, digest: str) -> bytes | None:
    with connect(place) as wire:
        answer = wire.request("GET", f"/v2/{repository}/blobs/{digest}")
    return answer.body if answer.status == 200 else None


def has_blob(place: Place, repository: str, digest: str) -> bool:
    with connect(place) as wire:
        return wire.request("HEAD", f"/v2/{repository}/blobs/{digest}").status == 200


def list_tags(place: Place, repository: str) -> list[str]:
    """All tags, page after page; an unknown repository has none."""
    found: list[str] = []
    with connect(place) as wire:
        answer = wire.request("GET", f"/v2/{repository}/tags/list?n=500")
        while answer.status == 200:
            found += json.loads(answer.body)["tags"] or []
            link = answer.headers.get("link")
            if link is None:
                break
            answer = wire.request("GET", link[link.index("<") + 1 : link.index(">")])
    return found


def put_blob(place: Place, repository: str, data: bytes) -> str:
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    with connect(place) as wire:
        _upload(wire, repository, digest, len(data), data)
    return digest


def put_manifest(place: Place, repository: str, reference: str, raw: bytes, media_type: str) -> str:
    """PUT these very bytes under a tag or digest; return their digest."""
    with connect(place) as wire:
        _put_manifest(wire, repository, reference, raw, media_type)
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def delete_manifest(place: Place, repository: str, digest: str) -> None:
    with connect(place) as wire:
        answer = wire.request("DELETE", f"/v2/{repository}/manifests/{digest}")
    assert answer.status == 202, answer


def walk(place: Place, repository: str, reference: str, *, attachments: bool = True) -> dict[str, int]:
    """Read everything below a reference, verify it, and return digest → size of all of it.

    With `attachments` that includes the fallback indexes, their referrers, and cosign's tags. Two places hold the same
    image when their walks are equal. Raises AssertionError for what is missing or not what its digest says.
    """
    seen: dict[str, int] = {}
    with connect(place) as wire:
        for digest, data in _walk(wire, repository, reference, attachments, seen):
            assert digest == "sha256:" + hashlib.sha256(data).hexdigest(), f"{repository}@{digest} has other bytes"
            seen[digest] = len(data)
    return seen


def _walk(
    wire: Wire, repository: str, reference: str, attachments: bool, seen: dict[str, int]
) -> Iterator[tuple[str, bytes]]:
    manifest = _get_manifest(wire, repository, reference)
    assert manifest is not None, f"{repository} has no manifest {reference}"
    if manifest.digest in seen:
        return
    yield (reference if reference.startswith("sha256:") else manifest.digest), manifest.raw
    document = json.loads(manifest.raw)
    if manifest.media_type in INDEXES:
        for entry in document["manifests"]:
            yield from _walk(wire, repository, entry["digest"], attachments, seen)
    else:
        for entry in (document["config"], *document["layers"]):
            if entry["digest"] not in seen:
                answer = wire.request("GET", f"/v2/{repository}/blobs/{entry['digest']}")
                assert answer.status == 200, f"{repository} has no blob {entry['digest']}"
                yield entry["digest"], answer.body
    if attachments:
        for suffix in ("", *COSIGN_SUFFIXES):
            tag = images.fallback_tag(manifest.digest) + suffix
            if _get_manifest(wire, repository, tag) is not None:
                yield from _walk(wire, repository, tag, attachments, seen)


def _get_manifest(wire: Wire, repository: str, reference: str) -> RawManifest | None:
    answer = wire.request("GET", f"/v2/{repository}/manifests/{reference}", headers={"Accept": ACCEPT})
    if answer.status == 404:
        return None
    assert answer.status == 200, answer
    digest = "sha256:" + hashlib.sha256(answer.body).hexdigest()
    return RawManifest(answer.body, answer.headers["content-type"], digest)


def _put_manifest(wire: Wire, repository: str, reference: str, raw: bytes, media_type: str) -> None:
    answer = wire.request("PUT", f"/v2/{repository}/manifests/{reference}", raw, {"Content-Type": media_type})
    assert answer.status == 201, answer


def _upload(wire: Wire, repository: str, digest: str, size: int, body: Body) -> None:
    opened = wire.request("POST", f"/v2/{repository}/blobs/uploads/")
    assert opened.status == 202, opened
    location = opened.headers["location"]
    target = f"{location}{'&' if '?' in location else '?'}{urllib.parse.urlencode({'digest': digest})}"
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    answer = wire.request("PUT", target, body, headers)
    assert answer.status == 201, answer
