"""One contract for every place that holds images: what `targets.base` promises, whoever keeps the promise.

A new kind of target joins by one more `Place` below.
"""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from liftlock.errors import CorruptContent, LiftlockError, NotFound, RegistryError
from liftlock.oci import media_types as mt
from liftlock.oci.digest import Digest
from liftlock.oci.distribution import fallback_tag
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.targets.base import BlobSource, Placed, WritableTarget
from liftlock.targets.layout import LayoutTarget
from liftlock.targets.memory import MemoryTarget
from liftlock.targets.object_store import ObjectTarget
from liftlock.targets.oci_archive import OciArchive
from tests.support import objects
from tests.support.registry import Registry
from tests.targets.conftest import OpenRegistry

pytestmark = pytest.mark.contract

CONFIG = b"{}"
SIGNATURE = "application/vnd.example.signature.v1"


class Place:
    """A kind of target under test. `target` is written to; `reopened()` is another look at what was written."""

    deletes = True
    deletes_tags = True

    def __init__(self, make: Callable[[], WritableTarget]) -> None:
        self._make = make
        self.target = make()

    def reopened(self) -> WritableTarget:
        """What somebody sees who comes later."""
        self.close()
        self.target = self._make()
        return self.target

    def looks(self) -> Iterator[WritableTarget]:
        """The target as it is, then as somebody sees it who comes later."""
        yield self.target
        yield self.reopened()

    def close(self) -> None:
        self.target.close()


class MemoryPlace(Place):
    def reopened(self) -> WritableTarget:
        return self.target


class ArchivePlace(Place):
    """Written once: what is in it can be read while it is written and afterwards, and not be removed."""

    deletes = False


class RegistryPlace(Place):
    """Debian's registry: distribution 2.8, which has no referrers API and removes no tags."""

    deletes_tags = False

    def close(self) -> None:
        """The transport is the fixture's."""


