"""The registry of the tests is itself tested: readiness, counting, credentials, TLS, tokens, life and death."""

from __future__ import annotations

import time

import pytest

from tests.conftest import MakeRegistry, MakeTokenServer
from tests.support.certificates import Authority
from tests.support.registry import Registry, Seen
from tests.support.wire import Wire


def test_counts_what_it_answered(registry: Registry, repo: str) -> None:
    registry.forget()
    with registry.wire() as wire:
        wire.request("GET", f"/v2/{repo}/tags/list?n=5")
        wire.request("HEAD", f"/v2/{repo}/manifests/latest")

    seen = registry.requests()

    assert [("GET", f"/v2/{repo}/tags/list", "n=5", 404), ("HEAD", f"/v2/{repo}/manifests/latest", "", 404)] == [
        (one.method, one.path, one.query, one.status) for one in seen
    ]
    assert registry.count("HEAD", "/manifests/") == 1
    registry.forget()
    assert registry.requests() == []


def test_names_locations_as_configured(registry: Registry, make_registry: MakeRegistry, repo: str) -> None:
    absolute = make_registry(relative_urls=False)
    for server, start in ((registry, f"/v2/{repo}/"), (absolute, f"{absolute.url}/v2/{repo}/")):
        with server.wire() as wire:
            answer = wire.request("POST", f"/v2/{repo}/blobs/uploads/")

        assert answer.headers["location"].startswith(start)


def test_asks_for_a_password(make_registry: MakeRegistry) -> None:
    registry = make_registry(user="ann", password="secret")

    with registry.wire() as wire, Wire(registry.host) as stranger:
        assert wire.request("GET", "/v2/").status == 200
        answer = stranger.request("GET", "/v2/")

    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")


def test_speaks_tls(make_registry: MakeRegistry, authority: Authority) -> None:
    registry = make_registry(tls=authority)

    with registry.wire() as wire:
        assert wire.request("GET", "/v2/").status == 200
    with Wire(f"localhost:{registry.port}", ca=authority.ca) as wire:
        assert wire.request("GET", "/v2/").status == 200


def test_asks_for_a_client_certificate(make_registry: MakeRegistry, authority: Authority) -> None:
    registry = make_registry(tls=authority, client_certificates=True)

    with registry.wire() as wire:
        assert wire.request("GET", "/v2/").status == 200
    with Wire(registry.host, ca=authority.ca) as stranger, pytest.raises(OSError, match="certificate"):
        stranger.request("GET", "/v2/")


def test_accepts_the_tokens_of_our_server(
    make_registry: MakeRegistry, make_token_server: MakeTokenServer, repo: str
) -> None:
    tokens = make_token_server(user="ann", password="secret")
    registry = make_registry(token=tokens)

    with registry.wire() as wire:
        assert wire.request("POST", f"/v2/{repo}/blobs/uploads/").status == 202

    (asked,) = tokens.requests()
    assert {f"repository:{repo}:pull,push", f"repository:{repo}:push,pull"} & set(asked.scopes)
    assert asked.status == 200


def test_refuses_a_token_that_is_over_or_for_another_repository(
    make_registry: MakeRegistry, make_token_server: MakeTokenServer
) -> None:
    tokens = make_token_server()
    registry = make_registry(token=tokens)
    good = ("repository:a/b:pull",)

    with registry.wire() as wire:
        answers = [
            wire.once("GET", "/v2/a/b/tags/list", None, {"Authorization": f"Bearer {token}"}).status
            for token in (
                tokens.sign(good),
                tokens.sign(good, expires_in=-1),
                tokens.sign(("repository:a/c:pull",)),
            )
        ]

    assert answers == [404, 401, 401]


def test_a_short_token_ends_when_it_says(make_registry: MakeRegistry, make_token_server: MakeTokenServer) -> None:
    tokens = make_token_server(expires_in=2)
    registry = make_registry(token=tokens)
    token = tokens.sign(("repository:a/b:pull",))
    end = time.monotonic() + 10

    with registry.wire() as wire:
        statuses: list[int] = []
        while not statuses or (statuses[-1] != 401 and time.monotonic() < end):
            statuses.append(wire.once("GET", "/v2/a/b/tags/list", None, {"Authorization": f"Bearer {token}"}).status)

    assert (statuses[0], statuses[-1]) == (404, 401)


def test_the_token_server_can_refuse(make_token_server: MakeTokenServer) -> None:
    tokens = make_token_server(user="ann", password="secret", identity_token="refresh-me")
    tokens.answer_next(429, headers={"Retry-After": "1"})
    form = b"grant_type=refresh_token&refresh_token=refresh-me&service=s&scope=repository%3Aa%2Fb%3Apull"
    with Wire(tokens.host, user="ann", password="secret") as wire, Wire(tokens.host) as stranger:
        answers = [
            wire.request("GET", "/token").status,
            wire.request("GET", "/token?scope=repository:a/b:pull").status,
            stranger.request("GET", "/token").status,
            stranger.request("POST", "/token", form).status,
        ]
        tokens.answer_always(404)
        answers.append(wire.request("GET", "/token").status)

    assert answers == [429, 200, 401, 200, 404]
    assert answers == [request.status for request in tokens.requests()]


def test_survives_kill_with_its_storage(make_registry: MakeRegistry) -> None:
    registry = make_registry()
    port = registry.port
    digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    with registry.wire() as wire:
        location = wire.request("POST", "/v2/a/b/blobs/uploads/").headers["location"]
        wire.request("PUT", f"{location}&digest={digest}", b"{}")
    assert registry.blob_path(digest).read_bytes() == b"{}"

    registry.kill()
    with registry.wire() as wire, pytest.raises(ConnectionRefusedError):
        wire.request("GET", "/v2/")
    registry.start()

    assert port == registry.port
    with registry.wire() as wire:
        assert wire.request("GET", f"/v2/a/b/blobs/{digest}").body == b"{}"
        registry.wipe()
        assert wire.request("GET", f"/v2/a/b/blobs/{digest}").status == 404
    folder = registry.folder
    registry.stop()
    assert not folder.exists()


def test_a_line_of_the_log_reads_well() -> None:
    assert (
        str(Seen("POST", "/v2/a/blobs/uploads/", "mount=x&from=b", 201, 0))
        == "POST /v2/a/blobs/uploads/?mount=x&from=b → 201"
    )
