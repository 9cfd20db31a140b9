"""The pure half of authorization."""

from __future__ import annotations

import pickle
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.auth.bearer import (
    Answer,
    Offer,
    choose,
    parse_scopes,
    realm_url,
    same_origin,
    token_flow,
    united,
)
from liftlock.auth.secret import Credential, Secret
from liftlock.errors import LiftlockError, NotFound, RefusedError
from liftlock.oci.distribution import Challenge, Scope
from liftlock.transport.messages import Headers

NAMES = st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,2}", fullmatch=True)
ACTIONS = st.frozensets(st.sampled_from(["pull", "push", "delete", "*"]), min_size=1)
SCOPES = st.builds(Scope, NAMES, ACTIONS, st.just("repository"))


def test_bearer_comes_before_basic_and_both_before_none() -> None:
    bearer = Challenge("bearer", {"realm": "https://auth.example/token", "service": "s"})

    assert choose([Challenge("negotiate", {}), Challenge("basic", {}), bearer]) == Offer(
        "bearer", "https://auth.example/token", "s"
    )
    assert choose([Challenge("bearer", {}), Challenge("basic", {})]) == Offer("basic")
    assert choose([Challenge("negotiate", {})]) is None


@pytest.mark.parametrize(
    ("url", "other", "same"),
    [
        ("https://r.example/v2/", "https://R.example:443/x", True),
        ("https://r.example/v2/", "http://r.example/v2/", False),
        ("https://r.example/v2/", "https://r.example:5000/", False),
        ("https://r.example/v2/", "https://r.example.evil/", False),
        ("https://r.example/", "https://r.example@evil.example/", False),
        ("http://127.0.0.1:5000/", "https://127.0.0.1:5000/", True),
        ("http://127.0.0.1:5000/", "http://127.0.0.1:5001/", False),
        ("/relative", "/relative", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, other: str, same: bool) -> None:
    assert same_origin(url, other) is same


@pytest.mark.parametrize(
    ("realm", "base", "url"),
    [
        ("https://auth.example/token", "https://r.example", "https://auth.example/token"),
        ("https://auth.example/token?a=b", "https://r.example", "https://auth.example/token?a=b"),
        ("http://auth.example/token", "http://r.example:5000", "http://auth.example/token"),
        ("null://r.example:5000/v2/token", "http://r.example:5000", "http://r.example:5000/v2/token"),
        ("null://r.example/v2/token", "https://r.example", "https://r.example/v2/token"),
        ("/v2/token", "https://r.example", "https://r.example/v2/token"),
        ("https://user:secret@auth.example/t", "https://r.example", "https://auth.example/t"),
    ],
)
def test_a_realm_is_completed_from_the_registry(realm: str, base: str, url: str) -> None:
    assert realm_url(realm, base) == url


@given(st.text())
def test_no_realm_leads_from_https_to_anything_but_https(realm: str) -> None:
    try:
        url = realm_url(realm, "https://r.example")
    except RefusedError:
        return
    assert url.startswith("https://")
    assert url.isascii()
    assert url.isprintable()


@given(st.lists(SCOPES))
def test_united_scopes_allow_the_same_with_one_per_repository_and_push_first(scopes: list[Scope]) -> None:
    together = united(scopes)

    allowed = {(scope.repository, action) for scope in scopes for action in scope.actions}
    assert {(scope.repository, action) for scope in together for action in scope.actions} == allowed
    assert len({scope.repository for scope in together}) == len(together)
    pushes = ["push" in scope.actions for scope in together]
    assert pushes == sorted(pushes, reverse=True)


@given(st.lists(SCOPES))
def test_scopes_survive_being_written_and_read(scopes: list[Scope]) -> None:
    assert parse_scopes(" ".join(map(str, scopes))) == scopes


def test_an_action_that_nobody_knows_is_passed_on() -> None:
    assert [str(scope) for scope in parse_scopes("repository:a/b:metadata_read,pull")] == [
        "repository:a/b:pull,metadata_read"
    ]


@given(st.text())
def test_reading_scopes_never_raises(text: str) -> None:
    parse_scopes(text)


@given(st.lists(SCOPES, max_size=4), st.text(max_size=20))
def test_a_token_request_says_exactly_the_scopes(scopes: list[Scope], service: str) -> None:
    request = next(token_flow("https://auth.example/token?tenant=1", service, scopes, None))

    query = parse_qs(urlsplit(request.url).query)
    assert query.pop("tenant") == ["1"]
    assert query.pop("scope", []) == [str(scope) for scope in scopes]
    assert query.pop("service", [""]) == [service]
    assert query == {}


@given(st.integers(100, 599), st.binary(max_size=60), st.sampled_from(["", "3", "soon", "-1"]))
def test_every_answer_ends_in_a_token_or_a_typed_error(status: int, body: bytes, patience: str) -> None:
    flow = token_flow("https://auth.example/token", "", [], None)
    next(flow)

    with pytest.raises((StopIteration, LiftlockError)) as end:
        flow.send(Answer(status, Headers([("Retry-After", patience)] if patience else []), body))

    assert not isinstance(end.value, NotFound)


@pytest.mark.parametrize(
    ("said", "lifetime"),
    [("", 60.0), (', "expires_in": 7', 7.0), (', "expires_in": null', 60.0), (', "issued_at": 1', 60.0)],
)
def test_a_token_lives_a_minute_unless_its_answer_says_otherwise(said: str, lifetime: float) -> None:
    flow = token_flow("https://auth.example/token", "", [], None)
    next(flow)

    with pytest.raises(StopIteration) as end:
        flow.send(Answer(200, Headers([]), f'{{"token": "t"{said}}}'.encode()))

    assert end.value.value == (Secret("t"), lifetime)


@given(st.text(min_size=1))
def test_a_secret_shows_itself_only_when_asked(text: str) -> None:
    secret = Secret(text)

    assert secret.reveal() == text
    assert {repr(secret), str(secret), f"{secret}", format(secret, ">3")} == {"***"}
    assert repr(Credential("ci", secret)) == "Credential(username='ci', secret=***, kind='password')"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
