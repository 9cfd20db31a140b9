"""Descriptors and manifests: every byte kept, and nothing but our errors from other people's documents."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.errors import CorruptContent, LiftlockError, UsageError
from liftlock.oci import media_types as mt
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import MAX_BLOB, MAX_MANIFEST, Descriptor, Manifest, Platform

texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
digests = st.binary(max_size=5).map(Digest.of)
extras = st.fixed_dictionaries(
    {},
    optional={
        "annotations": st.dictionaries(texts, texts, max_size=3),
        "artifactType": texts,
        "urls": st.lists(texts, max_size=2),
        "platform": st.fixed_dictionaries({"os": texts, "architecture": texts}, optional={"variant": texts}),
        "data": texts,
        "x-unknown": values,
    },
)
descriptors = st.builds(Descriptor, texts, digests, st.integers(0, MAX_BLOB), extras)


def image_of(config: Descriptor, layers: list[Descriptor], more: dict[str, Any]) -> dict[str, Any]:
    return {
        **more,
        "schemaVersion": 2,
        "mediaType": mt.OCI_MANIFEST,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers],
    }


def index_of(children: list[Descriptor], more: dict[str, Any]) -> dict[str, Any]:
    return {
        **more,
        "schemaVersion": 2,
        "mediaType": mt.DOCKER_INDEX,
        "manifests": [each.to_json() for each in children],
    }


more = st.fixed_dictionaries(
    {}, optional={"annotations": st.dictionaries(texts, texts, max_size=3), "x-unknown": values}
)
images = st.builds(image_of, descriptors, st.lists(descriptors, max_size=4), more)
indexes = st.builds(index_of, st.lists(descriptors, max_size=4), more)


# --- descriptors -----------------------------------------------------------------------------------------------------


@given(descriptors)
def test_a_descriptor_keeps_every_field(descriptor: Descriptor) -> None:
    assert Descriptor.from_json(json.loads(json.dumps(descriptor.to_json()))) == descriptor


@given(values, texts)
def test_any_value_is_a_descriptor_or_a_named_error(value: Any, where: str) -> None:
    with pytest.raises(CorruptContent) as caught:
        Descriptor.from_json(value, where)
    assert where in caught.value.message


@pytest.mark.parametrize(
    "change",
    [
        {"size": -1},
        {"size": MAX_BLOB + 1},
        {"size": True},
        {"size": 1.0},
        {"size": "1"},
        {"size": None},
        {"digest": "sha256:abc"},
        {"digest": 1},
        {"digest": None},
        {"mediaType": None},
        {"mediaType": 1},
    ],
)
def test_what_is_no_descriptor(change: dict[str, Any]) -> None:
    good = Descriptor("text/plain", Digest.of(b""), 0).to_json()
    with pytest.raises(CorruptContent):
        Descriptor.from_json({**good, **change})


@given(values)
def test_odd_annotations_and_platforms_are_harmless(value: Any) -> None:
    extra = {"annotations": value, "platform": value, "artifactType": value}
    descriptor = Descriptor("text/plain", Digest.of(b""), 0, extra)
    assert isinstance(descriptor.annotations, dict)
    assert descriptor.platform is None or isinstance(descriptor.platform, Platform)
    assert isinstance(descriptor.artifact_type, str)


# --- manifests -------------------------------------------------------------------------------------------------------


@given(images | indexes, st.sampled_from([None, 1, "\t"]), st.booleans(), st.sampled_from(["", "\n", " \r\n"]))
def test_the_bytes_are_kept_whatever_they_look_like(
    document: dict[str, Any], indent: int | str | None, ascii_only: bool, end: str
) -> None:
    raw = (end + json.dumps(document, indent=indent, ensure_ascii=ascii_only) + end).encode()
    expected = Digest("sha512:" + hashlib.sha512(raw).hexdigest())
    for manifest in (Manifest.parse(raw), Manifest.parse(raw, "text/wrong", expected)):
        assert manifest.raw == raw
        assert manifest.digest == Digest.of(raw, manifest.digest.algorithm)
        assert manifest.size == len(raw)
        assert manifest.json == document
        assert manifest.is_index == ("manifests" in document)
        assert manifest.descriptor == Descriptor(document["mediaType"], manifest.digest, len(raw))


@given(images | indexes)
def test_equal_documents_are_built_into_equal_bytes(document: dict[str, Any]) -> None:
    assert Manifest.build(document) == Manifest.build(json.loads(json.dumps(document)))
    assert Manifest.build(document).json == document


@given(images)
def test_an_image_names_its_blobs_in_order(document: dict[str, Any]) -> None:
    manifest = Manifest.build(document)
    assert [blob.to_json() for blob in manifest.blobs] == [document["config"], *document["layers"]]
    assert manifest.manifests == ()


@given(indexes)
def test_an_index_names_its_children_and_no_blobs(document: dict[str, Any]) -> None:
    manifest = Manifest.build(document)
    assert [child.to_json() for child in manifest.manifests] == document["manifests"]
    assert list(manifest.blobs) == []


@given(st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()), texts)
def test_any_bytes_are_a_manifest_or_our_error(raw: bytes, media_type: str) -> None:
    with pytest.raises(LiftlockError):
        Manifest.parse(raw, media_type)


@given(
    images | indexes,
    st.sampled_from(["mediaType", "config", "layers", "manifests", "subject", "schemaVersion"]),
    values,
)
def test_a_field_of_any_value_is_read_or_our_error(document: dict[str, Any], field: str, value: Any) -> None:
    with contextlib.suppress(LiftlockError):
        manifest = Manifest.parse(json.dumps({**document, field: value}).encode())
        assert manifest.media_type in mt.INDEXES | mt.MANIFESTS


@given(images | indexes, st.data())
def test_another_digest_is_refused(document: dict[str, Any], data: st.DataObject) -> None:
    raw = json.dumps(document).encode()
    wrong = data.draw(digests.filter(lambda digest: digest != Digest.of(raw)))
    with pytest.raises(CorruptContent) as caught:
        Manifest.parse(raw, "", wrong)
    assert wrong in caught.value.message


CONFIG = {"mediaType": mt.OCI_CONFIG, "digest": Digest.of(b"{}"), "size": 2}
IMAGE = {"schemaVersion": 2, "config": CONFIG, "layers": []}
INDEX = {"schemaVersion": 2, "manifests": []}


@pytest.mark.parametrize(
    ("document", "carrier", "expected"),
    [
        (IMAGE, "", mt.OCI_MANIFEST),
        (INDEX, "", mt.OCI_INDEX),
        (IMAGE, mt.DOCKER_MANIFEST, mt.DOCKER_MANIFEST),
        (INDEX, mt.DOCKER_INDEX + "; charset=utf-8", mt.DOCKER_INDEX),
        ({**IMAGE, "mediaType": mt.OCI_MANIFEST}, mt.DOCKER_MANIFEST, mt.OCI_MANIFEST),
        (INDEX, "application/json", mt.OCI_INDEX),
    ],
)
def test_the_media_type_of_a_manifest(document: dict[str, Any], carrier: str, expected: str) -> None:
    assert Manifest.parse(json.dumps(document).encode(), carrier).media_type == expected


@pytest.mark.parametrize(
    "document",
    [
        {**IMAGE, "manifests": []},
        {**INDEX, "config": CONFIG},
        {**INDEX, "layers": []},
        {**IMAGE, "mediaType": mt.OCI_INDEX},
        {**INDEX, "mediaType": mt.OCI_MANIFEST},
        {"schemaVersion": 2},
        {"schemaVersion": 2, "mediaType": mt.OCI_MANIFEST},
        {"schemaVersion": 2, "layers": []},
        {**IMAGE, "layers": [CONFIG, {**CONFIG, "digest": "sha256:../../x"}]},
    ],
)
def test_a_document_that_two_readers_could_see_as_two_images(document: dict[str, Any]) -> None:
    with pytest.raises(CorruptContent):
        Manifest.parse(json.dumps(document).encode())


@pytest.mark.parametrize(
    "document",
    [
        {"schemaVersion": 1, "fsLayers": []},
        {"schemaVersion": 1, "mediaType": "application/vnd.docker.distribution.manifest.v1+prettyjws"},
    ],
)
def test_schema_1_is_named(document: dict[str, Any]) -> None:
    with pytest.raises(LiftlockError, match="schema 1") as caught:
        Manifest.parse(json.dumps(document).encode())
    assert caught.value.hint


def test_a_huge_manifest_is_refused() -> None:
    raw = json.dumps(IMAGE).encode()
    padded = raw + b" " * (MAX_MANIFEST - len(raw))
    assert Manifest.parse(padded).raw == padded
    with pytest.raises(CorruptContent, match="limit"):
        Manifest.parse(padded + b" ")


def test_a_deep_manifest_is_refused() -> None:
    with pytest.raises(CorruptContent):
        Manifest.parse(b'{"a":' * 100_000 + b"1" + b"}" * 100_000)


def test_how_a_list_of_referrers_shows_a_manifest() -> None:
    """Distribution spec 1.1, "Listing Referrers": the artifact type is the config's media type where it has none."""
    subject = {"mediaType": mt.OCI_MANIFEST, "digest": Digest.of(b"x"), "size": 1}
    plain = Manifest.build({**IMAGE, "subject": subject})
    assert plain.referrer_descriptor().extra == {"artifactType": mt.OCI_CONFIG}
    assert plain.subject == Descriptor(mt.OCI_MANIFEST, Digest.of(b"x"), 1)
    typed = Manifest.build(
        {**IMAGE, "artifactType": "application/x.sig", "annotations": {"a": "é"}, "subject": subject}
    )
    shown = typed.referrer_descriptor()
    assert shown.extra == {"artifactType": "application/x.sig", "annotations": {"a": "é"}}
    assert (shown.digest, shown.size) == (typed.digest, typed.size)


# --- platforms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["linux/amd64", "linux/arm64/v8", "windows/amd64"])
def test_platforms_are_written_as_they_are_read(text: str) -> None:
    assert str(Platform.parse(text)) == text
    assert str(Platform.parse(text.upper())) == text


@pytest.mark.parametrize("text", ["", "linux", "/", "linux/", "/amd64", "linux//v8", "linux/arm64/v8/x"])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(UsageError):
        Platform.parse(text)


@pytest.mark.parametrize(
    ("there", "wanted", "matches"),
    [
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm64/v8", "linux/arm64/v8", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm", "linux/arm/v7", False),
        ("linux/amd64", "linux/arm64", False),
        ("windows/amd64", "linux/amd64", False),
    ],
)
def test_a_variant_that_is_not_asked_for_is_free(there: str, wanted: str, matches: bool) -> None:
    assert Platform.parse(there).matches(Platform.parse(wanted)) is matches
