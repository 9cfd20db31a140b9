"""HTTP/1.1 on one connection: a request is written, the head of its answer is read, its body is framed.

Strict where laxness lets two parties disagree about where a message ends (RFC 9112 section 11.2, request smuggling):
lines end in CRLF, no folded fields, no two lengths, no transfer coding but ``chunked``. Everything is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from liftlock.errors import CorruptContent, LiftlockError, TransportError
from liftlock.transport.connection import Connection, SendStopped
from liftlock.transport.messages import Headers, Stream
from liftlock.typed import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from liftlock.transport.carriers import Carrier, Pipe

__all__ = [
    "BodyReader",
    "Dropped",
    "Head",
    "Malformed",
    "body_reader",
    "exchange",
    "parse_head",
    "request_head",
    "send_stream",
]

MAX_HEAD = 64 * 1024
"""Bytes of status line and fields; also of all trailers."""
MAX_FIELDS = 200
MAX_LINE = 4 * 1024
"""Bytes of a chunk's size line with its extensions."""
MAX_INTERIM = 16
"""Interim answers (1xx) that are skipped."""
LOOK_EVERY = 1 << 20
"""Bytes of a body after which we look whether the server has already answered."""

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_HEAD_BYTES = bytes(byte for byte in range(256) if byte >= 0x20 and byte != 0x7F) + b"\t\r\n"
_DIGITS = frozenset("0123456789")
_HEX = frozenset(b"0123456789abcdefABCDEF")

OWN_FIELDS = frozenset({"host", "content-length", "transfer-encoding", "connection"})
"""Fields that a caller cannot set: they belong to the connection."""


class Malformed(Exception):
    """What came is not the HTTP/1.1 that this room accepts."""


class Dropped(Exception):
    """The connection ended before the first byte of an answer; ``cause`` is what the socket said, if anything."""

    def __init__(self, cause: OSError | None) -> None:
        super().__init__(cause)
        self.cause = cause


class Head(NamedTuple):
    """Status line and fields of an answer."""

    minor: int
    """The version: HTTP/1.``minor``."""
    status: int
    headers: Headers

    @property
    def keeps_connection(self) -> bool:
        """Whether the server will take another request on this connection."""
        if self.minor and "connection" not in self.headers:
            return True
        options = {option.strip().lower() for value in self.headers.all("connection") for option in value.split(",")}
        return "close" not in options and (self.minor == 1 or "keep-alive" in options)


def request_head(method: str, target: str, host: str, fields: Mapping[str, str], length: int | None) -> bytes:
    """The bytes of a request's head; ``length`` is that of its body, None without one.

    Raises `TransportError` (not temporary) when a field cannot be sent as it is: it could smuggle another request.
    """
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    for name, value in fields.items():
        if not _TOKEN.issuperset(name) or name.lower() in OWN_FIELDS:
            raise TransportError(f"the header field {name!r} cannot be set", temporary=False)
        if not value.isascii() or not value.isprintable():
            raise TransportError(f"the value of {name} has characters that cannot be sent", temporary=False)
        lines.append(f"{name}: {value}")
    if length is not None:
        lines.append(f"Content-Length: {length}")
    lines.append("\r\n")
    return "\r\n".join(lines).encode()


def parse_head(raw: bytes) -> Head:
    """Read a complete head, without the empty line at its end; raises `Malformed`."""
    if raw.translate(None, _HEAD_BYTES):
        raise Malformed("control characters in the head")
    lines = raw.decode("latin-1").split("\r\n")
    if not raw.count(b"\r") == raw.count(b"\n") == len(lines) - 1:
        raise Malformed("a line of the head does not end in CRLF")
    if len(lines) - 1 > MAX_FIELDS:
        raise Malformed(f"more than {MAX_FIELDS} header fields")
    status = lines[0]
    code = status[9:12]
    if (
        status[:7] != "HTTP/1."
        or status[7:9] not in ("0 ", "1 ")
        or len(code) != 3
        or not _DIGITS.issuperset(code)
        or status[12:13] not in ("", " ")
        or not "100" <= code <= "599"
    ):
        raise Malformed(f"not a status line: {status[:80]!r}")
    return Head(int(status[7]), int(code), Headers(_fields(lines[1:])))


