"""The transport: its parts stacked into one object that sends requests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from liftlock import __version__
from liftlock.errors import ConfigError, LiftlockError, TransportError
from liftlock.transport.addresses import Addresses
from liftlock.transport.connection import READ_AHEAD, Connection, Sockets
from liftlock.transport.dial import Dialer, Route, proxy_refusal
from liftlock.transport.failures import TRANSPORT_FAILURES, describe, speaks_no_tls
from liftlock.transport.http1 import Dropped, Head, body_reader, exchange, request_head, send_stream
from liftlock.transport.limits import Limits, Slot
from liftlock.transport.memory import HostMemory
from liftlock.transport.messages import Request, Response, Stream, is_pourable
from liftlock.transport.pool import Pool
from liftlock.transport.redirects import next_request
from liftlock.transport.response import WireResponse
from liftlock.transport.retry import Retrier
from liftlock.transport.settings import Settings
from liftlock.transport.traffic import Traffic
from liftlock.transport.urls import Origin, is_loopback, redact, registry_host, split_url
from liftlock.typed import TypeVar

__all__ = ["Transport"]

T = TypeVar("T")

BUFFER = 1024 * 1024
"""Bytes of the one buffer through which a thread sends large bodies: 256 KiB cost a quarter more processor time."""
WORTH_A_PIPE = 1024 * 1024
"""Bytes of a body for which a pipe is worth its making."""
USER_AGENT = f"liftlock/{__version__}"
_WANTS_TLS = b"Client sent an HTTP request to an HTTPS server"
"""How Go's ``net/http`` answers plain HTTP on a TLS port, with status 400."""


