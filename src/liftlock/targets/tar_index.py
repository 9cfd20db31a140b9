"""A tar's table of members, read once and in place: names to offsets, and bytes by `pread`. Nothing is extracted.

Why not `tarfile`: it takes a broken header in the middle for the end of the archive, reads extended headers of any size
into memory, and has two denial-of-service bugs in releases that we run on (CVE-2024-6232, CVE-2025-8194).

An archive that two readers could see as two images is refused as `CorruptContent`:

* a name that is absolute or climbs with ``..``, and a name below a member that is no directory;
* a name that comes twice, unless kind and bytes are the same: jib writes a layer twice that an image has twice. They
  are compared byte for byte, which reads the archive once more at most;
* sparse members, global headers that rename or resize, and anything cut short, be it only the mark of the end.

Links are followed inside the archive only, at most `MAX_LINKS` in a row: hard links from its root, symbolic links from
the link's own folder (docker before 25 writes ``../<id>/layer.tar``). Devices and pipes are listed, and never opened.

Format: POSIX.1-2017 `pax`, "ustar Interchange Format" and "pax Header Block"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from liftlock.errors import Cancelled, CorruptContent, LiftlockError
from liftlock.targets.archive_file import open_archive
from liftlock.targets.base import MAX_METADATA
from liftlock.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from io import FileIO

__all__ = ["MAX_LINKS", "MAX_MEMBERS", "MAX_METADATA", "Member", "MemberReader", "TarIndex"]

MAX_MEMBERS = 100_000
"""An image has some hundreds; more only fills memory."""

MAX_LINKS = 16
"""Links in a row; docker writes one."""

BLOCK = 512
MAX_NAME = 4096
MAX_EXTENSION = 1 << 20
"""Bytes of one extended header; Go's archive/tar, which reads every archive elsewhere, has the same limit."""

COPY_BUFFER = 1 << 20
_ZEROS = bytes(BLOCK)
_OCTAL = frozenset(b"01234567")
_FILE, _HARD, _SYMBOLIC, _FOLDER, _OTHER = "file", "hard link", "symbolic link", "directory", "special file"
_KINDS = {b"0": _FILE, b"\0": _FILE, b"7": _FILE, b"1": _HARD, b"2": _SYMBOLIC, b"5": _FOLDER}
_PAX_FIELDS = frozenset({"path", "linkpath", "size"})
_NO_DATA = frozenset(b"123456")


class Member(NamedTuple):
    """One entry: its kind (``file``, ``directory``, …), where its bytes are in the file, and a link's target."""

    kind: str
    offset: int
    size: int
    link: str = ""


