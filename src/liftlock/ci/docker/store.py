"""The images of this machine's user: an OCI layout whose names are full references.

An image that was pulled lazily has its manifests here, all of them, and its blobs where it came from: its *origin*, a
repository that stands in an annotation of its entry. `resolve` goes by `is_whole`: to a copy, an image is here when all
of it is.

Several processes may use one store: names change under the layout's own lock; and content is only removed when nobody
else works with it (`used` is shared, `sweep` needs it alone).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from liftlock.ci.docker import words
from liftlock.ci.docker.names import full, named
from liftlock.ci.docker.words import Said
from liftlock.errors import ConfigError, CorruptContent, NotFound
from liftlock.oci.digest import HEX_LENGTH, Digest
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.oci.reference import Reference
from liftlock.targets.files import file_error
from liftlock.targets.layout import LayoutTarget
from liftlock.targets.layout_index import REF_NAME, LayoutIndex
from liftlock.typed import NamedTuple

__all__ = ["Image", "Store", "store_path"]

ORIGIN = "io.github.liftlock.origin"
"""The annotation with the repository that an image was pulled from."""
LOCK = "liftlock-docker.lock"


def store_path(env: Mapping[str, str]) -> str:
    """``LIFTLOCK_DOCKER_STORE``, else a folder of liftlock's data. Raises `ConfigError` where there is none."""
    path = env.get("LIFTLOCK_DOCKER_STORE", "")
    if not path:
        data = env.get("XDG_DATA_HOME", "")
        if not os.path.isabs(data):
            home = env.get("HOME", "")
            if not os.path.isabs(home):
                raise ConfigError(
                    "there is no folder for images", hint="set HOME, XDG_DATA_HOME or LIFTLOCK_DOCKER_STORE"
                )
            data = os.path.join(home, ".local", "share")
        path = os.path.join(data, "liftlock", "docker")
    path = os.path.abspath(path)
    if ":" in path:
        raise ConfigError(f"{path!r} has a colon", hint="set LIFTLOCK_DOCKER_STORE to a folder without one")
    return path


class Image(NamedTuple):
    """One entry of the store: a name, or an image that was loaded without one."""

    name: str
    """``registry/repository:tag`` or ``registry/repository@digest``; empty when it has none."""
    descriptor: Descriptor
    origin: str
    """``registry/repository``; empty when it did not come from a registry."""

    @property
    def digest(self) -> Digest:
        return self.descriptor.digest

    @property
    def reference(self) -> Reference:
        """The name; only of images that have one."""
        return Reference.parse(self.name)


