"""Whole exchanges with a server that misbehaves in every way a test can write down."""

from __future__ import annotations

import _socket
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from liftlock import __version__
from liftlock.errors import CorruptContent, LiftlockError, TransportError
from liftlock.transport.client import Transport
from liftlock.transport.messages import Request, Stream
from liftlock.transport.settings import Settings
from tests.support.registry import Registry
from tests.support.waiting import until
from tests.transport.conftest import MakeTransport
from tests.transport.scripted import Peer, forever, scripted


class Bytes:
    """A body's source."""

    def __init__(self, data: bytes) -> None:
        self._left = memoryview(data)
        self.closed = False

    def readinto(self, buffer: memoryview, /) -> int:
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        self.closed = True


def streamed(data: bytes, opened: list[Bytes] | None = None) -> Callable[[], Stream]:
    def open_body() -> Stream:
        source = Bytes(data)
        if opened is not None:
            opened.append(source)
        return Stream(len(data), source)

    return open_body


def get(transport: Transport, url: str) -> bytes:
    response = transport.send(Request("GET", url))
    try:
        return response.read(1 << 24)
    finally:
        response.close()


def _head_and_end(peer: Peer) -> None:
    peer.head()


def _head_and_reset(peer: Peer) -> None:
    peer.head()
    peer.reset()


def _head_and_silence(said: bytes) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.head()
        peer.say(said)
        peer.until_closed()

    return script


# --- requests ---------------------------------------------------------------------------------------------------------


def test_what_is_sent_is_what_was_asked_and_nothing_that_identifies_anybody(transport: Transport) -> None:
    with scripted(forever((200, b""))) as server:
        get(transport, f"{server.url}/v2/?n=1&x=%2F#fragment")
        transport.send(Request("POST", f"{server.url}/empty")).close()
        transport.send(Request("PUT", f"{server.url}/small", {"Content-Type": "a/b"}, b"hello")).close()
        transport.send(Request("PUT", f"{server.url}/large", {}, streamed(b"x" * 1_000_000))).close()

    first, empty, small, large = server.seen
    assert first.line == "GET /v2/?n=1&x=%2F HTTP/1.1"
    assert first.fields == {
        "host": server.host,
        "user-agent": f"liftlock/{__version__}",
        "accept-encoding": "identity",
    }
    assert empty.fields["content-length"] == "0"
    assert (small.body, small.fields["content-type"], small.fields["content-length"]) == (b"hello", "a/b", "5")
    assert large.body == b"x" * 1_000_000
    assert server.connections == 1


def test_head_and_first_bytes_of_a_body_leave_together(transport: Transport) -> None:
    arrived: list[bytes] = []

    def script(peer: Peer) -> None:
        for _ in range(2):
            arrived.append(peer.sock.recv(65536))
            peer.answer(201)

    with scripted(script) as server:
        transport.send(Request("PUT", f"{server.url}/", {}, b"small")).close()
        transport.send(Request("PUT", f"{server.url}/", {}, streamed(b"streamed"))).close()

    assert [data.endswith(end) for data, end in zip(arrived, (b"small", b"streamed"), strict=True)] == [True, True]


def test_user_name_and_password_of_a_url_are_neither_sent_nor_shown(transport: Transport) -> None:
    with scripted(_head_and_reset) as server, pytest.raises(TransportError) as caught:
        get(transport, f"http://user:secret@{server.host}/v2/?digest=sha256:1&X-Amz-Signature=secret&_state=secret")

    assert "secret" not in str(caught.value)
    assert "digest=sha256:1" in str(caught.value)
    assert "authorization" not in server.seen[0].fields


@pytest.mark.parametrize(
    "url", ["ftp://host/", "http://", "http://ho st/", "http://h/\r\nX: y", "http://h:99999/", "/v2/"]
)
def test_a_url_that_cannot_be_used_is_a_final_error(transport: Transport, url: str) -> None:
    with pytest.raises(TransportError) as caught:
        transport.send(Request("GET", url))
    assert not caught.value.temporary


