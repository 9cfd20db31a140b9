"""Abort: wherever a thread stands still, it ends with `Cancelled`; afterwards nothing is begun."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from liftlock.errors import Cancelled, TransportError
from liftlock.transport.client import Transport
from liftlock.transport.messages import Request, Stream
from liftlock.transport.settings import Settings
from tests.support.waiting import until
from tests.transport.conftest import MakeTransport
from tests.transport.scripted import Peer, forever, scripted


class Zeros:
    """A body that never ends."""

    def readinto(self, buffer: memoryview, /) -> int:
        return len(buffer)

    def close(self) -> None:
        pass


class Worker:
    """Runs a call on its own thread, and keeps how it ended."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.error: BaseException | None = None
        self._call = call
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def end(self) -> BaseException | None:
        self.thread.join(20)
        assert not self.thread.is_alive()
        return self.error


@contextlib.contextmanager
def full_listener() -> Iterator[int]:
    """The port of a server whose queue is full: a connection to it stays half open."""
    with socket.socket() as listener, contextlib.ExitStack() as clients:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = int(listener.getsockname()[1])
        for _ in range(4):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        yield port


def patient() -> Settings:
    """Time-outs far beyond the test's, so that only the abort can end a stall."""
    return Settings(connect_timeout=600, read_timeout=600)


def test_in_connect(make_transport: MakeTransport) -> None:
    transport = make_transport(patient())
    with full_listener() as port:
        worker = Worker(lambda: transport.send(Request("GET", f"http://127.0.0.1:{port}/")))
        until(lambda: transport._sockets._open, "a socket that is being connected")
        transport.abort()
        assert isinstance(worker.end(), Cancelled)


def test_in_the_tls_handshake(make_transport: MakeTransport) -> None:
    transport = make_transport(patient())
    arrived = threading.Event()

    def script(peer: Peer) -> None:
        peer.sock.recv(5)
        arrived.set()
        peer.until_closed()

    with scripted(script) as server:
        worker = Worker(lambda: transport.send(Request("GET", f"https://{server.host}/")))
        assert arrived.wait(10)
        transport.abort()
        assert isinstance(worker.end(), Cancelled)


@pytest.mark.parametrize("said", ["", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegin"])
def test_while_the_answer_does_not_come(make_transport: MakeTransport, said: str) -> None:
    transport = make_transport(patient())
    arrived = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.say(said)
        arrived.set()
        peer.until_closed()

    with scripted(script) as server:
        worker = Worker(lambda: transport.send(Request("GET", server.url)).read(100))
        assert arrived.wait(10)
        transport.abort()
        assert isinstance(worker.end(), Cancelled)


def test_while_the_server_takes_no_more_of_the_body(make_transport: MakeTransport) -> None:
    transport = make_transport(patient())
    arrived, over = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        arrived.set()
        over.wait(20)

    with scripted(script) as server:
        worker = Worker(lambda: transport.send(Request("PUT", server.url, {}, lambda: Stream(1 << 40, Zeros()))))
        assert arrived.wait(10)
        transport.abort()
        assert isinstance(worker.end(), Cancelled)
        over.set()


def test_while_a_body_streams_from_one_host_to_another(make_transport: MakeTransport) -> None:
    transport = make_transport(patient())
    moved = threading.Event()

    def endless(peer: Peer) -> None:
        peer.head()
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        while True:
            peer.say(bytes(65536))

    def sink(peer: Peer) -> None:
        peer.head()
        peer.read(1_000_000)
        moved.set()
        peer.until_closed()

    with scripted(endless) as source, scripted(sink) as destination:
        get = Request("GET", source.url)
        put = Request("PUT", destination.url, {}, lambda: Stream(10**12, transport.send(get)))
        worker = Worker(lambda: transport.send(put))
        assert moved.wait(10)
        transport.abort()
        assert isinstance(worker.end(), Cancelled)


def test_while_waiting_for_a_slot(make_transport: MakeTransport) -> None:
    transport = make_transport(patient()._replace(connections=1))
    arrived = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        arrived.set()
        peer.until_closed()

    with scripted(script) as server:
        workers = [Worker(lambda: transport.send(Request("GET", server.url))) for _ in range(3)]
        assert arrived.wait(10)
        transport.abort()
        assert [type(worker.end()) for worker in workers] == [Cancelled] * 3
        assert server.connections == 1


def test_while_waiting_for_the_next_attempt(make_transport: MakeTransport) -> None:
    transport = make_transport()
    failed = threading.Event()

    def attempt() -> None:
        failed.set()
        raise TransportError("again")

    transport._retrier._random = lambda: 1e9
    worker = Worker(lambda: transport.retrying("registry.example", attempt))
    assert failed.wait(10)
    transport.abort()
    assert isinstance(worker.end(), Cancelled)


def test_while_a_host_is_given_a_pause(make_transport: MakeTransport) -> None:
    transport = make_transport(patient())
    with scripted(forever((200, b""))) as server:
        transport._limits.pause(server.host, 600)
        worker = Worker(lambda: transport.send(Request("GET", server.url)))
        transport.abort()
        assert isinstance(worker.end(), Cancelled)
        assert server.connections == 0


def test_while_waiting_for_a_connection_that_was_begun_ahead(make_transport: MakeTransport) -> None:
    transport = make_transport(patient())
    with full_listener() as port:
        url = f"http://127.0.0.1:{port}/"
        transport.warm(url, 1)
        worker = Worker(lambda: transport.send(Request("GET", url)))
        until(lambda: any(opening.claimed for opening in transport._pool._openings), "the claim")
        transport.abort()
        assert isinstance(worker.end(), Cancelled)


def test_nothing_is_begun_afterwards(make_transport: MakeTransport) -> None:
    transport = make_transport()
    with scripted(forever((200, b"x"))) as server:
        response = transport.send(Request("GET", server.url))
        assert response.read(10) == b"x"
        transport.abort()
        transport.abort()
        with pytest.raises(Cancelled):
            transport.send(Request("GET", server.url))
        with pytest.raises(Cancelled):
            transport.send(Request("PUT", server.url, {}, b"x"))
        with pytest.raises(Cancelled):
            transport.retrying(server.host, lambda: transport.send(Request("GET", server.url)))
        transport.warm(server.url, 3)
    assert server.connections == 1
    assert not transport._sockets._open


def test_an_answer_that_lies_open_is_cut(make_transport: MakeTransport) -> None:
    transport = make_transport(patient())
    with scripted(forever((200, bytes(20_000_000)))) as server:
        response = transport.send(Request("GET", server.url))
        transport.abort()
        with pytest.raises(Cancelled):
            response.read(1 << 30)
        response.close()
    assert not transport._sockets._open


def test_threads_and_aborts_at_random_moments_leave_nothing_open() -> None:
    for moment in range(12):
        transport = Transport(patient())
        with scripted(*[forever((200, bytes(200_000)))] * 8) as server:

            def fetch() -> None:
                while True:
                    transport.send(Request("GET", server.url)).read(1 << 20)  # noqa: B023 - ends with its round

            workers = [Worker(fetch) for _ in range(4)]
            until(lambda: transport.traffic.total().requests >= moment * 3, "some requests")  # noqa: B023 - at once
            transport.abort()
            assert {type(worker.end()) for worker in workers} == {Cancelled}
        assert not transport._sockets._open
