"""The recipe: the same bytes give the same gzip file, however they arrive and whoever compresses; all can read it."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import struct
import subprocess
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liftlock.errors import CorruptContent
from liftlock.targets import compression
from liftlock.targets.compression import Recipe, best_recipe, gunzipped, gzipped, zlib_recipe
from tests.support import peers
from tests.targets.content import Bytes, some_bytes

RECIPES = [pytest.param(best_recipe(), id="isal"), pytest.param(zlib_recipe(), id="zlib")]


class Pieces:
    """A reader that gives its bytes in pieces of these sizes, over and over."""

    def __init__(self, data: bytes, sizes: Sequence[int]) -> None:
        self._file = io.BytesIO(data)
        self._sizes = sizes
        self._turn = 0

    def readinto(self, buffer: memoryview, /) -> int:
        self._turn += 1
        return self._file.readinto(buffer[: self._sizes[self._turn % len(self._sizes)]])

    def close(self) -> None: ...


def packed(
    data: bytes, recipe: Recipe, *, workers: int = 1, ahead: int = 2, sizes: Sequence[int] = (1 << 20,)
) -> bytes:
    shown = hashlib.sha256()
    with ThreadPoolExecutor(workers) as pool:
        found = b"".join(gzipped(Pieces(data, sizes), recipe, pool, ahead=ahead, seen=shown.update))
    assert hashlib.sha256(data).digest() == shown.digest()
    return found


def unpacked(data: bytes, limit: int = 1 << 30) -> bytes:
    shown = hashlib.sha256()
    found = b"".join(bytes(piece) for piece in gunzipped(Bytes(data, 1000), limit=limit, seen=shown.update))
    assert hashlib.sha256(data).digest() == shown.digest()
    return found


contents = st.lists(
    st.one_of(
        st.binary(max_size=300),
        st.builds(lambda byte, count: bytes([byte]) * count, st.integers(0, 255), st.integers(0, 5000)),
        st.builds(some_bytes, st.integers(0, 5000), st.integers(0, 9)),
    ),
    max_size=6,
).map(b"".join)


@pytest.mark.parametrize("recipe", RECIPES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=contents,
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=4),
    threads=st.tuples(st.integers(1, 3), st.integers(1, 5)),
)
def test_the_bytes_depend_on_the_content_alone(
    monkeypatch: pytest.MonkeyPatch, recipe: Recipe, data: bytes, sizes: list[int], threads: tuple[int, int]
) -> None:
    monkeypatch.setattr(compression, "BLOCK", 1024)  # so that small content has many blocks

    workers, ahead = threads
    found = packed(data, recipe, workers=workers, ahead=ahead, sizes=sizes)

    assert packed(data, recipe) == found
    assert gzip.decompress(found) == data
    assert unpacked(found) == data


@pytest.mark.parametrize("recipe", RECIPES)
def test_it_is_one_member_that_simple_readers_read_to_the_end(recipe: Recipe) -> None:
    data = some_bytes(compression.BLOCK + 17) + b"\0" * (2 * compression.BLOCK)

    found = packed(data, recipe, workers=2, ahead=4)

    assert found[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    reader = zlib.decompressobj(31)
    assert reader.decompress(found) == data
    assert (reader.eof, reader.unused_data) == (True, b"")
    assert struct.unpack("<II", found[-8:]) == (zlib.crc32(data), len(data))


def test_other_programs_unpack_it(tmp_path: Path) -> None:
    data = some_bytes(3 * compression.BLOCK // 2)
    file = tmp_path / "layer.gz"
    file.write_bytes(packed(data, best_recipe()))

    assert data == subprocess.run([peers.require("gzip"), "-dc", file], check=True, capture_output=True).stdout


def test_the_recipe_names_what_the_bytes_depend_on() -> None:
    import isal

    machine = os.uname().machine
    assert f"gzip/isal-{isal.__version__}/l2/1MiB/{machine}/v1" == best_recipe().id
    assert f"gzip/zlib-{zlib.ZLIB_RUNTIME_VERSION}/l1/1MiB/{machine}/v1" == zlib_recipe().id


def test_without_isal_stdlib_compresses_and_decompresses(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    data = some_bytes(5000)
    for name in ("isal", "isal.igzip", "isal.isal_zlib"):
        monkeypatch.setitem(sys.modules, name, None)

    recipe = best_recipe()

    assert zlib_recipe().id == recipe.id
    assert data == unpacked(packed(data, recipe))
    with pytest.raises(CorruptContent, match="broken gzip"):
        unpacked(packed(data, recipe)[:-9])


def test_a_failing_reader_ends_the_compression() -> None:
    source = Bytes(some_bytes(3 << 20), fail_at=2 << 20, error=CorruptContent("cut short"))

    with ThreadPoolExecutor(2) as pool, pytest.raises(CorruptContent, match="cut short"):
        list(gzipped(source, best_recipe(), pool, ahead=8, seen=lambda _: None))


def test_several_members_are_one_content() -> None:
    assert b"onetwo" == unpacked(gzip.compress(b"one") + gzip.compress(b"two"))


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(gzip.compress(b"x" * 5000)[:-9], id="cut in the data"),
        pytest.param(gzip.compress(b"x" * 5000)[:-1], id="cut in the trailer"),
        pytest.param(gzip.compress(b"x" * 5000)[:5], id="cut in the header"),
        pytest.param(gzip.compress(b"x" * 5000)[:-8] + bytes(8), id="another checksum"),
        pytest.param(gzip.compress(b"x" * 5000) + b"garbage", id="something after the end"),
        pytest.param(gzip.compress(b"")[:10] + b"\xff" * 40, id="no deflate"),
    ],
)
def test_broken_gzip_is_corrupt_content(broken: bytes) -> None:
    with pytest.raises(CorruptContent, match="broken gzip"):
        unpacked(broken)


def test_a_bomb_is_refused_before_it_is_through() -> None:
    bomb = gzip.compress(bytes(1 << 20)) * 4000
    source = Bytes(bomb, 1 << 10)
    read = 0

    def seen(piece: memoryview) -> None:
        nonlocal read
        read += len(piece)

    with pytest.raises(CorruptContent, match="bomb"):
        list(gunzipped(source, limit=3 << 20, seen=seen))
    assert read < len(bomb) // 2