@pytest.fixture(params=["memory", "layout", "oci-archive", "registry", "s3", "azure"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    made: Place
    if request.param == "memory":
        made = MemoryPlace(lambda: MemoryTarget("memory:app"))
    elif request.param == "layout":
        made = Place(lambda: LayoutTarget(str(tmp_path / "layout")))
    elif request.param == "oci-archive":
        made = ArchivePlace(lambda: OciArchive(str(tmp_path / "app.tar")))
    elif request.param == "s3":
        bucket = objects.on_s3(request.getfixturevalue("moto"))
        made = Place(lambda: ObjectTarget(bucket.url, bucket.env))
    elif request.param == "azure":
        container = objects.on_azure(request.getfixturevalue("azurite"))
        made = Place(lambda: ObjectTarget(container.url, container.env))
    else:
        registry: Registry = request.getfixturevalue("registry")
        open_registry: OpenRegistry = request.getfixturevalue("open_registry")
        repository: str = request.getfixturevalue("repo")
        made = RegistryPlace(lambda: open_registry(registry.host, repository, verify="client"))
    yield made
    made.close()


@pytest.fixture
def target(place: Place) -> WritableTarget:
    return place.target


# --- what is put -----------------------------------------------------------------------------------------------------


def described(data: bytes, media_type: str = mt.OCI_LAYER, algorithm: str = "sha256") -> Descriptor:
    return Descriptor(media_type, Digest.of(data, algorithm), len(data))


def source(data: bytes) -> BlobSource:
    return lambda: io.BytesIO(data)


def put(target: WritableTarget, data: bytes, media_type: str = mt.OCI_LAYER, algorithm: str = "sha256") -> Descriptor:
    blob = described(data, media_type, algorithm)
    target.put_blob(blob, source(data))
    return blob


def image(target: WritableTarget, *layers: bytes, **more: Any) -> Manifest:
    """An image manifest whose blobs are there; its JSON is written in an odd way, which a copy has to keep."""
    config = put(target, CONFIG, mt.OCI_CONFIG)
    document = {
        "mediaType": mt.OCI_MANIFEST,
        "layers": [put(target, layer).to_json() for layer in layers],
        "config": config.to_json(),
        **more,
        "schemaVersion": 2,
    }
    return Manifest.parse(("\n " + json.dumps(document, indent=3, ensure_ascii=True) + "\t\n").encode())


def referrer(target: WritableTarget, subject: Manifest, payload: bytes = b"signed", **annotations: str) -> Manifest:
    return image(
        target,
        payload,
        subject=subject.descriptor.to_json(),
        artifactType=SIGNATURE,
        annotations=annotations or {"by": "Zoë 🖋"},
    )


def index(*children: Manifest) -> Manifest:
    manifests = [
        child.descriptor.to_json() | {"platform": {"os": "linux", "architecture": "amd64"}} for child in children
    ]
    return Manifest.build({"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": manifests})


def read(target: WritableTarget, blob: Descriptor) -> bytes:
    reader = target.open_blob(blob)
    found, buffer = bytearray(), memoryview(bytearray(7000))
    while count := reader.readinto(buffer):
        found += buffer[:count]
    reader.close()
    return bytes(found)


# --- nothing there ---------------------------------------------------------------------------------------------------


def test_what_is_absent_is_an_answer_to_questions(target: WritableTarget) -> None:
    digest = Digest.of(b"nothing")
    assert target.resolve("latest") is None
    assert target.resolve(digest) is None
    assert not target.has_blob(digest)
    assert list(target.referrers(digest)) == []
    assert list(target.tags()) == []


def test_what_is_absent_cannot_be_read(target: WritableTarget) -> None:
    absent = described(b"nothing")
    for reference in ("latest", absent.digest):
        with pytest.raises(NotFound):
            target.manifest(reference)
    with pytest.raises(NotFound):
        read(target, absent)


# --- blobs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 3_000_001])
def test_every_byte_of_a_blob_comes_back(place: Place, size: int) -> None:
    data = os.urandom(size)
    blob = described(data)
    assert place.target.put_blob(blob, source(data)) is Placed.COPIED
    assert place.target.has_blob(blob.digest)
    assert read(place.target, blob) == data
    place.target.put_manifest(image(place.target, data), "1.0")
    assert read(place.reopened(), blob) == data


def test_a_source_may_give_a_byte_at_a_time(target: WritableTarget) -> None:
    data = os.urandom(2000)

    class Drop(io.BytesIO):
        def readinto(self, buffer: Any, /) -> int:
            return super().readinto(memoryview(buffer)[:1])

    blob = described(data)
    target.put_blob(blob, lambda: Drop(data))
    assert read(target, blob) == data


def test_a_blob_that_is_there_is_not_read_again(target: WritableTarget) -> None:
    blob = put(target, b"layer")

    def unwanted() -> io.BytesIO:
        raise AssertionError("the source was opened")

    assert target.put_blob(blob, unwanted) is Placed.PRESENT
    assert target.put_blob(blob, None) is Placed.PRESENT


def test_a_blob_without_a_source_has_to_be_there(target: WritableTarget) -> None:
    with pytest.raises(NotFound):
        target.put_blob(described(b"layer"), None)


@pytest.mark.parametrize(
    "wrong", [b"", b"laye", b"layer and more", b"Layer"], ids=["empty", "short", "long", "changed"]
)
def test_wrong_bytes_leave_nothing_behind(target: WritableTarget, wrong: bytes) -> None:
    blob = described(b"layer")
    with pytest.raises(CorruptContent):
        target.put_blob(blob, source(wrong), absent=True)
    assert not target.has_blob(blob.digest)
    with pytest.raises(NotFound):
        read(target, blob)
    assert target.put_blob(blob, source(b"layer")) is Placed.COPIED
    assert read(target, blob) == b"layer"


def test_an_error_of_the_source_is_passed_on(target: WritableTarget) -> None:
    blob = described(b"layer")

    def fails() -> io.BytesIO:
        raise NotFound("the source lost it")

    with pytest.raises(NotFound, match="the source lost it"):
        target.put_blob(blob, fails)
    assert not target.has_blob(blob.digest)


def test_the_same_blob_from_eight_threads(place: Place) -> None:
    data = os.urandom(1_500_000)
    blob = described(data)
    together = threading.Barrier(8)

    def work(_: int) -> Placed:
        together.wait()
        return place.target.put_blob(blob, source(data))

    with ThreadPoolExecutor(8) as pool:
        placed = list(pool.map(work, range(8)))
    assert Placed.COPIED in placed
    place.target.put_manifest(image(place.target, data), "1.0")
    assert read(place.reopened(), blob) == data


def test_many_blobs_from_many_threads(place: Place) -> None:
    layers = [os.urandom(100_000 + number) for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        blobs = list(pool.map(lambda layer: put(place.target, layer), layers))
    place.target.put_manifest(image(place.target, *layers), "1.0")
    again = place.reopened()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda blob: read(again, blob), blobs)) == layers


# --- manifests and tags ----------------------------------------------------------------------------------------------


def test_a_manifest_keeps_its_bytes(place: Place) -> None:
    manifest = image(place.target, b"layer", annotations={"é\u2028": "\u0000 🚢"})
    place.target.put_manifest(manifest, "1.0")
    for target in place.looks():
        for reference in ("1.0", manifest.digest):
            assert target.manifest(reference).raw == manifest.raw
            assert target.manifest(reference).media_type == mt.OCI_MANIFEST
            found = target.resolve(reference)
            assert found is not None
            assert (found.digest, found.size, found.media_type) == (manifest.digest, manifest.size, mt.OCI_MANIFEST)


def test_docker_media_types_stay(place: Place) -> None:
    target = place.target
    config, layer = put(target, CONFIG, mt.DOCKER_CONFIG), put(target, b"layer", mt.DOCKER_LAYER_GZIP)
    child = Manifest.build(
        {"schemaVersion": 2, "mediaType": mt.DOCKER_MANIFEST, "config": config.to_json(), "layers": [layer.to_json()]}
    )
    root = Manifest.build({"schemaVersion": 2, "mediaType": mt.DOCKER_INDEX, "manifests": [child.descriptor.to_json()]})
    target.put_manifest(child)
    target.put_manifest(root, "1.0")
    again = place.reopened()
    assert again.manifest("1.0").media_type == mt.DOCKER_INDEX
    assert again.manifest(child.digest).media_type == mt.DOCKER_MANIFEST


def test_an_index_with_children(place: Place) -> None:
    children = [image(place.target, layer) for layer in (b"one", b"two")]
    root = index(*children)
    for child in children:
        place.target.put_manifest(child)
    place.target.put_manifest(root, "1.0")
    again = place.reopened()
    assert again.manifest("1.0").is_index
    assert [again.manifest(child.digest).raw for child in again.manifest("1.0").manifests] == [c.raw for c in children]
    assert list(again.tags()) == ["1.0"]


def test_a_manifest_needs_its_blobs(target: WritableTarget) -> None:
    put(target, CONFIG, mt.OCI_CONFIG)
    layers = [described(b"not there").to_json()]
    config = described(CONFIG, mt.OCI_CONFIG).to_json()
    manifest = Manifest.build({"schemaVersion": 2, "mediaType": mt.OCI_MANIFEST, "config": config, "layers": layers})
    with pytest.raises(RegistryError) as caught:
        target.put_manifest(manifest, "1.0")
    assert {"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"} & set(caught.value.codes)
    assert target.resolve("1.0") is None
    assert target.resolve(manifest.digest) is None


def test_an_index_needs_its_children(target: WritableTarget) -> None:
    root = index(image(target, b"layer"))
    with pytest.raises(RegistryError):
        target.put_manifest(root, "1.0")
    assert target.resolve("1.0") is None


def test_a_tag_moves(place: Place) -> None:
    first, second = image(place.target, b"one"), image(place.target, b"two")
    for manifest in (first, second):
        place.target.put_manifest(manifest, "latest")
        found = place.target.resolve("latest")
        assert found is not None
        assert found.digest == manifest.digest
    again = place.reopened()
    assert again.manifest("latest").raw == second.raw
    assert again.manifest(first.digest).raw == first.raw
    assert list(again.tags()) == ["latest"]


def test_several_tags_on_one_digest(place: Place) -> None:
    manifest = image(place.target, b"layer")
    names = ["1.0", "1", "latest", "_under.Score-1"]
    for tag in names:
        place.target.put_manifest(manifest, tag)
        place.target.put_manifest(manifest, tag)
    again = place.reopened()
    assert sorted(again.tags()) == sorted(names)
    assert {again.manifest(tag).digest for tag in names} == {manifest.digest}


def test_tags_set_by_many_threads_are_all_there(place: Place) -> None:
    manifest = image(place.target, b"layer")
    names = [f"build-{number}" for number in range(32)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda tag: place.target.put_manifest(manifest, tag), names))
    assert sorted(place.reopened().tags()) == sorted(names)


