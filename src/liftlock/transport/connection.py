"""One connection's bytes: a socket, what was read ahead of it, and what watches over all sockets.

Time-outs of plain sockets are the kernel's (``SO_RCVTIMEO``, ``SO_SNDTIMEO``), which leaves one system call per piece
where Python's own time-outs make two.
"""

from __future__ import annotations

import _socket as socket  # see `transport`
import os
import struct
import threading

from liftlock.errors import Cancelled
from liftlock.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from liftlock.transport.carriers import Carrier, Pipe

__all__ = ["PATIENCE", "READ_AHEAD", "Connection", "SendStopped", "Sockets"]

READ_AHEAD = 16 * 1024
"""Bytes asked for when a head or a chunk's line is wanted; what comes too much is given out first."""

PATIENCE = 1.0
"""Seconds for which a blocked send waits before it looks whether the server has answered meanwhile."""

_FINAL = frozenset(b"345")
"""First digits of the statuses that are an answer to a request whose body is not needed any more."""


class SendStopped(Exception):
    """Not everything could be sent: ``cause`` says why, or is None when the server has already answered."""

    def __init__(self, cause: OSError | None) -> None:
        super().__init__(cause)
        self.cause = cause


class Connection:
    """A connected socket. Not for several threads at once.

    Raises `OSError` as the socket does; a stall is a `TimeoutError` or a `BlockingIOError`.
    """

    __slots__ = ("_timeout", "ahead", "at", "idle_since", "kept", "sock")

    splices = hasattr(os, "splice")
    """Whether a `Pipe` can be filled from it, and emptied into it."""

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        self.sock = sock
        self._timeout = timeout
        self.ahead = bytearray()
        """What was read; what is before ``at`` is used up."""
        self.at = 0
        self.kept = False
        """Whether it has lain idle, and so may have died unseen."""
        self.idle_since = 0.0
        self._arm()

    def _arm(self) -> None:
        """Set the time-outs."""
        self.sock.settimeout(None)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(self._timeout))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(min(PATIENCE, self._timeout)))

    def _receive_now(self) -> bytes | None:
        """What has come, without waiting; None when nothing has, empty when the peer hung up."""
        try:
            return self.sock.recv(READ_AHEAD, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def send(self, data: bytes) -> None:
        """Send all of it; raises `SendStopped`."""
        view = memoryview(data)
        self._send(len(view), lambda sent: self.sock.send(view[sent:]))

    def send_carried(self, carrier: Carrier) -> None:
        """Send all that it carries; raises `SendStopped`."""
        self._send(carrier.filled, lambda sent: carrier.send(self.sock, sent))
        carrier.filled = 0

    def _send(self, total: int, send: Callable[[int], int]) -> None:
        """Call ``send`` with what has been sent so far until that is all."""
        sent, stalled = 0, 0.0
        while sent < total:
            try:
                sent += send(sent)
                stalled = 0.0
            except (BlockingIOError, TimeoutError):
                if self.answered():
                    raise SendStopped(None) from None
                stalled += PATIENCE
                if stalled >= self._timeout:
                    raise SendStopped(TimeoutError("the server takes no more bytes")) from None
            except OSError as error:
                raise SendStopped(error) from None

    def answered(self) -> bool:
        """Whether a final answer lies here although the request is not complete. Does not wait."""
        try:
            piece = self._receive_now()
        except OSError:
            return False  # the next send says so, and better
        if piece:
            self.ahead += piece
        return len(self.ahead) - self.at > 9 and self.ahead[self.at + 9] in _FINAL

    def is_idle(self) -> bool:
        """Whether it is open and silent, as a connection between two requests has to be. Does not wait."""
        try:
            return self.at == len(self.ahead) and self._receive_now() is None
        except OSError:
            return False

    def fill(self) -> None:
        """Read some more ahead; raises `EOFError` when the peer hung up."""
        piece = self.sock.recv(READ_AHEAD)
        if not piece:
            raise EOFError("the server hung up")
        if self.at:
            del self.ahead[: self.at]
            self.at = 0
        self.ahead += piece

    def take(self, end: int) -> bytes:
        """What was read ahead up to this position, used up."""
        piece = bytes(self.ahead[self.at : end])
        if end == len(self.ahead):
            self.ahead.clear()
            self.at = 0
        else:
            self.at = end
        return piece

    def recv_into(self, buffer: memoryview, limit: int) -> int:
        """Up to ``limit`` bytes into the buffer: what was read ahead first, then straight from the socket."""
        if self.ahead:
            piece = self.take(min(len(self.ahead), self.at + limit))
            buffer[: len(piece)] = piece
            return len(piece)
        return self.sock.recv_into(buffer, limit)

    def pour(self, pipe: Pipe, limit: int) -> int:
        """Up to ``limit`` bytes into an empty pipe, in the same order."""
        if self.ahead:
            piece = self.take(min(len(self.ahead), self.at + min(limit, READ_AHEAD)))
            pipe.put(piece)
            return len(piece)
        return pipe.receive(self.sock, limit)

    def stop_waiting(self) -> None:
        """From now on a read that would wait raises instead; for the last bytes before the end."""
        self.sock.settimeout(0)

    def resume_waiting(self) -> None:
        """Wait again, after `stop_waiting`."""
        self._arm()


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("ll", whole, int((seconds - whole) * 1_000_000))


class Sockets:
    """Every open socket, so that `abort` can shut them down: a flag cannot wake a stalled call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.aborted = threading.Event()

    def connect(self, sock: socket.socket, address: Any) -> int:
        """Begin to connect a non-blocking socket, and watch over it; the error number, as of ``connect_ex``.

        Both at once: a socket that is not being connected yet cannot be shut down. Raises `Cancelled` when it is too
        late, and closes the socket.
        """
        with self._lock:
            self._check(sock)
            self._open.add(sock)
            return sock.connect_ex(address)

    def swap(self, old: socket.socket, new: socket.socket) -> None:
        """TLS has taken over the plain socket, and with it the file descriptor; raises as `connect` does."""
        with self._lock:
            self._open.discard(old)
            self._check(new)
            self._open.add(new)

    def _check(self, sock: socket.socket) -> None:
        if self.aborted.is_set():
            sock.close()
            raise Cancelled("cancelled")

    def close(self, sock: socket.socket) -> None:
        """Close it; closing again does nothing."""
        with self._lock:
            self._open.discard(sock)
        sock.close()

    def abort(self) -> None:
        """Shut every socket down; whoever waits on one wakes."""
        with self._lock:
            self.aborted.set()
            for sock in self._open:
                try:
                    # Closing then resets: else a server whose window is full would go on to wait for us.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    # The plain method also for TLS sockets: theirs would pull the TLS object from under a reader.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
                except OSError:
                    continue  # not connected any more
