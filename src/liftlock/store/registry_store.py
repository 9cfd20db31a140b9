"""The artifact store in a registry: one repository with the images, and beside them an OCI artifact per document."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from liftlock.errors import CorruptContent, NotFound, RegistryError
from liftlock.oci import media_types as mt
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import MAX_MANIFEST, Descriptor, Manifest
from liftlock.release.artifact import ARTIFACT_TYPE, Artifact
from liftlock.store.artifact_store import Swept, image_tag, read_document
from liftlock.store.reachable import reachable
from liftlock.targets.base import WritableTarget, read_blob
from liftlock.targets.scratch import Scratch, ScratchBeside

__all__ = ["RegistryStore"]

EMPTY = Descriptor("application/vnd.oci.empty.v1+json", Digest.of(b"{}"), 2)
"""The config of what is no image (image spec 1.1, manifest.md, "Guidance for an Empty Descriptor")."""

_TAG = re.compile(r"artifact-([0-9a-f]{64})\Z")


class RegistryStore:
    """A repository. A document is the one layer of a manifest that is tagged ``artifact-<hex of its id>``.

    A registry has no locks: a collection must not run while somebody publishes an artifact again that it removes. Blobs
    are not removed here, and need not be found: that is the registry's own work.
    """

    def __init__(self, target: WritableTarget) -> None:
        self._target = target

    @property
    def place(self) -> str:
        return self._target.name

    @contextmanager
    def scratch(self) -> Iterator[Scratch]:
        with contextlib.closing(ScratchBeside(self._target)) as scratch:
            yield scratch

    def writing(self) -> AbstractContextManager[None]:
        return nullcontext()

    def put(self, artifact: Artifact) -> None:
        document = Descriptor(ARTIFACT_TYPE, artifact.id, len(artifact.document))
        manifest = Manifest.build(
            {
                "schemaVersion": 2,
                "mediaType": mt.OCI_MANIFEST,
                "artifactType": ARTIFACT_TYPE,
                "config": EMPTY.to_json(),
                "layers": [document.to_json()],
            }
        )
        found = self._target.resolve(_tag(artifact.id))
        if found is None or found.digest != manifest.digest:
            self._target.put_blob(EMPTY, lambda: io.BytesIO(b"{}"))
            self._target.put_blob(document, lambda: io.BytesIO(artifact.document))
            self._target.put_manifest(manifest, _tag(artifact.id))
        self.get(artifact.id)

    def get(self, artifact_id: Digest) -> Artifact:
        tag = _tag(artifact_id)
        if self._target.resolve(tag) is None:
            raise NotFound(f"the store {self.place} has no artifact {artifact_id.short}")
        manifest = self._target.manifest(tag)
        if len(manifest.layers) != 1 or manifest.layers[0].digest != artifact_id:
            raise CorruptContent(f"{self.place}:{tag} does not hold artifact {artifact_id.short}")
        if manifest.layers[0].size > MAX_MANIFEST:
            raise CorruptContent(f"{self.place}:{tag} is larger than {MAX_MANIFEST} bytes")
        return read_document(read_blob(self._target, manifest.layers[0]), artifact_id, f"{self.place}:{tag}")

    def ids(self) -> Collection[Digest]:
        return {Digest(f"sha256:{match[1]}") for tag in self._target.tags() if (match := _TAG.match(tag))}

    def alone(self) -> AbstractContextManager[None]:
        return nullcontext()

    def collect(self, removed: Sequence[Artifact], *, before: dt.datetime, dry_run: bool = False) -> Swept:  # noqa: ARG002  # a registry tells no ages
        tags = set(self._target.tags())
        documents = tags & {_tag(artifact.id) for artifact in removed}
        gone = tags & {image_tag(artifact, image) for artifact in removed for image in artifact.images}
        there = [
            each for each in removed if _tag(each.id) in tags or any(image_tag(each, i) in tags for i in each.images)
        ]
        needed = reachable(self._target, tags - gone - documents)
        # A tag goes with its manifest. On one that is needed it stays as long: some registries delete no single tag.
        roots = {image.digest for artifact in there for image in artifact.images.values()} - needed.manifests
        unneeded = reachable(self._target, tags, roots=roots).manifests - needed.manifests
        notes = ["blobs are left to the registry, which collects what no manifest names"]
        if dry_run:
            return Swept(objects=len(unneeded) + len(documents), notes=tuple(notes))
        # What leads to others goes after them, and documents last: interrupted, the next collection finds what is left.
        # Amazon ECR keeps what an index names, so what was refused is tried again when the index is gone.
        left = sorted(unneeded, key=lambda each: (each in roots, each))
        for said in ([], notes):
            left = [digest for digest in left if not self._delete(digest, said)]
        kept = [tag for tag in sorted(documents) if left or not self._delete(self._digest(tag), notes)]
        objects = len(unneeded) - len(left) + len(documents) - len(kept)
        return Swept(objects=objects, notes=tuple(dict.fromkeys(notes)))

    def _digest(self, tag: str) -> Digest | None:
        found = self._target.resolve(tag)
        return found.digest if found else None

    def _delete(self, digest: Digest | None, notes: list[str]) -> bool:
        """Whether it is gone."""
        try:
            if digest is not None:
                self._target.delete_manifest(digest)
        except NotFound:
            pass
        except RegistryError as error:
            notes.append(f"a manifest stays: {error.message}")
            return False
        return True


def _tag(artifact_id: Digest) -> str:
    return f"artifact-{artifact_id.hex}"