def test_a_body_that_ends_before_its_size_is_never_sent_as_a_whole(transport: Transport) -> None:
    rest: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.head()
        rest.append(peer.until_closed())

    with scripted(script) as server:
        with pytest.raises(CorruptContent, match="3 bytes before its size of 8"):
            transport.send(Request("PUT", f"{server.url}/", {}, lambda: Stream(8, Bytes(b"short"))))
        until(lambda: rest, "the end of the connection")

    assert rest == [b"short"]


def test_a_longer_source_is_sent_up_to_its_size(transport: Transport) -> None:
    with scripted(forever((201, b""))) as server:
        transport.send(Request("PUT", f"{server.url}/", {}, lambda: Stream(4, Bytes(b"longer")))).close()

    assert server.seen[0].body == b"long"


def test_what_a_source_raises_comes_out_as_it_is_and_the_source_is_closed(transport: Transport) -> None:
    class Broken(Bytes):
        def readinto(self, buffer: memoryview, /) -> int:
            raise self.error

        error: Exception = TransportError("the source is gone", side="source")

    source = Broken(b"")
    with scripted(_head_and_end, _head_and_end) as server:
        with pytest.raises(TransportError, match="source: the source is gone"):
            transport.send(Request("PUT", f"{server.url}/", {}, lambda: Stream(4, source)))
        assert source.closed
        source.error = OSError(5, "Input/output error")
        with pytest.raises(LiftlockError, match="content cannot be read: Input/output error") as caught:
            transport.send(Request("PUT", f"{server.url}/", {}, lambda: Stream(4, source)))
        assert not caught.value.temporary


def test_requests_made_by_a_bodys_own_source_do_not_disturb_the_body(transport: Transport) -> None:
    data = os.urandom(600_000)
    with scripted(forever((200, b""))) as origin, scripted(forever((201, b""))) as destination:

        class Nested(Bytes):
            def readinto(self, buffer: memoryview, /) -> int:
                transport.send(Request("PUT", f"{origin.url}/noise", {}, streamed(b"z" * 300_000))).close()
                return super().readinto(buffer)

        transport.send(Request("PUT", f"{destination.url}/", {}, lambda: Stream(len(data), Nested(data)))).close()

        assert destination.seen[0].body == data


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6;x=y\r\nhello \r\n5\r\nworld\r\n0\r\nX-Sum: 1\r\n\r\n",
    ],
)
def test_a_connection_is_used_again_once_the_body_was_read(transport: Transport, answer: bytes) -> None:
    def script(peer: Peer) -> None:
        for _ in range(3):
            peer.request()
            peer.say(answer)

    with scripted(script) as server:
        assert [get(transport, server.url) for _ in range(3)] == [b"hello world"] * 3
        assert server.connections == 1
    assert transport.traffic.by_host()[server.host] == (3, 0, 33)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\nsmuggled",
    ],
)
def test_a_connection_that_cannot_be_trusted_with_another_request_is_dropped(
    transport: Transport, answer: bytes
) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.say(answer)

    with scripted(script, script) as server:
        assert [get(transport, server.url), get(transport, server.url)] == [b"hello", b"hello"]
        assert server.connections == 2


def test_closing_an_unread_body_keeps_the_connection_only_when_the_rest_has_come(transport: Transport) -> None:
    sent = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.answer(404, b"x" * 10_000)
        sent.set()
        peer.request()
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        assert peer.until_closed() == b""

    with scripted(script, forever((200, b"new"))) as server:
        response = transport.send(Request("GET", server.url))
        assert sent.wait(10)
        until(lambda: _has_come(response), "the body")
        response.close()
        response = transport.send(Request("GET", server.url))
        assert server.connections == 1
        response.close()
        assert get(transport, server.url) == b"new"
        assert server.connections == 2


