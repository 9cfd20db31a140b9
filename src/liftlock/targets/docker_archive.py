"""A `docker save` tar as a target: every dialect of it, read in place, and canonicalised once.

Named ``docker-archive:file``; a reference names one of its images (`saved_images.choose` has the ways to), the empty
one its only image. A digest is a manifest's, never an image ID: those are written as plain hexadecimal digits.

An image is prepared when it is first asked for. Where the archive holds a registry's own manifests and blobs, whole and
unharmed, these are what the target shows, so the digest is the registry's. Else the image is canonicalised
(`targets.canonical`), and its compressed layers are served from the scratch.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial

from liftlock.errors import CorruptContent, NotFound
from liftlock.oci.digest import HEX_LENGTH, Digest
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.targets.base import BlobReader
from liftlock.targets.canonical import Crew, DiffIds, OnProgress, canonicalise, verify_blob
from liftlock.targets.compression import Recipe, best_recipe
from liftlock.targets.originals import blob_member, collect, image_manifests
from liftlock.targets.saved_images import SavedImage, choose, read_contents
from liftlock.targets.scratch import Scratch, TemporaryBlobs
from liftlock.targets.tar_index import TarIndex
from liftlock.typed import NamedTuple

__all__ = ["DockerArchive", "Prepared"]

_ALGORITHMS = tuple(f"{algorithm}:" for algorithm in HEX_LENGTH)


class Prepared(NamedTuple):
    """An image of the archive, ready to be copied."""

    manifest: Manifest
    image_id: Digest | None
    """The digest of the config that ``manifest.json`` names; None when only ``index.json`` has the image."""
    recipes: tuple[str, ...]
    """What its layers were compressed by (`Recipe.id`); empty when everything is used as it came."""
    notes: tuple[str, ...]
    """What a person should know: why the digest is a new one, what was wrong with the archive."""


class DockerArchive:
    """A `Target` over the file at ``path``.

    ``scratch`` takes the compressed layers: give the layout they are going to stay in, else they go to unnamed
    temporary files in ``folder`` (`TemporaryBlobs`). ``remember`` keeps digests stable beyond this process.

    Raises `NotFound` when there is no such file, `UsageError` for what is no docker archive, `CorruptContent` for a
    damaged or ambiguous one.
    """

    metered = False

    def __init__(
        self,
        path: str,
        *,
        scratch: Scratch | None = None,
        remember: DiffIds | None = None,
        recipe: Recipe | None = None,
        workers: int = 0,
        on_progress: OnProgress | None = None,
        folder: str | None = None,
    ) -> None:
        self.path = path
        self._temporary = TemporaryBlobs(folder)
        self._scratch: Scratch = self._temporary if scratch is None else scratch
        self._remember = remember
        self._recipe = recipe
        self._crew = Crew(workers, on_progress)
        self._tar = TarIndex(path, scratch=folder)
        try:
            self._contents = read_contents(self._tar)
        except BaseException:
            self._tar.close()
            raise
        self._lock = threading.Lock()
        self._prepared: dict[object, Prepared] = {}
        self._manifests: dict[Digest, Manifest] = {}
        self._members: dict[Digest, str] = {}

    @property
    def name(self) -> str:
        return f"docker-archive:{self.path}"

    @property
    def home(self) -> str:
        return self.name

    def images(self) -> Sequence[SavedImage]:
        """What the archive holds, in its order. Nothing is compressed for that."""
        return self._contents.images

    def prepare(self, reference: str = "") -> Prepared:
        """Find the image, and make sure that its registry form is there; the first call for an image does the work.

        Raises `NotFound` and `UsageError` listing the candidates, `CorruptContent` when the image is damaged,
        `Cancelled` after `abort`.
        """
        return self._prepare(choose(self.path, self._contents.images, reference))

    def resolve(self, reference: str) -> Descriptor | None:
        if reference.startswith(_ALGORITHMS):
            found = self._by_digest(Digest(reference))
            return found.descriptor if found else None
        try:
            return self.prepare(reference).manifest.descriptor
        except NotFound:
            return None

    def manifest(self, reference: str) -> Manifest:
        if not reference.startswith(_ALGORITHMS):
            return self.prepare(reference).manifest
        digest = Digest(reference)
        found = self._by_digest(digest)
        if found is None:
            is_id = any(image.id == digest for image in self._contents.images)
            hint = f"it is an image ID: write docker-archive:{self.path}:{digest.short}" if is_id else ""
            raise NotFound(f"{self.path} has no manifest {digest}", hint=hint)
        return found

    def open_blob(self, blob: Descriptor) -> BlobReader:
        if not self._has(blob.digest):
            self._prepare_all()
        member = self._members.get(blob.digest)
        if member is not None:
            return self._tar.open(member)
        if self._scratch.has_blob(blob.digest):
            return self._scratch.open_blob(blob)
        raise NotFound(f"{self.path} has no blob {blob.digest}")

    def referrers(self, subject: Digest, tags: frozenset[str] | None = None) -> Sequence[Descriptor]:  # noqa: ARG002
        manifests = list(self._manifests.values())
        return [each.referrer_descriptor() for each in manifests if each.subject and each.subject.digest == subject]

    def tags(self) -> Iterator[str]:
        return (name for image in self._contents.images for name in image.names)

    def abort(self) -> None:
        self._crew.stop()

    def close(self) -> None:
        self._tar.close()
        self._temporary.close()

    def _has(self, digest: Digest) -> bool:
        return digest in self._members or self._scratch.has_blob(digest)

    def _by_digest(self, digest: Digest) -> Manifest | None:
        """A manifest; which ones there are is only known when all images are prepared."""
        if digest not in self._manifests:
            self._prepare_all()
        return self._manifests.get(digest)

    def _prepare_all(self) -> None:
        for image in self._contents.images:
            self._prepare(image)

    def _prepare(self, image: SavedImage) -> Prepared:
        with self._lock:
            self._crew.check()
            found = self._prepared.get(image.key)
            if found is None:
                notes = list(self._contents.notes)
                found = self._original(image, notes) or self._canonical(image, notes)
                self._prepared[image.key] = found
            return found

    def _original(self, image: SavedImage, notes: list[str]) -> Prepared | None:
        """The image as its registry has it, if the archive has all of that."""
        for root in self._roots(image):
            try:
                found = collect(self._tar, root)
                if image.id is not None and not found.compressed:
                    return None
                members = {digest: blob_member(digest) for digest in found.blobs}
                self._crew.run(
                    [partial(verify_blob, self._tar, blob, members[digest]) for digest, blob in found.blobs.items()]
                )
            except CorruptContent as error:
                if image.id is None:
                    raise
                notes.append(f"index.json cannot be followed to {root.digest} ({error.message})")
                continue
            self._manifests |= found.manifests
            self._members |= members
            return Prepared(found.root, image.id, (), tuple(notes))
        return None

    def _roots(self, image: SavedImage) -> Iterator[Descriptor]:
        """What the image's registry form may be: what ``index.json`` says, else its platform's part of an index.

        The containerd store saves an index whole, and of its platforms those that were pulled.
        """
        if image.root is None:
            return
        yield image.root
        for manifest in image_manifests(self._tar, image.root):
            if manifest.config and manifest.config.digest == image.id and manifest.digest != image.root.digest:
                yield manifest.descriptor

    def _canonical(self, image: SavedImage, notes: list[str]) -> Prepared:
        made = canonicalise(
            self._tar,
            image,
            scratch=self._scratch,
            remember=self._remember,
            crew=self._crew,
            recipe=self._recipe or best_recipe(),
        )
        self._manifests[made.manifest.digest] = made.manifest
        self._members |= made.members
        how = f", layers compressed by {', '.join(made.recipes)}" if made.recipes else ""
        notes += [*made.notes, f"{image.label}: same content under a new manifest{how}: the archive has no registry's"]
        return Prepared(made.manifest, image.id, made.recipes, tuple(notes))