class Transport:
    """Sends requests to registries. Safe to use from several threads; one per operation.

    ``on_request`` is told of each request and how it ended, in one line that holds no secret.

    Raises `TransportError` when no usable answer came, `Cancelled` after `abort`, and `ConfigError` when a file named
    in the settings cannot be used. Every status is an answer, not an error.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        memory: HostMemory | None = None,
        on_request: Callable[[str], None] | None = None,
    ) -> None:
        self._on_request = on_request
        self.settings = settings or Settings()
        self.memory = memory or HostMemory()
        self.traffic = Traffic()
        self._addresses = Addresses()
        self._sockets = Sockets()
        self._dialer = Dialer(self.settings, self._addresses, self._sockets)
        self._pool = Pool(self._dialer, self._sockets, self.settings.connections)
        self._limits = Limits(self.settings.connections, self.settings.requests_per_second)
        self._retrier = Retrier(
            self._limits,
            attempts=self.settings.attempts,
            longest_pause=self.settings.longest_pause,
            wait=self._sockets.aborted.wait,
        )
        self._buffers = threading.local()
        self._base_urls: dict[str, str] = {}

    def base_url(self, registry: str) -> str:
        """``https://host[:port]`` of a registry as it is named in references, or the endpoint that stands for it.

        Plain ``http`` for hosts where it was asked for, and for loopback hosts, unless TLS files are configured for
        this host or it was found to speak TLS.
        """
        known = self._base_urls.get(registry)
        if known is None:
            known = self._base_urls[registry] = self._endpoint(registry) or self._own_url(registry_host(registry))
        return known

    def memory_key(self, registry: str) -> str:
        """The name under which is remembered what was learnt of a registry.

        What another endpoint answers is not the registry's word: a realm that it names must get no password later,
        when the registry is spoken to at its own host.
        """
        endpoint = self.settings.endpoints.get(registry, "")
        return f"{registry} at {endpoint}" if endpoint else registry

    def _endpoint(self, registry: str) -> str:
        url = self.settings.endpoints.get(registry, "")
        if not url:
            return ""
        origin, path = split_url(url)
        if path != "/":
            raise ConfigError(f"the endpoint of {registry} is a URL without a path, not {redact(url)}")
        return str(origin)

    def _own_url(self, host: str) -> str:
        return f"{'http' if self._speaks_plain(host) else 'https'}://{host}"

    def _speaks_plain(self, host: str) -> bool:
        if self.settings.speaks_plain(host):
            return True
        origin, _ = split_url(f"https://{host}")
        if not is_loopback(origin.host) or self.settings.tls_files(host) is not None:
            return False
        return self.memory.get(host, "scheme") != "https"

    def send(self, request: Request, *, redirects: bool = True) -> Response:
        """Send once and return the answer with its body still unread: it must be closed.

        Redirects of GET and HEAD are followed unless told not to. A pooled connection that turns out to be dead before
        the first byte of an answer is replaced by a fresh one, unless what was sent must not arrive twice; nothing else
        is repeated.
        """
        response = self._send_or_switch(request)
        if not redirects:
            return response
        seen = [request.url]
        while True:
            try:
                following = next_request(request, response, seen)
            except LiftlockError:
                response.close()
                raise
            if following is None:
                return response
            response.close()
            self.guard(request.url, following.url)
            request = following
            seen.append(request.url)
            response = self._send_or_switch(request)

    def guard(self, origin_url: str, url: str) -> None:
        """Raise `TransportError` when a server at ``origin_url`` must not send us to ``url``.

        For every URL that a registry names itself, before it is used: an upload's ``Location``, a token realm, a page
        link. Public hosts may not point at private, loopback, link-local or metadata addresses.
        """
        target, _ = split_url(url)
        direct = self.settings.proxies.choose(target) is None
        self._addresses.guard(split_url(origin_url)[0], target, resolve=direct)

    def reaches(self, url: str) -> str:
        """What kind of address a URL leads to: ``public``, ``private``, ``metadata`` or ``unknown``.

        Behind a proxy only names and written addresses are looked at, since the proxy resolves names itself. What was
        looked up here is what is connected to.
        """
        target, _ = split_url(url)
        return self._addresses.kind(target, resolve=self.settings.proxies.choose(target) is None)

    def retrying(self, host: str, attempt: Callable[[], T]) -> T:
        """Repeat ``attempt`` while it raises a temporary error: the one retry layer, with state shared per host."""
        return self._retrier.run(registry_host(host), attempt)

    def warm(self, url: str, connections: int) -> None:
        """Begin to open connections in the background; failures show when a request is sent."""
        origin, _ = self._locate(url)
        self._pool.warm(Route(origin, self.settings.proxies.choose(origin)), connections)

    def abort(self) -> None:
        """From any thread: every stalled call, every wait and every later send raises `Cancelled`."""
        self._sockets.abort()
        self._limits.abort()
        self._pool.close()

    def close(self) -> None:
        """Close idle connections; those of unread answers close with these."""
        self._pool.close()

    def _locate(self, url: str) -> tuple[Origin, str]:
        """Origin and target of a URL; a loopback host that was found to speak TLS is asked so."""
        origin, target = split_url(url)
        if (
            origin.scheme == "http"
            and is_loopback(origin.host)
            and not self.settings.speaks_plain(origin.authority)
            and self.memory.get(origin.authority, "scheme") == "https"
        ):
            origin = origin._replace(scheme="https")
        return origin, target

    def _send_or_switch(self, request: Request) -> Response:
        """Send; a loopback host that turns out to want TLS, or no longer does, is remembered so and asked once more."""
        origin, target = self._locate(request.url)
        host = origin.authority
        if not is_loopback(origin.host) or self.settings.speaks_plain(host):
            return self._send_once(request, origin, target)
        try:
            return self._send_once(request, origin, target)
        except _WantsTls:
            self._learn_scheme(host, "https")
            return self._send_once(request, origin._replace(scheme="https"), target)
        except TransportError as error:
            if self.memory.get(host, "scheme") != "https" or not speaks_no_tls(error.__cause__):
                raise
            self._learn_scheme(host, None)
            return self._send_once(request, origin._replace(scheme="http"), target)

    def _learn_scheme(self, host: str, scheme: str | None) -> None:
        self.memory.put(host, "scheme", scheme)
        self._base_urls.clear()

    def _send_once(self, request: Request, origin: Origin, target: str) -> Response:
        host = origin.authority
        route = Route(origin, self.settings.proxies.choose(origin))
        slot = self._limits.enter(host, large=_is_large(request))
        try:
            connection, head, whole = self._exchange(request, route, target)
            try:
                _check_speaker(connection, head, route)
                body = body_reader(connection, request.method, head)
            except BaseException:
                self._pool.drop(connection)
                raise
        except (*TRANSPORT_FAILURES, LiftlockError) as error:
            self._limits.leave(slot)
            failure = self._describe(error, request.url)
            self._tell(request, failure.message)
            if failure is error:
                raise
            raise failure from error
        except BaseException:
            self._limits.leave(slot)
            raise
        self._tell(request, str(head.status))
        if head.status == 429 or (head.status == 503 and "retry-after" in head.headers):
            self._limits.slow_down(host)
        elif head.status < 400:
            self._limits.speed_up(host)
        return WireResponse(
            status=head.status,
            headers=head.headers,
            url=f"{origin}{target}",
            connection=connection,
            body=body,
            reusable=whole and head.keeps_connection,
            over=partial(self._over, route, slot),
            failed=self._describe,
        )

    def _exchange(self, request: Request, route: Route, target: str) -> tuple[Connection, Head, bool]:
        """Get a connection, send the request, read the answer's head; also whether the whole request was sent."""
        fresh = False
        while True:
            body = request.body() if callable(request.body) else request.body
            try:
                connection = self._pool.take(route, fresh=fresh)
                try:
                    head, whole = self._attempt(connection, request, body, route, target)
                except Dropped:
                    self._pool.drop(connection)
                    if not connection.kept or fresh or not _may_repeat(request) or self._sockets.aborted.is_set():
                        raise
                    fresh = True  # it died while it lay idle
                except BaseException:
                    self._pool.drop(connection)
                    raise
                else:
                    return connection, head, whole
            finally:
                if isinstance(body, Stream):
                    body.source.close()

    def _attempt(
        self, connection: Connection, request: Request, body: bytes | Stream | None, route: Route, target: str
    ) -> tuple[Head, bool]:
        fields = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **request.headers}
        length = body.size if isinstance(body, Stream) else None if body is None else len(body)
        if length is None and request.method in ("POST", "PUT", "PATCH"):
            length = 0
        authority = route.origin.authority
        if route.proxy is not None and not route.tunnelled:
            target = f"{route.origin}{target}"
            if route.proxy.authorization:
                fields["Proxy-Authorization"] = route.proxy.authorization
        head = request_head(request.method, target, authority, fields, length)
        self.traffic.add(authority, requests=1)
        if isinstance(body, Stream):
            answer, whole = self._send_stream(connection, head, body)
        else:
            answer, whole = exchange(connection, lambda: connection.send(head + (body or b"")))
        if length and whole:
            self.traffic.add(authority, sent=length)
        return answer, whole

    def _send_stream(self, connection: Connection, head: bytes, body: Stream) -> tuple[Head, bool]:
        from liftlock.transport.carriers import Buffer, Pipe  # most commands send no blob

        large = body.size >= WORTH_A_PIPE and len(head) <= READ_AHEAD
        pipe = Pipe.make() if large and connection.splices and is_pourable(body.source) else None
        if pipe is not None:
            with pipe:
                return exchange(connection, lambda: send_stream(connection, head, body, pipe))
        # Out of its place while it is used: a body's source may send requests of its own on this thread.
        buffer: Buffer | None = self._buffers.__dict__.pop("buffer", None)
        wanted = min(BUFFER, len(head) + body.size)
        if buffer is None or buffer.size < wanted:
            buffer = Buffer(wanted)
        try:
            return exchange(connection, lambda: send_stream(connection, head, body, buffer))
        finally:
            self._buffers.buffer = buffer

    def _over(self, route: Route, slot: Slot, response: WireResponse, connection: Connection, reusable: bool) -> None:
        """An answer has been read, or is not wanted any more."""
        if reusable and not connection.ahead:
            self._pool.give(route, connection)
        else:
            self._pool.drop(connection)
        self._limits.leave(slot)
        if response.received:
            self.traffic.add(slot.host, received=response.received)

    def _tell(self, request: Request, outcome: str) -> None:
        if self._on_request is not None:
            self._on_request(f"{request.method} {redact(request.url)} → {outcome}")

    def _describe(self, error: BaseException, url: str) -> LiftlockError:
        return describe(error, url, aborted=self._sockets.aborted.is_set())


class _WantsTls(TransportError):
    """A server that was asked in plain HTTP speaks TLS."""


def _check_speaker(connection: Connection, head: Head, route: Route) -> None:
    """Raise when it was not the registry that answered, but a proxy or a TLS listener that heard plain HTTP."""
    if head.status == 407 and route.proxy is not None:
        raise proxy_refusal(route.proxy, head.status, f"a request to {route.origin}")
    if head.status == 400 and route.origin.scheme == "http" and _WANTS_TLS in connection.ahead:
        raise _WantsTls(f"{route.origin}: the server wants TLS", temporary=False)


def _may_repeat(request: Request) -> bool:
    """Whether a request may be sent again as it is when nobody knows whether it arrived (RFC 9110 section 9.2.2).

    A streamed blob may not, although it is a PUT: an upload takes its bytes once, and only whoever opened it can open
    another. A POST without a body may: it opens an upload, or asks for a mount.
    """
    return not callable(request.body) and not (request.method in ("POST", "PATCH") and request.body)


def _is_large(request: Request) -> bool:
    """Whether this request moves a blob: it may take long, and must leave a slot to those that do not."""
    return callable(request.body) or (request.method == "GET" and "/blobs/" in request.url)
