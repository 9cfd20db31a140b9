"""References, as Docker and the distribution spec write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.errors import UsageError
from liftlock.oci.digest import Digest
from liftlock.oci.distribution import fallback_tag
from liftlock.oci.reference import Reference, is_tag

DIGEST = Digest("sha256:" + "0123456789abcdef" * 4)

digests = st.one_of(
    st.text("0123456789abcdef", min_size=64, max_size=64).map(lambda text: Digest(f"sha256:{text}")),
    st.text("0123456789abcdef", min_size=128, max_size=128).map(lambda text: Digest(f"sha512:{text}")),
)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True)
hosts = st.from_regex(
    r"(localhost|[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[A-Za-z0-9]{1,10}){1,3}|\[[0-9a-f:]{0,10}:[0-9a-f]{1,4}\])(:[0-9]{1,5})?",
    fullmatch=True,
).filter(lambda host: host not in {"index.docker.io", "registry-1.docker.io"})
parts = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}", fullmatch=True)
repositories = st.lists(parts, min_size=2, max_size=5).map("/".join)
references = st.builds(Reference, hosts, repositories, st.none() | tags, st.none() | digests)


@given(references)
def test_what_is_written_is_read_back(reference: Reference) -> None:
    assert Reference.parse(str(reference)) == reference


@given(references)
def test_what_is_asked_for_is_the_digest_before_the_tag(reference: Reference) -> None:
    assert reference.selector == (reference.digest or reference.tag or "latest")


@given(st.text())
def test_any_text_is_a_reference_or_a_usage_error(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except UsageError:
        return
    assert Reference.parse(str(reference)) == reference
    assert "\n" not in str(reference)


@given(st.text("a0._-", min_size=1, max_size=8))
def test_the_parts_of_a_repository_are_those_of_the_grammar(part: str) -> None:
    # distribution/reference, regexp.go: path-component
    if re.fullmatch(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*", part):
        assert Reference.parse(f"registry.example/{part}/app").repository == f"{part}/app"
    else:
        with pytest.raises(UsageError, match="cannot be part of a repository"):
            Reference.parse(f"registry.example/{part}/app")


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag"),
    [
        ("alpine", "docker.io", "library/alpine", None),
        ("alpine:3.20", "docker.io", "library/alpine", "3.20"),
        ("acme/app", "docker.io", "acme/app", None),
        ("acme/team/app:1", "docker.io", "acme/team/app", "1"),
        ("docker.io/alpine", "docker.io", "library/alpine", None),
        ("index.docker.io/library/alpine", "docker.io", "library/alpine", None),
        ("registry-1.docker.io/acme/app", "docker.io", "acme/app", None),
        ("localhost", "docker.io", "library/localhost", None),
        ("localhost/app", "localhost", "app", None),
        ("localhost:5000/app:1", "localhost:5000", "app", "1"),
        ("host:5000", "docker.io", "library/host", "5000"),
        ("127.0.0.1:5000/a/b:latest", "127.0.0.1:5000", "a/b", "latest"),
        ("[::1]:5000/app", "[::1]:5000", "app", None),
        ("registry.example/app", "registry.example", "app", None),
        ("Registry.Example/app", "Registry.Example", "app", None),
        ("ghcr.io/a/b__c/d---e/f.g:_x", "ghcr.io", "a/b__c/d---e/f.g", "_x"),
    ],
)
def test_short_names(text: str, registry: str, repository: str, tag: str | None) -> None:
    assert Reference.parse(text) == Reference(registry, repository, tag)
    assert Reference.parse(f"{text}@{DIGEST}") == Reference(registry, repository, tag, DIGEST)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "@" + DIGEST,
        "app:",
        "app:-x",
        "app:.x",
        "app:" + "x" * 129,
        "app:ü",
        "app:1\n",
        "App",
        "registry.example/App",
        "registry.example/",
        "registry.example/a//b",
        "registry.example/-a",
        "registry.example/a-",
        "registry.example/a..b",
        "registry.example/a___b",
        "registry.example/../a",
        "registry.example/a\n",
        "registry.example/" + "a" * 256,
        "-registry.example/app",
        "registry..example/app",
        "user@registry.example/app",
        "https://registry.example/app",
        "registry.example:port/app",
        "registry.example:123456/app",
        "app@sha256:abc",
        "app@md5:" + "0" * 32,
        "app@" + DIGEST.upper(),
        "app@" + DIGEST + "@" + DIGEST,
        "app name",
    ],
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Reference.parse(text)
    assert repr(text)[1:-1] in caught.value.message


@given(digests, st.sampled_from(["", ".sig", ".att", ".sbom"]))
def test_fallback_tags_are_tags(digest: Digest, suffix: str) -> None:
    assert is_tag(fallback_tag(digest, suffix))


def test_the_fallback_tag_of_the_specification() -> None:
    """Distribution spec 1.1, "Referrers tag schema": both of its examples."""
    assert fallback_tag(Digest("sha256:" + "a" * 64)) == "sha256-" + "a" * 64
    assert fallback_tag(Digest("sha512:" + "b" * 128)) == "sha512-" + "b" * 64
