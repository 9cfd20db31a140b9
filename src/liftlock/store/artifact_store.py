"""Where artifacts are kept for good: their images' content, and the documents that name it.

The protocol; `local_store` keeps it in a folder, `object_store` in a bucket, `registry_store` in a registry's
repository. Images travel in and out as between any two targets (`ArtifactStore.place` is one); what is here besides is
the documents, and how what is not needed any more is collected.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from liftlock.errors import CorruptContent
from liftlock.oci.digest import Digest
from liftlock.release.artifact import Artifact
from liftlock.targets.scratch import Scratch

__all__ = ["ArtifactStore", "Swept", "image_tag", "read_document"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a collection removed, or would remove."""

    objects: int = 0
    """Blobs and manifests."""
    size: int = 0
    """Their bytes."""
    notes: tuple[str, ...] = ()
    """What was left, and why."""


class ArtifactStore(Protocol):
    """Keeps artifacts."""

    @property
    def place(self) -> str:
        """The name of the target (`Target.name`) that keeps the content of all images."""
        ...

    def scratch(self) -> AbstractContextManager[Scratch]:
        """Where layers are compressed to; what the store has already need not be compressed again."""
        ...

    def writing(self) -> AbstractContextManager[None]:
        """Held from before content comes until the record names it: no collection runs meanwhile.

        Raises `Conflict` where one runs, and cannot be waited for.
        """
        ...

    def put(self, artifact: Artifact) -> None:
        """Keep the document, durably, after the content; one that is there stays as it is."""
        ...

    def get(self, artifact_id: Digest) -> Artifact:
        """The document of this id, verified; raises `NotFound`, or `CorruptContent` when it was changed."""
        ...

    def ids(self) -> Collection[Digest]:
        """The artifacts whose documents are kept here, whoever put them there."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """Held by a collection: nobody writes meanwhile. Raises `Conflict` while somebody does."""
        ...

    def collect(self, removed: Sequence[Artifact], *, before: dt.datetime, dry_run: bool = False) -> Swept:
        """Remove these artifacts' documents and tags, then every blob and manifest that no tag leads to.

        What is younger than ``before`` stays, since another program may be about to tag it. With ``dry_run`` nothing is
        removed. Interrupted, it leaves what no tag leads to, and the next one removes that.
        """
        ...


def image_tag(artifact: Artifact, image: str) -> str:
    """The tag that keeps one image's content from being collected, and lets other tools find it."""
    return f"{image}-{artifact.id.short}"


def read_document(document: bytes, artifact_id: Digest, where: str) -> Artifact:
    """The artifact of a document that was kept at ``where``; raises `CorruptContent` when it is another one now."""
    try:
        return Artifact.parse(document, artifact_id)
    except CorruptContent as error:
        hint = error.hint or "remove it, and publish the build again: that writes it anew"
        raise CorruptContent(f"{where}: {error.message}", hint=hint) from None