def _fields(lines: list[str]) -> list[tuple[str, str]]:
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or not _TOKEN.issuperset(name):
            raise Malformed("a folded header field" if line[:1] in (" ", "\t") else f"not a field: {line[:80]!r}")
        fields.append((name, value.strip(" \t")))
    return fields


def read_head(connection: Connection) -> Head:
    """The head of the next final answer. Raises `Malformed`, and `Dropped` when not one byte of it came.

    `EOFError` means that the connection was cut inside the head; other `OSError` come from the socket.
    """
    for _ in range(MAX_INTERIM + 1):
        head = parse_head(_head_bytes(connection))
        if head.status == 101:
            raise Malformed("switching protocols, which nobody asked for")
        if head.status >= 200:
            return head
    raise Malformed(f"more than {MAX_INTERIM} interim answers")


def _head_bytes(connection: Connection) -> bytes:
    while True:
        ahead, start = connection.ahead, connection.at
        end = ahead.find(b"\r\n\r\n", start)
        if max(end, len(ahead) if end < 0 else 0) - start > MAX_HEAD:
            raise Malformed(f"the head is longer than {MAX_HEAD} bytes")
        if end >= 0:
            return connection.take(end + 4)[:-4]
        if not b"HTTP/1.".startswith(ahead[start : start + 7]):
            raise Malformed(f"not an HTTP answer: {bytes(ahead[start : start + 40])!r}")
        if ahead.count(b"\n", start) != ahead.count(b"\r\n", start):
            raise Malformed("a line of the head does not end in CRLF")
        try:
            connection.fill()
        except (EOFError, ConnectionError) as error:
            if len(connection.ahead) == connection.at:
                raise Dropped(error if isinstance(error, OSError) else None) from None
            raise EOFError("cut inside the head") from None


def exchange(connection: Connection, send: Callable[[], None]) -> tuple[Head, bool]:
    """``send`` a request and read the head of its answer; also whether the whole request was sent.

    A server may answer before it has the whole body (401, 413, 429, 500), and may hang up at once: its answer is
    still read, and an answer of 300 or more counts. Raises as `read_head` does, and `TimeoutError` on a stall.
    """
    whole, cause = True, None
    try:
        send()
    except SendStopped as stopped:
        whole, cause = False, stopped.cause
        if isinstance(cause, TimeoutError):
            raise cause from None
    try:
        answer = read_head(connection)
    except Dropped as dropped:
        raise Dropped(cause or dropped.cause) from None
    if not whole and answer.status < 300:
        raise Malformed(f"status {answer.status} came before the whole request was sent")
    return answer, whole


def send_stream(connection: Connection, head: bytes, body: Stream, carrier: Carrier) -> None:
    """Send head and body through the one carrier; head and first piece leave together."""
    carrier.filled = 0
    carrier.put(head)
    left, look = body.size, LOOK_EVERY
    while True:
        if left:
            try:
                count = carrier.fill(body.source, left)
            except OSError as error:  # of a file: not to be taken for the connection's
                raise LiftlockError(f"the content cannot be read: {error.strerror or error}") from error
            if not count:
                raise CorruptContent(f"the content ended {left} bytes before its size of {body.size}")
            left -= count
        look -= carrier.filled
        connection.send_carried(carrier)
        if not left:
            return
        if look <= 0:
            look = LOOK_EVERY
            if connection.answered():
                raise SendStopped(None)


