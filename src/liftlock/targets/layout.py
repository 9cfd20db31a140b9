"""An OCI image layout in a folder (OCI image spec 1.1, image-layout.md), for reading and writing.

**Safe for several writers.** A blob has no name until it is whole and verified. ``index.json`` is read, changed and
replaced by one writer at a time, under a lock on the file ``oci-layout``, so several threads and processes lose none of
each other's tags. (skopeo and podman take no lock: let them not write at the same time.)

**Safe against power cuts.** A blob is on the disk before it gets its name, and all names of blobs are before
``index.json`` is replaced: a tag never stands for what a power cut could take away.

**Between layouts on one file system nothing is copied**: the blob is verified, then linked (a hard link), which counts
as a mount. Nobody changes a blob in place, so it does not matter that the layouts share it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from liftlock.errors import Cancelled, CorruptContent, LiftlockError, NotFound, UsageError
from liftlock.oci.digest import HEX_LENGTH, Digest
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.targets.base import MAX_METADATA, BlobReader, BlobSource, Placed
from liftlock.targets.files import (
    FileReader,
    NewFile,
    file_error,
    give_name,
    pour,
    read_small,
    require_room,
    sync_folder,
)
from liftlock.targets.image_layout import ImageLayout
from liftlock.targets.layout_index import MAX_INDEX, REF_NAME, LayoutIndex, check_layout_version
from liftlock.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from liftlock.targets.scratch import BlobWriter

__all__ = ["LayoutTarget"]

PREFIX = "oci:"
LAYOUT_FILE = b'{"imageLayoutVersion":"1.0.0"}'


class LayoutTarget(ImageLayout):
    """The layout in a folder, which is made by the first write. Raises nothing until it is used."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.name = PREFIX + path
        self._made: set[str] = set()
        self._aborted = False

    @property
    def home(self) -> str:
        """The file system, since blobs can be linked within it; the name where there is no telling."""
        folder = self.path
        while not os.path.isdir(folder) and folder != "/":
            folder = os.path.dirname(os.path.abspath(folder))
        try:
            return f"{PREFIX}device-{os.stat(folder).st_dev}"
        except OSError:
            return self.name

    def open_blob(self, blob: Descriptor) -> BlobReader:
        path = self._path(blob.digest)
        try:
            file = open(path, "rb", buffering=0)  # noqa: SIM115  # the reader closes it
        except FileNotFoundError:
            raise NotFound(f"{self.name} has no blob {blob.digest}") from None
        except OSError as error:
            raise file_error(error, f"{path} cannot be read") from error
        size = os.fstat(file.fileno()).st_size
        if size != blob.size:
            file.close()
            raise CorruptContent(f"{path} has {size} bytes, its descriptor says {blob.size}")
        return FileReader(file, path)

    def abort(self) -> None:
        """Let writes end in `Cancelled`; reads of local files do not stall."""
        self._aborted = True

    def close(self) -> None:
        """Nothing to give back."""

    def untagged(self) -> Sequence[Digest]:
        """What the layout lists without a tag, as other tools may."""
        return [entry.digest for entry in self._index().entries if not entry.annotations.get(REF_NAME)]

    # -- writing

    def prepare(self, upload_bytes: int) -> None:
        """Raise `LiftlockError` when the disk has no room for this, `UsageError` when the folder is something else."""
        self._make()
        require_room(self.path, upload_bytes)

    def put_blob(
        self, blob: Descriptor, source: BlobSource | None, *, mount_from: Sequence[str] = (), absent: bool = False
    ) -> Placed:
        """As `WritableTarget.put_blob`; a blob that is there with another size is damaged, and written anew."""
        if not absent and self._size(blob.digest) == blob.size:
            return Placed.PRESENT
        self._make(blob.digest.algorithm)
        if any(self._link(blob, name) for name in mount_from):
            return Placed.MOUNTED
        if source is None:
            raise NotFound(f"{self.name} has no blob {blob.digest}, and there is nowhere to take it from")
        try:
            self._write(blob, source)
        except CorruptContent:  # damaged on its way, perhaps: one fresh attempt
            self._write(blob, source)
        return Placed.COPIED

    def new_blob(self) -> BlobWriter:
        """A blob whose writer will know its digest only at the end (`targets.scratch.Scratch`)."""
        self._make()
        return _Nameless(self)

    def delete_manifest(self, digest: Digest) -> None:
        """As `WritableTarget.delete_manifest`. Blobs stay: others may use them."""
        raw = self._load(digest)
        if raw is None:
            raise NotFound(f"{self.name} has no manifest {digest}")
        try:
            subject = self._parsed(raw, "", digest).subject
        except CorruptContent:
            subject = None  # whatever it was about, it can be deleted
        with self._changing() as index:
            index.remove_digest(digest)
            if subject is not None:
                self._unlist_referrer(index, subject.digest, digest)
        try:
            os.unlink(self._path(digest))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise file_error(error, f"{self._path(digest)} cannot be removed") from error

    def _write(self, blob: Descriptor, source: BlobSource) -> None:
        path = self._path(blob.digest)
        try:
            with NewFile(path) as file:

                def write(piece: memoryview) -> None:
                    self._check_aborted()
                    file.write(piece)

                pour(blob, source, write, self.name)
                file.keep()
        except OSError as error:
            raise file_error(error, f"{path} cannot be written") from error

    def _link(self, blob: Descriptor, name: str) -> bool:
        """Take the blob over from another layout, verified; False when that cannot be done."""
        if not name.startswith(PREFIX):
            return False
        try:
            with open(_blob_path(name.removeprefix(PREFIX), blob.digest), "rb", buffering=0) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return False
                reader = FileReader(open(os.dup(file.fileno()), "rb", buffering=0), name)  # noqa: SIM115  # pour closes it
                pour(blob, lambda: reader, lambda _: self._check_aborted(), name)
                give_name(file.fileno(), self._path(blob.digest))
        except (OSError, CorruptContent):
            return False
        return True

    def _store(self, manifest: Manifest) -> None:
        self._make(manifest.digest.algorithm)
        path = self._path(manifest.digest)
        self._check_aborted()
        if self._size(manifest.digest) == manifest.size and self._load(manifest.digest) == manifest.raw:
            return
        try:
            with NewFile(path) as file:
                file.write(manifest.raw)
                file.keep()
        except OSError as error:
            raise file_error(error, f"{path} cannot be written") from error

    def _make(self, algorithm: str = "sha256") -> None:
        """Make the layout unless it is there; raises `UsageError` rather than write into a folder of other things."""
        if algorithm in self._made:
            return
        try:
            names = set(os.listdir(self.path)) if os.path.isdir(self.path) else set()
            if names and names.isdisjoint({"oci-layout", "index.json", "blobs"}):
                raise UsageError(
                    f"{self.path} is not empty, and no image layout", hint="name an empty folder, or a new one"
                )
            os.makedirs(os.path.join(self.path, "blobs", algorithm), exist_ok=True)
            for name, content in (("oci-layout", LAYOUT_FILE), ("index.json", LayoutIndex(None, self.name).encode())):
                if name not in names:
                    # Never replaced: another process may have made it just now, and may hold the lock on it.
                    with contextlib.suppress(FileExistsError), NewFile(os.path.join(self.path, name)) as file:
                        file.write(content)
                        file.keep(replace=False)
        except OSError as error:
            raise file_error(error, f"the layout {self.path} cannot be made") from error
        self._made.add(algorithm)

    @contextmanager
    def _changing(self) -> Iterator[LayoutIndex]:
        import fcntl

        self._make()
        path = os.path.join(self.path, "index.json")
        try:
            with open(os.path.join(self.path, "oci-layout"), "r+b", buffering=0) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._check_aborted()
                index = self._index()
                yield index
                if not index.changed:
                    return
                for algorithm in HEX_LENGTH:
                    with contextlib.suppress(FileNotFoundError):
                        sync_folder(os.path.join(self.path, "blobs", algorithm))
                with NewFile(path) as file:
                    file.write(index.encode())
                    file.keep()
                sync_folder(self.path)
        except OSError as error:
            raise file_error(error, f"{path} cannot be changed") from error

    def _check_aborted(self) -> None:
        if self._aborted:
            raise Cancelled(f"{self.name}: stopped on request")

    # -- reading

    def _index(self) -> LayoutIndex:
        marker = read_small(os.path.join(self.path, "oci-layout"), MAX_METADATA)
        if marker is not None:
            check_layout_version(marker, self.name)
        return LayoutIndex(read_small(os.path.join(self.path, "index.json"), MAX_INDEX), self.name)

    def _size(self, digest: Digest) -> int | None:
        try:
            found = os.stat(self._path(digest))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise file_error(error, f"{self._path(digest)} cannot be read") from error
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def _load(self, digest: Digest) -> bytes | None:
        return read_small(self._path(digest), MAX_METADATA)

    def _path(self, digest: Digest) -> str:
        return _blob_path(self.path, digest)


class _Nameless:
    """A `BlobWriter`: a file of the layout without a name, until it gets its digest."""

    def __init__(self, layout: LayoutTarget) -> None:
        self._layout = layout
        try:
            self._file = NewFile(os.path.join(layout.path, "blobs", "sha256", "new"))
        except OSError as error:
            raise self._trouble(error) from error

    def write(self, data: bytes | memoryview, /) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise self._trouble(error) from error

    def commit(self, digest: Digest) -> None:
        self._file.path = _blob_path(self._layout.path, digest)
        try:
            self._file.keep()
        except OSError as error:
            raise self._trouble(error) from error

    def discard(self) -> None:
        self._file.close()

    def _trouble(self, error: OSError) -> LiftlockError:
        return file_error(error, f"a blob of {self._layout.path} cannot be written")


def _blob_path(layout: str, digest: Digest) -> str:
    """Where a layout keeps a blob; a `Digest` is validated, so this never leads out of the layout."""
    return os.path.join(layout, "blobs", digest.algorithm, digest.hex)
