"""Makes the registry image of a saved one, once: config byte for byte, layers compressed by a named recipe.

A docker archive holds layers as plain tars, a registry holds them compressed, and every tool compresses differently;
so the digest of a saved image depends on who pushes it, unless it is made once and then promoted by digest. What
identifies the content on both sides are the config's digest and its diff ids, and these are kept. Per layer:

    pread → sha256, compared with the config's diff id → deflate in blocks → sha256 → straight into the scratch

in one pass with a few blocks in memory; several layers at a time, and the blocks of each layer on all processors.
Layers that come compressed (crane) are used as they are, after a look inside them: their diff id must fit as well. The
manifest is an OCI one with OCI media types, also where the image had Docker's before it was saved: an archive does not
say. It holds no time and no name, so the same archive gives the same digest wherever the recipe is the same.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from functools import partial

from liftlock.errors import Cancelled, CorruptContent
from liftlock.oci import media_types as mt
from liftlock.oci.digest import Digest, Hasher
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.targets.archive_file import MAX_RATIO, UNPACK_FREELY
from liftlock.targets.compression import Recipe, gunzipped, gzipped
from liftlock.targets.originals import read_diff_ids
from liftlock.targets.saved_images import SavedImage
from liftlock.targets.scratch import Scratch
from liftlock.targets.tar_index import TarIndex
from liftlock.typed import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Executor

__all__ = ["Canonical", "Compressed", "Crew", "DiffIds", "OnProgress", "canonicalise", "verify_blob"]

MAX_WORKERS = 8
"""Threads that compress. More would only wait for the hashing, and each has blocks in memory."""

CHUNK = 1 << 20
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"

_NAMED_BY_DIGEST = re.compile(r"(?:blobs/sha256/)?([0-9a-f]{64})(?:\.tar(?:\.gz)?)?\Z")

OnProgress = Callable[[str, int, int], None]
"""Called from several threads: with a blob's name, and how many of how many bytes of it are done."""

Answer = TypeVar("Answer")


class Compressed(NamedTuple):
    """What stands for an uncompressed layer in registries, and the recipe that made it (`Recipe.id`)."""

    layer: Descriptor
    recipe: str


class DiffIds(Protocol):
    """Diff id → compressed layer, remembered beyond this process: the artifact store does.

    A compressor's bytes change with its version and with the processor. With this memory the second publication of an
    archive has the digest of the first, whatever compresses by then.
    """

    def get(self, diff_id: Digest) -> Compressed | None: ...

    def put(self, diff_id: Digest, compressed: Compressed) -> None: ...


class Canonical(NamedTuple):
    """A saved image as registries take it."""

    manifest: Manifest
    members: dict[Digest, str]
    """The blobs that are members of the archive; every other one is in the scratch."""
    recipes: tuple[str, ...]
    """What its layers were compressed by (`Recipe.id`), now or earlier; empty when all came compressed."""
    notes: tuple[str, ...]