class BodyReader(Protocol):
    """The body of one answer; ``ended`` once its last byte has been given out."""

    ended: bool

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill some of the buffer; 0 at the end. Raises `EOFError` on a cut, `Malformed`, `OSError`."""
        ...


def body_reader(connection: Connection, method: str, head: Head) -> BodyReader:
    """How the body of this answer is delimited (RFC 9112 section 6.3). Raises `Malformed` where that is ambiguous."""
    if method == "HEAD" or head.status in (204, 304):
        return Counted(connection, 0)
    codings = head.headers.all("transfer-encoding")
    lengths = {part.strip() for value in head.headers.all("content-length") for part in value.split(",")}
    if codings:
        if lengths:
            raise Malformed("both Content-Length and Transfer-Encoding")
        if [coding.strip().lower() for coding in codings] != ["chunked"] or not head.minor:
            raise Malformed(f"transfer coding {', '.join(codings)[:80]!r}")
        return Chunked(connection)
    if not lengths:
        return UntilClose(connection)
    length = lengths.pop()
    if lengths or not length or len(length) > 18 or not _DIGITS.issuperset(length):
        raise Malformed("Content-Length is not one number")
    return Counted(connection, int(length))


class Counted:
    """A body of so many bytes."""

    __slots__ = ("_connection", "ended", "left")

    def __init__(self, connection: Connection, length: int) -> None:
        self._connection = connection
        self.left = length
        self.ended = length == 0

    def readinto(self, buffer: memoryview, /) -> int:
        limit = min(self.left, len(buffer))
        return self._took(self._connection.recv_into(buffer, limit)) if limit else 0

    @property
    def pourable(self) -> bool:
        return self._connection.splices

    def pour(self, pipe: Pipe, limit: int, /) -> int:
        limit = min(self.left, limit)
        return self._took(self._connection.pour(pipe, limit)) if limit else 0

    def _took(self, count: int) -> int:
        if not count:
            raise EOFError(f"{self.left} bytes before the end")
        self.left -= count
        self.ended = not self.left
        return count


class UntilClose:
    """A body that ends where the connection does: whether it is whole cannot be known."""

    __slots__ = ("_connection", "ended")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.ended = False

    def readinto(self, buffer: memoryview, /) -> int:
        if self.ended or not len(buffer):
            return 0
        count = self._connection.recv_into(buffer, len(buffer))
        self.ended = not count
        return count


class Chunked:
    """A body in chunks (RFC 9112 section 7.1); extensions and trailers are checked and dropped."""

    __slots__ = ("_connection", "_first", "_left", "ended")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._left = 0
        self._first = True
        self.ended = False

    def readinto(self, buffer: memoryview, /) -> int:
        if self.ended or not len(buffer):
            return 0
        if not self._left and not self._next_chunk():
            return 0
        count = self._connection.recv_into(buffer, min(self._left, len(buffer)))
        if not count:
            raise EOFError("inside a chunk")
        self._left -= count
        return count

    def _next_chunk(self) -> bool:
        """Whether there is another."""
        if not self._first and _line(self._connection, MAX_LINE):
            raise Malformed("a chunk is longer than its size")
        self._first = False
        size, _, extension = _line(self._connection, MAX_LINE).partition(b";")
        size = size.rstrip(b" \t")
        if not size or len(size) > 15 or not _HEX.issuperset(size) or extension.translate(None, _HEAD_BYTES):
            raise Malformed(f"not the size of a chunk: {size[:40]!r}")
        self._left = int(size, 16)
        if not self._left:
            self._skip_trailers()
            self.ended = True
        return not self.ended

    def _skip_trailers(self) -> None:
        room, lines = MAX_HEAD, []
        while line := _line(self._connection, room):
            room -= len(line) + 2
            lines.append(line.decode("latin-1"))
            if len(lines) > MAX_FIELDS:
                raise Malformed(f"more than {MAX_FIELDS} trailer fields")
        _fields(lines)


def _line(connection: Connection, limit: int) -> bytes:
    """The next line, without its CRLF."""
    while True:
        ahead, start = connection.ahead, connection.at
        end = ahead.find(b"\n", start)
        if (end if end >= 0 else len(ahead)) - start > limit:
            raise Malformed("a line of a chunked body is too long")
        if end >= 0:
            line = connection.take(end + 1)
            if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
                raise Malformed("a line of a chunked body does not end in CRLF")
            return line[:-2]
        connection.fill()