class TarIndex:
    """The members of a tar, plain or gzip'd, by normalised name (``./a//b/`` is ``a/b``).

    A gzip'd tar (``docker save | gzip``) is unpacked once, into an unnamed file in ``scratch``, as `open_archive` says.
    Reading is safe for several threads.

    Raises `NotFound` when there is no such file, `CorruptContent` when it is no whole and unambiguous tar.
    """

    def __init__(self, path: str, *, scratch: str | None = None) -> None:
        self.path = path
        self._file = open_archive(path, scratch)
        try:
            self._members = _Walk(path, self._file.fileno()).members()
        except BaseException:
            self._file.close()
            raise

    def __iter__(self) -> Iterator[str]:
        """Every name, in the archive's order."""
        return iter(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def find(self, name: str) -> Member | None:
        """The file behind a name, links followed; None when there is no such name, or a link leads nowhere.

        Raises `CorruptContent` when links lead out of the archive or round in a circle, or to what is no file.
        """
        current = name
        for _ in range(MAX_LINKS + 1):
            member = self._members.get(current)
            if member is None or member.kind == _FILE:
                return member
            if member.kind not in {_HARD, _SYMBOLIC}:
                raise CorruptContent(f"{self.path}: {name!r} is a {member.kind}, not a file")
            base = os.path.dirname(current) if member.kind == _SYMBOLIC else ""
            followed = None if member.link.startswith("/") else _normalised(f"{base}/{member.link}".lstrip("/"))
            if followed is None:
                raise CorruptContent(f"{self.path}: {name!r} links out of the archive, to {member.link[:160]!r}")
            current = followed
        raise CorruptContent(f"{self.path}: {name!r} is a link to a link, more than {MAX_LINKS} times")

    def open(self, name: str) -> MemberReader:
        """The bytes of a file. Raises `CorruptContent` when the archive, which names its files itself, lacks it."""
        member = self.find(name)
        if member is None:
            raise CorruptContent(f"{self.path}: there is no {name[:160]!r} in it", hint="the archive is incomplete")
        return MemberReader(self._file, self.path, name, member)

    def read(self, name: str, limit: int = MAX_METADATA) -> bytes:
        """The whole of a small file; raises `CorruptContent` when it is absent or has more than ``limit`` bytes."""
        return self.open(name).read_all(limit)

    def close(self) -> None:
        """Give back the file; readers still open raise `Cancelled`."""
        self._file.close()


class MemberReader:
    """The bytes of one member, in order; any number of them read the same archive at the same time."""

    __slots__ = ("_end", "_file", "_position", "_what", "size")

    def __init__(self, file: FileIO, path: str, name: str, member: Member) -> None:
        self._file = file
        self._what = f"{path}: {name!r}"
        self._position = member.offset
        self._end = member.offset + member.size
        self.size = member.size

    def readinto(self, buffer: memoryview, /) -> int:
        wanted = min(len(buffer), self._end - self._position)
        if wanted == 0:
            return 0
        try:
            count = os.preadv(self._file.fileno(), [buffer[:wanted]], self._position)
        except ValueError:  # the file was closed by another thread
            raise Cancelled(f"{self._what}: the archive was closed while it was being read") from None
        except OSError as error:
            raise LiftlockError(f"{self._what} cannot be read: {error.strerror}") from error
        if count == 0:
            raise CorruptContent(f"{self._what} is cut short: the file became smaller while it was being read")
        self._position += count
        return count

    def read_all(self, limit: int = MAX_METADATA) -> bytes:
        """What is left; raises `CorruptContent` when the member has more than ``limit`` bytes."""
        if self.size > limit:
            raise CorruptContent(f"{self._what} has {self.size} bytes; the limit is {limit}")
        data = bytearray(self._end - self._position)
        view = memoryview(data)
        while view:
            view = view[self.readinto(view) :]
        return bytes(data)

    def close(self) -> None:
        """Nothing to give back: the file belongs to the archive."""


class _Walk:
    """One pass over the headers."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.length = os.fstat(descriptor).st_size
        self.position = 0
        self.last = "the beginning"

    def members(self) -> dict[str, Member]:
        found: dict[str, Member] = {}
        count = 0
        extension: dict[str, str] = {}
        while (header := self._header()) is not None:
            count += 1
            if count > MAX_MEMBERS:
                raise CorruptContent(f"{self.path} has more than {MAX_MEMBERS} members")
            kind = header[156:157]
            if kind in b"xgLK":
                self._extend(extension, kind, header)
                continue
            name, member = self._member(header, kind, extension)
            extension = {}
            self.last = f"{name!r}"
            if name:
                self._add(found, name, member)
        if not count:
            raise CorruptContent(f"{self.path} is an empty tar")
        self._check_parents(found)
        return found

    def _header(self) -> bytes | None:
        """The next header block; None at the end, which two blocks of zeros mark (one, where old writers saved)."""
        block = self._read(BLOCK)
        if block == _ZEROS:
            if self._bytes(self.position, BLOCK) not in {_ZEROS, b""}:
                raise self._broken("a block of zeros stands where a member should")
            return None
        # The checksum counts its own field as spaces; some old writers summed signed bytes.
        unsigned = sum(block) - sum(block[148:156]) + 8 * 32
        signed = unsigned - 256 * sum(byte > 127 for byte in block[:148] + block[156:])
        if _octal(block[148:156]) not in {unsigned, signed}:
            if self.position == BLOCK:
                raise CorruptContent(f"{self.path} is not a tar archive")
            raise self._broken("a header's checksum is wrong")
        return block

    def _member(self, header: bytes, kind: bytes, extension: dict[str, str]) -> tuple[str, Member]:
        raw = _text(header[:100])
        if header[257:263] == b"ustar\0" and (prefix := _text(header[345:500])):
            raw = f"{prefix}/{raw}"
        raw = extension.get("path") or raw
        name = _normalised(raw)
        if name is None or ".." in raw.split("/"):
            raise self._broken(f"the name {raw[:160]!r} is absolute, or climbs with '..'")
        if len(name) > MAX_NAME:
            raise self._broken(f"a name has {len(name)} characters")
        if kind == b"S" or any(key.startswith("GNU.sparse.") for key in extension):
            raise self._broken(f"{name!r} is a sparse file", hint="make the archive without --sparse")
        what = _KINDS.get(kind, _OTHER)
        if kind == b"\0" and raw.endswith("/"):
            what = _FOLDER
        size = 0 if kind[0] in _NO_DATA else self._size(header, extension)
        start = self.position
        if start + size > self.length:
            raise CorruptContent(
                f"{self.path} is cut short: {name!r} has {size} bytes, {max(0, self.length - start)} are there",
                hint="copy or save the archive again",
            )
        self.position = start + _padded(size)
        link = (extension.get("linkpath") or _text(header[157:257])) if what in {_HARD, _SYMBOLIC} else ""
        return name, Member(what, start, size, link)

    def _size(self, header: bytes, extension: dict[str, str]) -> int:
        if text := extension.get("size"):
            if not (text.isascii() and text.isdigit() and len(text) < 20):
                raise self._broken(f"{text[:40]!r} is no size")
            return int(text)
        return self._number(header[124:136])

    def _extend(self, extension: dict[str, str], kind: bytes, header: bytes) -> None:
        """Take in an extended header, which is about the next member: pax records, GNU's long name or long link."""
        size = self._number(header[124:136])
        if size > MAX_EXTENSION:
            raise self._broken(f"an extended header has {size} bytes; the limit is {MAX_EXTENSION}")
        data = self._read(_padded(size))[:size]
        if kind == b"L":
            extension["path"] = _text(data)
        elif kind == b"K":
            extension["linkpath"] = _text(data)
        elif kind == b"x":
            extension.update(self._records(data))
        elif not _PAX_FIELDS.isdisjoint(records := self._records(data)):
            # Go ignores these, tarfile applies them: two readers, two archives.
            raise self._broken(f"a global header sets {', '.join(sorted(records))[:160]!r}")

    def _records(self, data: bytes) -> dict[str, str]:
        """Lines of ``length key=value``; the length is decimal and counts the whole line, with its newline."""
        records = {}
        while data:
            length, space, _ = data[:20].partition(b" ")
            if not space or not length.isdigit() or not len(length) + 3 <= int(length) <= len(data):
                raise self._broken("an extended header is malformed")
            record, data = data[len(length) + 1 : int(length)], data[int(length) :]
            field, equals, value = record.partition(b"=")
            key = _decoded(field)
            if not key or not equals or value[-1:] != b"\n" or (key in _PAX_FIELDS and b"\0" in value):
                raise self._broken("an extended header is malformed")
            records[key] = _decoded(value[:-1])
        return records

    def _add(self, found: dict[str, Member], name: str, member: Member) -> None:
        before = found.setdefault(name, member)
        if before is member or (before.kind, before.link) == (member.kind, member.link) == (_FOLDER, ""):
            return
        if (before.kind, before.size, before.link) != (member.kind, member.size, member.link) or not self._same(
            before, member
        ):
            raise self._broken(
                f"{name!r} is there twice, with different content",
                hint="readers disagree about which one counts; save the image again",
            )

    def _same(self, one: Member, other: Member) -> bool:
        for start in range(0, one.size, COPY_BUFFER):
            count = min(COPY_BUFFER, one.size - start)
            if self._bytes(one.offset + start, count) != self._bytes(other.offset + start, count):
                return False
        return True

    def _check_parents(self, found: dict[str, Member]) -> None:
        """No member may lie below a link or a file: unpacked, it would land somewhere else, or nowhere."""
        seen: set[str] = {""}
        for name in found:
            parent = os.path.dirname(name)
            while parent not in seen:
                seen.add(parent)
                if parent in found and found[parent].kind != _FOLDER:
                    raise CorruptContent(f"{self.path}: {name!r} lies below a {found[parent].kind}")
                parent = os.path.dirname(parent)

    def _number(self, field: bytes) -> int:
        """A size in octal digits, or in GNU's base 256 where those do not suffice."""
        found = int.from_bytes(field[1:], "big") if field[0] == 0x80 else _octal(field)
        if found is None:
            raise self._broken("a header's size is no number")
        return found

    def _read(self, count: int) -> bytes:
        data = self._bytes(self.position, count)
        if len(data) < count:
            if self.position == 0:
                raise CorruptContent(f"{self.path} is {'not a tar archive' if data else 'empty'}")
            raise CorruptContent(
                f"{self.path} is cut short: it ends after {self.last}, without the mark of its end",
                hint="copy or save the archive again",
            )
        self.position += count
        return data

    def _bytes(self, offset: int, count: int) -> bytes:
        try:
            return os.pread(self.descriptor, count, offset)
        except OSError as error:
            raise LiftlockError(f"{self.path} cannot be read: {error.strerror}") from error

    def _broken(self, what: str, hint: str = "") -> CorruptContent:
        return CorruptContent(f"{self.path}: {what} (after {self.last})", hint=hint)


def _normalised(name: str) -> str | None:
    """Without ``.``, doubled and trailing slashes, ``..`` taken literally; None when it leads out of the archive."""
    if name.startswith("/"):
        return None
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def _octal(field: bytes) -> int | None:
    """The number in a field of octal digits, 0 when it is empty; None when it holds anything else."""
    digits = field.strip(b" \0")
    return int(digits or b"0", 8) if _OCTAL.issuperset(digits) else None


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _text(field: bytes) -> str:
    return _decoded(field.partition(b"\0")[0])


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
