"""An OCI archive: a tar of an image layout, as `skopeo copy … oci-archive:` and buildx (``type=oci``) write it.

**Reading** is in place, through `TarIndex`; a gzip'd archive is unpacked once to an unnamed file.

**Writing** makes a new archive. Blobs go into it as they come, several at a time; `close` adds the index and gives the
file its name. Until then nothing is at its path, and when anything failed, or nothing was put, nothing ever is. A tar
cannot be changed in place, so writing to one that exists is a `Conflict`, and a copy that was stopped starts over.
The order of blobs in the file is that of their arrival; digests do not depend on it, the archive's own bytes do.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from liftlock.errors import Cancelled, Conflict, CorruptContent, LiftlockError, NotFound, UsageError
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.targets.base import BlobReader, BlobSource, Placed
from liftlock.targets.files import file_error, pour, require_room
from liftlock.targets.image_layout import ImageLayout
from liftlock.targets.layout import LAYOUT_FILE
from liftlock.targets.layout_index import MAX_INDEX, LayoutIndex, check_layout_version
from liftlock.targets.tar_index import Member, MemberReader, TarIndex
from liftlock.targets.tar_writer import TarWriter

__all__ = ["OciArchive"]

PREFIX = "oci-archive:"


class OciArchive(ImageLayout):
    """The layout in an archive, which is written by `close` when it was not there. Raises nothing until it is used.

    ``scratch`` is the folder where a gzip'd archive is unpacked (`open_archive`).
    """

    def __init__(self, path: str, *, scratch: str | None = None) -> None:
        super().__init__()
        self.path = path
        self.name = PREFIX + path
        self._scratch = scratch
        self._lock = threading.RLock()
        self._read: _Archive | None = None
        self._draft: _Draft | None = None
        self._aborted = False

    @property
    def home(self) -> str:
        return self.name

    def open_blob(self, blob: Descriptor) -> BlobReader:
        opened = self._opened()
        reader = opened.open(blob.digest) if opened else None
        if reader is None:
            raise NotFound(f"{self.name} has no blob {blob.digest}")
        if reader.size != blob.size:
            raise CorruptContent(f"{self.name}: {blob.digest} has {reader.size} bytes, its descriptor says {blob.size}")
        return reader

    def abort(self) -> None:
        """Let reads and writes end in `Cancelled`; what was being written will not be kept."""
        with self._lock:
            self._aborted = True
            if self._read is not None:
                self._read.tar.close()

    def close(self) -> None:
        """Write the new archive, if there is a whole one to write; raises `LiftlockError` when that fails."""
        with self._lock:
            read, draft, self._read, self._draft = self._read, self._draft, None, None
            aborted, self._aborted = self._aborted, True
        if read is not None:
            read.tar.close()
        if draft is not None:
            try:
                if not aborted and draft.is_whole():
                    draft.publish()
            except OSError as error:
                raise _write_error(error, self.path) from error
            finally:
                draft.tar.close()

    # -- writing

    def prepare(self, upload_bytes: int) -> None:
        """Raise `Conflict` when the file exists, `LiftlockError` when the disk has no room for these bytes."""
        self._begun()
        require_room(os.path.dirname(os.path.abspath(self.path)), upload_bytes)

    def put_blob(
        self,
        blob: Descriptor,
        source: BlobSource | None,
        *,
        mount_from: Sequence[str] = (),  # noqa: ARG002  # nothing else is in the same file
        absent: bool = False,  # noqa: ARG002  # asking costs nothing here
    ) -> Placed:
        draft = self._begun()
        if source is None:
            if draft.size(blob.digest) == blob.size:
                return Placed.PRESENT
            raise NotFound(f"{self.name} has no blob {blob.digest}, and there is nowhere to take it from")
        try:
            with draft.room(blob.digest, blob.size) as room:
                if room.whole:
                    return Placed.PRESENT
                try:
                    self._fill(draft, room, blob, source)
                except CorruptContent:  # damaged on its way, perhaps: one fresh attempt
                    self._fill(draft, room, blob, source)
                room.whole = True
        except OSError as error:
            raise _write_error(error, self.path) from error
        return Placed.COPIED

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        draft = self._begun()
        draft.pending.add(manifest.digest)
        super().put_manifest(manifest, tag)
        draft.put(manifest, tag)

    def delete_manifest(self, digest: Digest) -> None:
        """Raise `LiftlockError`: what is in a tar stays in it."""
        raise LiftlockError(
            f"{digest} cannot be removed from {self.path}: an archive is not changed in place",
            hint="copy the images that you want to keep to a new archive",
        )

    def _fill(self, draft: _Draft, room: _Room, blob: Descriptor, source: BlobSource) -> None:
        offset = room.member.offset

        def write(piece: memoryview) -> None:
            nonlocal offset
            self._check_aborted()
            draft.tar.write(piece, offset)
            offset += len(piece)

        pour(blob, source, write, self.name)

    def _store(self, manifest: Manifest) -> None:
        draft = self._begun()
        try:
            with draft.room(manifest.digest, manifest.size) as room:
                draft.tar.write(manifest.raw, room.member.offset)
                room.whole = True
        except OSError as error:
            raise _write_error(error, self.path) from error

    @contextmanager
    def _changing(self) -> Iterator[LayoutIndex]:
        with self._lock:
            yield self._begun().index

    def _begun(self) -> _Draft:
        """The archive being written; raises `Conflict` when there is one already."""
        with self._lock:
            self._check_aborted()
            if self._draft is None:
                try:
                    if os.path.lexists(self.path):
                        raise FileExistsError
                    self._draft = _Draft(self.path, self.name)
                except OSError as error:
                    raise _write_error(error, self.path) from error
            return self._draft

    def _check_aborted(self) -> None:
        if self._aborted:
            raise Cancelled(f"{self.name} was closed, or stopped on request")

    # -- reading

    def _opened(self) -> _Archive | _Draft | None:
        """What there is to read: the archive being written, the one that is there, or none."""
        with self._lock:
            self._check_aborted()
            if self._draft is None and self._read is None:
                try:
                    self._read = _Archive(self.path, self.name, self._scratch)
                except NotFound:
                    return None
            return self._draft or self._read

    def _index(self) -> LayoutIndex:
        opened = self._opened()
        return opened.index if opened else LayoutIndex(None, self.name)

    def _size(self, digest: Digest) -> int | None:
        opened = self._opened()
        return opened.size(digest) if opened else None

    def _load(self, digest: Digest) -> bytes | None:
        opened = self._opened()
        reader = opened.open(digest) if opened else None
        return None if reader is None else reader.read_all()


class _Archive:
    """An archive that is there."""

    def __init__(self, path: str, name: str, scratch: str | None) -> None:
        self.tar = TarIndex(path, scratch=scratch)
        try:
            self.index = _names(self.tar, name)
        except BaseException:
            self.tar.close()
            raise

    def size(self, digest: Digest) -> int | None:
        member = self.tar.find(_blob_name(digest))
        return None if member is None else member.size

    def open(self, digest: Digest) -> MemberReader | None:
        name = _blob_name(digest)
        return None if self.tar.find(name) is None else self.tar.open(name)


class _Room:
    """Where one blob goes; whoever holds the lock fills it."""

    __slots__ = ("lock", "member", "whole")

    def __init__(self, member: Member) -> None:
        self.lock = threading.Lock()
        self.member = member
        self.whole = False


class _Draft:
    """An archive that is being written."""

    def __init__(self, path: str, name: str) -> None:
        self.tar = TarWriter(path)
        self.name = name
        self.index = LayoutIndex(None, name)
        self.pending: set[Digest] = set()
        self._rooms: dict[Digest, _Room] = {}
        self._untagged: dict[Digest, Manifest] | None = {}
        self._lock = threading.Lock()

    @contextmanager
    def room(self, digest: Digest, size: int) -> Iterator[_Room]:
        """Room for a blob, for this caller alone; a failed attempt leaves it to the next one."""
        with self._lock:
            room = self._rooms.get(digest)
            if room is None:
                room = self._rooms[digest] = _Room(self.tar.reserve(_blob_name(digest), size))
        if room.member.size != size:
            raise CorruptContent(f"{self.name}: {digest} is said to have {room.member.size} bytes, and {size}")
        with room.lock:
            yield room

    def put(self, manifest: Manifest, tag: str | None) -> None:
        """Note that a manifest is there, and whether tags are in use at all."""
        with self._lock:
            self.pending.discard(manifest.digest)
            if tag is not None:
                self._untagged = None
            elif self._untagged is not None:
                self._untagged[manifest.digest] = manifest

    def is_whole(self) -> bool:
        """Whether everything that was begun was finished, and there is something to find."""
        whole = not self.pending and all(room.whole for room in self._rooms.values())
        return whole and bool(self.index.entries or self._untagged)

    def publish(self) -> None:
        """Add the index and finish. Where no tag was ever set, what is no part of something else is listed without."""
        untagged = self._untagged or {}
        parts = {child.digest for manifest in untagged.values() for child in manifest.manifests}
        for manifest in untagged.values():
            if manifest.digest not in parts and manifest.subject is None:
                self.index.add(manifest)
        self.tar.add("oci-layout", LAYOUT_FILE)
        self.tar.add("index.json", self.index.encode())
        self.tar.finish()

    def size(self, digest: Digest) -> int | None:
        room = self._rooms.get(digest)
        return room.member.size if room is not None and room.whole else None

    def open(self, digest: Digest) -> MemberReader | None:
        room = self._rooms.get(digest)
        if room is None or not room.whole:
            return None
        return MemberReader(self.tar.file, self.tar.path, _blob_name(digest), room.member)


def _names(tar: TarIndex, name: str) -> LayoutIndex:
    if "index.json" not in tar:
        hint = f"write docker-archive:{tar.path}" if "manifest.json" in tar else ""
        raise UsageError(f"{tar.path} is not an OCI archive: it has no index.json", hint=hint)
    if "oci-layout" in tar:
        check_layout_version(tar.read("oci-layout"), name)
    return LayoutIndex(tar.read("index.json", MAX_INDEX), name)


def _blob_name(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _write_error(error: OSError, path: str) -> LiftlockError:
    if isinstance(error, FileExistsError):
        return Conflict(
            f"{path} exists already, and an archive is not changed in place",
            hint="remove it or name another file; a layout folder (oci:) can be added to",
        )
    return file_error(error, f"{path} cannot be written")
