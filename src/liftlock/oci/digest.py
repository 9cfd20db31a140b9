"""Content digests: ``algorithm:hex`` (OCI image spec, descriptor.md, section "Digests")."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

from liftlock.errors import CorruptContent
from liftlock.typed import TYPE_CHECKING, Self, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from hashlib import _Hash

__all__ = ["HEX_LENGTH", "Digest", "Hasher"]

HEX_LENGTH = {"sha256": 64, "sha512": 128}
"""The registered algorithms and the length of their hexadecimal form."""

_HEX = frozenset("0123456789abcdef")
LITTLE = 64 * 1024
"""Bytes that Python's own SHA-256 hashes in less time than it takes to load OpenSSL's."""


class Digest(str):
    """A validated digest. It *is* its text, so it compares, hashes and serialises as one.

    Raises `CorruptContent` when the text is no digest of a registered algorithm.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        algorithm, _, encoded = text.partition(":")
        if len(encoded) != HEX_LENGTH.get(algorithm, -1) or not _HEX.issuperset(encoded):
            raise CorruptContent(
                f"{text[:160]!r} is not a digest",
                hint="a digest is sha256: and 64, or sha512: and 128, lower-case hexadecimal digits",
            )
        return super().__new__(cls, text)

    @classmethod
    def of(cls, data: bytes | memoryview, algorithm: str = "sha256") -> Digest:
        """The digest of these bytes."""
        if algorithm == "sha256" and len(data) <= LITTLE:
            return cls(f"sha256:{_lean_sha256()(data).hexdigest()}")
        return Hasher(algorithm).updated(data).digest

    @property
    def algorithm(self) -> str:
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        return self.partition(":")[2]

    @property
    def short(self) -> str:
        """Twelve hexadecimal digits, for people."""
        return self.hex[:12]

    def hasher(self) -> Hasher:
        """A fresh hasher of this digest's algorithm."""
        return Hasher(self.algorithm)

    def verify(self, data: bytes, what: str = "content") -> None:
        """Raise `CorruptContent` unless these bytes have this digest."""
        found = Digest.of(data, self.algorithm)
        if found != self:
            raise CorruptContent(f"{what} has digest {found}, expected {self}")


class Hasher:
    """Hashes a stream, piece by piece."""

    __slots__ = ("_algorithm", "_hash", "size")

    def __init__(self, algorithm: str = "sha256") -> None:
        import hashlib  # loads OpenSSL, which is slow to load and fast to hash

        self._algorithm = algorithm
        self._hash: _Hash = hashlib.sha256() if algorithm == "sha256" else hashlib.new(algorithm)
        self.size = 0
        """Bytes seen so far."""

    def update(self, data: bytes | bytearray | memoryview) -> None:
        self._hash.update(data)
        self.size += len(data)

    def updated(self, data: bytes | bytearray | memoryview) -> Hasher:
        self.update(data)
        return self

    @property
    def digest(self) -> Digest:
        return Digest(f"{self._algorithm}:{self._hash.hexdigest()}")


@cache
def _lean_sha256() -> Callable[[bytes | memoryview], _Hash]:
    """SHA-256 without OpenSSL, looked for as Python's own `random` does: the lean module first, `hashlib` last."""
    for name in ("_sha2", "_sha256"):  # from Python 3.12 on, and before
        with suppress(ImportError):
            return cast("Callable[[bytes | memoryview], _Hash]", __import__(name).sha256)
    from hashlib import sha256

    return sha256
