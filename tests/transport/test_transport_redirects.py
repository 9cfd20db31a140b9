"""Redirects: what is followed, what travels along, and where nobody is sent."""

from __future__ import annotations

import _socket
import socket
from collections.abc import Callable

import pytest

from liftlock.errors import TransportError
from liftlock.transport.addresses import Addresses
from liftlock.transport.client import Transport
from liftlock.transport.messages import Request
from liftlock.transport.proxies import Proxies, Proxy
from liftlock.transport.settings import Settings
from liftlock.transport.urls import split_url
from tests.transport.conftest import MakeTransport
from tests.transport.proxy import forward_proxy
from tests.transport.scripted import Peer, forever, scripted

SECRETS = {"Authorization": "Bearer secret", "Cookie": "secret", "Accept": "a/b", "Range": "bytes=5-"}


def redirecting(*locations: str, status: int = 307, found: bool = True) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        for location in locations:
            peer.request()
            peer.answer(status, b"over there", Location=location)
        if found:
            peer.request()
            peer.answer(200, b"found")

    return script


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_redirect_is_followed_to_another_host_without_credentials(
    transport: Transport, status: int, method: str
) -> None:
    with scripted(forever((200, b""))) as storage, scripted(redirecting(f"{storage.url}/b?sig=1", status=status)) as a:
        response = transport.send(Request(method, f"{a.url}/blob", SECRETS))
        response.close()

    assert (response.status, response.url) == (200, f"{storage.url}/b?sig=1")
    there = storage.seen[0]
    assert there.line == f"{method} /b?sig=1 HTTP/1.1"
    assert (there.fields["accept"], there.fields["range"]) == ("a/b", "bytes=5-")
    assert not {"authorization", "cookie"} & set(there.fields)
    assert a.seen[0].fields["authorization"] == "Bearer secret"


def test_a_redirect_on_the_same_host_keeps_credentials_and_connection(transport: Transport) -> None:
    with scripted(redirecting("/b", "c#fragment")) as server:
        response = transport.send(Request("GET", f"{server.url}/x/a", SECRETS))
        assert response.read(10) == b"found"
        assert response.url == f"{server.url}/c"

    assert [seen.target for seen in server.seen] == ["/x/a", "/b", "/c"]
    assert {seen.fields["authorization"] for seen in server.seen} == {"Bearer secret"}
    assert server.connections == 1


def test_credentials_that_were_left_behind_do_not_come_back(transport: Transport) -> None:
    def home(peer: Peer) -> None:
        peer.request()
        peer.answer(307, Location=f"{away.url}/away")
        peer.request()
        peer.answer(200, b"home")

    with scripted(home) as origin, scripted(redirecting(f"{origin.url}/again")) as away:
        response = transport.send(Request("GET", f"{origin.url}/", SECRETS))
        assert response.read(10) == b"home"

    assert "authorization" not in origin.seen[1].fields


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_a_request_that_writes_is_not_redirected(transport: Transport, method: str) -> None:
    with scripted(redirecting("/elsewhere")) as server:
        response = transport.send(Request(method, server.url))
        response.close()

    assert response.status == 307


def test_redirects_can_be_left_to_the_caller(transport: Transport) -> None:
    with scripted(redirecting("/elsewhere")) as server:
        response = transport.send(Request("GET", server.url), redirects=False)
        response.close()

    assert (response.status, response.headers.get("Location")) == (307, "/elsewhere")


def test_a_loop_is_named_and_final(transport: Transport) -> None:
    named = r"a loop: .*/a → .*/b\?token=\*\*\* → .*/a"
    with scripted(redirecting("/b?token=secret", "/a")) as server, pytest.raises(TransportError, match=named) as caught:
        transport.send(Request("GET", f"{server.url}/a"))
    assert not caught.value.temporary


