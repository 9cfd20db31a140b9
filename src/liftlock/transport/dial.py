"""Opening a connection: addresses in turn, a tunnel through a proxy where there is one, TLS."""

from __future__ import annotations

import _socket as socket  # see `transport`
import errno
import os
import select
import threading
import time

from liftlock.errors import TransportError
from liftlock.transport.addresses import Addresses, Endpoint
from liftlock.transport.connection import Connection, Sockets
from liftlock.transport.http1 import exchange, request_head
from liftlock.transport.proxies import Proxy
from liftlock.transport.settings import Settings
from liftlock.transport.urls import Origin
from liftlock.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from liftlock.transport.tls import TlsConnection, TlsContexts

__all__ = ["Dialer", "Route"]


_PROXY_HINT = "check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"


class Route(NamedTuple):
    """Where a connection leads: connections of one route can stand for each other."""

    origin: Origin
    proxy: Proxy | None

    @property
    def tunnelled(self) -> bool:
        return self.proxy is not None and self.origin.scheme == "https"


class Dialer:
    """Opens connections. Every socket is watched by ``sockets`` from before it is connected."""

    def __init__(self, settings: Settings, addresses: Addresses, sockets: Sockets) -> None:
        self._settings = settings
        self._addresses = addresses
        self._sockets = sockets
        self._lock = threading.Lock()
        self._tls: TlsContexts | None = None

    def open(self, route: Route) -> Connection:
        """A new connection; raises `OSError`, `EOFError`, `Malformed`, `Dropped`, `LiftlockError`."""
        deadline = time.monotonic() + self._settings.connect_timeout
        if route.proxy is None:
            sock = self._connect(route.origin.host, route.origin.port, deadline)
        else:
            sock = self._connect_to_proxy(route.proxy, deadline)
        try:
            if route.proxy is not None and route.tunnelled:
                self._tunnel(sock, route.origin, route.proxy, deadline)
            if route.origin.scheme == "https":
                return self._secure(sock, route.origin, deadline)
            return Connection(sock, self._settings.read_timeout)
        except BaseException:
            self._sockets.close(sock)
            raise

    def _connect(self, host: str, port: int, deadline: float) -> socket.socket:
        endpoints = self._addresses.find(host, port)
        for number, endpoint in enumerate(endpoints):
            # Each gets its share of the time, so that a dead IPv6 route leaves some for IPv4.
            share = (deadline - time.monotonic()) / (len(endpoints) - number)
            try:
                sock = self._connect_to(endpoint, max(share, 0.001))
            except OSError:
                if endpoint == endpoints[-1] or self._sockets.aborted.is_set():
                    self._addresses.forget(host, port)
                    raise
            else:
                self._addresses.prefer(host, port, endpoint)
                return sock
        raise socket.gaierror(socket.EAI_NONAME, "no address")

    def _connect_to_proxy(self, proxy: Proxy, deadline: float) -> socket.socket:
        try:
            return self._connect(proxy.host, proxy.port, deadline)
        except OSError as error:
            why = str(error.strerror or error)
            raise TransportError(f"the proxy {proxy} cannot be reached: {why}", hint=_PROXY_HINT) from error

    def _connect_to(self, endpoint: Endpoint, timeout: float) -> socket.socket:
        family, address = endpoint
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        code = self._sockets.connect(sock, address)
        try:
            _finish_connecting(sock, code, timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            self._sockets.close(sock)
            raise
        return sock

    def _tunnel(self, sock: socket.socket, origin: Origin, proxy: Proxy, deadline: float) -> None:
        """Ask a proxy for a way to a TLS server (RFC 9110 section 9.3.6)."""
        target = f"[{origin.host}]:{origin.port}" if ":" in origin.host else f"{origin.host}:{origin.port}"
        fields = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
        connection = Connection(sock, _left(deadline))
        head = request_head("CONNECT", target, target, fields, None)
        answer, _ = exchange(connection, lambda: connection.send(head))
        if answer.status // 100 != 2:
            raise proxy_refusal(proxy, answer.status, f"a tunnel to {target}")
        if connection.ahead:
            raise TransportError(f"the proxy {proxy} sent bytes ahead of the tunnel's", temporary=False)

    def _secure(self, sock: socket.socket, origin: Origin, deadline: float) -> TlsConnection:
        from liftlock.transport.tls import TlsConnection, TlsContexts  # ssl costs 10 ms

        with self._lock:
            if self._tls is None:
                self._tls = TlsContexts(self._settings.system_ca)
        files = self._settings.tls_files(origin.authority) or self._settings.default_tls
        secured = self._tls.wrap(sock, origin.host, files)
        try:
            self._sockets.swap(sock, secured)
            secured.settimeout(_left(deadline))
            secured.do_handshake()
            return TlsConnection(secured, self._settings.read_timeout)
        except BaseException:
            self._sockets.close(secured)
            raise


def _finish_connecting(sock: socket.socket, code: int, timeout: float) -> None:
    """Wait for a connection that was begun with this error number; raises `OSError`."""
    if code == errno.EINPROGRESS:
        waiting = select.poll()
        waiting.register(sock, select.POLLOUT)
        if not waiting.poll(timeout * 1000):
            raise TimeoutError(f"no connection within {timeout:.3g} s")
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def proxy_refusal(proxy: Proxy, status: int, what: str) -> TransportError:
    """The error for a proxy that refused ``what`` with this status."""
    hint = "check the user name and password in the proxy's URL" if status == 407 else _PROXY_HINT
    return TransportError(f"the proxy {proxy} refuses {what} (status {status})", hint=hint, temporary=status >= 500)


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)