def test_sha512(place: Place) -> None:
    layer = put(place.target, b"layer", algorithm="sha512")
    config = put(place.target, CONFIG, mt.OCI_CONFIG)
    manifest = Manifest.build(
        {"schemaVersion": 2, "mediaType": mt.OCI_MANIFEST, "config": config.to_json(), "layers": [layer.to_json()]}
    )
    place.target.put_manifest(manifest, "1.0")
    again = place.reopened()
    assert read(again, again.manifest("1.0").layers[0]) == b"layer"
    assert again.manifest("1.0").layers[0].digest.algorithm == "sha512"


# --- referrers -------------------------------------------------------------------------------------------------------


def test_referrers_with_their_annotations(place: Place) -> None:
    subject = image(place.target, b"layer")
    place.target.put_manifest(subject, "1.0")
    signed = referrer(place.target, subject, b"one", by="Zoë 🖋", at="2024")
    listed = referrer(place.target, subject, b"two", kind="sbom")
    for manifest in (signed, listed, signed):
        place.target.put_manifest(manifest)
    for target in place.looks():
        found = {descriptor.digest: descriptor for descriptor in target.referrers(subject.digest)}
        assert set(found) == {signed.digest, listed.digest}
        assert len(target.referrers(subject.digest)) == 2
        assert found[signed.digest].artifact_type == SIGNATURE
        assert found[signed.digest].annotations == {"by": "Zoë 🖋", "at": "2024"}
        assert found[signed.digest].size == signed.size
        assert target.manifest(signed.digest).raw == signed.raw


