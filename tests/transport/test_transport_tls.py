"""TLS against real servers, with an authority of the test's own."""

from __future__ import annotations

import _socket
import os
import shutil
import ssl
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import liftlock
from liftlock.errors import ConfigError, TransportError
from liftlock.transport.client import Transport
from liftlock.transport.memory import HostMemory
from liftlock.transport.messages import Request, Stream
from liftlock.transport.settings import Settings, TlsFiles
from tests.conftest import MakeRegistry
from tests.support.certificates import Authority
from tests.transport.conftest import MakeTransport
from tests.transport.scripted import Peer, forever, scripted


def context(authority: Authority, *, clients: bool = False) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.server()
    made.load_cert_chain(pair.certificate, pair.key)
    if clients:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(authority.ca)
    return made


def trusting(authority: Authority, **more: str) -> Settings:
    return Settings(default_tls=TlsFiles(str(authority.ca), **more), read_timeout=10)


def get(transport: Transport, url: str) -> bytes:
    response = transport.send(Request("GET", url))
    try:
        return response.read(1 << 25)
    finally:
        response.close()


def test_a_server_of_an_own_authority_is_reached_with_its_ca_file(
    authority: Authority, make_transport: MakeTransport
) -> None:
    transport = make_transport(trusting(authority))
    data = os.urandom(3_000_000)
    with scripted(forever((200, data)), tls=context(authority)) as server:
        assert get(transport, server.url) == data
        assert get(transport, server.url) == data
        assert server.connections == 1


def test_without_it_the_certificate_is_refused_with_a_hint(authority: Authority, make_transport: MakeTransport) -> None:
    transport = make_transport()
    refusal = pytest.raises(TransportError, match="certificate is not accepted")
    with scripted(forever((200, b"")), tls=context(authority)) as server, refusal as caught:
        get(transport, server.url)
    assert "--ca-file" in caught.value.hint
    assert not caught.value.temporary


def test_a_certificate_for_another_name_is_refused(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, make_transport: MakeTransport
) -> None:
    real = _socket.getaddrinfo
    monkeypatch.setattr(_socket, "getaddrinfo", lambda host, port, **more: real("127.0.0.1", port, **more))
    transport = make_transport(trusting(authority))
    refusal = pytest.raises(TransportError, match=r"certificate is not accepted.*registry\.example")
    with scripted(forever((200, b"")), tls=context(authority)) as server, refusal as caught:
        get(transport, f"https://registry.example:{server.port}/")
    assert not caught.value.temporary


def test_old_protocols_are_refused(authority: Authority, make_transport: MakeTransport) -> None:
    old = context(authority)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.minimum_version = ssl.TLSVersion.TLSv1_1
    transport = make_transport(trusting(authority))
    with scripted(forever((200, b"")), tls=old) as server, pytest.raises(TransportError, match="TLS"):
        get(transport, server.url)


def test_a_client_certificate_is_shown_where_it_is_asked_for(
    authority: Authority, make_transport: MakeTransport
) -> None:
    pair = authority.client()
    with_it = make_transport(trusting(authority, client_cert=str(pair.certificate), client_key=str(pair.key)))
    without = make_transport(trusting(authority))
    scripts = [forever((200, b"welcome"))] * 3
    with scripted(*scripts, tls=context(authority, clients=True)) as server:
        assert get(with_it, server.url) == b"welcome"
        with pytest.raises(TransportError, match=r"TLS failed: .*certificate required") as caught:
            get(without, server.url)
    assert "client certificate" in caught.value.hint
    assert not caught.value.temporary


def test_files_are_found_in_certs_d_by_host_and_port(
    authority: Authority, tmp_path: Path, make_transport: MakeTransport
) -> None:
    pair = authority.client()
    with scripted(forever((200, b"welcome")), tls=context(authority, clients=True)) as server:
        folder = tmp_path / ".config" / "containers" / "certs.d" / server.host
        folder.mkdir(parents=True)
        shutil.copy(authority.ca, folder / "ca.crt")
        shutil.copy(pair.certificate, folder / "client.cert")
        shutil.copy(pair.key, folder / "client.key")
        transport = make_transport(Settings.from_environment({"HOME": str(tmp_path)}))
        assert transport.base_url(server.host) == f"https://{server.host}"
        assert transport.base_url("127.0.0.1:1") == "http://127.0.0.1:1"
        assert get(transport, f"https://{server.host}/") == b"welcome"


