"""The artifact store in a folder: one OCI layout for all images, so that shared layers are kept once."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from liftlock.errors import Conflict, CorruptContent, NotFound
from liftlock.oci.digest import HEX_LENGTH, Digest
from liftlock.oci.manifest import MAX_MANIFEST
from liftlock.release.artifact import Artifact
from liftlock.store.artifact_store import Swept, image_tag, read_document
from liftlock.store.reachable import dropped_tags, reachable
from liftlock.targets.files import NewFile, file_error, read_small, sync_folder
from liftlock.targets.layout import LayoutTarget
from liftlock.targets.scratch import Scratch

__all__ = ["LocalStore"]

LOCK = ".collecting"


class LocalStore:
    """A folder: an OCI layout, and ``<id>.json`` per artifact.

    Who publishes and who collects keep out of each other's way by a lock on a file of the folder, shared by the ones
    and taken alone by the other; the system takes it from whoever dies.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._layout = LayoutTarget(str(folder))

    @property
    def place(self) -> str:
        return self._layout.name

    def scratch(self) -> AbstractContextManager[Scratch]:
        return nullcontext(LayoutTarget(str(self._folder)))

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._lock(fcntl.LOCK_SH):
            yield

    def put(self, artifact: Artifact) -> None:
        self._layout.prepare(0)
        path = self._path(artifact.id)
        try:
            with contextlib.suppress(FileExistsError), NewFile(str(path)) as file:
                file.write(artifact.document)
                file.keep(replace=False)
            sync_folder(str(self._folder))
        except OSError as error:
            raise file_error(error, f"{path} cannot be written") from error
        self.get(artifact.id)

    def get(self, artifact_id: Digest) -> Artifact:
        path = self._path(artifact_id)
        document = read_small(os.fspath(path), MAX_MANIFEST)
        if document is None:
            raise NotFound(f"the store {self._folder} has no artifact {artifact_id.short}")
        return read_document(document, artifact_id, str(path))

    def ids(self) -> Collection[Digest]:
        found = set()
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(CorruptContent):
                found.add(Digest(f"sha256:{path.stem}"))
        return found

    @contextmanager
    def alone(self) -> Iterator[None]:
        if not self._folder.is_dir():
            yield
            return
        with self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield

    def collect(self, removed: Sequence[Artifact], *, before: dt.datetime, dry_run: bool = False) -> Swept:
        if not self._folder.is_dir():
            return Swept()
        tags = set(self._layout.tags())
        gone = tags & {image_tag(artifact, image) for artifact in removed for image in artifact.images}
        if not dry_run:
            for artifact in removed:
                _remove(self._path(artifact.id))
            for tag in sorted(gone):
                self._layout.delete_tag(tag)
        reach = reachable(self._layout, tags - gone)
        # What another tool listed without a tag is kept as well.
        untagged = reachable(self._layout, tags - gone, roots=self._layout.untagged())
        unattached = dropped_tags(dropped_tags(tags, reach), untagged)
        if not dry_run:
            for tag in unattached:
                self._layout.delete_tag(tag)
        objects = size = 0
        for path in self._unneeded((*reach.manifests, *reach.blobs, *untagged.manifests, *untagged.blobs), before):
            size += path.stat().st_size
            objects += 1
            if not dry_run:
                _remove(path)
        return Swept(objects=objects, size=size)

    def _unneeded(self, needed: Collection[Digest], before: dt.datetime) -> Iterator[Path]:
        """Files of blobs that nothing leads to, and what a killed writer may have left beside them."""
        keep = {self._folder / "blobs" / digest.algorithm / digest.hex for digest in needed}
        for algorithm in HEX_LENGTH:
            for path in (self._folder / "blobs" / algorithm).glob("*"):
                if path not in keep and path.is_file() and path.stat().st_mtime < before.timestamp():
                    yield path

    @contextmanager
    def _lock(self, how: int) -> Iterator[None]:
        self._layout.prepare(0)
        path = self._folder / LOCK
        with contextlib.ExitStack() as opened:
            try:
                fcntl.flock(opened.enter_context(path.open("a")), how)
            except BlockingIOError:
                raise Conflict(
                    f"somebody is publishing into the store {self._folder}", hint="run the same command again later"
                ) from None
            except OSError as error:
                raise file_error(error, f"{path} cannot be locked") from error
            yield

    def _path(self, artifact_id: Digest) -> Path:
        return self._folder / f"{artifact_id.hex}.json"


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise file_error(error, f"{path} cannot be removed") from error
