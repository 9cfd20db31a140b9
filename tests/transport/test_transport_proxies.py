"""Proxies: who goes through one, how, and that nobody sees its password."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Mapping

import pytest

from liftlock.errors import ConfigError, TransportError
from liftlock.transport.messages import Request
from liftlock.transport.proxies import Proxies, Proxy
from liftlock.transport.settings import Settings, TlsFiles
from liftlock.transport.urls import split_url
from tests.support.certificates import Authority
from tests.transport.conftest import MakeTransport
from tests.transport.proxy import forward_proxy
from tests.transport.scripted import Peer, forever, scripted

NAME = "registry.example"


def through(proxy: str, **more: object) -> Settings:
    env = {"HTTP_PROXY": proxy, "https_proxy": proxy}
    return Settings.from_environment(env, **more)


def server_context(authority: Authority) -> ssl.SSLContext:
    pair = authority.server("registry.example", also=(NAME,))
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(pair.certificate, pair.key)
    return made


def test_https_goes_through_a_tunnel_that_sees_no_credentials_of_the_registry(
    authority: Authority, make_transport: MakeTransport
) -> None:
    with scripted(forever((200, b"through")), tls=server_context(authority)) as server:
        with forward_proxy({f"{NAME}:443": server.port}, "user:p%ss") as proxy:
            settings = through(f"http://user:p%25ss@{proxy.host}", default_tls=TlsFiles(str(authority.ca)))
            transport = make_transport(settings)
            for _ in range(2):
                response = transport.send(Request("GET", f"https://{NAME}/v2/", {"Authorization": "Bearer secret"}))
                assert response.read(100) == b"through"
            transport.close()

        (tunnel,) = proxy.seen
        assert tunnel.line == f"CONNECT {NAME}:443 HTTP/1.1"
        assert set(tunnel.fields) == {"host", "proxy-authorization"}
        assert tunnel.fields["proxy-authorization"] == "Basic " + base64.b64encode(b"user:p%ss").decode()
        assert [seen.fields.get("proxy-authorization") for seen in server.seen] == [None, None]
        assert server.seen[0].fields["host"] == NAME


def test_http_is_asked_of_the_proxy_in_absolute_form(make_transport: MakeTransport) -> None:
    def end(peer: Peer) -> None:
        peer.request()
        peer.answer(200, b"through")

    with scripted(end) as server, forward_proxy({NAME: server.port}, "user:secret") as proxy:
        transport = make_transport(through(f"user:secret@{proxy.host}"))
        response = transport.send(Request("GET", f"http://{NAME}/v2/?n=1"))
        assert response.read(100) == b"through"

    assert proxy.seen[0].line == f"GET http://{NAME}/v2/?n=1 HTTP/1.1"
    assert proxy.seen[0].fields["host"] == NAME
    assert proxy.seen[0].fields["proxy-authorization"].startswith("Basic ")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_other_credentials_is_named_without_them(scheme: str, make_transport: MakeTransport) -> None:
    with forward_proxy({}, "user:right") as proxy:
        transport = make_transport(through(f"http://user:wrongsecret@{proxy.host}"))
        with pytest.raises(TransportError, match=rf"the proxy {proxy.host} refuses .*{NAME}.*status 407") as caught:
            transport.send(Request("GET", f"{scheme}://{NAME}/v2/"))
        transport.close()
    assert "wrongsecret" not in f"{caught.value}{caught.value.hint}{transport.settings!r}{caught.value.__cause__!r}"
    assert not caught.value.temporary


def test_a_proxy_that_finds_no_way_is_a_temporary_error(make_transport: MakeTransport) -> None:
    with forward_proxy({}) as proxy:
        transport = make_transport(through(proxy.host))
        with pytest.raises(TransportError, match=r"refuses a tunnel to registry\.example:443 \(status 502\)") as caught:
            transport.send(Request("GET", f"https://{NAME}/v2/"))
    assert caught.value.temporary


def test_a_proxy_that_is_not_there_is_blamed_and_not_the_registry(make_transport: MakeTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    transport = make_transport(through(f"127.0.0.1:{port}"))
    with pytest.raises(TransportError, match=f"the proxy 127.0.0.1:{port} cannot be reached") as caught:
        transport.send(Request("GET", f"https://{NAME}/v2/"))
    assert "HTTPS_PROXY" in caught.value.hint


def test_bytes_that_a_proxy_slips_in_before_tls_are_refused(make_transport: MakeTransport) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.say("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")

    with scripted(script) as proxy:
        transport = make_transport(through(proxy.host))
        with pytest.raises(TransportError, match="ahead of the tunnel"):
            transport.send(Request("GET", f"https://{NAME}/v2/"))


@pytest.mark.parametrize(
    ("url", "exceptions", "used"),
    [
        ("https://registry.example/", "", True),
        ("https://registry.example/", "other.example", True),
        ("https://registry.example/", "registry.example", False),
        ("https://registry.example/", "example", False),
        ("https://registry.example/", "ample", True),
        ("https://registry.example/", ".example", False),
        ("https://registry.example/", "*.example", False),
        ("https://example/", ".example", True),
        ("https://registry.example/", " a , REGISTRY.example ", False),
        ("https://registry.example/", "*", False),
        ("https://registry.example/", "registry.example:443", False),
        ("https://registry.example/", "registry.example:5000", True),
        ("https://registry.example:5000/", "registry.example:5000", False),
        ("https://10.1.2.3/", "10.1.0.0/16", False),
        ("https://10.2.2.3/", "10.1.0.0/16", True),
        ("https://10.1.2.3/", "10.1.2.3", False),
        ("https://registry.example/", "10.1.0.0/16,nonsense/99", True),
        ("https://[fd00::1]/", "fd00::/8", False),
        ("https://[fd00::1]:5000/", "[fd00::1]:5000", False),
        ("https://[fd00::1]/", "fd00::1", False),
        ("https://localhost:5000/", "", False),
        ("https://127.0.0.1/", "", False),
        ("https://[::1]/", "", False),
    ],
)
def test_no_proxy(url: str, exceptions: str, used: bool) -> None:
    proxies = Proxies.from_environment({"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": exceptions})

    assert (proxies.choose(split_url(url)[0]) is not None) is used


@pytest.mark.parametrize(
    ("env", "http", "https"),
    [
        ({}, None, None),
        ({"HTTP_PROXY": "a:1"}, "a:1", None),
        ({"HTTPS_PROXY": "http://b"}, None, "b:80"),
        ({"http_proxy": "http://a:1", "HTTP_PROXY": "http://b:2"}, "a:1", None),
        ({"HTTP_PROXY": "http://evil:1", "REQUEST_METHOD": "GET"}, None, None),
        ({"https_proxy": ""}, None, None),
    ],
)
def test_which_variables_count(env: Mapping[str, str], http: str | None, https: str | None) -> None:
    proxies = Proxies.from_environment(env)

    assert [proxy and str(proxy) for proxy in proxies[:2]] == [http, https]


@pytest.mark.parametrize(
    "text", ["socks5://user:secret@a:1", "https://user:secret@a", "http://user:secret@a:port", "http://"]
)
def test_a_proxy_that_cannot_be_used_is_refused_by_the_name_of_its_variable(text: str) -> None:
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as caught:
        Proxies.from_environment({"HTTPS_PROXY": text})
    assert "secret" not in f"{caught.value}{caught.value.hint}"


def test_a_proxys_credentials_show_in_nothing() -> None:
    proxy = Proxy.parse("http://user:secret@a:1", "HTTP_PROXY")

    assert "secret" not in f"{proxy}{proxy!r}{Proxies(proxy)!r}"
    assert "user" not in f"{proxy}{proxy!r}"
