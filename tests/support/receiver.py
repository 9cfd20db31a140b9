"""A local HTTP server that records what it is sent and answers as told: any status, a redirect, a hang, a cut."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from tests.support.certificates import Authority
from tests.support.waiting import until


@dataclass(frozen=True)
class Received:
    """One request, as it arrived."""

    method: str
    target: str
    """Path and query."""
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What to answer. `how` is `answer`, `hang` (say nothing until the end) or `cut` (hang up in the middle)."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    how: Literal["answer", "hang", "cut"] = "answer"


class Receiver:
    """Listens on loopback. Answers 200 unless `next` or `always` say otherwise; `requests` are in order of arrival."""

    def __init__(self, *, tls: Authority | None = None, mutual: bool = False) -> None:
        """``mutual``: whoever comes has to show a certificate of the same authority."""
        self._lock = threading.Lock()
        self._requests: list[Received] = []
        self._next: list[Reply | Callable[[Received], Reply]] = []
        self._always: Reply | Callable[[Received], Reply] = Reply()
        self._ending = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            self._server.socket = _secured(self._server, tls, mutual=mutual)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"{self._scheme}://{self.host}"

    @property
    def requests(self) -> list[Received]:
        with self._lock:
            return list(self._requests)

    def wait(self, count: int = 1) -> list[Received]:
        """The requests, once there are so many."""
        return until(lambda: self.requests if len(self.requests) >= count else [], f"{count} requests")

    def next(self, *replies: Reply | Callable[[Received], Reply]) -> None:
        """What to answer to the next requests, one each."""
        with self._lock:
            self._next += replies

    def always(self, reply: Reply | Callable[[Received], Reply]) -> None:
        """What to answer from now on; what says so for each request is asked for one at a time."""
        with self._lock:
            self._always = reply

    def redirect(self, url: str, status: int = 307) -> None:
        """Send every request elsewhere from now on."""
        self.always(Reply(status, headers={"Location": url}))

    def stop(self) -> None:
        """Stop listening; what hangs is let go. Stopping again does nothing."""
        if not self._ending.is_set():
            self._ending.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def take(self, request: Received) -> Reply:
        """Record a request, and say what it gets; for the handler."""
        with self._lock:
            self._requests.append(request)
            reply = self._next.pop(0) if self._next else self._always
            return reply(request) if callable(reply) else reply

    def hang(self) -> None:
        """Keep a handler until the end; for the handler."""
        self._ending.wait()


def _secured(server: ThreadingHTTPServer, authority: Authority, *, mutual: bool) -> Any:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.server()
    context.load_cert_chain(pair.certificate, pair.key)
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.ca)
    return context.wrap_socket(server.socket, server_side=True)


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = receiver.take(Received(self.command, self.path, headers, body))
            if reply.how == "hang":
                receiver.hang()
            if reply.how == "cut":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n")
            if reply.how != "answer":
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        do_DELETE = do_GET = do_HEAD = do_PATCH = do_POST = do_PUT = _respond  # noqa: N815 - the base class's names

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing on stderr; `requests` has it."""

    return Handler