def test_at_most_five_redirects_are_followed(transport: Transport) -> None:
    with scripted(redirecting("/1", "/2", "/3", "/4", "/5")) as server:
        response = transport.send(Request("GET", f"{server.url}/0"))
        assert response.read(10) == b"found"
    too_many = redirecting("/1", "/2", "/3", "/4", "/5", "/6")
    with scripted(too_many) as server, pytest.raises(TransportError, match="more than 5"):
        transport.send(Request("GET", f"{server.url}/0"))


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/", "http://[::1", "http://127.0.0.1:x/", "\x7f"])
def test_a_location_that_is_no_usable_url_is_final(transport: Transport, location: str) -> None:
    with scripted(redirecting(location)) as server, pytest.raises(TransportError) as caught:
        transport.send(Request("GET", server.url))
    assert not caught.value.temporary


@pytest.mark.parametrize(
    "there",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://10.1.2.3/",
        "http://192.168.0.1/",
        "http://172.16.9.9/",
        "http://169.254.169.254/latest/meta-data/",
        "http://metadata.google.internal/",
        "http://100.100.100.200/",
        "http://[::1]:{port}/",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://0x7f000001:{port}/",
        "http://2130706433:{port}/",
        "http://127.1:{port}/",
        "http://0.0.0.0:{port}/",
    ],
)
def test_a_public_host_cannot_redirect_into_our_network(there: str, make_transport: MakeTransport) -> None:
    """The origin is public here because only a proxy knows where it is."""
    with scripted(forever((200, b"secret"))) as inside:
        location = there.format(port=inside.port)
        with (
            scripted(redirecting(location, found=False)) as public,
            forward_proxy({"registry.example": public.port}) as proxy,
        ):
            transport = make_transport(Settings(proxies=Proxies(http=Proxy.parse(proxy.host, "HTTP_PROXY"))))
            with pytest.raises(TransportError, match=r"registry\.example sends us to .*: refused") as caught:
                transport.send(Request("GET", "http://registry.example/blob"))
            transport.close()
        assert inside.connections == 0
        assert [seen.target for seen in proxy.seen] == ["http://registry.example/blob"]
    assert not caught.value.temporary


@pytest.mark.parametrize(
    ("origin", "target", "allowed"),
    [
        ("https://93.184.216.34/", "https://142.250.1.1/", True),
        ("https://93.184.216.34/", "https://10.0.0.1/", False),
        ("https://93.184.216.34/", "https://100.64.0.1/", False),
        ("https://10.0.0.1/", "https://10.0.0.2/", True),
        ("https://10.0.0.1/", "http://127.0.0.1:5000/", True),
        ("http://127.0.0.1:5000/", "https://10.0.0.1/", True),
        ("http://127.0.0.1:5000/", "http://169.254.169.254/", False),
        ("https://10.0.0.1/", "https://142.250.1.1/", True),
        ("http://169.254.1.1:5000/a", "http://169.254.1.1:5000/b", True),
        ("http://10.0.0.1/", "https://10.0.0.1:443/", True),
    ],
)
def test_who_may_point_where(origin: str, target: str, allowed: bool, make_transport: MakeTransport) -> None:
    transport = make_transport()
    if allowed:
        transport.guard(origin, target)
    else:
        with pytest.raises(TransportError, match="refused"):
            transport.guard(origin, target)


def test_a_name_is_judged_by_its_addresses_and_connected_to_just_these(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {b"registry.example": ["93.184.216.34"], b"rebinding.example": ["10.0.0.9", "127.0.0.1"]}

    def look_up(host: bytes, port: int, **options: object) -> list[object]:
        address = answers[host].pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(_socket, "getaddrinfo", look_up)
    addresses = Addresses()
    public, _ = split_url("https://registry.example/")
    inside, _ = split_url("https://rebinding.example/")

    with pytest.raises(TransportError, match="rebinding"):
        addresses.guard(public, inside)
    # The second answer is never asked for: what was judged is what would be connected to.
    assert addresses.find("rebinding.example", 443) == [(socket.AF_INET, ("10.0.0.9", 443))]