@pytest.mark.parametrize(
    "files",
    [
        TlsFiles("/nowhere/ca.pem"),
        TlsFiles(__file__),
        TlsFiles("", "/nowhere/client.pem"),
        TlsFiles("", __file__, __file__),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    authority: Authority, files: TlsFiles, make_transport: MakeTransport
) -> None:
    transport = make_transport(Settings(default_tls=files))
    with scripted(forever((200, b"")), tls=context(authority)) as server, pytest.raises(ConfigError) as caught:
        get(transport, server.url)
    assert caught.value.path == next(filter(None, files))


def test_large_bodies_go_both_ways_at_once(authority: Authority, make_transport: MakeTransport) -> None:
    transport = make_transport(trusting(authority))
    data = os.urandom(5_000_000)
    with (
        scripted(forever((200, data)), tls=context(authority)) as source,
        scripted(forever((201, b"")), tls=context(authority)) as destination,
    ):
        request = Request("GET", source.url)
        body = lambda: Stream(len(data), transport.send(request))  # noqa: E731 - short
        transport.send(Request("PUT", destination.url, {}, body)).close()
        assert destination.seen[0].body == data


@pytest.mark.parametrize("end", ["close", "silent"])
def test_an_early_error_answer_is_reported(authority: Authority, end: str, make_transport: MakeTransport) -> None:
    import threading

    over = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.answer(413, b"too large")
        if end == "silent":
            over.wait(20)

    transport = make_transport(trusting(authority))
    with scripted(script, tls=context(authority)) as server:

        class Zeros:
            def readinto(self, buffer: memoryview, /) -> int:
                return len(buffer)

            def close(self) -> None:
                pass

        response = transport.send(Request("PUT", server.url, {}, lambda: Stream(1 << 27, Zeros())))
        assert response.status == 413
        response.close()
        over.set()


def test_a_connection_closed_while_idle_is_replaced(authority: Authority, make_transport: MakeTransport) -> None:
    def one(peer: Peer) -> None:
        peer.request()
        peer.answer(200, b"first")

    transport = make_transport(trusting(authority))
    with scripted(one, forever((200, b"second")), tls=context(authority)) as server:
        assert get(transport, server.url) == b"first"
        assert get(transport, server.url) == b"second"


def test_a_body_that_only_the_end_delimits_must_end_with_tls(
    authority: Authority, make_transport: MakeTransport
) -> None:
    """A cut by somebody in between looks like an end; only TLS's own end is one."""

    def honest(peer: Peer) -> None:
        peer.request()
        peer.say("HTTP/1.1 200 OK\r\n\r\nwhole")
        assert isinstance(peer.sock, ssl.SSLSocket)
        peer.sock.unwrap()

    def cut(peer: Peer) -> None:
        peer.request()
        peer.say("HTTP/1.1 200 OK\r\n\r\nhal")

    transport = make_transport(trusting(authority))
    with scripted(honest, cut, tls=context(authority)) as server:
        assert get(transport, server.url) == b"whole"
        with pytest.raises(TransportError, match="cut"):
            get(transport, server.url)


def test_all_that_came_before_a_cut_is_given_out(authority: Authority, make_transport: MakeTransport) -> None:
    """A download is resumed from there."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", bytes(50_000))

    transport = make_transport(trusting(authority))
    received: list[int] = []

    def read_on() -> None:
        while count := response.readinto(memoryview(bytearray(1 << 20))):
            received.append(count)

    with scripted(script, tls=context(authority)) as server:
        response = transport.send(Request("GET", server.url))
        with pytest.raises(TransportError, match="cut"):
            read_on()
    assert sum(received) == 50_000


def test_tls_on_a_plain_port_says_so_with_a_hint(make_transport: MakeTransport) -> None:
    def script(peer: Peer) -> None:
        peer.sock.recv(1000)
        peer.say("HTTP/1.0 400 Bad Request\r\n\r\nnot TLS")

    transport = make_transport()
    with scripted(script) as server, pytest.raises(TransportError, match="does not speak TLS") as caught:
        get(transport, f"https://{server.host}/")
    assert "--plain-http" in caught.value.hint
    assert not caught.value.temporary


# --- hosts on loopback ------------------------------------------------------------------------------------------------


def test_a_loopback_registry_that_wants_tls_is_found_out_once(
    make_registry: MakeRegistry, authority: Authority, tmp_path: Path, make_transport: MakeTransport
) -> None:
    registry = make_registry(tls=authority)
    memory = HostMemory(str(tmp_path / "hosts.json"))
    transport = make_transport(trusting(authority), memory=memory)
    assert transport.base_url(registry.host) == f"http://{registry.host}"

    response = transport.send(Request("GET", f"http://{registry.host}/v2/"))
    response.close()

    assert (response.status, response.url) == (200, f"https://{registry.host}/v2/")
    assert transport.base_url(registry.host) == f"https://{registry.host}"
    assert transport.traffic.by_host()[registry.host].requests == 2
    later = make_transport(trusting(authority), memory=HostMemory(str(tmp_path / "hosts.json")))
    response = later.send(Request("GET", f"{later.base_url(registry.host)}/v2/"))
    response.close()
    assert later.traffic.by_host()[registry.host].requests == 1


def test_a_loopback_host_that_no_longer_speaks_tls_is_found_out_too(make_transport: MakeTransport) -> None:
    memory = HostMemory()

    def tls_no_more(peer: Peer) -> None:
        peer.sock.recv(1000)
        peer.say("HTTP/1.0 400 Bad Request\r\n\r\nnot TLS")

    with scripted(tls_no_more, forever((200, b"plain"))) as server:
        memory.put(server.host, "scheme", "https")
        transport = make_transport(memory=memory)
        assert get(transport, f"{transport.base_url(server.host)}/") == b"plain"
        assert transport.base_url(server.host) == f"http://{server.host}"


def test_a_400_of_a_registry_is_an_answer(make_transport: MakeTransport) -> None:
    transport = make_transport()
    with scripted(forever((400, b"bad digest"))) as server:
        assert get(transport, server.url) == b"bad digest"
        assert transport.base_url(server.host) == server.url


@pytest.mark.parametrize(
    ("registry", "url"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("ghcr.io", "https://ghcr.io"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("127.8.9.10:5000", "http://127.8.9.10:5000"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("127.evil.example", "https://127.evil.example"),
        ("localhost.example:5000", "https://localhost.example:5000"),
        ("plain.example", "http://plain.example"),
        ("plain.example:5000", "http://plain.example:5000"),
        ("port.example:5000", "http://port.example:5000"),
        ("port.example", "https://port.example"),
        ("localhost:7000", "https://localhost:7000"),
    ],
)
def test_which_scheme_a_registry_is_asked_with(registry: str, url: str, make_transport: MakeTransport) -> None:
    settings = Settings(
        plain_http=frozenset({"plain.example", "port.example:5000"}), tls={"localhost:7000": TlsFiles("ca.pem")}
    )

    assert make_transport(settings).base_url(registry) == url


def test_ssl_is_not_loaded_before_tls_is_spoken() -> None:
    code = (
        "import sys; from liftlock.transport.client import Transport; t = Transport(); t.base_url('ghcr.io');"
        "heavy = {'ssl', 'http.client', 'email', 'logging', 'dataclasses', 'random', 'asyncio', 'pathlib',"
        " 'subprocess', 'tempfile', 'urllib.request', 'concurrent.futures'}; print(sorted(heavy & set(sys.modules)))"
    )
    {"PYTHONPATH": str(Path(liftlock.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": os.pathsep.join(p for p in sys.path if p.endswith("src"))})  # fmt: skip

    assert done.stdout.strip() == "[]"
