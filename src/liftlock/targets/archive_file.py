"""Opens a tar for reading in place; a gzip'd one is unpacked once, within bounds."""

from __future__ import annotations

import errno
import os
import stat

from liftlock.errors import CorruptContent, LiftlockError, NotFound, UsageError
from liftlock.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from io import BufferedIOBase, FileIO

__all__ = ["MAX_RATIO", "RESERVE", "UNPACK_FREELY", "open_archive"]

MAX_RATIO = 100
UNPACK_FREELY = 1 << 30
"""A gzip'd tar may unpack to this many bytes, or to `MAX_RATIO` times its own size when that is more."""

RESERVE = 64 << 20
"""Bytes that unpacking leaves free on the disk, for everybody else there."""

BUFFER = 1 << 20
_OTHER_COMPRESSION = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def open_archive(path: str, scratch: str | None = None) -> FileIO:
    """The archive's plain bytes: the file itself, or an unnamed file in ``scratch`` that vanishes when it is closed.

    ``scratch`` is ``$TMPDIR`` unless given, else ``/var/tmp``, where podman puts its large files as well. Raises
    `NotFound`; `UsageError` for what is no regular file; `CorruptContent` for broken gzip, for more bytes than
    `MAX_RATIO` allows and for other compressions; `LiftlockError` when the disk has no room.
    """
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
        file = open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder, not an archive", hint=f"a layout folder is written oci:{path}") from None
    except OSError as error:
        raise LiftlockError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        if not _is_gzip(path, file):
            return file
        with file:
            return _unpacked(path, file, scratch or os.environ.get("TMPDIR") or "/var/tmp")  # noqa: S108
    except BaseException:
        file.close()
        raise


def _is_gzip(path: str, file: FileIO) -> bool:
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise UsageError(f"{path} is not a regular file", hint="archives are read in place: save it to a file first")
    magic = os.pread(file.fileno(), 6, 0)
    for start, name in _OTHER_COMPRESSION.items():
        if magic.startswith(start):
            raise CorruptContent(f"{path} is compressed with {name}", hint="tar archives are read plain or gzip'd")
    return magic.startswith(b"\x1f\x8b")


def _unpacked(path: str, packed: FileIO, scratch: str) -> FileIO:
    import tempfile

    from isal import igzip, isal_zlib

    try:
        plain: FileIO = tempfile.TemporaryFile(dir=scratch, buffering=0)  # noqa: SIM115
    except OSError as error:
        raise LiftlockError(
            f"{path} cannot be unpacked in {scratch}: {error.strerror}", hint="set TMPDIR to a folder with room"
        ) from error
    try:
        with igzip.IGzipFile(fileobj=packed) as stream:  # type: ignore[no-untyped-call]
            _pour(path, stream, plain, allowed=max(UNPACK_FREELY, MAX_RATIO * os.fstat(packed.fileno()).st_size))
    except (EOFError, igzip.BadGzipFile, isal_zlib.error) as error:  # type: ignore[misc]  # isal's stubs say instance
        plain.close()
        raise CorruptContent(f"{path} is broken gzip: {error}", hint="copy or save the archive again") from None
    except OSError as error:
        plain.close()
        raise LiftlockError(
            f"{path} cannot be unpacked in {scratch}: {error.strerror}",
            hint="set TMPDIR to a folder with room, or unpack the archive with gunzip first",
        ) from error
    except BaseException:
        plain.close()
        raise
    return plain


def _pour(path: str, stream: BufferedIOBase, plain: FileIO, allowed: int) -> None:
    buffer = memoryview(bytearray(BUFFER))
    total = 0
    while count := stream.readinto(buffer):
        total += count
        if total > allowed:
            raise CorruptContent(
                f"{path} unpacks to more than {allowed} bytes",
                hint="if it is no decompression bomb, unpack it with gunzip first",
            )
        room = os.statvfs(plain.fileno())
        if room.f_bavail * room.f_frsize < RESERVE + count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = 0
        while written < count:
            written += plain.write(buffer[written:count])
