"""Writes a new tar: several members at once, each into room that was reserved for it."""

from __future__ import annotations

import os
import threading

from liftlock.targets.files import NewFile, sync_folder
from liftlock.targets.tar_index import BLOCK, Member
from liftlock.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from io import FileIO

__all__ = ["TarWriter"]

RECORD = 20 * BLOCK
"""The file's length is a multiple of this, as every tar's (POSIX.1-2017 `pax`, "Blocking")."""


class TarWriter:
    """A tar that gets its name when it is finished, and leaves nothing behind when it is not.

    Members have no owner and no time, so the same members in the same order are the same bytes. Raises `OSError`,
    which the caller words. Safe for several threads.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._new = NewFile(path)
        self._end = 0
        self._lock = threading.Lock()

    @property
    def file(self) -> FileIO:
        """The file as it is so far, for reading members back."""
        return self._new.file

    def reserve(self, name: str, size: int) -> Member:
        """Write a file's header, and keep room for its bytes: ``size`` of them from the member's offset."""
        import tarfile

        header = tarfile.TarInfo(name)
        header.size = size
        data = header.tobuf(tarfile.PAX_FORMAT)
        with self._lock:
            start = self._end
            self._end += len(data) + -(-size // BLOCK) * BLOCK
        self._new.write(data, start)
        return Member("file", start + len(data), size)

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Bytes of a member, into its room."""
        self._new.write(data, offset)

    def add(self, name: str, data: bytes) -> Member:
        """A whole small file."""
        member = self.reserve(name, len(data))
        self.write(data, member.offset)
        return member

    def finish(self) -> None:
        """Mark the end, bring all to the disk, give the file its name; raises `FileExistsError` when that is taken."""
        self._new.file.truncate(-(-(self._end + 2 * BLOCK) // RECORD) * RECORD)
        self._new.keep(replace=False)
        self.close()
        sync_folder(os.path.dirname(self.path))

    def close(self) -> None:
        """Give back the file; unfinished, it is gone."""
        self._new.close()
