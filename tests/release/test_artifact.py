"""An artifact's id is its content's, and nothing else's."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.errors import CorruptContent, UsageError
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.release.artifact import Artifact

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def image(content: bytes = b"web") -> Descriptor:
    return Descriptor(MANIFEST, Digest.of(content), len(content))


def test_the_id_is_the_digest_of_canonical_json() -> None:
    artifact = Artifact(images={"web": image()}, build="415", commit="c0ffee", labels={"b": "2", "a": "1"})

    assert artifact.id == Digest.of(artifact.document)
    assert artifact.document == (
        b'{"build":"415","commit":"c0ffee","images":{"web":{"digest":"' + image().digest.encode() + b'",'
        b'"mediaType":"application/vnd.oci.image.manifest.v1+json","size":3}},"labels":{"a":"1","b":"2"},"links":{},'
        b'"mediaType":"application/vnd.liftlock.artifact.v1+json"}'
    )


def test_the_order_of_images_and_what_a_registry_adds_to_a_descriptor_do_not_change_the_id() -> None:
    other = Descriptor(MANIFEST, image().digest, 3, {"annotations": {"found": "elsewhere"}})

    one = Artifact(images={"web": image(), "worker": image(b"worker")})
    two = Artifact(images={"worker": image(b"worker"), "web": other})

    assert one.id == two.id
    assert one == two


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=30)
ARTIFACTS = st.builds(
    Artifact,
    images=st.dictionaries(
        st.from_regex(r"[a-z0-9]+(?:[._-][a-z0-9]+)?", fullmatch=True), st.binary().map(image), min_size=1, max_size=4
    ),
    build=st.from_regex(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,20})?", fullmatch=True),
    commit=TEXT,
    links=st.dictionaries(st.sampled_from(["build", "source"]), st.just("https://ci.example/b/7?x=y@z")),
    labels=st.dictionaries(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,20}", fullmatch=True), TEXT),
)


@given(ARTIFACTS)
def test_what_is_stored_is_read_back_as_it_was(artifact: Artifact) -> None:
    assert Artifact.parse(artifact.document, artifact.id) == artifact


@given(ARTIFACTS, st.integers(min_value=0), st.integers(1, 255))
def test_a_document_with_a_changed_byte_is_refused(artifact: Artifact, position: int, change: int) -> None:
    document = bytearray(artifact.document)
    document[position % len(document)] ^= change

    with pytest.raises(CorruptContent):
        Artifact.parse(bytes(document), artifact.id)


def test_a_document_of_another_kind_or_with_unknown_parts_is_refused() -> None:
    fields = json.loads(Artifact(images={"web": image()}).document)
    for changed in ({**fields, "mediaType": "text/plain"}, {**fields, "signed": "by"}, {"build": "1"}, [1], None):
        document = json.dumps(changed, sort_keys=True, separators=(",", ":")).encode()

        with pytest.raises(CorruptContent):
            Artifact.parse(document, Digest.of(document))


@pytest.mark.parametrize(
    "wrong",
    [
        {"images": {}},
        {"images": {"Web": image()}},
        {"images": {"a/b": image()}},
        {"images": {"web\n": image()}},
        {"build": "a:b"},
        {"build": "-1"},
        {"build": "1\n"},
        {"commit": "a\nb"},
        {"labels": {"": "x"}},
        {"labels": {"x": "line\nbreak"}},
        {"labels": {"x": "\ud800"}},
        {"links": {"build": "ftp://ci.example"}},
        {"links": {"build": "javascript:alert(1)"}},
    ],
)
def test_what_could_not_be_used_later_is_refused_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Artifact(**{"images": {"web": image()}, **wrong})  # type: ignore[arg-type]


def test_a_link_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(UsageError) as caught:
        Artifact(images={"web": image()}, links={"build": "https://user:hunter2@ci.example/7"})

    assert "hunter2" not in f"{caught.value} {caught.value.hint}"