class Store(LayoutTarget):
    """The layout in a folder, made when it is first written to."""

    # -- what is here

    def images(self) -> Sequence[Image]:
        """Every name, and every image without one, in the order in which they came."""
        return [image for image in map(_image, self._index().entries) if image is not None]

    def find(self, text: str) -> Image | None:
        """What a name or an image ID (whole, or its first digits) means; None when nothing.

        What was found by its ID has no name. Raises `Said` when the text is neither, or means several images.
        """
        images = self.images()
        reference = named(text)
        wanted = full(reference)
        same = (image for image in images if image.name == wanted)
        return next(same, None) or _pinned(reference, images) or _with_id(text, images)

    def of_repository(self, repository: str) -> Sequence[Image]:
        """The tags of ``registry/repository``, by name."""
        tagged = [image for image in self.images() if image.name.startswith(f"{repository}:")]
        return sorted(tagged, key=lambda image: image.name)

    def with_digest(self, digest: Digest) -> Sequence[Image]:
        """Every entry of one image."""
        return [image for image in self.images() if image.digest == digest]

    def has_manifests(self, digest: Digest) -> bool:
        """Whether an image's manifest, and all below it, are here."""
        return self._walk(digest) is not None

    def is_whole(self, digest: Digest) -> bool:
        """Whether all of an image is here."""
        manifests = self._walk(digest)
        return manifests is not None and all(
            blob.is_nondistributable or self._size(blob.digest) == blob.size
            for manifest in manifests
            for blob in manifest.blobs
        )

    def resolve(self, reference: str) -> Descriptor | None:
        found = super().resolve(reference)
        return found if found is not None and self.is_whole(found.digest) else None

    # -- changes

    @contextmanager
    def used(self) -> Iterator[None]:
        """While inside, no content is removed by others. Raises `LiftlockError` where the store cannot be written."""
        import fcntl

        with self._lock_file() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield

    def keep(self, manifests: Sequence[Manifest]) -> None:
        """Take manifests in, whether or not their blobs are here."""
        for manifest in manifests:
            self._store(manifest)

    def name_image(self, name: str, digest: Digest, origin: str = "") -> bool:
        """Let a name stand for an image that is here, in the place of another; False when it did already.

        An empty name lists the image without one, unless it is listed.
        """
        manifest = self.manifest(digest)
        with self._changing() as index:
            before = next((image for image in map(_image, index.entries) if image and image.name == name), None)
            if not name:
                if not any(entry.digest == digest for entry in index.entries):
                    index.add(manifest)
                return False
            kept = [entry for entry in index.entries if entry.digest != digest or entry.annotations.get(REF_NAME)]
            index.entries = [entry for entry in kept if entry.annotations.get(REF_NAME) != name]
            if before is not None and before.digest == digest:
                origin = origin or before.origin
            annotations = {REF_NAME: name} | ({ORIGIN: origin} if origin else {})
            index.entries = [*index.entries, manifest.descriptor._replace(extra={"annotations": annotations})]
            index.changed = True
        return before is None or before.digest != digest

    def forget(self, images: Sequence[Image]) -> None:
        """Take entries away; their content stays until the next `sweep`."""
        with self._changing() as index:
            kept = [entry for entry in index.entries if _image(entry) not in images]
            index.changed = len(kept) < len(index.entries)
            index.entries = kept

    def sweep(self) -> None:
        """Remove the content that no name needs; does nothing while somebody else uses the store."""
        import fcntl

        with self._lock_file() as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with self._changing() as index:
                needed = self._needed(index)
            for algorithm in HEX_LENGTH:
                folder = os.path.join(self.path, "blobs", algorithm)
                with suppress(FileNotFoundError):
                    for file in os.scandir(folder):
                        if f"{algorithm}:{file.name}" not in needed:
                            os.unlink(file)

    # -- inside

    @contextmanager
    def _lock_file(self) -> Iterator[int]:
        self._make()
        path = os.path.join(self.path, LOCK)
        try:
            lock = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise file_error(error, f"{path} cannot be opened") from error
        try:
            yield lock
        finally:
            os.close(lock)

    def _walk(self, digest: Digest) -> Sequence[Manifest] | None:
        """A manifest and everything below it; None when something is missing."""
        found: dict[Digest, Manifest] = {}
        pending = [digest]
        while pending:
            next_one = pending.pop()
            if next_one in found:
                continue
            try:
                manifest = self.manifest(next_one)
            except (NotFound, CorruptContent):
                return None
            found[next_one] = manifest
            pending += [child.digest for child in manifest.manifests]
        return list(found.values())

    def _needed(self, index: LayoutIndex) -> set[str]:
        """The digests that entries need. Lists of referrers to what nobody needs any more are taken from the index."""
        needed: set[str] = set()
        attached = []
        for entry in index.entries:
            if _image(entry) is None:
                attached.append(entry)
            else:
                self._add_needed(entry.digest, needed)
        more = True
        while more:
            more = False
            for entry in list(attached):
                if _subject(entry) in needed:
                    attached.remove(entry)
                    self._add_needed(entry.digest, needed)
                    more = True
        if attached:
            index.entries = [entry for entry in index.entries if entry not in attached]
            index.changed = True
        return needed

    def _add_needed(self, digest: Digest, needed: set[str]) -> None:
        pending = [digest]
        while pending:
            next_one = pending.pop()
            needed.add(next_one)
            with suppress(NotFound, CorruptContent):
                manifest = self.manifest(next_one)
                needed.update(blob.digest for blob in manifest.blobs)
                pending += [child.digest for child in manifest.manifests if child.digest not in needed]


def _image(entry: Descriptor) -> Image | None:
    """An entry as an image; None for what is attached to one (its tag is no full name)."""
    name = entry.annotations.get(REF_NAME, "")
    if name and "/" not in name:
        return None
    return Image(name, entry._replace(extra={}), entry.annotations.get(ORIGIN, ""))


def _subject(entry: Descriptor) -> str:
    """What an attachment's tag is about: ``sha256:<hex>`` of ``sha256-<hex>.sig``."""
    return entry.annotations.get(REF_NAME, "").partition(".")[0].replace("-", ":", 1)


def _digits(text: str) -> str:
    """The hexadecimal digits of what may be an image ID; empty when it is none."""
    digits = text.removeprefix("sha256:")
    return digits if 0 < len(digits) <= 64 and set(digits) <= set("0123456789abcdef") else ""


def _with_id(text: str, images: Sequence[Image]) -> Image | None:
    digits = _digits(text)
    found = [image for image in images if digits and image.digest.hex.startswith(digits)]
    if len({image.digest for image in found}) > 1:
        raise Said(words.MANY_IDS.format(text=text))
    if not found:
        return None
    # An ID means the image and none of its names.
    return found[0]._replace(name="", origin=next((image.origin for image in found if image.origin), ""))


def _pinned(reference: Reference, images: Sequence[Image]) -> Image | None:
    """The image of this digest, if a name of this repository has it."""
    if reference.digest is None:
        return None
    same = (image for image in images if image.digest == reference.digest)
    return next((image for image in same if image.name.startswith((f"{reference.name}:", f"{reference.name}@"))), None)
