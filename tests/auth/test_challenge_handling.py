"""Basic, remembered and misleading challenges, and where credentials never go: against a real registry."""

from __future__ import annotations

import json
import socket

import pytest

from liftlock.auth.authorizer import Authorizer
from liftlock.auth.secret import Credential, Secret
from liftlock.errors import AccessDenied, RefusedError, Throttled, TransportError
from liftlock.transport.carriers import Pipe
from liftlock.transport.client import Transport
from liftlock.transport.messages import Headers, Request, Response
from tests.auth.support import CI, PASSWORD, Keys, ask, pull, push, tags, uploads
from tests.conftest import MakeFront, MakeRegistry, MakeTokenServer
from tests.support import faults, remote
from tests.support.front import Front
from tests.support.registry import Registry


@pytest.fixture
def basic(make_registry: MakeRegistry) -> Registry:
    return make_registry(user="ci", password=PASSWORD)


@pytest.fixture
def front(make_front: MakeFront, basic: Registry) -> Front:
    """A front before a registry that wants Basic."""
    return make_front(basic)


def remembered(transport: Transport, host: str) -> object:
    return transport.memory.get(host, "challenge")


def test_basic_credentials_are_sent_when_asked_for_and_at_once_when_remembered(
    transport: Transport, basic: Registry
) -> None:
    statuses = [ask(Authorizer(transport, Keys(CI)), basic.host, tags("one"), pull("one")) for _ in range(2)]

    assert statuses == [404, 404]
    assert [seen.status for seen in basic.requests()] == [401, 404, 404]


@pytest.mark.parametrize("credential", [None, Credential("ci", Secret("wrong")), CI._replace(kind="identity-token")])
def test_refused_basic_credentials_are_not_sent_again(
    transport: Transport, basic: Registry, credential: Credential | None
) -> None:
    with pytest.raises(AccessDenied) as caught:
        ask(Authorizer(transport, Keys(credential)), basic.host, uploads("one"), push("one"), method="POST")

    who = "without credentials" if credential is None else "as 'ci'"
    assert str(caught.value) == f"{basic.host} refuses pull/push of one, asked {who} (UNAUTHORIZED)"
    assert "wrong" not in f"{caught.value!r} {caught.value.hint}"
    sent = credential is not None and credential.kind == "password"
    assert basic.count(status=401) == (2 if sent else 1)


def test_credentials_do_not_follow_a_redirect_to_another_host(
    transport: Transport, basic: Registry, front: Front
) -> None:
    digest = remote.put_blob(basic, "one", b"content")
    front.rule("GET", "/blobs/", faults.redirect_elsewhere(), nth=2)

    assert ask(Authorizer(transport, Keys(CI)), front.host, f"/v2/one/blobs/{digest}", pull("one")) == 200

    there = [request for request in front.requests() if request.elsewhere]
    assert [request.authorization for request in there] == [None]


def test_credentials_do_not_go_to_an_upload_location_on_another_host(transport: Transport, front: Front) -> None:
    front.rule("POST", "/uploads/", faults.upload_elsewhere(), times=None)
    authorizer = Authorizer(transport, Keys(CI))
    ask(authorizer, front.host, tags("one"), push("one"))
    opened = authorizer.send(front.host, Request("POST", front.url + uploads("one"), body=b""), push("one"))
    opened.close()

    ask(authorizer, front.host, opened.headers.get("Location"), push("one"))

    there = [request for request in front.requests() if request.elsewhere]
    assert len(there) == 1
    assert there[0].authorization is None


def test_a_challenge_of_a_redirects_target_gets_no_credentials(
    transport: Transport, front: Front, make_token_server: MakeTokenServer
) -> None:
    thief = make_token_server()
    front.rule("GET", "/blobs/", faults.redirect_elsewhere(), times=None)
    front.rule("GET", "/blobs/", faults.unauthorized(f'Bearer realm="{thief.realm}"'), times=None, elsewhere=True)

    assert ask(Authorizer(transport, Keys(CI)), front.host, "/v2/one/blobs/x", pull("one")) == 401

    assert thief.requests() == []
    assert {request.authorization for request in front.requests()} == {None}


def test_a_refusal_without_a_challenge_is_answered_with_that_of_v2(transport: Transport, front: Front) -> None:
    front.rule("GET", "/tags/", faults.set_header("WWW-Authenticate", None))

    assert ask(Authorizer(transport, Keys(CI)), front.host, tags("one"), pull("one")) == 404

    assert [(request.path, request.status) for request in front.requests()] == [
        (tags("one"), 401),
        ("/v2/", 401),
        (tags("one"), 404),
    ]


