"""What carries a body from where it is read to the socket it is sent to: a buffer, or a pipe that spares the copying.

Both carry one piece at a time: it is filled, and sent empty before it is filled again.
"""

from __future__ import annotations

import fcntl
import os

from liftlock.typed import TYPE_CHECKING, Protocol, Self, cast

if TYPE_CHECKING:
    import _socket as socket
    from types import TracebackType

    from liftlock.transport.messages import ByteSource, Pourable

__all__ = ["Buffer", "Carrier", "Pipe"]

ROOM = 1024 * 1024
"""Bytes of a pipe: what a user may have without asking (pipe(7)), and sixteen times what one has at first."""


class Carrier(Protocol):
    """Carries one piece: ``filled`` bytes."""

    filled: int

    def put(self, piece: bytes) -> None:
        """Add these bytes, `READ_AHEAD` at most: an empty carrier has room for many times as much."""
        ...

    def fill(self, source: ByteSource, limit: int) -> int:
        """Add up to so many bytes of the source; 0 at its end."""
        ...

    def send(self, sock: socket.socket, sent: int) -> int:
        """Send some of what is left when ``sent`` bytes have gone."""
        ...


class Buffer:
    """Memory of this process."""

    __slots__ = ("_view", "filled")

    def __init__(self, size: int) -> None:
        self._view = memoryview(bytearray(size))
        self.filled = 0

    @property
    def size(self) -> int:
        return len(self._view)

    def put(self, piece: bytes) -> None:
        end = self.filled + len(piece)
        self._view[self.filled : end] = piece
        self.filled = end

    def fill(self, source: ByteSource, limit: int) -> int:
        count = source.readinto(self._view[self.filled : self.filled + limit])
        self.filled += count
        return count

    def send(self, sock: socket.socket, sent: int) -> int:
        return sock.send(self._view[sent : self.filled])


class Pipe:
    """Memory of the kernel, for bytes that go from one plain socket to another and that nobody here has to see.

    ``splice(2)`` moves them; it exists on Linux alone. Time-outs and errors are those of the sockets. Close it.
    """

    __slots__ = ("_inlet", "_outlet", "filled")

    def __init__(self, outlet: int, inlet: int) -> None:
        self._outlet, self._inlet = outlet, inlet
        self.filled = 0

    @classmethod
    def make(cls) -> Pipe | None:
        """A pipe; None where the system grants this user no more, or only small ones."""
        try:
            pipe = cls(*os.pipe())
        except OSError:
            return None
        try:
            fcntl.fcntl(pipe._inlet, fcntl.F_SETPIPE_SZ, ROOM)
        except OSError:
            pipe.close()
            return None
        return pipe

    def put(self, piece: bytes) -> None:
        self.filled += os.write(self._inlet, piece)

    def fill(self, source: ByteSource, limit: int) -> int:
        return cast("Pourable", source).pour(self, limit)

    def receive(self, sock: socket.socket, limit: int) -> int:
        """Add up to so many bytes of a socket: what has come, and at least one unless the peer hung up."""
        count = os.splice(sock.fileno(), self._inlet, limit)
        self.filled += count
        return count

    def send(self, sock: socket.socket, sent: int) -> int:
        return os.splice(self._outlet, sock.fileno(), self.filled - sent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._inlet)
        os.close(self._outlet)
