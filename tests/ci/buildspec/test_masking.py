"""No secret comes through, wherever the output is cut."""

from __future__ import annotations

import base64
import itertools
import json
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.ci.buildspec.masking import Mask

ALPHABET = "ab:\n"
SECRETS = st.lists(st.text(ALPHABET, min_size=1, max_size=5), max_size=4)


def in_pieces(mask: Mask, data: bytes, cuts: list[int]) -> bytes:
    stream = mask.stream()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    shown = [stream.feed(data[start:end]) for start, end in itertools.pairwise(edges)]
    return b"".join([*shown, stream.end()])


@given(SECRETS, st.text(ALPHABET, max_size=60), st.lists(st.integers(0, 60)))
def test_no_secret_is_shown_and_cuts_change_nothing(secrets: list[str], text: str, cuts: list[int]) -> None:
    mask = Mask(secrets)
    shown = mask.text(text)

    assert not any(secret in shown for secret in secrets if secret.strip())
    assert in_pieces(mask, text.encode(), cuts).decode() == shown


@given(st.text(ALPHABET, max_size=40), st.text("xyz", max_size=40))
def test_other_text_stays_as_it_is(text: str, secret: str) -> None:
    assert Mask([secret]).text(text) == text


@pytest.mark.parametrize("secret", ["twelve-bytes", "thirteen-byte", "fourteen-bytes"])
def test_a_secret_alone_in_base64_leaves_nothing(secret: str) -> None:
    assert Mask([secret]).text(base64.b64encode(secret.encode()).decode()) == "***"


@given(
    st.binary(max_size=6),
    st.text(min_size=8, max_size=30),
    st.binary(max_size=6),
    st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]),
)
def test_nothing_of_a_secret_is_read_out_of_base64(
    before: bytes, secret: str, after: bytes, encode: Callable[[bytes], bytes]
) -> None:
    """All whole groups of the secret are gone; at most two bytes at each end could be read."""
    data = secret.encode()
    shown = Mask([secret]).text(encode(before + data + after).decode())

    assert "***" in shown
    left = sum(len(part) for part in shown.split("***")) * 3 // 4
    assert left <= len(before) + len(after) + 8


@pytest.mark.parametrize(
    "write",
    [
        lambda s: json.dumps({"p": s}),
        lambda s: json.dumps({"p": s}, ensure_ascii=False),
        lambda s: f"https://u:{urllib.parse.quote(s, '')}@h/",
    ],
)
def test_a_secret_is_known_as_json_and_urls_write_it(write: object) -> None:
    secret = 'pa"ss/wörd\\more'

    shown = Mask([secret]).text(write(secret))  # type: ignore[operator]

    assert "***" in shown
    assert "more" not in shown


def test_the_end_of_a_line_is_no_part_of_a_secret() -> None:
    assert Mask(["pass\n"]).text("user:pass@host") == "user:***@host"


def test_each_line_of_a_key_is_a_secret() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n"

    assert Mask([key]).text("hkiG9w0BAQEFAASC and MIIEvQIBADANBgkq") == "*** and ***"


def test_what_overlaps_is_hidden_as_one() -> None:
    assert Mask(["abcd", "cdef"]).text("abcdef.") == "***."


def test_bytes_that_are_no_text_pass() -> None:
    assert Mask(["secret"]).data(b"\xff\x00secret\xfe") == b"\xff\x00***\xfe"


def test_text_without_secrets_is_not_held_back() -> None:
    stream = Mask(["secret"]).stream()

    assert stream.feed(b"no sec") == b"no "
    assert stream.feed(b"t yet\n") == b"sect yet\n"