class Crew:
    """The threads that prepare images, how they are watched, and how they are stopped.

    ``workers`` is how many processors may be used; 0 stands for those that this process may run on, at most 8.
    """

    def __init__(self, workers: int = 0, on_progress: OnProgress | None = None) -> None:
        self.workers = workers or min(len(os.sched_getaffinity(0)), MAX_WORKERS)
        self._on_progress = on_progress
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let all work end with `Cancelled` at its next block, now and later; called from any thread."""
        self._stopped.set()

    def check(self) -> None:
        """Raise `Cancelled` after `stop`."""
        if self._stopped.is_set():
            raise Cancelled("stopped on request", hint="run the same command again")

    def run(self, jobs: Sequence[Callable[[OnProgress], Answer]]) -> list[Answer]:
        """Do all jobs, as many at a time as there are workers. The first that fails ends the others; it is raised.

        Each is given what it calls after every block.
        """
        from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

        failed = threading.Event()

        def tell(name: str, done: int, total: int) -> None:
            if failed.is_set():
                raise Cancelled("another layer failed")
            self.check()
            if self._on_progress:
                self._on_progress(name, done, total)

        with ThreadPoolExecutor(self.workers) as pool:
            futures = [pool.submit(job, tell) for job in jobs]
            try:
                if any(future.exception() for future in wait(futures, return_when=FIRST_EXCEPTION).done):
                    failed.set()
            except BaseException:
                failed.set()
                raise
            finally:
                if failed.is_set():
                    pool.shutdown(wait=False, cancel_futures=True)
        errors = [error for future in futures if not future.cancelled() and (error := future.exception())]
        for error in sorted(errors, key=lambda error: isinstance(error, Cancelled)):
            raise error
        return [future.result() for future in futures]


def canonicalise(
    tar: TarIndex, image: SavedImage, *, scratch: Scratch, remember: DiffIds | None, crew: Crew, recipe: Recipe
) -> Canonical:
    """Make the registry image of a saved one; its compressed layers are in the scratch afterwards.

    A layer that ``remember`` knows and the scratch has is not even read: config and memory say all about it. Raises
    `CorruptContent` naming the layer that is not what the config says, or cannot be shown to be.
    """
    from concurrent.futures import ThreadPoolExecutor

    wanted = read_diff_ids(tar, image.config, len(image.layers))
    # Equal layers are made once; the largest first, so that no thread is left alone with it.
    names = dict(zip(wanted, image.layers, strict=True))
    order = sorted(names, key=lambda diff_id: -tar.open(names[diff_id]).size)
    with ThreadPoolExecutor(crew.workers) as deflaters:
        ahead = 2 * crew.workers // max(1, min(crew.workers, len(order))) + 1
        maker = _Maker(tar, scratch=scratch, remember=remember, recipe=recipe, deflaters=deflaters, ahead=ahead)
        made = dict(zip(order, crew.run([partial(maker.layer, each, names[each]) for each in order]), strict=True))
    config = tar.read(image.config)
    digest = Digest.of(config)
    manifest = Manifest.build(
        {
            "schemaVersion": 2,
            "mediaType": mt.OCI_MANIFEST,
            "config": Descriptor(mt.OCI_CONFIG, digest, len(config)).to_json(),
            "layers": [made[diff_id].layer.to_json() for diff_id in wanted],
        }
    )
    members = {each.layer.digest: each.member for each in made.values() if each.member}
    return Canonical(
        manifest,
        {**members, digest: image.config},
        tuple(sorted({each.recipe for each in made.values() if each.recipe})),
        tuple(each.note for each in made.values() if each.note),
    )


class _Made(NamedTuple):
    layer: Descriptor
    recipe: str = ""
    member: str = ""
    note: str = ""


class _Maker:
    """Makes one layer after another; several at a time."""

    def __init__(
        self,
        tar: TarIndex,
        *,
        scratch: Scratch,
        remember: DiffIds | None,
        recipe: Recipe,
        deflaters: Executor,
        ahead: int,
    ) -> None:
        self.tar = tar
        self.scratch = scratch
        self.remember = remember
        self.recipe = recipe
        self.deflaters = deflaters
        self.ahead = ahead

    def layer(self, diff_id: Digest, name: str, tell: OnProgress) -> _Made:
        start = memoryview(bytearray(4))
        self.tar.open(name).readinto(start)
        if start[:2] == GZIP:
            return self._gzip(diff_id, name, tell)
        if start == ZSTD:
            return self._zstd(diff_id, name, tell)
        known = None if self.remember is None else self.remember.get(diff_id)
        if known and self.scratch.has_blob(known.layer.digest):
            return _Made(known.layer, known.recipe)
        made = self._plain(diff_id, name, tell)
        if self.remember is not None and (known is None or known.layer != made.layer):
            self.remember.put(diff_id, Compressed(made.layer, made.recipe))
        if known is None or known.layer.digest == made.layer.digest:
            return made
        return made._replace(
            note=f"layer {diff_id} was {known.layer.digest} by {known.recipe}, is no longer stored, and is now "
            f"{made.layer.digest} by {made.recipe}: the image has another digest than before"
        )

    def _plain(self, diff_id: Digest, name: str, tell: OnProgress) -> _Made:
        source, plain, packed = self.tar.open(name), diff_id.hasher(), Hasher()

        def seen(block: memoryview) -> None:
            plain.update(block)
            tell(diff_id, plain.size, source.size)

        writer = self.scratch.new_blob()
        try:
            for piece in gzipped(source, self.recipe, self.deflaters, ahead=self.ahead, seen=seen):
                packed.update(piece)
                writer.write(piece)
            self._check(diff_id, plain.digest, name)
            writer.commit(packed.digest)
        finally:
            writer.discard()
        return _Made(Descriptor(mt.OCI_LAYER_GZIP, packed.digest, packed.size), self.recipe.id)

    def _gzip(self, diff_id: Digest, name: str, tell: OnProgress) -> _Made:
        source, plain, packed = self.tar.open(name), diff_id.hasher(), Hasher()

        def seen(block: memoryview) -> None:
            packed.update(block)
            tell(diff_id, packed.size, source.size)

        try:
            for piece in gunzipped(source, limit=max(UNPACK_FREELY, MAX_RATIO * source.size), seen=seen):
                plain.update(piece)
        except CorruptContent as error:
            raise CorruptContent(f"{self.tar.path}: layer {name!r}: {error.message}") from None
        self._check(diff_id, plain.digest, name)
        return _Made(Descriptor(mt.OCI_LAYER_GZIP, packed.digest, packed.size), member=name)

    def _zstd(self, diff_id: Digest, name: str, tell: OnProgress) -> _Made:
        """crane writes zstd layers under the same names; what proves one here is its digest, which is the name."""
        named = _NAMED_BY_DIGEST.match(name)
        if not named:
            raise CorruptContent(
                f"{self.tar.path}: layer {name!r} is compressed with zstd, and nothing in the archive proves it",
                hint="copy the image from its registry, or save it with gzip'd or plain layers",
            )
        source = self.tar.open(name)
        layer = Descriptor(mt.OCI_LAYER_ZSTD, Digest(f"sha256:{named[1]}"), source.size)
        verify_blob(self.tar, layer, name, tell)
        return _Made(layer, member=name, note=f"layer {diff_id} is compressed with zstd: its diff id was not checked")

    def _check(self, diff_id: Digest, found: Digest, name: str) -> None:
        if found != diff_id:
            raise CorruptContent(
                f"{self.tar.path}: layer {name!r} has the diff id {found}, the image's config says {diff_id}",
                hint="the archive was damaged or changed after it was saved",
            )


def verify_blob(tar: TarIndex, blob: Descriptor, name: str, tell: OnProgress) -> None:
    """Hash a member; raises `CorruptContent` unless it has the descriptor's digest."""
    source, hasher = tar.open(name), blob.digest.hasher()
    buffer = memoryview(bytearray(min(CHUNK, source.size) or 1))
    while count := source.readinto(buffer):
        hasher.update(buffer[:count])
        tell(blob.digest, hasher.size, source.size)
    if hasher.digest != blob.digest:
        raise CorruptContent(f"{tar.path}: {name!r} has digest {hasher.digest}, expected {blob.digest}")
