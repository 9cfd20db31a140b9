"""TLS: system authorities and own ones, client certificates, host names, TLS 1.2 or newer.

Import this only where TLS is really spoken: ``ssl`` costs 10 ms.
"""

from __future__ import annotations

import os
import ssl
import threading

from liftlock.errors import ConfigError
from liftlock.transport.connection import PATIENCE, READ_AHEAD, Connection
from liftlock.transport.settings import TlsFiles
from liftlock.typed import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import _socket
    import socket
    from collections.abc import Callable

__all__ = ["TlsConnection", "TlsContexts"]

FILL = 128 * 1024
"""Bytes of a body that are gathered from TLS records before they are given out."""


class TlsContexts:
    """One context per set of files: reading the system's authorities costs 10 ms and more."""

    def __init__(self, system_ca: str = "") -> None:
        self._system_ca = system_ca
        self._lock = threading.Lock()
        self._contexts: dict[TlsFiles, ssl.SSLContext] = {}

    def wrap(self, sock: _socket.socket, host: str, files: TlsFiles) -> ssl.SSLSocket:
        """TLS on a connected socket, before its handshake. Raises `ConfigError` when a file cannot be used."""
        with self._lock:
            context = self._contexts.get(files)
            if context is None:
                context = self._contexts[files] = _context(files, self._system_ca)
        return context.wrap_socket(
            cast("socket.socket", sock),  # `ssl` only takes the file descriptor over
            server_hostname=host,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )


def _context(files: TlsFiles, system_ca: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if system_ca:
        _trust(context, system_ca)
    else:
        context.load_default_certs()
    if files.ca_file:
        _trust(context, files.ca_file)
    if files.client_cert:
        for path in filter(None, (files.client_cert, files.client_key)):
            if not os.access(path, os.R_OK):
                raise ConfigError("the file of the client certificate or its key cannot be read", path=path)
        try:
            # Without the callable an encrypted key would ask on the terminal.
            context.load_cert_chain(files.client_cert, files.client_key or None, password=lambda: b"")
        except (ssl.SSLError, OSError, ValueError) as error:
            raise ConfigError(
                f"not a client certificate with its key: {error}",
                path=files.client_cert,
                hint="both are PEM, they belong together, and the key is not encrypted",
            ) from None
    return context


def _trust(context: ssl.SSLContext, path: str) -> None:
    paths = [path]
    if os.path.isdir(path):
        paths = [os.path.join(path, name) for name in sorted(os.listdir(path)) if name.endswith(".crt")]
    for each in paths:
        try:
            context.load_verify_locations(each)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(
                f"not a file of certificate authorities: {error}", path=each, hint="it is PEM: -----BEGIN CERTIFICATE"
            ) from None


class TlsConnection(Connection):
    """A connection under TLS. The kernel's time-outs would not be seen here, so Python's are used."""

    __slots__ = ()

    splices = False
    sock: ssl.SSLSocket

    def _arm(self) -> None:
        self.sock.settimeout(self._timeout)

    def _receive_now(self) -> bytes | None:
        before = self.sock.gettimeout()
        self.sock.settimeout(0)
        try:
            return self.sock.recv(READ_AHEAD)
        except ssl.SSLWantReadError:
            return None  # session tickets, perhaps, but no data
        finally:
            self.sock.settimeout(before)

    def _send(self, total: int, send: Callable[[int], int]) -> None:
        self.sock.settimeout(min(PATIENCE, self._timeout))
        try:
            super()._send(total, send)
        finally:
            self.sock.settimeout(self._timeout)

    def fill(self) -> None:
        try:
            super().fill()
        except ssl.SSLEOFError:
            raise EOFError("the server hung up") from None

    def recv_into(self, buffer: memoryview, limit: int) -> int:
        try:
            count = super().recv_into(buffer, limit)
        except ssl.SSLEOFError:
            raise EOFError("the server hung up without ending TLS") from None
        # One read gives one record, 16 KiB at most: several of them go on to the next socket in one piece.
        wanted = min(limit, FILL)
        while 0 < count < wanted:
            try:
                more = self.sock.recv_into(buffer[count:], limit - count)
            except OSError:
                break  # it says so again when it is asked for the next piece
            if not more:
                break
            count += more
        return count
