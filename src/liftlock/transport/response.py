"""An answer whose body is still on the wire, as the rooms above see it."""

from __future__ import annotations

from collections.abc import Callable

from liftlock.errors import CorruptContent, LiftlockError
from liftlock.transport.connection import READ_AHEAD, Connection
from liftlock.transport.http1 import BodyReader, Malformed
from liftlock.transport.messages import Headers, is_pourable
from liftlock.typed import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from liftlock.transport.carriers import Pipe
    from liftlock.transport.messages import Pourable

__all__ = ["WireResponse"]

DRAIN = 64 * 1024
"""Bytes of an unwanted body that are thrown away to keep the connection, if they have already come."""
PIECE = 64 * 1024


class WireResponse:
    """Implements `liftlock.transport.messages.Response` on a connection.

    The connection goes back as soon as the body has been read to its end. Not for several threads at once.
    """

    __slots__ = ("_body", "_connection", "_failed", "_over", "_reusable", "headers", "received", "status", "url")

    def __init__(
        self,
        *,
        status: int,
        headers: Headers,
        url: str,
        connection: Connection,
        body: BodyReader,
        reusable: bool,
        over: Callable[[WireResponse, Connection, bool], None],
        failed: Callable[[BaseException, str], LiftlockError],
    ) -> None:
        self.status = status
        self.headers = headers
        self.url = url
        self.received = 0
        """Bytes of the body given out so far."""
        self._connection: Connection | None = connection
        self._body = body
        self._reusable = reusable
        self._over = over
        self._failed = failed
        if body.ended:
            self._finish(reusable)

    def readinto(self, buffer: memoryview, /) -> int:
        return self._received(lambda: self._body.readinto(buffer))

    @property
    def pourable(self) -> bool:
        return is_pourable(self._body)

    def pour(self, pipe: Pipe, limit: int, /) -> int:
        if self.pourable:
            return self._received(lambda: cast("Pourable", self._body).pour(pipe, limit))
        # The rest of a blob may come in another form than its beginning.
        piece = memoryview(bytearray(min(limit, READ_AHEAD)))
        count = self.readinto(piece)
        pipe.put(bytes(piece[:count]))
        return count

    def _received(self, receive: Callable[[], int]) -> int:
        if self._connection is None:
            return 0
        try:
            count = receive()
        except (OSError, EOFError, Malformed) as error:
            self._finish(False)
            raise self._failed(error, self.url) from error
        self.received += count
        if self._body.ended:
            self._finish(self._reusable)
        return count

    def read(self, limit: int) -> bytes:
        said = self.headers.get("content-length")
        content = bytearray()
        piece = memoryview(bytearray(min(int(said), PIECE) if said.isdecimal() and int(said) else PIECE))
        while count := self.readinto(piece):
            content += piece[:count]
            if len(content) > limit:
                self.close()
                raise CorruptContent(f"the answer is longer than {limit} bytes")
        return bytes(content)

    def close(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if not self._reusable:
            self._finish(False)
            return
        piece = memoryview(bytearray(DRAIN))
        room = DRAIN
        connection.stop_waiting()
        try:
            while room > 0 and not self._body.ended:
                room -= self._body.readinto(piece)
        except (OSError, EOFError, Malformed):
            room = 0
        if self._body.ended:
            connection.resume_waiting()
        self._finish(self._body.ended)

    def _finish(self, reusable: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._over(self, connection, reusable)
