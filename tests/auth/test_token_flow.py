"""Bearer against Debian's docker-registry and a token server that counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

import pytest

from liftlock.auth.authorizer import Authorizer
from liftlock.auth.secret import Credential, Secret
from liftlock.errors import AccessDenied, LiftlockError, NotFound, RegistryError, Throttled
from liftlock.transport.client import Transport
from tests.auth.support import CI, PASSWORD, Clock, Keys, ask, pull, push, tags, uploads
from tests.conftest import MakeRegistry, MakeTokenServer
from tests.support import remote
from tests.support.registry import Registry
from tests.support.tokens import TokenServer


class Trouble(NamedTuple):
    status: int
    headers: Mapping[str, str]
    kind: type[LiftlockError]
    temporary: bool


@pytest.fixture
def tokens(make_token_server: MakeTokenServer) -> TokenServer:
    return make_token_server(user="ci", password=PASSWORD)


@pytest.fixture
def guarded(make_registry: MakeRegistry, tokens: TokenServer) -> Registry:
    """A registry that wants the tokens of `tokens`."""
    return make_registry(token=tokens)


def test_one_token_serves_every_scope_of_an_operation(
    transport: Transport, guarded: Registry, tokens: TokenServer
) -> None:
    authorizer = Authorizer(transport, Keys(CI))
    for scope in (pull("one"), pull("two"), push("three")):
        authorizer.want(guarded.host, scope)

    statuses = [
        ask(authorizer, guarded.host, tags("one"), pull("one")),
        ask(authorizer, guarded.host, tags("two"), pull("two")),
        ask(authorizer, guarded.host, uploads("three"), push("three"), method="POST"),
        ask(authorizer, guarded.host, tags("three"), pull("three")),
    ]

    assert statuses == [404, 404, 202, 404]
    assert [request.scopes for request in tokens.requests()] == [
        ("repository:three:pull,push", "repository:one:pull", "repository:two:pull")
    ]
    assert guarded.count(status=401) == 1


def test_a_remembered_challenge_needs_no_refusal(transport: Transport, guarded: Registry, tokens: TokenServer) -> None:
    ask(Authorizer(transport, Keys(CI)), guarded.host, tags("one"), pull("one"))
    guarded.forget()
    tokens.forget()

    assert ask(Authorizer(transport, Keys(CI)), guarded.host, tags("one"), pull("one")) == 404

    assert [seen.status for seen in guarded.requests()] == [404]
    assert len(tokens.requests()) == 1


def test_a_scope_that_comes_late_gets_a_token_for_all_so_far(
    transport: Transport, guarded: Registry, tokens: TokenServer
) -> None:
    authorizer = Authorizer(transport, Keys(CI))
    ask(authorizer, guarded.host, tags("one"), pull("one"))
    ask(authorizer, guarded.host, uploads("two"), push("two"), method="POST")
    ask(authorizer, guarded.host, tags("one"), pull("one"))

    assert [request.scopes for request in tokens.requests()] == [
        ("repository:one:pull",),
        ("repository:two:pull,push", "repository:one:pull"),
    ]
    assert guarded.count(status=401) == 1


def test_a_token_is_replaced_before_it_ends_also_between_post_and_put(
    transport: Transport, guarded: Registry, tokens: TokenServer
) -> None:
    clock = Clock()
    authorizer = Authorizer(transport, Keys(CI), clock=clock)
    ask(authorizer, guarded.host, uploads("one"), push("one"), method="POST")
    clock.now += 269
    ask(authorizer, guarded.host, tags("one"), push("one"))
    before = len(tokens.requests())
    clock.now += 2

    ask(authorizer, guarded.host, tags("one"), push("one"))

    assert (before, len(tokens.requests())) == (1, 2)
    assert guarded.count(status=401) == 1


def test_a_token_that_is_over_too_early_is_replaced_after_the_refusal(
    transport: Transport, guarded: Registry, tokens: TokenServer
) -> None:
    authorizer = Authorizer(transport, Keys(CI))
    authorizer.want(guarded.host, pull("two"))
    over = tokens.sign(("repository:one:pull", "repository:two:pull"), expires_in=-5)
    tokens.answer_next(200, body=json.dumps({"token": over, "expires_in": 300}).encode())

    assert ask(authorizer, guarded.host, tags("one"), pull("one")) == 404
    assert ask(authorizer, guarded.host, tags("two"), pull("two")) == 404

    # For everything again: it was over, not too small.
    assert [request.scopes for request in tokens.requests()] == [("repository:one:pull", "repository:two:pull")] * 2


def test_a_registry_that_goes_on_refusing_is_reported_with_who_asked_for_what(
    transport: Transport, guarded: Registry, tokens: TokenServer
) -> None:
    for _ in range(3):
        tokens.answer_next(200, body=json.dumps({"token": tokens.sign(())}).encode())

    with pytest.raises(AccessDenied) as caught:
        ask(Authorizer(transport, Keys(CI)), guarded.host, uploads("one"), push("one"), method="POST")

    assert str(caught.value) == f"{guarded.host} refuses pull/push of one, asked as 'ci' (UNAUTHORIZED)"
    assert f"liftlock login {guarded.host}" in caught.value.hint
    # A stranger, a first token, a fresh one.
    assert (guarded.count(status=401), len(tokens.requests())) == (3, 2)


@pytest.mark.parametrize("remembered", [False, True])
def test_a_wrong_password_is_tried_once_and_never_shown(
    transport: Transport, guarded: Registry, tokens: TokenServer, remembered: bool
) -> None:
    if remembered:
        ask(Authorizer(transport, Keys(CI)), guarded.host, tags("one"), pull("one"))
        tokens.forget()
    authorizer = Authorizer(transport, Keys(Credential("ci", Secret("battery staple"))))

    for _ in range(3):
        with pytest.raises(AccessDenied) as caught:
            ask(authorizer, guarded.host, tags("one"), pull("one"))
        assert "'ci'" in str(caught.value)
        assert guarded.host in str(caught.value)
        assert "battery" not in f"{caught.value!r} {caught.value.hint}"

    assert [request.status for request in tokens.requests()] == [401]


def test_without_credentials_the_token_is_asked_for_anonymously(
    transport: Transport, make_registry: MakeRegistry, make_token_server: MakeTokenServer
) -> None:
    tokens = make_token_server(token_field="access_token")
    guarded = make_registry(token=tokens)

    assert ask(Authorizer(transport, Keys()), guarded.host, tags("one"), pull("one")) == 404

    (request,) = tokens.requests()
    assert (request.method, request.authorization, request.service) == ("GET", None, "liftlock-test-registry")


def test_refused_anonymous_access_hints_at_the_login(transport: Transport, guarded: Registry) -> None:
    with pytest.raises(AccessDenied) as caught:
        ask(Authorizer(transport, Keys()), guarded.host, tags("one"), pull("one"))

    assert "anonymous access" in str(caught.value)
    assert caught.value.hint == f"liftlock login {guarded.host}"


def test_an_identity_token_is_exchanged_by_post(
    transport: Transport, make_registry: MakeRegistry, make_token_server: MakeTokenServer
) -> None:
    tokens = make_token_server(user="ci", password=PASSWORD, identity_token="refresh me")
    guarded = make_registry(token=tokens)
    credential = Credential("<token>", Secret("refresh me"), "identity-token")

    assert ask(Authorizer(transport, Keys(credential)), guarded.host, tags("one"), pull("one")) == 404

    (request,) = tokens.requests()
    assert (request.method, request.form["grant_type"], request.scopes) == (
        "POST",
        "refresh_token",
        ("repository:one:pull",),
    )


def test_an_identity_token_goes_by_get_where_there_is_no_oauth2(
    transport: Transport, make_registry: MakeRegistry, make_token_server: MakeTokenServer
) -> None:
    tokens = make_token_server(user="ci", password=PASSWORD, oauth2=False)
    guarded = make_registry(token=tokens)

    credential = CI._replace(kind="identity-token")
    assert ask(Authorizer(transport, Keys(credential)), guarded.host, tags("one"), pull("one")) == 404

    assert [(request.method, request.status) for request in tokens.requests()] == [("POST", 404), ("GET", 200)]


def test_a_registry_token_is_sent_as_it_is(transport: Transport, guarded: Registry, tokens: TokenServer) -> None:
    ready = Credential("", Secret(tokens.sign(("repository:one:pull",))), "bearer")

    assert ask(Authorizer(transport, Keys(ready)), guarded.host, tags("one"), pull("one")) == 404

    assert tokens.requests() == []


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble(404, {}, RegistryError, False),
        Trouble(429, {"Retry-After": "7"}, Throttled, True),
        Trouble(429, {}, Throttled, True),
        Trouble(503, {"Retry-After": "7"}, Throttled, True),
        Trouble(500, {}, RegistryError, True),
        Trouble(502, {}, RegistryError, True),
        Trouble(400, {}, RegistryError, False),
    ],
)
def test_trouble_at_the_token_endpoint_is_never_absence(
    transport: Transport, guarded: Registry, tokens: TokenServer, trouble: Trouble
) -> None:
    status, headers, kind, temporary = trouble
    tokens.answer_always(status, headers=headers, body=b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')

    with pytest.raises(LiftlockError) as caught:
        ask(Authorizer(transport, Keys(CI)), guarded.host, tags("one"), pull("one"))

    assert type(caught.value) is kind
    assert not isinstance(caught.value, NotFound)
    assert caught.value.temporary is temporary
    assert tokens.realm in str(caught.value)
    if isinstance(caught.value, Throttled):
        assert caught.value.retry_after == (7.0 if headers else None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"token": 7}', b'{"token": "a b"}', b"[" * 90000])
def test_an_answer_without_a_token_is_an_error(
    transport: Transport, guarded: Registry, tokens: TokenServer, body: bytes
) -> None:
    tokens.answer_always(200, body=body)

    with pytest.raises(RegistryError, match="without a token"):
        ask(Authorizer(transport, Keys(CI)), guarded.host, tags("one"), pull("one"))


def test_a_token_server_that_refuses_the_union_is_asked_for_each_scope_alone(
    transport: Transport, guarded: Registry, tokens: TokenServer
) -> None:
    authorizer = Authorizer(transport, Keys(CI))
    authorizer.want(guarded.host, push("one"))
    authorizer.want(guarded.host, pull("two"))
    tokens.answer_next(403)

    ask(authorizer, guarded.host, uploads("one"), push("one"), method="POST")
    ask(authorizer, guarded.host, tags("two"), pull("two"))
    ask(authorizer, guarded.host, tags("one"), push("one"))

    assert [(request.scopes, request.status) for request in tokens.requests()] == [
        (("repository:one:pull,push", "repository:two:pull"), 403),
        (("repository:one:pull,push",), 200),
        (("repository:two:pull",), 200),
    ]


def test_a_token_server_that_reads_only_the_first_scope_is_asked_for_each_alone(
    transport: Transport, guarded: Registry, tokens: TokenServer
) -> None:
    authorizer = Authorizer(transport, Keys(CI))
    authorizer.want(guarded.host, push("one"))
    authorizer.want(guarded.host, pull("two"))
    first_only = tokens.sign(("repository:one:pull,push",))
    tokens.answer_next(200, body=json.dumps({"token": first_only, "expires_in": 300}).encode())

    # A stranger's refusal and the small token's: the second is no reason to give up.
    assert ask(authorizer, guarded.host, tags("two"), pull("two")) == 404
    assert guarded.count(status=401) == 2
    guarded.forget()
    ask(authorizer, guarded.host, uploads("one"), push("one"), method="POST")
    ask(authorizer, guarded.host, tags("two"), pull("two"))

    assert guarded.count(status=401) == 0
    assert [request.scopes for request in tokens.requests()] == [
        ("repository:one:pull,push", "repository:two:pull"),
        ("repository:two:pull",),
        ("repository:one:pull,push",),
    ]


def test_a_mount_gets_a_token_for_both_repositories_even_when_only_one_was_declared(
    transport: Transport, guarded: Registry, tokens: TokenServer
) -> None:
    digest = remote.put_blob(guarded, "source", b"a layer")
    tokens.forget()
    authorizer = Authorizer(transport, Keys(CI))
    mount = uploads("target", f"?mount={digest}&from=source")

    assert ask(authorizer, guarded.host, mount, push("target"), method="POST") == 201

    assert [set(request.scopes) for request in tokens.requests()] == [
        {"repository:target:pull,push", "repository:source:pull"}
    ]


def test_repositories_with_different_credentials_never_share_a_token(
    transport: Transport, guarded: Registry, tokens: TokenServer
) -> None:
    stranger = Credential("mallory", Secret("x"))
    authorizer = Authorizer(transport, Keys(CI, {"theirs": stranger}))
    for name in ("ours", "theirs", "also-ours"):
        authorizer.want(guarded.host, pull(name))

    assert ask(authorizer, guarded.host, tags("ours"), pull("ours")) == 404
    with pytest.raises(AccessDenied, match="mallory"):
        ask(authorizer, guarded.host, tags("theirs"), pull("theirs"))

    assert [request.scopes for request in tokens.requests()] == [
        ("repository:ours:pull", "repository:also-ours:pull"),
        ("repository:theirs:pull",),
    ]


def test_many_repositories_are_spread_over_tokens_that_fit_into_a_header(
    transport: Transport, guarded: Registry, tokens: TokenServer
) -> None:
    authorizer = Authorizer(transport, Keys(CI))
    names = [f"team/repository-{number}" for number in range(100)]
    for name in names:
        authorizer.want(guarded.host, push(name))

    assert {ask(authorizer, guarded.host, tags(name), pull(name)) for name in names} == {404}

    assert [len(request.scopes) for request in tokens.requests()] == [40, 40, 20]
