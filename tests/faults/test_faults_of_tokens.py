"""Credentials in the middle of a copy: tokens that end, token endpoints that fail, redirects that want to have them."""

from __future__ import annotations

import threading

import pytest

from liftlock.errors import AccessDenied, LiftlockError, RegistryError, Throttled, TransportError
from tests.faults.conftest import MakeCopying
from tests.faults.world import BLOB, BY_DIGEST, TAG, UPLOAD, Copying
from tests.support import faults
from tests.support.front import Exchange

pytestmark = pytest.mark.fault

SLOW = pytest.mark.slow
SIDES = ("source", "destination")


class Revoked:
    """From the first request on that it strikes, the token that came with that one is good for nothing any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._token: str | None = None
        self.refused = 0
        self._unauthorized = faults.unauthorized()

    def watch(self, exchange: Exchange) -> None:
        with self._lock:
            revoked = exchange.request.authorization == self._token
            self.refused += revoked
        if revoked:
            self._unauthorized(exchange)
        else:
            exchange.relay(exchange.forward())

    def strike(self, exchange: Exchange) -> None:
        with self._lock:
            self._token = self._token or exchange.request.authorization
        self.watch(exchange)


@pytest.mark.parametrize("kind", ["single", "index", pytest.param("several", marks=SLOW)])
@pytest.mark.parametrize(
    ("side", "method", "pattern"),
    [
        ("source", "GET", BLOB),
        ("destination", "PUT", UPLOAD),
        ("destination", "PUT", TAG),
    ],
    ids=["download", "upload", "tags"],
)
def test_a_token_that_ends_in_the_middle_is_renewed(
    make_copying: MakeCopying, kind: str, side: str, method: str, pattern: str
) -> None:
    copying = make_copying(kind)
    revoked = Revoked()
    copying.front(side).rule(method, pattern, revoked.strike, times=None)
    copying.front(side).rule(None, "", revoked.watch, times=None)

    copying.survives()
    assert revoked.refused


@pytest.mark.parametrize("seconds", [1, 2])
def test_tokens_that_live_for_seconds(make_copying: MakeCopying, seconds: int) -> None:
    copying = make_copying("index")
    before = [side.tokens.expires_in for side in copying.sides]
    try:
        for side in copying.sides:
            side.tokens.expires_in = seconds
        copying.survives()
    finally:
        for side, expires_in in zip(copying.sides, before, strict=True):
            side.tokens.expires_in = expires_in


@pytest.mark.parametrize("side", SIDES)
def test_tokens_that_are_over_when_they_come(make_copying: MakeCopying, side: str) -> None:
    copying = make_copying("single")
    tokens = copying.sides[side == "destination"].tokens
    tokens.valid_for = -60
    try:
        copying.fails(AccessDenied, side, names=[copying.front(side).host, "refuses pull"], again=False)
        assert len(tokens.requests()) < 20
    finally:
        tokens.valid_for = None
    copying.succeeds_again()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("status", "headers"),
    [
        pytest.param(429, {"Retry-After": "0"}, id="429 that says when"),
        pytest.param(500, {}, id="500"),
        pytest.param(429, {}, id="429", marks=SLOW),
        pytest.param(503, {"Retry-After": "0"}, id="503 that says when", marks=SLOW),
        pytest.param(502, {}, id="502", marks=SLOW),
    ],
)
def test_a_token_endpoint_that_fails_for_a_moment(
    make_copying: MakeCopying, side: str, status: int, headers: dict[str, str]
) -> None:
    copying = make_copying("single")
    tokens = copying.sides[side == "destination"].tokens
    tokens.forget()
    tokens.answer_next(status, headers=headers, times=2)

    copying.survives()
    assert [request.status for request in tokens.requests()][:2] == [status, status]


ENDPOINTS: dict[str, tuple[int, bytes, type[LiftlockError]]] = {
    "404": (404, b"404 page not found\n", RegistryError),
    "404 in a registry's words": (404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}', RegistryError),
    "429": (429, b"", Throttled),
    "500": (500, b"oops", RegistryError),
    "401": (401, b"", AccessDenied),
    "403": (403, b"", AccessDenied),
    "200 without a token": (200, b"{}", RegistryError),
    "200 of a portal": (200, b"<html>please sign in</html>", RegistryError),
    "200 with a token that smuggles": (200, b'{"token": "a\\r\\nX-Evil: 1"}', RegistryError),
    "302": (302, b"", RegistryError),
}


BOTH = {"404", "429", "401"}


@pytest.mark.parametrize(
    ("name", "side", "kind"),
    [
        pytest.param(name, side, kind, marks=() if kind == "single" and (side == "source" or name in BOTH) else SLOW)
        for name in ENDPOINTS
        for side in SIDES
        for kind in ("single", "several")
    ],
)
def test_a_token_endpoint_that_fails_for_good(make_copying: MakeCopying, name: str, side: str, kind: str) -> None:
    """Nothing it says ever means that an image is not there (matrixorigin/Astra#722)."""
    copying = make_copying(kind)
    status, body, error = ENDPOINTS[name]
    tokens = copying.sides[side == "destination"].tokens
    tokens.answer_always(status, body=body)

    raised = copying.fails(error, side)
    assert tokens.host in str(raised)


@pytest.mark.parametrize(
    ("pattern", "kinds"),
    [(BLOB, "single"), (TAG, "single"), (BY_DIGEST, "index"), pytest.param("", "several", marks=SLOW)],
    ids=["blobs", "root", "manifests", "all"],
)
def test_redirects_to_another_host_bring_no_credentials(make_copying: MakeCopying, pattern: str, kinds: str) -> None:
    """What arrived there is looked at in every test: see `Copying.run`."""
    copying = make_copying(kinds)
    copying.source.rule("GET", pattern, faults.redirect_elsewhere(), times=None)
    copying.destination.rule("POST", "/blobs/uploads/", faults.upload_elsewhere(), times=None)

    copying.survives()
    assert any(request.elsewhere for request in copying.source.requests())
    assert any(request.elsewhere and request.method == "PUT" for request in copying.destination.requests())


def test_a_storage_that_asks_for_credentials_gets_none(make_copying: MakeCopying) -> None:
    copying = make_copying("single")
    copying.source.rule("GET", BLOB, faults.redirect_elsewhere(), times=None)
    ask = faults.unauthorized(f'Bearer realm="{copying.source.elsewhere_url}/token",service="other"')
    copying.source.rule("GET", "", ask, times=None, elsewhere=True)

    error = copying.fails(TransportError, "source")
    assert "its storage says 401" in str(error)
    assert not [request for request in copying.source.find("GET", "/token") if request.elsewhere]


@pytest.mark.parametrize("side", SIDES)
def test_a_registry_that_suddenly_names_another_token_server(make_copying: MakeCopying, side: str) -> None:
    """It may; but what it gets is what the token protocol sends there, and never the other side's."""
    copying = make_copying("single")
    front = copying.front(side)
    realm = f'Bearer realm="{front.url}/v2/token",service="elsewhere"'
    front.rule("GET", "/v2/token", faults.error(404, "NAME_UNKNOWN"), times=None)
    front.rule(None, TAG, faults.unauthorized(realm), times=None)

    _copy_fails_for_its_token(copying, side)


def _copy_fails_for_its_token(copying: Copying, side: str) -> None:
    error = copying.fails(RegistryError, side)
    assert isinstance(error, RegistryError)
    assert error.status == 404
