"""A proxy before a real registry: it records what reaches it, and does harm by rules.

    front = make_front(registry)
    front.rule("PUT", r"/blobs/uploads/", faults.cut_request(after=1000))
    … let the product talk to `front.host` …
    assert front.count("PUT", "/blobs/uploads/") == 2

A rule names a method, a pattern for the request's target (path and query), and an *action* (`tests.support.faults`);
it acts at the `nth` request that fits and `times` times (None: always). What no rule takes is passed on unchanged.

Every front has a second address, `elsewhere` (`localhost` instead of `127.0.0.1`, and another port): what a registry's
storage at another host is to a client. It needs no credentials and, as S3 does, refuses requests that bring any.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Self

from tests.support.certificates import Authority
from tests.support.registry import Registry

_CHUNK = 1 << 16
_KEPT_BODY = 1 << 20
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "proxy-connection"}


@dataclass(eq=False)
class Recorded:
    """One request that reached the front, and how it was answered."""

    method: str
    target: str
    """Path and query, as they were sent."""
    headers: Mapping[str, str]
    """Names in lower case."""
    elsewhere: bool
    """Whether it came to the front's second address."""
    connection: int
    """Which connection brought it; the first is 1."""
    body: bytes = b""
    """The request's body, its first MiB."""
    body_size: int = 0
    status: int | None = None
    """None: not answered (yet)."""
    answer_size: int = 0
    """Bytes of the response's body that were sent."""
    rule: Rule | None = None

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def authorization(self) -> str | None:
        return self.headers.get("authorization")

    def __str__(self) -> str:
        return f"{self.method} {self.target} → {self.status}{' (elsewhere)' if self.elsewhere else ''}"


@dataclass(eq=False)
class Answer:
    """A response's head, and where its body comes from."""

    status: int
    headers: list[tuple[str, str]]
    read: Callable[[int], bytes]
    """Gives up to so many bytes of the body; empty at its end."""
    length: int | None
    """The body's length; None when it is not known beforehand."""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def set(self, name: str, value: str | None) -> None:
        """Replace a header; None removes it."""
        self.headers = [(key, old) for key, old in self.headers if key.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))


Action = Callable[["Exchange"], None]


@dataclass(eq=False)
class Rule:
    """When to do what. `hits` says how often it acted; `wait` waits for the first time."""

    method: str | None
    pattern: re.Pattern[str]
    action: Action | None
    nth: int
    times: int | None
    elsewhere: bool | None
    do: Callable[[Recorded], None] | None
    seen: int = 0
    hits: int = 0
    reached: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float = 20.0) -> None:
        """Wait until the rule has acted."""
        assert self.reached.wait(seconds), f"no request came for {self.method} {self.pattern.pattern}"

    def takes(self, request: Recorded) -> bool:
        """Count this request when it fits, and say whether the rule acts on it."""
        if self.method not in (None, request.method) or self.elsewhere not in (None, request.elsewhere):
            return False
        if self.pattern.search(request.target) is None:
            return False
        self.seen += 1
        return self.seen >= self.nth and (self.times is None or self.seen < self.nth + self.times)


