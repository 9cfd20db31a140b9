"""Digests: what is one, and what bytes have which."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.errors import CorruptContent
from liftlock.oci.digest import HEX_LENGTH, LITTLE, Digest, Hasher

algorithms = st.sampled_from(sorted(HEX_LENGTH))


@given(st.binary(), algorithms)
def test_the_digest_of_bytes(data: bytes, algorithm: str) -> None:
    digest = Digest.of(data, algorithm)
    assert digest == f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
    assert (digest.algorithm, digest.hex) == tuple(str(digest).split(":"))
    assert Digest(str(digest)) == digest
    digest.verify(data)


@pytest.mark.parametrize("size", [LITTLE - 1, LITTLE, LITTLE + 1])
def test_bytes_have_their_digest_whichever_module_hashes_them(size: int) -> None:
    data = memoryview(bytes(size))

    assert Digest.of(data) == f"sha256:{hashlib.sha256(data).hexdigest()}"


@given(st.lists(st.binary(max_size=50)), algorithms)
def test_pieces_make_the_same_digest(pieces: list[bytes], algorithm: str) -> None:
    hasher = Hasher(algorithm)
    for piece in pieces:
        hasher.update(memoryview(piece))
    assert hasher.digest == Digest.of(b"".join(pieces), algorithm)
    assert hasher.size == sum(map(len, pieces))


@given(st.binary(), st.binary(), algorithms)
def test_other_bytes_have_another_digest(data: bytes, other: bytes, algorithm: str) -> None:
    digest = Digest.of(data, algorithm)
    if data == other:
        digest.verify(other)
        return
    with pytest.raises(CorruptContent) as caught:
        digest.verify(other, "layer 3")
    assert "layer 3" in caught.value.message
    assert digest in caught.value.message


@given(st.text())
def test_any_text_is_a_digest_or_an_error(text: str) -> None:
    with pytest.raises(CorruptContent):
        Digest(text)


@pytest.mark.parametrize(
    "text",
    [
        "sha256:" + "0" * 63,
        "sha256:" + "0" * 65,
        "sha256:" + "0" * 128,
        "sha512:" + "0" * 64,
        "sha256:" + "A" * 64,
        "sha256:" + "٣" * 64,
        "SHA256:" + "0" * 64,
        "sha1:" + "0" * 40,
        "sha256-" + "0" * 64,
        "sha256:" + "0" * 64 + "\n",
        " sha256:" + "0" * 64,
        "sha256:" + "../" * 21 + "0",
        "0" * 64,
    ],
)
def test_what_is_no_digest(text: str) -> None:
    with pytest.raises(CorruptContent) as caught:
        Digest(text)
    assert len(caught.value.message) < 250


def test_a_digest_is_short_for_people() -> None:
    assert Digest.of(b"").short == "e3b0c44298fc"
