"""Files that are whole or not there, and what else layouts and archives need of the file system."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable

from liftlock.errors import CorruptContent, LiftlockError
from liftlock.oci.manifest import Descriptor
from liftlock.targets.base import BlobSource
from liftlock.typed import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from io import FileIO
    from types import TracebackType

__all__ = [
    "BUFFER",
    "FileReader",
    "NewFile",
    "file_error",
    "give_name",
    "pour",
    "read_small",
    "require_room",
    "sync_folder",
]

BUFFER = 1 << 20
"""Bytes that move at once."""

_NO_UNNAMED_FILES = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})
_HINTS = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room: your quota there is used up",
    errno.EACCES: "check who owns it and its permissions",
    errno.EPERM: "check who owns it and its permissions",
    errno.EROFS: "that file system is read-only",
}


def file_error(error: OSError, doing: str) -> LiftlockError:
    """What the system said, as our error: ``doing`` is what could not be done, with the path."""
    return LiftlockError(f"{doing}: {error.strerror or error}", hint=_HINTS.get(error.errno or 0, ""))


def require_room(folder: str, wanted: int) -> None:
    """Raise `LiftlockError` unless this many bytes are free where the folder is, or will be."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(os.path.abspath(folder))
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    if free < wanted:
        raise LiftlockError(
            f"{folder} has {free} bytes free, the copy may need {wanted}", hint="make room, or copy to another disk"
        )


def pour(blob: Descriptor, source: BlobSource, write: Callable[[memoryview], object], where: str) -> None:
    """Write a source's bytes; raise `CorruptContent` unless they have the descriptor's digest and size.

    Never more than ``blob.size`` bytes are written. The caller throws away what was written when this raises.
    """

    def corrupt(how: str) -> CorruptContent:
        return CorruptContent(f"the source's blob {blob.digest} {how}: not stored in {where}", side="source")

    hasher = blob.digest.hasher()
    buffer = memoryview(bytearray(min(BUFFER, blob.size + 1)))
    reader = source()
    try:
        while count := reader.readinto(buffer):
            if hasher.size + count > blob.size:
                raise corrupt(f"has more than its descriptor's {blob.size} bytes")
            piece = buffer[:count]
            hasher.update(piece)
            write(piece)
    finally:
        reader.close()
    if hasher.size != blob.size:
        raise corrupt(f"ended after {hasher.size} of {blob.size} bytes")
    if hasher.digest != blob.digest:
        raise corrupt(f"has digest {hasher.digest}")


def read_small(path: str, limit: int) -> bytes | None:
    """The whole of a file; None when it is absent. Raises `CorruptContent` when it has more than ``limit`` bytes."""
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.read(limit + 1) if os.fstat(file.fileno()).st_size <= limit else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise file_error(error, f"{path} cannot be read") from error
    if data is None or len(data) > limit:
        raise CorruptContent(f"{path} has more than {limit} bytes, too many for a manifest or an index")
    return data


class FileReader:
    """A file's bytes, in order; the system's errors come as ours."""

    __slots__ = ("_file", "_path")

    def __init__(self, file: FileIO, path: str) -> None:
        self._file = file
        self._path = path

    def readinto(self, buffer: memoryview, /) -> int:
        try:
            return self._file.readinto(buffer) or 0
        except OSError as error:
            raise file_error(error, f"{self._path} cannot be read") from error

    def close(self) -> None:
        self._file.close()


class NewFile:
    """A file without a name until it is whole: whatever ends the process before `keep`, nothing is left behind.

    Where the file system has no unnamed files (NFS, FAT), it has a hidden name ending in ``.partial`` until then, which
    a killed process leaves behind. Raises `OSError`, which the caller words.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        folder = os.path.dirname(path) or "."
        self._partial = ""
        try:
            descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o644)
        except OSError as error:
            if error.errno not in _NO_UNNAMED_FILES:
                raise
            self._partial = _partial(path)
            descriptor = os.open(self._partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
        self.file: FileIO = open(descriptor, "r+b", buffering=0)  # noqa: SIM115  # closed by `close`

    def write(self, data: bytes | memoryview, offset: int | None = None) -> None:
        """All of the data, at the end or at an offset."""
        view = memoryview(data)
        while view:
            if offset is None:
                view = view[self.file.write(view) :]
            else:
                count = os.pwrite(self.file.fileno(), view, offset)
                view, offset = view[count:], offset + count

    def keep(self, *, replace: bool = True) -> None:
        """Bring the bytes to the disk, then give the file its name. Without ``replace``: `FileExistsError`."""
        os.fdatasync(self.file.fileno())
        if not self._partial:
            give_name(self.file.fileno(), self.path, replace=replace)
        elif replace:
            os.replace(self._partial, self.path)
            self._partial = ""
        else:
            os.link(self._partial, self.path)

    def close(self) -> None:
        self.file.close()
        if self._partial:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._partial)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def give_name(descriptor: int, path: str, *, replace: bool = True) -> None:
    """Let a path name an open file, be it unnamed or of another name on the same file system."""
    opened = f"/proc/self/fd/{descriptor}"
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Only with a folder's descriptor does Python call linkat(AT_SYMLINK_FOLLOW), which takes an open file.
        try:
            os.link(opened, os.path.basename(path), dst_dir_fd=folder)
        except FileExistsError:
            if not replace:
                raise
            partial = _partial(path)
            os.link(opened, os.path.basename(partial), dst_dir_fd=folder)
            os.replace(partial, path)
    finally:
        os.close(folder)


def sync_folder(path: str) -> None:
    """Bring a folder's names to the disk."""
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _partial(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name[:32]}.{os.getpid()}-{threading.get_ident()}.partial")