class Front:
    """A proxy before `upstream` on a free port of 127.0.0.1; with `tls`, an HTTPS one."""

    def __init__(self, upstream: Registry | str, *, tls: Authority | None = None) -> None:
        self.upstream = upstream
        self.authority = tls
        self._context = None
        if tls is not None:
            pair = tls.server()
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(pair.certificate, pair.key)
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._requests: list[Recorded] = []
        self._in_flight = 0
        self._peak = 0
        self._connections = 0
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._ending = threading.Event()
        self._listeners = [_listener(), _listener()]
        for number, listener in enumerate(self._listeners):
            self._spawn(self._accept, listener, number == 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def host(self) -> str:
        """As it is written in a reference: `127.0.0.1:PORT`."""
        return f"127.0.0.1:{self._listeners[0].getsockname()[1]}"

    @property
    def elsewhere(self) -> str:
        """The second address: `localhost:OTHERPORT`."""
        return f"localhost:{self._listeners[1].getsockname()[1]}"

    @property
    def scheme(self) -> str:
        return "http" if self._context is None else "https"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def elsewhere_url(self) -> str:
        return f"{self.scheme}://{self.elsewhere}"

    @property
    def ending(self) -> threading.Event:
        """Set when the front stops: whatever waits has to look at it."""
        return self._ending

    @property
    def connections(self) -> int:
        """How many connections were made to both addresses."""
        return self._connections

    @property
    def peak(self) -> int:
        """The most requests that were being answered at one time."""
        return self._peak

    def rule(
        self,
        method: str | None,
        pattern: str,
        action: Action | None = None,
        *,
        nth: int = 1,
        times: int | None = 1,
        elsewhere: bool | None = False,
        do: Callable[[Recorded], None] | None = None,
    ) -> Rule:
        """From now on, let `action` answer the `nth` request with this method whose target `pattern` finds.

        `do` is called before that (to kill a process, to move a tag in between); without an action the request is then
        passed on. Rules given first act first; each counts for itself. `elsewhere=None` means both addresses.
        """
        rule = Rule(method, re.compile(pattern), action, nth, times, elsewhere, do)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Drop all rules."""
        with self._lock:
            self._rules.clear()

    def requests(self) -> list[Recorded]:
        """What reached the front since the start, or since `forget`, in the order of arrival."""
        with self._lock:
            return list(self._requests)

    def find(self, method: str | None = None, pattern: str = "") -> list[Recorded]:
        """Those of `requests` with this method, and a target that `pattern` finds."""
        return [
            request
            for request in self.requests()
            if method in (None, request.method) and re.search(pattern, request.target)
        ]

    def count(self, method: str | None = None, pattern: str = "", status: int | None = None) -> int:
        """How many requests had this method, a target that `pattern` finds, and this status."""
        return sum(status in (None, request.status) for request in self.find(method, pattern))

    def forget(self) -> None:
        """Begin counting anew; rules stay."""
        with self._lock:
            self._requests.clear()
            self._peak = self._in_flight
            self._connections = 0

    def stop(self) -> None:
        """Close everything at once."""
        self._ending.set()
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            threads = list(self._threads)
        for thread in threads:
            thread.join(10)

    # --- used by exchanges -------------------------------------------------------------------------------------------

    def enter(self, request: Recorded) -> Rule | None:
        """Record an arriving request and find the rule that takes it."""
        with self._lock:
            self._requests.append(request)
            self._in_flight += 1
            self._peak = max(self._peak, self._in_flight)
            taking = [rule for rule in self._rules if rule.takes(request)]
            if not taking:
                return None
            taking[0].hits += 1
            request.rule = taking[0]
        return taking[0]

    def leave(self) -> None:
        with self._lock:
            self._in_flight -= 1

    def connect(self) -> http.client.HTTPConnection:
        """A new connection to the registry behind."""
        if isinstance(self.upstream, str):
            return http.client.HTTPConnection(self.upstream, timeout=60)
        if self.upstream.authority is None:
            return http.client.HTTPConnection(self.upstream.host, timeout=60)
        return http.client.HTTPSConnection(self.upstream.host, timeout=60, context=self.upstream.authority.context())

    def own_authorization(self, target: str) -> str | None:
        """What opens the registry behind for requests that come to `elsewhere`, which bring no credentials."""
        registry = self.upstream
        if isinstance(registry, str) or (registry.user is None and registry.token is None):
            return None
        if registry.token is not None:
            repository = re.sub(r"^/v2/|/(blobs|manifests|tags)/.*$", "", target)
            return "Bearer " + registry.token.sign((f"repository:{repository}:pull,push",))
        return "Basic " + base64.b64encode(f"{registry.user}:{registry.password or ''}".encode()).decode()

    # --- connections -------------------------------------------------------------------------------------------------

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        with self._lock:
            self._threads = [each for each in self._threads if each.is_alive() or each.ident is None]
            self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket, elsewhere: bool) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._connections += 1
                number = self._connections
            self._spawn(self._serve, connection, elsewhere, number)

    def _serve(self, connection: socket.socket, elsewhere: bool, number: int) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
            return
        with self._lock:
            self._open.add(connection)
        upstream = self.connect()
        source = connection.makefile("rb")
        try:
            while not self._ending.is_set():
                exchange = Exchange.read(self, connection, source, upstream, elsewhere=elsewhere, number=number)
                if exchange is None or not exchange.run():
                    break
        except (OSError, ValueError, http.client.HTTPException):
            # The client went away, or the registry did: to the other side that is a cut connection.
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            upstream.close()
            source.close()
            connection.close()


class Exchange:
    """One request and its answer; what actions work with."""

    def __init__(
        self,
        front: Front,
        request: Recorded,
        *,
        client: socket.socket,
        source: IO[bytes],
        upstream: http.client.HTTPConnection,
        headers: list[tuple[str, str]],
    ) -> None:
        self.front = front
        self.request = request
        self._client = client
        self._upstream = upstream
        self._headers = headers
        self._body = self._incoming(source)
        self._keep = request.headers.get("connection", "").lower() != "close"

    @classmethod
    def read(
        cls,
        front: Front,
        client: socket.socket,
        source: IO[bytes],
        upstream: http.client.HTTPConnection,
        *,
        elsewhere: bool,
        number: int,
    ) -> Exchange | None:
        """The next request of a connection; None when there is none."""
        line = source.readline().decode("latin-1").split()
        if len(line) != 3:
            return None
        headers: list[tuple[str, str]] = []
        while text := source.readline().decode("latin-1").rstrip("\r\n"):
            name, _, value = text.partition(":")
            headers.append((name.strip(), value.strip()))
        known = {name.lower(): value for name, value in headers}
        request = Recorded(line[0], line[1], known, elsewhere, number)
        return cls(front, request, client=client, source=source, upstream=upstream, headers=headers)

    def run(self) -> bool:
        """Let the rule that takes it, or nobody, change what happens; True when the connection may be used again."""
        rule = self.front.enter(self.request)
        try:
            if rule is not None:
                rule.reached.set()
                if rule.do is not None:
                    rule.do(self.request)
            if self.request.elsewhere and self.request.authorization is not None:
                self.reply(400, b"<Error><Message>Only one auth mechanism allowed</Message></Error>")
            elif rule is None or rule.action is None:
                self.relay(self.forward())
            else:
                rule.action(self)
            self.drain()
        except Cut as cut:
            if cut.reset:
                self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        finally:
            self.front.leave()
        return self._keep

    # --- towards the registry ----------------------------------------------------------------------------------------

    def forward(
        self,
        *,
        target: str | None = None,
        body: bool = True,
        limit: int | None = None,
        change: Callable[[Iterator[bytes]], Iterable[bytes]] | None = None,
    ) -> Answer:
        """Pass the request on and return the head of the answer.

        `target` replaces path and query, `body=False` sends none, `change` alters it on the way; after `limit` bytes of
        it both connections are cut.
        """
        upstream, request = self._upstream, self.request
        upstream.putrequest(request.method, target or request.target, skip_host=True, skip_accept_encoding=True)
        sized = request.headers.get("content-length") if body else None
        for name, value in self._headers:
            if name.lower() not in _HOP_BY_HOP and (body or name.lower() not in {"content-length", "content-type"}):
                upstream.putheader(name, value)
        if request.elsewhere:
            own = self.front.own_authorization(request.target)
            if own is not None:
                upstream.putheader("Authorization", own)
        if self.front.scheme == "https":
            upstream.putheader("X-Forwarded-Proto", "https")
        chunked = body and sized is None and "chunked" in request.headers.get("transfer-encoding", "").lower()
        if chunked:
            upstream.putheader("Transfer-Encoding", "chunked")
        if not body and request.method in {"POST", "PUT", "PATCH"}:
            upstream.putheader("Content-Length", "0")
        upstream.endheaders()
        if body:
            self._send_body(change, chunked=chunked, limit=limit)
        else:
            self.drain()
        found = upstream.getresponse()
        headers = [(name, value) for name, value in found.getheaders() if name.lower() not in _HOP_BY_HOP]
        length = found.getheader("Content-Length")
        return Answer(found.status, headers, found.read, None if length is None else int(length))

    def _send_body(
        self, change: Callable[[Iterator[bytes]], Iterable[bytes]] | None, *, chunked: bool, limit: int | None
    ) -> None:
        sent = 0
        parts = self._body if change is None else change(self._body)
        try:
            for part in parts:
                allowed = part if limit is None else part[: limit - sent]
                sent += len(allowed)
                if allowed:
                    self._upstream.send(b"%x\r\n%b\r\n" % (len(allowed), allowed) if chunked else allowed)
                if limit is not None and sent >= limit:
                    self.cut()
            if chunked:
                self._upstream.send(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            # The registry answered before it had read everything; what it said is read next, and then it is over.
            self._keep = False

    def drain(self) -> None:
        """Read the rest of the request's body."""
        for _ in self._body:
            pass

    def _incoming(self, source: IO[bytes]) -> Iterator[bytes]:
        request = self.request
        if request.headers.get("expect", "").lower() == "100-continue":
            self._client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        for part in _body(source, request.headers):
            request.body_size += len(part)
            if len(request.body) < _KEPT_BODY:
                request.body += part
            yield part

    # --- towards the client ------------------------------------------------------------------------------------------

    def relay(self, answer: Answer, *, limit: int | None = None, pause: Callable[[], None] | None = None) -> None:
        """Send an answer to the client; after `limit` bytes of its body cut the connection.

        `pause` is called before each part of the body; parts then are small.
        """
        self.start(answer)
        if self.request.method == "HEAD" or answer.status in {204, 304}:
            answer.read(1)
            return
        size = _CHUNK if pause is None else 512
        while True:
            left = size if limit is None else min(size, limit - self.request.answer_size)
            if left <= 0:
                self.cut()
            part = answer.read(left)
            if not part:
                break
            if pause is not None:
                pause()
            self.request.answer_size += len(part)
            self._client.sendall(part if answer.length is not None else b"%x\r\n%b\r\n" % (len(part), part))
        if answer.length is None:
            self._client.sendall(b"0\r\n\r\n")
        elif self.request.answer_size < answer.length:
            # What was promised does not come: the registry went away, or a rule keeps it back.
            self.cut(reset=False)

    def reply(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Answer without asking the registry. The request's body is read first."""
        self.drain()
        rest = memoryview(body)

        def read(size: int) -> bytes:
            nonlocal rest
            part, rest = rest[:size], rest[size:]
            return bytes(part)

        self.relay(Answer(status, list((headers or {}).items()), read, len(body)))

    def start(self, answer: Answer) -> None:
        """Send the head of an answer."""
        self.request.status = answer.status
        reason = http.client.responses.get(answer.status, "Unknown")
        lines = [f"HTTP/1.1 {answer.status} {reason}"]
        lines += [f"{name}: {value}" for name, value in answer.headers if name.lower() != "content-length"]
        if answer.status not in {204, 304}:
            lines.append("Transfer-Encoding: chunked" if answer.length is None else f"Content-Length: {answer.length}")
        self._client.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def cut(self, *, reset: bool = True) -> None:
        """End the connection now: with a reset, or with an orderly end in the wrong place."""
        raise Cut(reset)


class Cut(Exception):
    """Ends an exchange and its connection."""

    def __init__(self, reset: bool) -> None:
        super().__init__("cut")
        self.reset = reset


def _listener() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    return listener


def _body(source: IO[bytes], headers: Mapping[str, str]) -> Iterator[bytes]:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        while size := int(source.readline().split(b";")[0], 16):
            yield from _exactly(source, size)
            source.readline()
        while source.readline().strip():
            pass
    else:
        yield from _exactly(source, int(headers.get("content-length", "0")))


def _exactly(source: IO[bytes], size: int) -> Iterator[bytes]:
    while size:
        try:
            part = source.read1(min(size, _CHUNK)) if hasattr(source, "read1") else source.read(min(size, _CHUNK))
        except ConnectionResetError:
            part = b""
        if not part:
            raise Cut(reset=False)  # by the client, in the middle of its request
        size -= len(part)
        yield part
