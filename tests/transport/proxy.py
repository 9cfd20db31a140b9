"""A forward proxy for tests: CONNECT tunnels and absolute-form requests, to wherever a table says."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Iterator

from tests.transport.scripted import Peer, Script, Scripted, Seen


class ForwardProxy:
    """Reaches each ``host:port`` at the local port that ``ways`` gives; other hosts are refused with 502."""

    def __init__(self, ways: dict[str, int], credentials: str = "") -> None:
        self._ways = ways
        self._wanted = "Basic " + base64.b64encode(credentials.encode()).decode() if credentials else ""
        self._server = Scripted(*[self._serve] * 20)
        self.host = self._server.host

    @property
    def seen(self) -> list[Seen]:
        return self._server.seen

    def stop(self) -> None:
        self._server.stop()

    def _serve(self, peer: Peer) -> None:
        while True:
            head = peer.head()
            if self._wanted and head.fields.get("proxy-authorization") != self._wanted:
                peer.answer(407, b"credentials, please")
                continue
            tunnel = head.method == "CONNECT"
            host = head.target if tunnel else head.target.split("/")[2]
            if host not in self._ways:
                peer.answer(502, b"no way")
                continue
            with socket.create_connection(("127.0.0.1", self._ways[host])) as onward:
                if tunnel:
                    peer.say("HTTP/1.1 200 Connection established\r\n\r\n")
                    _join(peer.sock, onward)
                    return
                path = "/" + head.target.split("/", 3)[3]
                onward.sendall(f"{head.method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                while piece := onward.recv(65536):
                    peer.say(piece)
                return


def _join(one: socket.socket, other: socket.socket) -> None:
    back = threading.Thread(target=_pump, args=(other, one), daemon=True)
    back.start()
    _pump(one, other)
    back.join(20)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def forward_proxy(ways: dict[str, int], credentials: str = "") -> Iterator[ForwardProxy]:
    """A running `ForwardProxy`."""
    proxy = ForwardProxy(ways, credentials)
    try:
        yield proxy
    finally:
        proxy.stop()


__all__ = ["ForwardProxy", "Script", "forward_proxy"]