def test_a_registry_that_hides_from_strangers_is_told_who_asks(transport: Transport, front: Front) -> None:
    front.rule("GET", "/tags/", faults.error(403, "DENIED"))

    assert ask(Authorizer(transport, Keys(CI)), front.host, tags("one"), pull("one")) == 404

    assert [request.status for request in front.requests()] == [403, 401, 404]


def test_credentials_that_do_not_fit_leave_the_answer_as_it_is(transport: Transport, front: Front) -> None:
    front.rule("GET", "/tags/", faults.error(403, "DENIED"), times=None)
    authorizer = Authorizer(transport, Keys(CI._replace(kind="identity-token")))

    assert [ask(authorizer, front.host, tags("one"), pull("one")) for _ in range(2)] == [403, 403]

    assert front.count("GET", "^/v2/$") == 1


def test_an_open_registry_is_asked_for_its_challenge_once_at_most(
    transport: Transport, registry: Registry, make_front: MakeFront
) -> None:
    front = make_front(registry)
    authorizer = Authorizer(transport, Keys(CI))

    assert [ask(authorizer, front.host, tags("none"), pull("none")) for _ in range(3)] == [404] * 3

    assert front.count("GET", "^/v2/$") == 1
    assert {request.authorization for request in front.requests()} == {None}
    assert remembered(transport, front.host) is None


def test_without_credentials_nothing_is_asked_twice(
    transport: Transport, registry: Registry, make_front: MakeFront
) -> None:
    front = make_front(registry)

    ask(Authorizer(transport, Keys()), front.host, tags("none"), pull("none"))

    assert len(front.requests()) == 1


def test_a_throttled_ping_is_not_taken_for_a_refusal(transport: Transport, front: Front) -> None:
    front.rule("GET", "/tags/", faults.set_header("WWW-Authenticate", None))
    front.rule("GET", "^/v2/$", faults.error(429, "TOOMANYREQUESTS", retry_after="3"))

    with pytest.raises(Throttled) as caught:
        ask(Authorizer(transport, Keys(CI)), front.host, tags("one"), pull("one"))

    assert caught.value.retry_after == 3.0


def test_a_denial_of_a_known_user_is_the_callers_affair(transport: Transport, front: Front) -> None:
    front.rule("GET", "/tags/", faults.error(403, "DENIED"), nth=2)

    assert ask(Authorizer(transport, Keys(CI)), front.host, tags("one"), pull("one")) == 403

    assert len(front.requests()) == 2


@pytest.mark.parametrize(
    "challenge",
    ['Negotiate, Basic realm="x"', 'Digest realm="x", nonce="y", BASIC realm="z"', 'Bearer, Basic realm="x"'],
)
def test_a_known_challenge_is_taken_among_others(transport: Transport, front: Front, challenge: str) -> None:
    front.rule("GET", "/tags/", faults.unauthorized(challenge))

    assert ask(Authorizer(transport, Keys(CI)), front.host, tags("one"), pull("one")) == 404


def test_only_unknown_challenges_end_in_a_clear_refusal(transport: Transport, front: Front) -> None:
    front.rule("GET", "", faults.unauthorized("Negotiate"), times=None)

    with pytest.raises(AccessDenied, match="refuses pull of one"):
        ask(Authorizer(transport, Keys(CI)), front.host, tags("one"), pull("one"))


def test_a_registry_that_asks_for_something_else_every_time_is_given_up(
    transport: Transport, front: Front, make_token_server: MakeTokenServer
) -> None:
    bearer = f'Bearer realm="{make_token_server(identity_token=PASSWORD).realm}"'
    for nth in range(1, 20):
        front.rule("GET", "/tags/", faults.unauthorized("Basic" if nth % 2 else bearer), nth=nth)
    authorizer = Authorizer(transport, Keys(CI._replace(kind="identity-token")))

    for _ in range(2):
        with pytest.raises(AccessDenied):
            ask(authorizer, front.host, tags("one"), pull("one"))

    assert front.count("GET", "/tags/") <= 4


