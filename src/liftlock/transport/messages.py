"""What goes over the wire, as values: headers, a request, a response."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from liftlock.typed import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from liftlock.transport.carriers import Pipe

__all__ = ["Body", "ByteSource", "Headers", "Pourable", "Request", "Response", "Stream", "is_pourable"]


class ByteSource(Protocol):
    """Bytes in order: `readinto` fills some of the buffer and returns how many, 0 at the end."""

    def readinto(self, buffer: memoryview, /) -> int: ...

    def close(self) -> None: ...


class Pourable(Protocol):
    """A `ByteSource` whose bytes need not pass through this process on their way to another socket."""

    @property
    def pourable(self) -> bool:
        """Whether that is so, as things are."""
        ...

    def pour(self, pipe: Pipe, limit: int, /) -> int:
        """Up to so many bytes into a pipe; otherwise as `ByteSource.readinto`."""
        ...


def is_pourable(source: object) -> bool:
    """Whether a source is `Pourable`, as things are."""
    return getattr(source, "pourable", False)


class Stream(NamedTuple):
    """A body that is not in memory: exactly ``size`` bytes from ``source``."""

    size: int
    source: ByteSource


Body = bytes | Callable[[], Stream]
"""Small bodies are bytes; a large one is opened for each sending, so that it can be sent again."""


class Headers:
    """Header fields, in order, looked up without regard to case."""

    __slots__ = ("_fields",)

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields = [(name.lower(), value) for name, value in fields]

    def get(self, name: str, default: str = "") -> str:
        """The first value of a field."""
        name = name.lower()
        return next((value for key, value in self._fields if key == name), default)

    def all(self, name: str) -> list[str]:
        """Every value of a field, as sent."""
        name = name.lower()
        return [value for key, value in self._fields if key == name]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)

    def __contains__(self, name: str) -> bool:
        return any(key == name.lower() for key, _ in self._fields)


class Request(NamedTuple):
    """One request to an absolute ``http`` or ``https`` URL. Host, length and connection fields are the wire's work."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: Body | None = None


class Response(Protocol):
    """An answer whose body is still on the wire. It must be closed; that gives the connection back."""

    status: int
    headers: Headers
    url: str
    """Where it came from in the end, after redirects."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill some of the buffer with body bytes; 0 at the end. Raises `TransportError` when the body is cut."""
        ...

    @property
    def pourable(self) -> bool:
        """Whether it pays to `pour`."""
        ...

    def pour(self, pipe: Pipe, limit: int, /) -> int:
        """Up to so many bytes of the body into a pipe; 0 at the end. Raises as `readinto` does."""
        ...

    def read(self, limit: int) -> bytes:
        """The whole body; raises `CorruptContent` when it is longer than ``limit`` bytes."""
        ...

    def close(self) -> None: ...
