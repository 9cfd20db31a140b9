"""A server that does exactly what a test writes down, byte for byte, connection by connection."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

PATIENCE = 20.0
"""Seconds after which a script that waits for its client gives up, so that a broken test ends."""


class Seen(NamedTuple):
    """A request as it arrived."""

    line: str
    fields: dict[str, str]
    body: bytes = b""

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, seen: list[Seen]) -> None:
        self.sock = sock
        self._seen = seen
        self._ahead = b""

    def head(self) -> Seen:
        """The next request's head; its body stays unread."""
        while b"\r\n\r\n" not in self._ahead:
            piece = self.sock.recv(65536)
            if not piece:
                raise EOFError("the client hung up")
            self._ahead += piece
        raw, _, self._ahead = self._ahead.partition(b"\r\n\r\n")
        line, *fields = raw.decode().split("\r\n")
        seen = Seen(line, {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)})
        self._seen.append(seen)
        return seen

    def read(self, count: int) -> bytes:
        """So many bytes of a body."""
        data = bytearray(self._ahead[:count])
        self._ahead = self._ahead[count:]
        while len(data) < count:
            piece = self.sock.recv(min(count - len(data), 1 << 18))
            if not piece:
                raise EOFError("the client hung up")
            data += piece
        return bytes(data)

    def request(self) -> Seen:
        """The next request with its body."""
        head = self.head()
        place = next(place for place, seen in enumerate(self._seen) if seen is head)
        self._seen[place] = head._replace(body=self.read(int(head.fields.get("content-length", "0"))))
        return self._seen[place]

    def say(self, *parts: str | bytes) -> None:
        self.sock.sendall(b"".join(part.encode() if isinstance(part, str) else part for part in parts))

    def answer(self, status: int = 200, body: str | bytes = b"", **fields: str) -> None:
        """A complete answer with a Content-Length; underscores in field names are dashes."""
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        self.say("\r\n".join(lines), "\r\n\r\n", body)

    def until_closed(self) -> bytes:
        """Whatever else the client sends, until it hangs up."""
        rest = self._ahead
        with contextlib.suppress(OSError):
            while piece := self.sock.recv(65536):
                rest += piece
        return rest

    def reset(self) -> None:
        """Hang up at once: unsent data is thrown away, and the client gets a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


Script = Callable[[Peer], None]


class Scripted:
    """Runs the first script on the first connection, and so on; further connections are refused by closing them."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self._scripts = list(scripts)
        self._tls = tls
        self.seen: list[Seen] = []
        self.connections = 0
        self.errors: list[BaseException] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"{'http' if tls is None else 'https'}://{self.host}"
        self._threads: list[threading.Thread] = []
        self._socks: list[socket.socket] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            # Servers do: else an answer may wait for an acknowledgement, and be lost in a reset.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._socks.append(sock)
            if not self._scripts:
                sock.close()
                continue
            thread = threading.Thread(target=self._run, args=(sock, self._scripts.pop(0)), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, sock: socket.socket, script: Script) -> None:
        sock.settimeout(PATIENCE)
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._socks.append(sock)
            script(Peer(sock, self.seen))
        except (EOFError, ConnectionError, ssl.SSLError):
            pass  # the client went away: the test looks at the client
        except Exception as error:  # noqa: BLE001 - the test's own thread raises it
            self.errors.append(error)
        finally:
            sock.close()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        for sock in self._socks:
            with contextlib.suppress(OSError):  # closed by its script
                socket.socket.shutdown(sock, socket.SHUT_RD)  # whoever waits for another request has waited enough
        for thread in self._threads:
            thread.join(PATIENCE)


@contextlib.contextmanager
def scripted(*scripts: Script, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """A running `Scripted`; at the end its scripts must be over, and none of them must have failed."""
    server = Scripted(*scripts, tls=tls)
    try:
        yield server
    finally:
        server.stop()
    if server.errors:
        raise server.errors[0]


def forever(*answers: tuple[int, bytes]) -> Script:
    """Answers requests one after the other on one connection: these answers, then the last one again."""

    def script(peer: Peer) -> None:
        position = 0
        while True:
            peer.request()
            status, body = answers[min(position, len(answers) - 1)]
            peer.answer(status, body)
            position += 1

    return script
