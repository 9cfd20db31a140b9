"""Where artifacts are kept for good: their images' content, and the documents that name it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol

from liftlock.errors import NotFound
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import MAX_MANIFEST
from liftlock.release.artifact import Artifact
from liftlock.targets.files import NewFile, file_error, read_small, sync_folder
from liftlock.targets.layout import LayoutTarget
from liftlock.targets.scratch import Scratch

__all__ = ["ArtifactStore", "LocalStore"]


class ArtifactStore(Protocol):
    """Keeps artifacts. Images travel in and out as between any two targets; what is here besides is the documents."""

    def target(self, image: str) -> str:
        """The name of the target (`Target.name`) that keeps the content of images of this name."""
        ...

    def scratch(self) -> Scratch:
        """Where layers are compressed to, so that they need not be moved again."""
        ...

    def tag(self, artifact: Artifact, image: str) -> str:
        """The tag that keeps one image's content from being collected, and lets other tools find it."""
        ...

    def put(self, artifact: Artifact) -> None:
        """Keep the document, durably, after the content; one that is there stays as it is."""
        ...

    def get(self, artifact_id: Digest) -> Artifact:
        """The document of this id, verified; raises `NotFound`, or `CorruptContent` when it was changed."""
        ...


class LocalStore:
    """A folder: one OCI layout for all images, so that shared layers are kept once, and ``<id>.json`` per artifact."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def target(self, image: str) -> str:  # noqa: ARG002  # all images share the layout
        return f"oci:{self._folder}"

    def scratch(self) -> Scratch:
        return LayoutTarget(str(self._folder))

    def tag(self, artifact: Artifact, image: str) -> str:
        return f"{image}-{artifact.id.short}"

    def put(self, artifact: Artifact) -> None:
        LayoutTarget(str(self._folder)).prepare(0)
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
        return Artifact.parse(document, artifact_id)

    def _path(self, artifact_id: Digest) -> Path:
        return self._folder / f"{artifact_id.hex}.json"