def test_referrers_of_referrers(place: Place) -> None:
    subject = image(place.target, b"layer")
    place.target.put_manifest(subject, "1.0")
    sbom = referrer(place.target, subject, b"sbom")
    place.target.put_manifest(sbom)
    signature = referrer(place.target, sbom, b"signature of the sbom")
    place.target.put_manifest(signature)
    again = place.reopened()
    assert [found.digest for found in again.referrers(subject.digest)] == [sbom.digest]
    assert [found.digest for found in again.referrers(sbom.digest)] == [signature.digest]
    assert list(again.referrers(signature.digest)) == []


def test_a_referrer_may_come_before_its_subject(place: Place) -> None:
    subject = image(place.target, b"layer")
    signature = referrer(place.target, subject)
    place.target.put_manifest(signature)
    place.target.put_manifest(subject, "1.0")
    assert [found.digest for found in place.reopened().referrers(subject.digest)] == [signature.digest]


def test_referrers_put_by_many_threads_are_all_listed(place: Place) -> None:
    subject = image(place.target, b"layer")
    place.target.put_manifest(subject, "1.0")
    signatures = [referrer(place.target, subject, f"signature {number}".encode()) for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(place.target.put_manifest, signatures))
    found = place.reopened().referrers(subject.digest)
    assert {descriptor.digest for descriptor in found} == {manifest.digest for manifest in signatures}


# --- removing --------------------------------------------------------------------------------------------------------


def test_a_tag_is_removed_and_its_manifest_stays(place: Place) -> None:
    manifest = image(place.target, b"layer")
    place.target.put_manifest(manifest, "1.0")
    place.target.put_manifest(manifest, "latest")
    if not place.deletes_tags:
        with pytest.raises(LiftlockError, match="does not delete tags"):
            place.target.delete_tag("1.0")
        assert sorted(place.reopened().tags()) == ["1.0", "latest"]
        return
    place.target.delete_tag("1.0")
    again = place.reopened()
    assert again.resolve("1.0") is None
    assert list(again.tags()) == ["latest"]
    assert again.manifest(manifest.digest).raw == manifest.raw


def test_a_tag_that_is_not_there_cannot_be_removed(place: Place) -> None:
    place.target.put_manifest(image(place.target, b"layer"), "1.0")
    with pytest.raises(NotFound if place.deletes_tags else LiftlockError):
        place.target.delete_tag("2.0")


def test_a_manifest_is_removed_with_its_tags(place: Place) -> None:
    if not place.deletes:
        with pytest.raises(LiftlockError):
            place.target.delete_manifest(Digest.of(b""))
        return
    manifest, other = image(place.target, b"one"), image(place.target, b"two")
    for tag in ("1.0", "latest"):
        place.target.put_manifest(manifest, tag)
    place.target.put_manifest(other, "2.0")
    place.target.delete_manifest(manifest.digest)
    again = place.reopened()
    assert again.resolve(manifest.digest) is None
    assert again.resolve("latest") is None
    assert list(again.tags()) == ["2.0"]
    assert again.manifest("2.0").raw == other.raw
    with pytest.raises(NotFound):
        again.delete_manifest(manifest.digest)


def test_a_removed_referrer_is_not_listed(place: Place) -> None:
    if not place.deletes:
        pytest.skip("nothing can be removed from an archive")
    subject = image(place.target, b"layer")
    place.target.put_manifest(subject, "1.0")
    kept, removed = referrer(place.target, subject, b"one"), referrer(place.target, subject, b"two")
    for manifest in (kept, removed):
        place.target.put_manifest(manifest)
    place.target.delete_manifest(removed.digest)
    assert [found.digest for found in place.target.referrers(subject.digest)] == [kept.digest]
    place.target.delete_manifest(kept.digest)
    again = place.reopened()
    assert list(again.referrers(subject.digest)) == []
    emptied = {fallback_tag(subject.digest)} if isinstance(place, RegistryPlace) else set()
    assert set(again.tags()) - emptied == {"1.0"}
