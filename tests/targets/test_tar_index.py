"""Tars read in place: what GNU tar and tarfile write, and what nobody should."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.errors import Cancelled, CorruptContent, LiftlockError, NotFound, UsageError
from liftlock.targets import archive_file, tar_index
from liftlock.targets.tar_index import TarIndex
from tests.support.archives import Tar
from tests.support.hostile import HOSTILE, SECRET, Hostile

LONG = "n" * 90 + "/" + "m" * 120
BLOCK = 512


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "archive.tar"


@pytest.fixture
def opened() -> Any:
    """Opens archives, and closes them in the end."""
    indexes: list[TarIndex] = []

    def open_one(file: Path, **more: Any) -> TarIndex:
        indexes.append(TarIndex(str(file), **more))
        return indexes[-1]

    yield open_one
    for index in indexes:
        index.close()


def refused(file: Path, match: str | None = None) -> CorruptContent:
    with pytest.raises(CorruptContent, match=match) as caught:
        TarIndex(str(file)).close()
    assert str(file) in caught.value.message
    return caught.value


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


def block(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % BLOCK)


# --- what real tools write -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["gnu", "oldgnu", "pax", "posix", "ustar", "v7"])
def test_what_gnu_tar_writes(tmp_path: Path, opened: Any, form: str) -> None:
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/file").write_bytes(os.urandom(3000))
    (root / "a/b/empty").touch()
    (root / "a/hard").hardlink_to(root / "a/b/file")
    (root / "a/b/link").symlink_to("../hard")
    (root / "ü").write_text("text")
    long = "long" if form == "v7" else LONG if form != "ustar" else LONG.replace("m" * 120, "m" * 60)
    (root / long).mkdir(parents=True)
    (root / long / "deep").write_text("deep")
    file = tmp_path / "archive.tar"
    subprocess.run(["tar", "--format", form, "-C", root, "-cf", file, "."], check=True)

    index = opened(file)

    expected = {str(path.relative_to(root)) for path in root.rglob("*")}
    assert set(index) - {""} == expected
    for path in root.rglob("*"):
        if path.is_file():
            assert index.read(str(path.relative_to(root))) == path.read_bytes()
    assert "nothing" not in index
    assert index.find("nothing") is None


def members() -> st.SearchStrategy[dict[str, bytes]]:
    part = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="/"), min_size=1, max_size=150)
    names = st.lists(part.filter(lambda text: text not in {".", ".."}), min_size=1, max_size=3).map("/".join)
    return st.dictionaries(names, st.binary(max_size=2000), min_size=1, max_size=6).filter(_no_file_is_a_folder)


def _no_file_is_a_folder(found: dict[str, bytes]) -> bool:
    return not any(other.startswith(name + "/") for name in found for other in found)


def written(found: dict[str, bytes], form: int) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=form) as tar:
        for name, data in found.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return sink.getvalue()


def index_of(data: bytes) -> dict[str, bytes]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        index = TarIndex(file.name)
        try:
            return {name: index.read(name) for name in index}
        finally:
            index.close()


@given(members(), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_whatever_tarfile_writes_is_read(found: dict[str, bytes], form: int) -> None:
    assert index_of(written(found, form)) == found


@given(members(), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.data())
def test_a_tar_cut_anywhere_is_refused(found: dict[str, bytes], form: int, data: st.DataObject) -> None:
    whole = written(found, form)
    end = len(whole.rstrip(b"\0"))
    end += -end % BLOCK
    cut = data.draw(st.integers(0, end))
    with pytest.raises(CorruptContent):
        index_of(whole[:cut])


@given(members(), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.data())
def test_damage_is_an_error_or_harmless(found: dict[str, bytes], form: int, data: st.DataObject) -> None:
    """No other exception than ours comes out."""
    damaged = bytearray(written(found, form))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(LiftlockError):
        index_of(bytes(damaged))


@pytest.mark.parametrize("size", [8 << 30, 9 << 30])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_beyond_eight_gibibytes(file: Path, opened: Any, size: int, form: Literal[1, 2]) -> None:
    member = tarfile.TarInfo("large")
    member.size = size
    head = member.tobuf(form)
    with file.open("wb") as sink:
        sink.write(head)
        sink.truncate(len(head) + size + 2 * BLOCK)
    index = opened(file)
    found = index.find("large")
    assert (found.offset, found.size) == (len(head), size)
    with pytest.raises(CorruptContent, match="limit"):
        index.read("large")


# --- names and links -------------------------------------------------------------------------------------------------


def test_names_are_normalised(file: Path, opened: Any) -> None:
    with Tar(file) as tar:
        tar.folder("./")
        tar.folder("./a//")
        tar.file("./a//b/./c", b"here")
    index = opened(file)
    assert index.read("a/b/c") == b"here"


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up", "a/../b", ".."])
def test_names_that_lead_elsewhere_are_refused(file: Path, name: str) -> None:
    with Tar(file) as tar:
        tar.raw(header("placeholder" * 2, 0).replace(b"placeholder" * 2, name.encode().ljust(22, b"\0")))
        tar.raw(b"")
    data = bytearray(file.read_bytes())
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:BLOCK])
    file.write_bytes(data)
    refused(file, "absolute, or climbs")


def test_links_are_followed_inside_the_archive(file: Path, opened: Any) -> None:
    with Tar(file) as tar:
        tar.file("one/layer.tar", b"layer")
        tar.symlink("two/layer.tar", "../one/layer.tar")
        tar.symlink("three/layer.tar", "../two/layer.tar")
        tar.hardlink("four/layer.tar", "three/layer.tar")
    index = opened(file)
    for number in ("one", "two", "three", "four"):
        assert index.read(f"{number}/layer.tar") == b"layer"


def test_a_long_chain_of_links_is_followed_up_to_its_limit(file: Path, opened: Any) -> None:
    with Tar(file) as tar:
        tar.file("0", b"end")
        for number in range(tar_index.MAX_LINKS + 1):
            tar.symlink(str(number + 1), str(number))
    index = opened(file)
    assert index.read(str(tar_index.MAX_LINKS)) == b"end"
    with pytest.raises(CorruptContent, match="link to a link"):
        index.find(str(tar_index.MAX_LINKS + 1))


@pytest.mark.parametrize("target", [str(SECRET), "../../.." + str(SECRET), "../x", "a/../../x"])
@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_links_out_of_the_archive_are_not_followed(file: Path, opened: Any, target: str, kind: str) -> None:
    with Tar(file) as tar:
        getattr(tar, kind)("layer.tar", target)
    with pytest.raises(CorruptContent, match="links out of the archive"):
        opened(file).open("layer.tar")


@pytest.mark.parametrize("target", ["layer.tar", "other", "./other"])
def test_links_in_a_circle_are_refused(file: Path, opened: Any, target: str) -> None:
    with Tar(file) as tar:
        tar.symlink("layer.tar", target)
        tar.symlink("other", "layer.tar")
    with pytest.raises(CorruptContent, match="link to a link"):
        opened(file).open("layer.tar")


def test_a_link_to_nothing_is_a_missing_file(file: Path, opened: Any) -> None:
    with Tar(file) as tar:
        tar.symlink("layer.tar", "gone")
    index = opened(file)
    assert index.find("layer.tar") is None
    with pytest.raises(CorruptContent, match=r"no 'layer\.tar'"):
        index.open("layer.tar")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, b"V"])
def test_only_files_are_opened(file: Path, opened: Any, kind: bytes) -> None:
    with Tar(file) as tar:
        tar.raw(header("layer.tar", 0, kind))
    with pytest.raises(CorruptContent, match="not a file"):
        opened(file).open("layer.tar")


# --- one archive, two readers ----------------------------------------------------------------------------------------


def test_the_same_bytes_twice_are_one_file(file: Path, opened: Any) -> None:
    layer = os.urandom(3 << 20)
    with Tar(file) as tar:
        for _ in range(2):
            tar.folder("blobs")
            tar.file("blobs/layer", layer)
            tar.symlink("link", "blobs/layer")
    assert opened(file).find("link").size == len(layer)


@pytest.mark.parametrize("other", [b"", b"layeR", b"layer and more"], ids=["empty", "changed", "longer"])
def test_a_name_with_two_contents_is_refused(file: Path, other: bytes) -> None:
    with Tar(file) as tar:
        tar.file("layer.tar", b"layer")
        tar.file("./layer.tar", other)
    refused(file, "twice")


def test_a_name_with_two_kinds_is_refused(file: Path) -> None:
    with Tar(file) as tar:
        tar.file("layer.tar", b"")
        tar.symlink("layer.tar", "other")
    refused(file, "twice")


@pytest.mark.parametrize("kind", ["symlink", "file"])
def test_members_below_what_is_no_folder_are_refused(file: Path, kind: str) -> None:
    with Tar(file) as tar:
        tar.file("manifest.json", b"[]")
        if kind == "symlink":
            tar.symlink("a", ".")
        else:
            tar.file("a", b"")
        tar.file("a/b/manifest.json", b"[{}]")
    refused(file, "lies below")


def test_a_global_header_that_renames_is_refused(file: Path) -> None:
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT, pax_headers={"path": "other"}) as tar:
        tar.addfile(tarfile.TarInfo("name"))
    refused(file, "global header")


def test_a_global_header_that_comments_is_ignored(file: Path, opened: Any) -> None:
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "by git archive"}) as tar:
        tar.addfile(tarfile.TarInfo("name"))
    assert list(opened(file)) == ["name"]


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_sparse_members_are_refused(tmp_path: Path, file: Path, form: str) -> None:
    with (tmp_path / "holes").open("wb") as sink:
        sink.truncate(1 << 20)
        sink.write(b"start")
    subprocess.run(["tar", "--sparse", "--format", form, "-C", tmp_path, "-cf", file, "holes"], check=True)
    refused(file, "sparse")


def test_what_follows_the_end_is_not_read(file: Path, opened: Any) -> None:
    with Tar(file) as tar:
        tar.file("first", b"1")
    data = file.read_bytes()
    file.write_bytes(data + data.replace(b"first", b"other"))
    assert list(opened(file)) == ["first"]


def test_a_block_of_zeros_in_the_middle_is_refused(file: Path) -> None:
    with Tar(file) as tar:
        tar.file("first", b"1")
        tar.raw(bytes(BLOCK))
        tar.file("second", b"2")
    refused(file, "zeros")


# --- limits ----------------------------------------------------------------------------------------------------------


def test_members_are_counted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_index, "MAX_MEMBERS", 100)
    with Tar(file) as tar:
        tar.raw(b"".join(header(f"n{number}") for number in range(101)))
    refused(file, "100 members")


@pytest.mark.parametrize(
    "record",
    [b"", b"8 path=a", b"3 a=", b"99 path=a\n", b"x path=a\n", b"12 path\0=ab\n", b"12 path=a\0b\n", b"-1 a=b\n"],
)
def test_malformed_extended_headers_are_refused(file: Path, record: bytes) -> None:
    with Tar(file) as tar:
        tar.raw(header("x", len(record) + 1, tarfile.XHDTYPE) + block(record + b"\n"))
        tar.file("a", b"")
    refused(file, "malformed")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE])
def test_extended_headers_are_bounded(file: Path, kind: bytes) -> None:
    with file.open("wb") as sink:
        sink.write(header("x", 1 << 40, kind))
        sink.truncate(1 << 41)
    refused(file, "limit")


def test_what_is_read_whole_is_bounded(file: Path, opened: Any) -> None:
    with Tar(file) as tar:
        tar.file("manifest.json", b"x" * 1001)
    index = opened(file)
    assert len(index.read("manifest.json", 1001)) == 1001
    with pytest.raises(CorruptContent, match="limit"):
        index.read("manifest.json", 1000)


def test_truncation_names_file_and_member(file: Path) -> None:
    with Tar(file) as tar:
        tar.file("first", b"1")
        tar.file("layer.tar", b"x" * 5000)
    data = file.read_bytes()
    file.write_bytes(data[: data.index(b"layer.tar") + BLOCK + 2500])
    assert "'layer.tar' has 5000 bytes, 2500 are there" in refused(file).message


# --- gzip ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def packed(file: Path) -> Path:
    with Tar(file) as tar:
        tar.file("manifest.json", b"[]")
        tar.file("layer.tar", os.urandom(3 << 20))
    packed = file.with_suffix(".tgz")
    packed.write_bytes(gzip.compress(file.read_bytes(), 1))
    return packed


def test_a_packed_archive_is_unpacked_once_and_vanishes(file: Path, packed: Path, tmp_path: Path, opened: Any) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    plain, index = opened(file), opened(packed, scratch=str(scratch))
    assert list(index) == list(plain)
    assert index.find("layer.tar") == plain.find("layer.tar")
    reader, expected = index.open("layer.tar"), plain.open("layer.tar")
    assert reader.read_all(1 << 30) == expected.read_all(1 << 30)
    assert list(scratch.iterdir()) == []


def test_several_gzip_members_are_one_archive(file: Path, packed: Path, opened: Any) -> None:
    data = file.read_bytes()
    packed.write_bytes(gzip.compress(data[:5000]) + gzip.compress(data[5000:]))
    assert list(opened(packed)) == ["manifest.json", "layer.tar"]


def test_the_folder_to_unpack_in_is_tmpdir(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    with pytest.raises(LiftlockError, match="nowhere"):
        TarIndex(str(packed))


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-5000], lambda data: data[:-8] + b"\0" * 8, lambda data: data[:3], lambda data: data + b"more"],
    ids=["cut", "checksum", "header", "trailing"],
)
def test_broken_gzip_is_refused(packed: Path, damage: Callable[[bytes], bytes]) -> None:
    packed.write_bytes(damage(packed.read_bytes()))
    refused(packed, "broken gzip")


def test_a_bomb_is_stopped(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_file, "UNPACK_FREELY", 1 << 20)
    file.write_bytes(gzip.compress(bytes(64 << 20), 9))
    refused(file, "unpacks to more than")


def test_a_full_disk_is_not_filled_to_the_brim(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_file, "RESERVE", 1 << 60)
    with pytest.raises(LiftlockError, match=r"unpacked in .*No space left"):
        TarIndex(str(packed))


@pytest.mark.parametrize(("program", "name"), [("bzip2", "bzip2"), ("xz", "xz"), ("zstd", "zstd")])
def test_other_compressions_are_named(file: Path, program: str, name: str) -> None:
    magic = {"bzip2": b"BZh9", "xz": b"\xfd7zXZ\0", "zstd": b"\x28\xb5\x2f\xfd"}[program]
    file.write_bytes(magic + bytes(1000))
    refused(file, name)


# --- files -----------------------------------------------------------------------------------------------------------


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotFound):
        TarIndex(str(tmp_path / "none"))
    for wrong in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(UsageError, match=str(wrong)):
            TarIndex(str(wrong))


def test_many_threads_read_at_once(file: Path, opened: Any) -> None:
    layers = {f"{number}/layer.tar": os.urandom(200_000 + number) for number in range(16)}
    with Tar(file) as tar:
        for name, data in layers.items():
            tar.file(name, data)
    index = opened(file)
    with ThreadPoolExecutor(8) as pool:
        found = dict(zip(layers, pool.map(index.read, layers), strict=True))
    assert found == layers


def test_closing_ends_reads(file: Path) -> None:
    with Tar(file) as tar:
        tar.file("layer.tar", b"layer")
    index = TarIndex(str(file))
    reader = index.open("layer.tar")
    index.close()
    with pytest.raises(Cancelled):
        reader.readinto(memoryview(bytearray(10)))


def test_a_file_that_shrinks_while_it_is_read(file: Path, opened: Any) -> None:
    with Tar(file) as tar:
        tar.file("layer.tar", b"x" * 5000)
    reader = opened(file).open("layer.tar")
    os.truncate(file, 2000)
    with pytest.raises(CorruptContent, match="cut short"):
        reader.read_all()


@pytest.mark.parametrize("hostile", HOSTILE, ids=str)
def test_hostile_archives_are_read_in_bounds_or_refused(
    hostile: Hostile, file: Path, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes out that is not in the archive, and no error is raised but ours."""
    monkeypatch.setattr(archive_file, "UNPACK_FREELY", 1 << 20)
    monkeypatch.setattr(archive_file, "MAX_RATIO", 1)
    hostile.write(file)
    secret = SECRET.read_bytes()
    with contextlib.suppress(LiftlockError):
        index = opened(file)
        for name in index:
            with contextlib.suppress(CorruptContent):
                assert index.read(name) != secret
