"""The distribution protocol's paths, links, locations and error bodies."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.oci.digest import Digest
from liftlock.oci.distribution import (
    Scope,
    blob_path,
    error_codes,
    manifest_path,
    next_link,
    referrers_path,
    tags_path,
    upload_location,
    uploads_path,
)

DIGEST = Digest.of(b"layer")
HERE = "https://registry.example/v2/a/b/blobs/uploads/"
printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


def test_paths() -> None:
    assert manifest_path("a/b", "1.0") == "/v2/a/b/manifests/1.0"
    assert manifest_path("a/b", DIGEST) == f"/v2/a/b/manifests/{DIGEST}"
    assert blob_path("a/b", DIGEST) == f"/v2/a/b/blobs/{DIGEST}"
    assert uploads_path("a/b") == "/v2/a/b/blobs/uploads/"
    assert uploads_path("a/b", digest=DIGEST) == f"/v2/a/b/blobs/uploads/?digest={DIGEST}"
    assert uploads_path("a/b", mount=DIGEST, origin="c/d") == f"/v2/a/b/blobs/uploads/?mount={DIGEST}&from=c/d"
    assert tags_path("a/b") == "/v2/a/b/tags/list?n=1000"
    assert referrers_path("a/b", DIGEST) == f"/v2/a/b/referrers/{DIGEST}"


@given(printable)
def test_an_artifact_type_survives_the_query(artifact_type: str) -> None:
    path = referrers_path("a/b", DIGEST, artifact_type)
    assert parse_qs(urlsplit(path).query) == {"artifactType": [artifact_type]}


def test_scopes_are_written_as_token_servers_expect_them() -> None:
    assert str(Scope("a/b", frozenset({"push", "pull"}))) == "repository:a/b:pull,push"
    assert str(Scope("catalog", frozenset({"*"}), "registry")) == "registry:catalog:*"


# --- where an upload goes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (
            "/v2/a/b/blobs/uploads/1?_state=x%2Fy%3D%3D",
            "https://registry.example/v2/a/b/blobs/uploads/1?_state=x%2Fy%3D%3D&",
        ),
        ("https://other.example:444/put?X-Sig=a%2Bb&y=", "https://other.example:444/put?X-Sig=a%2Bb&y=&"),
        ("1", "https://registry.example/v2/a/b/blobs/uploads/1?"),
        ("//cdn.example/up", "https://cdn.example/up?"),
    ],
)
def test_the_location_is_kept_and_the_digest_added(location: str, expected: str) -> None:
    assert upload_location(HERE, location, DIGEST) == f"{expected}digest={DIGEST}"


@given(st.lists(st.tuples(printable, printable), max_size=4))
def test_no_parameter_of_a_location_is_lost(parameters: list[tuple[str, str]]) -> None:
    from urllib.parse import urlencode

    query = urlencode(parameters)
    url = upload_location(HERE, f"/up/1?{query}" if query else "/up/1", DIGEST)
    assert parse_qsl(urlsplit(url).query) == [*parameters, ("digest", DIGEST)]
    assert query in url


# --- pages -----------------------------------------------------------------------------------------------------------

TAGS = "https://registry.example/v2/a/b/tags/list?n=2"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        ([""], None),
        (["nonsense"], None),
        (["</v2/x>"], None),
        (['</v2/a/b/tags/list?n=2&last=x>; rel="prev"'], None),
        (['</v2/a/b/tags/list?n=2&last=x>; rel="next"'], "https://registry.example/v2/a/b/tags/list?n=2&last=x"),
        (["</v2/a/b/tags/list?last=x>;rel=next"], "https://registry.example/v2/a/b/tags/list?last=x"),
        (["<?last=x,y>; REL=Next"], "https://registry.example/v2/a/b/tags/list?last=x,y"),
        (['<https://other.example/t?last=1>; title=x; rel="next"'], "https://other.example/t?last=1"),
        (['</first>; rel="first", </second>; rel="next"'], "https://registry.example/second"),
        (['</first>; rel="first"', '</second>; rel="next"'], "https://registry.example/second"),
    ],
)
def test_the_next_page(headers: list[str], expected: str | None) -> None:
    assert next_link(headers, TAGS) == expected


@given(st.lists(st.text(max_size=60), max_size=3))
def test_any_link_header_is_a_url_or_none(headers: list[str]) -> None:
    assert next_link(headers, TAGS) is None or "<" in "".join(headers)


# --- errors ----------------------------------------------------------------------------------------------------------


def test_codes_and_messages_of_an_error_body() -> None:
    body = {
        "errors": [
            {"code": "BLOB_UNKNOWN", "message": "blob unknown\nto   registry", "detail": {"x": 1}},
            {"code": "DENIED", "message": None},
            {"code": None},
            {"message": "x" * 1000},
        ]
    }
    codes, message = error_codes(json.dumps(body).encode())
    assert codes == ("BLOB_UNKNOWN", "DENIED")
    assert message.startswith("blob unknown to registry; xxx")
    assert len(message) < 500


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502 Bad Gateway</html>",
        b"null",
        b"[]",
        b'{"errors":null}',
        b'{"errors":{}}',
        b'{"errors":"x"}',
        b'{"errors":[1]}',
        b'{"error":"x"}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_error_body_has_no_codes(body: bytes) -> None:
    assert error_codes(body) == ((), "")


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["code", "message", "x"]), inner),
)


@given(values)
def test_any_error_body_is_read(errors: Any) -> None:
    codes, message = error_codes(json.dumps({"errors": errors}).encode())
    assert all(isinstance(code, str) for code in codes)
    assert isinstance(message, str)
