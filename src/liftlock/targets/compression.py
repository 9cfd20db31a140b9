"""The recipe that turns a layer's tar into the gzip'd blob that registries hold: deterministic, fast, and named.

The same bytes always give the same blob: the input is cut into blocks of `BLOCK` bytes, every block is deflated on its
own and ends on a byte boundary (a sync flush), and the pieces are joined to *one* gzip member, in order. So the result
depends neither on the number of threads nor on how the input arrived, and every reader of gzip understands it. What it
does depend on is the compressor, its version and, through its choice of instructions, the processor: `Recipe.id` names
them, and whoever needs the same digest from other machines remembers it (`targets.canonical.DiffIds`).

Measured on 2 cores of an AMD EPYC, one thread, blocks of 1 MiB, MB of input per second (docs/performance.md has more):

    ==============  ======  ============  =====================
    compressor      random  /usr/bin tar  /usr/bin compressed to
    ==============  ======  ============  =====================
    isal 1.9.1, 2      970           425  41.9 %      the choice
    isal 1.9.1, 1      970           385  42.5 %
    isal 1.9.1, 3      290           270  41.4 %
    zlib-ng 1.1, 1     107           208  49.4 %
    zlib-ng 1.1, 2      67           130  41.0 %
    zlib 1.2.13, 1      50            87  41.0 %      where there is no isal
    zlib 1.2.13, 6      52            23  37.3 %
    ==============  ======  ============  =====================

Two threads deflate a layer 1.9 times as fast as one; cutting it into blocks costs less than 0.1 % of size.
Format: RFC 1952 (gzip), RFC 1951 (deflate); no time, no name, operating system 255 (unknown) in the header.
"""

from __future__ import annotations

import io
import os
import struct
from collections import deque
from collections.abc import Callable, Iterator

from liftlock.errors import CorruptContent
from liftlock.targets.base import BlobReader
from liftlock.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

__all__ = ["BLOCK", "Recipe", "best_recipe", "gunzipped", "gzipped", "zlib_recipe"]

BLOCK = 1 << 20
"""Bytes of input that are deflated together. Part of the recipe: another size gives other digests."""

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK = b"\x03\x00"
"""An empty final block, since every block before said that more follow."""


class Recipe(NamedTuple):
    """How layers are compressed; equal ids give equal bytes for equal input, but for the processor's instructions."""

    id: str
    """``gzip/<library>-<version>/l<level>/<block>/<architecture>/v1``: recorded wherever a digest was made by it."""
    deflate: Callable[[memoryview], bytes]
    """One block, as raw deflate that ends on a byte boundary and is not final."""
    crc32: Callable[[memoryview, int], int]


def best_recipe() -> Recipe:
    """isal at level 2; stdlib's zlib where isal is not installed."""
    try:
        import isal
        from isal import isal_zlib
    except ImportError:
        return zlib_recipe()
    return _recipe("isal", isal.__version__, isal_zlib, level=2)


def zlib_recipe() -> Recipe:
    """stdlib's zlib at level 1: eight times slower, the same kind of blob under another id."""
    import zlib

    return _recipe("zlib", zlib.ZLIB_RUNTIME_VERSION, zlib, level=1)


def _recipe(library: str, version: str, module: Any, level: int) -> Recipe:
    def deflate(block: memoryview) -> bytes:
        engine = module.compressobj(level, module.DEFLATED, -15)
        packed: bytes = engine.compress(block) + engine.flush(module.Z_SYNC_FLUSH)
        return packed

    return Recipe(f"gzip/{library}-{version}/l{level}/1MiB/{os.uname().machine}/v1", deflate, module.crc32)


def gzipped(
    source: BlobReader, recipe: Recipe, pool: Executor, *, ahead: int, seen: Callable[[memoryview], None]
) -> Iterator[bytes]:
    """Compress everything in ``source``, piece by piece; ``seen`` is shown every plain block, in order, in this thread.

    At most ``ahead`` (1 or more) blocks are in memory: the pool's threads deflate them while this one reads and hashes.
    """
    pending: deque[tuple[bytearray, Future[bytes]]] = deque()
    spare: list[bytearray] = []
    crc = size = 0
    try:
        yield _HEADER
        while True:
            buffer = spare.pop() if spare else bytearray(BLOCK)
            block = memoryview(buffer)[: _fill(source, buffer)]
            if not block:
                break
            pending.append((buffer, pool.submit(recipe.deflate, block)))
            seen(block)
            crc = recipe.crc32(block, crc)
            size += len(block)
            if len(pending) >= ahead:
                done, piece = pending.popleft()
                yield piece.result()
                spare.append(done)
        while pending:
            yield pending.popleft()[1].result()
        yield _LAST_BLOCK + struct.pack("<II", crc, size & 0xFFFFFFFF)
    finally:
        for _, piece in pending:
            piece.cancel()


def _fill(source: BlobReader, buffer: bytearray) -> int:
    """Read until the buffer is full or the source at its end: where blocks begin must not depend on the reader."""
    filled = 0
    with memoryview(buffer) as view:
        while filled < len(view) and (count := source.readinto(view[filled:])):
            filled += count
    return filled


def gunzipped(source: BlobReader, *, limit: int, seen: Callable[[memoryview], None]) -> Iterator[memoryview]:
    """Decompress a gzip file of any number of members, piece by piece; ``seen`` is shown the compressed bytes.

    A piece is valid until the next one. Raises `CorruptContent` when it is broken, cut short, or gives more than
    ``limit`` bytes.
    """
    opened, broken = _gzip_reader()
    buffer = memoryview(bytearray(BLOCK))
    total = 0
    with io.BufferedReader(_Watched(source, seen), BLOCK) as packed, opened(fileobj=packed, mode="rb") as file:
        while True:
            try:
                count = file.readinto(buffer)
            except broken as error:
                raise CorruptContent(f"broken gzip: {error}") from None
            if not count:
                return
            total += count
            if total > limit:
                raise CorruptContent(f"gzip that unpacks to more than {limit} bytes: a decompression bomb")
            yield buffer[:count]


def _gzip_reader() -> tuple[Any, tuple[type[Exception], ...]]:
    """A class that reads gzip files, and what it raises."""
    import gzip
    import zlib

    broken = (EOFError, gzip.BadGzipFile, zlib.error)
    try:
        from isal import igzip, isal_zlib
    except ImportError:
        return gzip.GzipFile, broken
    return igzip.IGzipFile, (*broken, isal_zlib.error)  # type: ignore[return-value]  # isal's stubs say instance


class _Watched(io.RawIOBase):
    """A blob as a file, with somebody looking on."""

    def __init__(self, source: BlobReader, seen: Callable[[memoryview], None]) -> None:
        self._source = source
        self._seen = seen

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        with memoryview(buffer) as view:
            count = self._source.readinto(view)
            self._seen(view[:count])
            return count
