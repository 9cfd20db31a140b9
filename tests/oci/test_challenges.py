"""``WWW-Authenticate`` (RFC 9110, section 11): what a registry asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.oci.distribution import Challenge, parse_challenges

TOKENS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.!~", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)
CHALLENGES = st.lists(
    st.builds(Challenge, TOKENS, st.dictionaries(TOKENS, VALUES, max_size=4)),
    min_size=1,
    max_size=4,
)


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written(challenge: Challenge) -> str:
    parameters = ", ".join(f"{name}={quoted(value)}" for name, value in challenge.parameters.items())
    return f"{challenge.scheme} {parameters}".rstrip()


@given(CHALLENGES)
def test_challenges_survive_being_written_and_read(challenges: list[Challenge]) -> None:
    assert parse_challenges([written(challenge) for challenge in challenges]) == challenges


@given(CHALLENGES)
def test_several_challenges_may_share_a_header(challenges: list[Challenge]) -> None:
    assert parse_challenges([", ".join(map(written, challenges))]) == challenges


@given(st.lists(st.text()))
def test_garbage_never_raises(headers: list[str]) -> None:
    parse_challenges(headers)


@given(st.text(st.sampled_from('Bearer realm="x\\,= \t'), max_size=60))
def test_near_garbage_never_raises(header: str) -> None:
    parse_challenges([header])


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        (
            'BASIC realm="Sonatype Nexus Repository Manager"',
            [("basic", {"realm": "Sonatype Nexus Repository Manager"})],
        ),
        ("Basic realm=plain", [("basic", {"realm": "plain"})]),
        ("Negotiate", [("negotiate", {})]),
        ("Negotiate YWJj==", [("negotiate", {})]),
        ('Negotiate, Basic realm="r"', [("negotiate", {}), ("basic", {"realm": "r"})]),
        ('Negotiate YWJj=, Basic realm="r"', [("negotiate", {}), ("basic", {"realm": "r"})]),
        ('Bearer realm = "r" , service = "s"', [("bearer", {"realm": "r", "service": "s"})]),
        (', , Basic realm="r", ,charset="UTF-8"', [("basic", {"realm": "r", "charset": "UTF-8"})]),
        ('Bearer REALM="r"', [("bearer", {"realm": "r"})]),
        ('Bearer realm="a \\"b\\" c"', [("bearer", {"realm": 'a "b" c'})]),
        ('Bearer realm="r",error="insufficient_scope"', [("bearer", {"realm": "r", "error": "insufficient_scope"})]),
        ("Basic", [("basic", {})]),
        ("", []),
        ('realm="r"', []),
        ("Bearer realm=", [("bearer", {})]),
        ('Bearer realm="never closed', [("bearer", {})]),
    ],
)
def test_what_registries_send(header: str, challenges: list[tuple[str, dict[str, str]]]) -> None:
    assert parse_challenges([header]) == challenges
