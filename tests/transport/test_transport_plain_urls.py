"""Plain URLs are read without `urllib.parse`: exactly as it would have read them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from liftlock.transport.urls import _split_any, _split_plain, split_url

PIECES = st.sampled_from(
    [
        "http",
        "https",
        "ftp",
        "HTTP",
        "://",
        ":",
        "//",
        "/",
        "?",
        "#",
        "@",
        "[",
        "]",
        "%41",
        "..",
        ".",
        "a",
        "registry.example",
        "5000",
        "65535",
        "65536",
        "00080",
        "v2",
        "&",
        "_",
        "-",
        "\\",
        "é",
        "::1",
    ]
)


@given(st.lists(PIECES, max_size=9).map("".join))
def test_what_is_read_as_plain_is_what_urllib_reads(url: str) -> None:
    plain = _split_plain(url)

    if plain is not None:
        assert plain == _split_any(url)


@given(st.sampled_from(["http", "https"]), st.integers(0, 65535), st.lists(PIECES, max_size=5).map("".join))
def test_what_is_read_as_plain_after_a_good_start(scheme: str, port: int, rest: str) -> None:
    url = f"{scheme}://registry.example:{port}{rest}"
    plain = _split_plain(url)

    if plain is not None:
        assert plain == _split_any(url)


def test_what_registries_are_asked_is_plain() -> None:
    url = "https://registry.example/v2/team/app/blobs/uploads/?mount=sha256:00&from=team/base"

    assert _split_plain(url) == split_url(url) == _split_any(url)