# --- remembered challenges that are wrong -----------------------------------------------------------------------------


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_remembered_realm_that_is_gone_is_replaced_by_the_registrys_word(
    transport: Transport, basic: Registry
) -> None:
    gone = {"scheme": "bearer", "realm": f"http://127.0.0.1:{closed_port()}/token", "service": ""}
    transport.memory.put(basic.host, "challenge", gone)

    assert ask(Authorizer(transport, Keys(CI)), basic.host, tags("one"), pull("one")) == 404

    assert remembered(transport, basic.host) == {"scheme": "basic", "realm": "", "service": ""}


def test_remembered_basic_gives_way_to_bearer(
    transport: Transport, make_registry: MakeRegistry, make_token_server: MakeTokenServer
) -> None:
    tokens = make_token_server(user="ci", password=PASSWORD)
    guarded = make_registry(token=tokens)
    transport.memory.put(guarded.host, "challenge", {"scheme": "basic", "realm": "", "service": ""})

    assert ask(Authorizer(transport, Keys(CI)), guarded.host, tags("one"), pull("one")) == 404

    assert remembered(transport, guarded.host) == {
        "scheme": "bearer",
        "realm": tokens.realm,
        "service": "liftlock-test-registry",
    }


def test_a_remembered_realm_of_a_registry_that_became_open_is_forgotten(
    transport: Transport, registry: Registry
) -> None:
    realm = f"http://127.0.0.1:{closed_port()}/token"
    transport.memory.put(registry.host, "challenge", {"scheme": "bearer", "realm": realm, "service": ""})

    assert ask(Authorizer(transport, Keys()), registry.host, tags("none"), pull("none")) == 404

    assert remembered(transport, registry.host) is None


@pytest.mark.parametrize(
    "fact", ["basic", 7, {}, {"scheme": "bearer"}, {"scheme": "bearer", "realm": 1, "service": ""}]
)
def test_a_remembered_challenge_that_makes_no_sense_is_none(
    transport: Transport, basic: Registry, fact: str | int | dict[str, object]
) -> None:
    transport.memory.put(basic.host, "challenge", fact)

    assert ask(Authorizer(transport, Keys(CI)), basic.host, tags("one"), pull("one")) == 404


# --- realms -----------------------------------------------------------------------------------------------------------


class Canned(Transport):
    """A public registry that nobody has to reach: it challenges with one realm, and records every other request."""

    def __init__(self, realm: str) -> None:
        super().__init__()
        self.realm = realm
        self.asked: list[str] = []

    def send(self, request: Request, *, redirects: bool = True) -> Response:
        if request.url.startswith("https://8.8.8.8/"):
            return CannedAnswer(401, Headers([("WWW-Authenticate", f'Bearer realm="{self.realm}"')]), request.url)
        self.asked.append(request.url)
        return CannedAnswer(200, Headers([]), request.url, json.dumps({"token": "t"}).encode())


class CannedAnswer:
    pourable = False

    def __init__(self, status: int, headers: Headers, url: str, body: bytes = b"") -> None:
        self.status = status
        self.headers = headers
        self.url = url
        self.body = body

    def readinto(self, buffer: memoryview, /) -> int:
        raise NotImplementedError

    def pour(self, pipe: Pipe, limit: int, /) -> int:
        raise NotImplementedError

    def read(self, limit: int) -> bytes:
        return self.body

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("realm", "error"),
    [
        ("http://1.1.1.1/token", RefusedError),
        ("ftp://1.1.1.1/token", RefusedError),
        ("https://registry.example:5002:5002/v2/token", RefusedError),
        ("https://169.254.169.254/latest/api/token", TransportError),
        ("https://127.0.0.1/token", TransportError),
        ("https://10.0.0.7/token", TransportError),
        ("https://[::1]/token", TransportError),
        ("https://metadata.google.internal/token", TransportError),
    ],
)
def test_a_public_registry_cannot_send_credentials_where_they_must_not_go(realm: str, error: type[Exception]) -> None:
    transport = Canned(realm)

    with pytest.raises(error):
        ask(Authorizer(transport, Keys(CI)), "8.8.8.8", tags("one"), pull("one"))

    assert transport.asked == []


def test_a_realm_on_another_public_host_is_fine() -> None:
    transport = Canned("https://1.1.1.1/token")

    with pytest.raises(AccessDenied):  # the registry goes on refusing
        ask(Authorizer(transport, Keys(CI)), "8.8.8.8", tags("one"), pull("one"))

    assert {url.partition("?")[0] for url in transport.asked} == {"https://1.1.1.1/token"}
