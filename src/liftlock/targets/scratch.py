"""Where compressed layers are put while, or until, they are copied: the port, and files that vanish by themselves."""

from __future__ import annotations

import os

from liftlock.errors import LiftlockError, NotFound
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.targets.base import BlobReader, WritableTarget
from liftlock.targets.tar_index import Member, MemberReader
from liftlock.typed import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from io import FileIO

__all__ = ["BlobWriter", "Scratch", "ScratchBeside", "TemporaryBlobs"]


class BlobWriter(Protocol):
    """A blob that is being written, under no name yet. It ends with `commit` or with `discard`."""

    def write(self, data: bytes | memoryview, /) -> None: ...

    def commit(self, digest: Digest) -> None:
        """Name it. The caller has hashed what it wrote, so nothing is hashed again."""
        ...

    def discard(self) -> None:
        """Forget it; does nothing after `commit`."""
        ...


class Scratch(Protocol):
    """Holds blobs by digest: temporary files, or a layout that the image is going to stay in."""

    def has_blob(self, digest: Digest) -> bool: ...

    def open_blob(self, blob: Descriptor) -> BlobReader: ...

    def new_blob(self) -> BlobWriter: ...


class TemporaryBlobs:
    """Blobs in unnamed files in ``folder`` (``$TMPDIR``, else ``/var/tmp``): gone with the process, however it ends."""

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder or os.environ.get("TMPDIR") or "/var/tmp"  # noqa: S108  # unnamed files: nothing to guess
        self._files: dict[Digest, FileIO] = {}

    def has_blob(self, digest: Digest) -> bool:
        return digest in self._files

    def open_blob(self, blob: Descriptor) -> BlobReader:
        file = self._files.get(blob.digest)
        if file is None:
            raise NotFound(f"{self.folder}: there is no blob {blob.digest}")
        return MemberReader(file, self.folder, blob.digest, Member("file", 0, os.fstat(file.fileno()).st_size))

    def new_blob(self) -> BlobWriter:
        return _Unnamed(self.folder, self._files)

    def close(self) -> None:
        """Give back the files, and with them the room on disk."""
        while self._files:
            self._files.popitem()[1].close()


class ScratchBeside:
    """Temporary files beside a target: what that has already counts as here, and is neither made nor sent again."""

    def __init__(self, target: WritableTarget, folder: str | None = None) -> None:
        self._target = target
        self._files = TemporaryBlobs(folder)

    def has_blob(self, digest: Digest) -> bool:
        return self._files.has_blob(digest) or self._target.has_blob(digest)

    def open_blob(self, blob: Descriptor) -> BlobReader:
        return (self._files if self._files.has_blob(blob.digest) else self._target).open_blob(blob)

    def new_blob(self) -> BlobWriter:
        return self._files.new_blob()

    def close(self) -> None:
        """Give back the files."""
        self._files.close()


class _Unnamed:
    def __init__(self, folder: str, files: dict[Digest, FileIO]) -> None:
        import tempfile

        self._folder = folder
        self._files = files
        try:
            self._file: FileIO = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        except OSError as error:
            raise self._trouble(error) from error
        self._kept = False

    def write(self, data: bytes | memoryview, /) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise self._trouble(error) from error

    def commit(self, digest: Digest) -> None:
        if self._files.setdefault(digest, self._file) is self._file:
            self._kept = True
        else:
            self._file.close()

    def discard(self) -> None:
        if not self._kept:
            self._file.close()

    def _trouble(self, error: OSError) -> LiftlockError:
        return LiftlockError(
            f"a layer cannot be written in {self._folder}: {error.strerror}",
            hint="set TMPDIR to a folder with room for the image",
        )