def _has_come(response: object) -> bool:
    sock: socket.socket = response._connection.sock  # type: ignore[attr-defined]
    ahead: bytearray = response._connection.ahead  # type: ignore[attr-defined]
    at: int = response._connection.at  # type: ignore[attr-defined]
    try:
        waiting = len(sock.recv(100_000, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        waiting = 0
    return len(ahead) - at + waiting >= 10_000


def test_a_body_beyond_the_callers_limit_is_refused(transport: Transport) -> None:
    with scripted(forever((200, b"x" * 100))) as server:
        response = transport.send(Request("GET", server.url))
        with pytest.raises(CorruptContent, match="longer than 99 bytes"):
            response.read(99)
        assert len(get(transport, server.url)) == 100


def test_reading_after_the_end_and_after_close_gives_nothing(transport: Transport) -> None:
    with scripted(forever((200, b"x"))) as server:
        response = transport.send(Request("GET", server.url))
        assert response.read(10) == b"x"
        assert response.readinto(memoryview(bytearray(4))) == 0
        response.close()
        response.close()
        assert response.readinto(memoryview(bytearray(4))) == 0


@pytest.mark.parametrize(
    ("answer", "temporary"),
    [
        (b"", True),
        (b"HTTP/1.1 20", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", False),
        (b"SSH-2.0-OpenSSH\r\n", False),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000, False),
    ],
)
@pytest.mark.parametrize("reset", [False, True])
def test_an_answer_cut_or_garbled_at_any_stage_is_a_typed_error(
    transport: Transport, answer: bytes, temporary: bool, reset: bool
) -> None:
    received = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.say(answer)
        if reset:
            # A reset may overtake what was said before: both ends of that race are temporary errors.
            received.wait(0.05 if not temporary else 0)
            peer.reset()

    with scripted(script) as server:
        with pytest.raises(TransportError) as caught:
            get(transport, f"{server.url}/v2/")
        received.set()
    assert server.host in str(caught.value)
    if not reset:
        assert caught.value.temporary is temporary


def test_a_refused_connection_says_so(make_transport: MakeTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    transport = make_transport()
    with pytest.raises(TransportError, match=f"127.0.0.1:{port} refuses connections") as caught:
        transport.send(Request("GET", f"https://127.0.0.1:{port}/v2/"))
    assert caught.value.temporary
    assert "--plain-http" in caught.value.hint


def test_an_unknown_host_is_named_and_final(monkeypatch: pytest.MonkeyPatch, make_transport: MakeTransport) -> None:
    def unknown(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(_socket, "getaddrinfo", unknown)
    with pytest.raises(TransportError, match=r"registry\.invalid cannot be found") as caught:
        make_transport().send(Request("GET", "https://registry.invalid/v2/"))
    assert not caught.value.temporary


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"])
def test_a_server_that_stops_talking_is_a_stall(said: bytes, make_transport: MakeTransport) -> None:
    transport = make_transport(Settings(read_timeout=0.2))

    def script(peer: Peer) -> None:
        peer.head()
        peer.say(said)
        peer.until_closed()

    with scripted(script) as server:
        with pytest.raises(TransportError, match="timed out") as caught:
            get(transport, server.url)
        assert caught.value.temporary


def test_a_server_that_stops_reading_is_a_stall(make_transport: MakeTransport) -> None:
    transport = make_transport(Settings(read_timeout=0.2))
    over = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        over.wait(20)

    with scripted(script) as server:
        with pytest.raises(TransportError, match="timed out") as caught:
            transport.send(Request("PUT", server.url, {}, streamed(bytes(32 << 20))))
        over.set()
    assert caught.value.temporary


# --- connections that died while idle ---------------------------------------------------------------------------------


def _one(peer: Peer) -> None:
    peer.request()
    peer.answer(200, b"first")


REPEATABLE = [("GET", None), ("HEAD", None), ("DELETE", None), ("POST", b""), ("PUT", b"body")]


@pytest.mark.parametrize(("method", "body"), REPEATABLE)
def test_a_connection_closed_while_idle_is_replaced_silently(
    transport: Transport, method: str, body: bytes | None
) -> None:
    with scripted(_one, forever((200, b"" if method == "HEAD" else b"second"))) as server:
        get(transport, server.url)
        response = transport.send(Request(method, server.url, {}, body))
        assert response.read(100) in (b"second", b"")
        assert server.connections == 2


def _late(peer: Peer) -> None:
    """The race that no check beforehand can win: the server closes while our next request is on its way."""
    _one(peer)
    peer.head()
    peer.reset()


@pytest.mark.parametrize(("method", "body"), REPEATABLE)
def test_a_connection_that_dies_when_the_next_request_arrives_is_replaced_once(
    transport: Transport, method: str, body: bytes | None
) -> None:
    with scripted(_late, forever((201, b""))) as server:
        get(transport, server.url)
        assert transport.send(Request(method, server.url, {}, body)).status == 201
        assert server.seen[-1].body == (body or b"")


def test_what_must_not_arrive_twice_is_left_to_whoever_sent_it(transport: Transport) -> None:
    """A streamed blob may have arrived in part, or as a whole: its upload has to be opened anew."""
    opened: list[Bytes] = []
    body = streamed(b"y" * 100_000, opened)
    for request in (Request("PUT", "", {}, body), Request("POST", "", {}, body), Request("POST", "", {}, b"once")):
        with scripted(_late, forever((201, b"never"))) as server:
            get(transport, server.url)
            with pytest.raises(TransportError) as caught:
                transport.send(request._replace(url=server.url))
            assert caught.value.temporary
            assert server.connections == 1
    assert len(opened) == 2
    assert all(source.closed for source in opened)


def test_a_fresh_connection_that_dies_is_an_error_and_not_repeated(transport: Transport) -> None:
    def late(peer: Peer) -> None:
        _one(peer)
        peer.head()

    with scripted(late, _head_and_end, forever((200, b""))) as server:
        get(transport, server.url)
        with pytest.raises(TransportError, match="hung up without an answer") as caught:
            get(transport, server.url)
        assert caught.value.temporary
        assert server.connections == 2


def test_an_idle_connection_on_which_the_server_spoke_unasked_is_not_used(transport: Transport) -> None:
    spoken = threading.Event()

    def script(peer: Peer) -> None:
        _one(peer)
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled")
        spoken.set()
        peer.until_closed()

    with scripted(script, forever((200, b"honest"))) as server:
        response = transport.send(Request("GET", server.url))
        buffer = memoryview(bytearray(5))
        while response.readinto(buffer):
            pass
        assert spoken.wait(10)
        assert get(transport, server.url) == b"honest"


# --- answers that come before the request is over ---------------------------------------------------------------------

LARGE = 64 << 20
"""More than all the buffers between two sockets hold."""


@pytest.mark.parametrize("status", [401, 413, 429, 500, 307])
@pytest.mark.parametrize("end", ["reset", "close", "linger", "silent"])
def test_an_early_error_answer_is_reported_and_not_a_broken_pipe(transport: Transport, status: int, end: str) -> None:
    over = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.answer(status, b"why", Location="/elsewhere")
        if end == "reset":
            # Once the answer is with the client, so that the reset cannot overtake it.
            over.wait(0.1)
            peer.reset()
        elif end == "linger":
            peer.sock.shutdown(socket.SHUT_WR)
            peer.read(1 << 20)
        elif end == "silent":
            over.wait(20)

    with scripted(script, forever((200, b"next"))) as server:
        response = transport.send(Request("PUT", server.url, {}, streamed(bytes(LARGE))))
        assert response.status == status
        if end != "reset":
            assert response.read(100) == b"why"
        response.close()
        over.set()
        assert get(transport, server.url) == b"next"
        assert server.connections == 2


def test_an_early_error_on_a_used_connection_is_not_taken_for_a_dead_one(transport: Transport) -> None:
    def script(peer: Peer) -> None:
        _one(peer)
        peer.head()
        peer.answer(401, b"who are you", Connection="close")

    opened: list[Bytes] = []
    with scripted(script) as server:
        get(transport, server.url)
        response = transport.send(Request("PUT", server.url, {}, streamed(bytes(LARGE), opened)))
        assert response.status == 401
        response.close()
        assert server.connections == 1
    assert len(opened) == 1


def test_an_early_interim_answer_does_not_end_the_body(transport: Transport) -> None:
    def script(peer: Peer) -> None:
        head = peer.head()
        peer.say("HTTP/1.1 103 Early Hints\r\n\r\n")
        peer.read(int(head.fields["content-length"]))
        peer.answer(201)

    with scripted(script) as server:
        response = transport.send(Request("PUT", server.url, {}, streamed(bytes(8 << 20))))
        assert response.status == 201
        response.close()


def test_a_success_before_the_whole_body_was_sent_is_not_believed(transport: Transport) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.answer(201, Connection="close")

    with scripted(script) as server, pytest.raises(TransportError):
        transport.send(Request("PUT", server.url, {}, streamed(bytes(LARGE))))


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_connections_are_opened_ahead_of_need(transport: Transport) -> None:
    with scripted(*[forever((200, b"x"))] * 5) as server:
        transport.warm(server.url, 3)
        until(lambda: server.connections == 3, "three connections")
        responses = [transport.send(Request("GET", server.url)) for _ in range(4)]
        assert server.connections == 4
        for response in responses:
            assert response.read(10) == b"x"
        transport.warm(server.url, 3)
        assert get(transport, server.url) == b"x"
        assert server.connections == 4
        transport.close()


def test_a_warming_that_fails_leaves_the_error_to_the_request(make_transport: MakeTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    transport = make_transport()
    transport.warm(f"http://127.0.0.1:{port}", 2)
    with pytest.raises(TransportError, match="refuses connections"):
        transport.send(Request("GET", f"http://127.0.0.1:{port}/"))


def test_nothing_is_left_open_whatever_happened(make_transport: MakeTransport) -> None:
    def run() -> None:
        transport = make_transport(Settings(read_timeout=0.1))
        scripts = [
            forever((200, b"x")),
            _head_and_reset,
            _head_and_silence(b"garbage\r\n"),
            _head_and_silence(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"),
            _head_and_silence(b""),
            _head_and_silence(b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"),
        ]
        with scripted(*scripts) as server:
            open_answer = transport.send(Request("GET", server.url))
            for _ in scripts[1:]:
                with pytest.raises(TransportError):
                    get(transport, server.url)
            open_answer.close()
            transport.close()
        assert not transport._sockets._open

    run()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        run()

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_real_registry_takes_and_gives_a_large_blob(
    transport: Transport, registry: Registry, other_registry: Registry, repo: str
) -> None:
    from liftlock.oci.digest import Digest
    from liftlock.oci.distribution import blob_path, upload_location, uploads_path

    data = os.urandom(5_000_001)
    digest = Digest.of(data)

    def upload(to: Registry, body: Callable[[], Stream]) -> int:
        response = transport.send(Request("POST", f"{transport.base_url(to.host)}{uploads_path(repo)}"))
        response.close()
        location = upload_location(response.url, response.headers.get("location"), digest)
        response = transport.send(Request("PUT", location, {}, body))
        response.close()
        return response.status

    source = Request("GET", f"{transport.base_url(registry.host)}{blob_path(repo, digest)}")
    assert upload(registry, streamed(data)) == 201
    assert upload(other_registry, lambda: Stream(len(data), transport.send(source))) == 201
    assert get(transport, f"{transport.base_url(other_registry.host)}{blob_path(repo, digest)}") == data
    assert upload(registry, streamed(b"x" * 10)) == 400
