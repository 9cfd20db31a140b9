"""Carries a plan out: content by digest first, then what refers to it, then a look at it all, tags last.

What a registry fetches by itself comes before all of that, and locks, where they are asked for, after the tags.

Every step may be done again: content is addressed by digest, so a run after a crash finds what is there and brings
what is missing. Errors carry the side they came from; the first one stops the run once what is under way has ended.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from itertools import groupby

from liftlock.errors import CorruptContent, LiftlockError, NotFound, RegistryError
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.targets.base import BlobReader, BlobSource, Placed, WritableTarget
from liftlock.transfer.events import Cancel, Event, OnEvent, ignore
from liftlock.transfer.journal import FileJournal, Journal, NoJournal
from liftlock.transfer.model import BlobStep, LockStep, ManifestStep, Opener, Plan, Result, TagStep
from liftlock.transfer.pool import LARGE, WORKERS, Job, gather, run
from liftlock.transfer.sides import at
from liftlock.transfer.tags import move_tags
from liftlock.transport.messages import is_pourable
from liftlock.typed import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from liftlock.transport.carriers import Pipe
    from liftlock.transport.messages import Pourable

__all__ = ["execute"]

BLOB_MISSING = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"})
"""What registries answer to a manifest whose blob they lack, although a mount or a check said they had it
(goharbor/harbor#18541; docker/buildx#196 for the second)."""


def execute(
    plan: Plan,
    targets: Opener,
    *,
    state: str,
    journal: Journal | None = None,
    on_event: OnEvent = ignore,
    cancel: Cancel | None = None,
    patience: float | None = None,
    workers: int = WORKERS,
) -> Result:
    """Do what the plan says; returns when every tag holds its image, read back from the destination.

    ``state`` is a folder of this user and machine for tag locks, and for the journal where none is given. A request
    through ``cancel`` closes open sockets and ends in `Cancelled`; the same command goes on later. ``patience`` bounds
    the seconds of waiting for another writer of a tag on this machine, which may be a process that was stopped.
    """
    cancel = cancel or Cancel()
    with cancel.waking(targets.abort):
        if plan.imports:
            from liftlock.transfer.imports import import_images

            plan = import_images(plan, targets, on_event, cancel)
        runner = _Run(plan, targets, on_event, cancel, workers)
        runner.prepare()
        runner.blobs()
        runner.manifests()
        runner.verify()
        on_event(Event("phase", "tags", total=len(plan.tags)))
        moves = move_tags(
            plan,
            targets,
            runner.put_tag,
            locks=os.path.join(state, "locks"),
            patience=patience,
            journal=journal or _journal(plan, state),
            on_event=on_event,
            cancel=cancel,
        )
        runner.locks()
    count = runner.count
    return Result(
        present=count[Placed.PRESENT],
        mounted=count[Placed.MOUNTED],
        copied=count[Placed.COPIED],
        copied_bytes=runner.copied_bytes,
        tags=moves,
        notes=[note for image in plan.images for note in image.notes],
        ways=[
            (image.request.destination, image.target_digest, strategy)
            for image, strategy in zip(plan.images, plan.strategies, strict=True)
        ],
    )


def _journal(plan: Plan, state: str) -> Journal:
    names = plan.tag_names
    return FileJournal(os.path.join(state, "copies"), names) if len(names) > 1 else NoJournal()


class _Run:
    def __init__(self, plan: Plan, targets: Opener, on_event: OnEvent, cancel: Cancel, workers: int) -> None:
        self.plan = plan
        self.targets = targets
        self.on_event = on_event
        self.cancel = cancel
        self.workers = workers
        self.count = dict.fromkeys(Placed, 0)
        self.copied_bytes = 0
        self._lock = threading.Lock()

    # -- the phases

    def prepare(self) -> None:
        """Let each destination check what it must before bytes move: room, rights, whether it verifies digests."""
        bytes_for: dict[str, int] = {}
        for step in self.plan.blobs:
            if step.action != "mount":
                bytes_for[step.destinations[0]] = bytes_for.get(step.destinations[0], 0) + step.blob.size

        def prepare(destination: str) -> None:
            with at("destination"):
                self.targets.open_writable(destination).prepare(bytes_for[destination])

        gather(prepare, bytes_for, workers=self.workers, cancel=self.cancel)

    def blobs(self) -> None:
        steps = self.plan.blobs
        self.on_event(Event("phase", "blobs", total=self.plan.upload_bytes))
        jobs = [self._blob_job(step, step.destinations[0], step.mount_from, step.destinations[1:]) for step in steps]
        run(jobs, workers=self.workers, cancel=self.cancel)

    def manifests(self) -> None:
        """Rank by rank: children before their index, and attachments after the images."""
        self.on_event(Event("phase", "manifests", total=len(self.plan.manifests)))
        for _, steps in groupby(self.plan.manifests, key=lambda step: step.rank):
            gather(self._put_manifest, list(steps), workers=self.workers, cancel=self.cancel)

    def verify(self) -> None:
        """Look at what came by digest alone, before tags point there: roots, and that attachments can be found.

        A root that its tag brings needs no look of its own: the tag is read back.
        """
        roots = {
            (image.request.destination, image.root.digest)
            for image in self.plan.images
            if image.root is not None and image.root.digest not in image.present
        }
        put = {(step.destination, step.manifest.digest) for step in self.plan.manifests}
        attached: dict[tuple[str, Digest], set[Digest]] = {}
        for step in self.plan.manifests:
            subject = step.manifest.subject
            if subject is not None and step.tag is None:
                attached.setdefault((step.destination, subject.digest), set()).add(step.manifest.digest)
        checks = sorted(roots & put)
        self.on_event(Event("phase", "verification", total=len(checks) + len(attached)))
        gather(self._verify_root, checks, workers=self.workers, cancel=self.cancel)
        gather(self._verify_attached, list(attached.items()), workers=self.workers, cancel=self.cancel)

    def put_tag(self, step: TagStep) -> None:
        self._put(step.manifest, step.move.destination, step.sources, step.move.tag)

    def locks(self) -> None:
        """Lock what the tags hold now. A crash before this is made good by the next run, which plans it again."""
        if self.plan.locks:
            self.on_event(Event("phase", "locks", total=len(self.plan.locks)))
            gather(self._lock_one, self.plan.locks, workers=self.workers, cancel=self.cancel)

    # -- single steps

    def _blob_job(self, step: BlobStep, destination: str, mount_from: tuple[str, ...], then: Sequence[str] = ()) -> Job:
        """Bring a blob to one destination; once it is there, its home's other repositories mount it from that one."""

        def call() -> list[Job]:
            with at("destination"):
                target = self.targets.open_writable(destination)
                placed = self._bring(
                    target, step.blob, step.sources, mount_from=mount_from, absent=step.action == "copy"
                )
            self.on_event(Event("blob", step.blob.digest, detail=placed.value, total=step.blob.size))
            return [self._blob_job(step, other, (destination, *mount_from)) for other in then]

        return Job(call, large=step.blob.size >= LARGE)

    def _put_manifest(self, step: ManifestStep) -> None:
        self._put(step.manifest, step.destination, step.sources, step.tag)
        self.on_event(Event("manifest", f"{step.destination}@{step.manifest.digest}", detail=step.tag or ""))

    def _put(self, manifest: Manifest, destination: str, sources: tuple[str, ...], tag: str | None) -> None:
        with at("destination"):
            target = self.targets.open_writable(destination)
            try:
                target.put_manifest(manifest, tag)
            except RegistryError as error:
                if BLOB_MISSING.isdisjoint(error.codes) or manifest.is_index:
                    raise
                for blob in manifest.blobs:
                    if not blob.is_nondistributable and not target.has_blob(blob.digest):
                        self._bring(target, blob, sources, absent=True)
                target.put_manifest(manifest, tag)

    def _bring(
        self,
        target: WritableTarget,
        blob: Descriptor,
        sources: Sequence[str],
        *,
        mount_from: Sequence[str] = (),
        absent: bool,
    ) -> Placed:
        try:
            placed = target.put_blob(blob, self._source(blob, sources), mount_from=mount_from, absent=absent)
        except CorruptContent as error:
            if error.side == "source" and not any(name in error.message for name in sources):
                # Whoever stores a blob finds that its bytes are wrong, and does not know where they came from.
                error.message = f"{' or '.join(sources)}: {error.message}"
            raise
        self._placed(blob, placed)
        return placed

    def _verify_root(self, key: tuple[str, Digest]) -> None:
        destination, digest = key
        with at("destination"):
            found = self.targets.open_writable(destination).resolve(digest)
        if found is None or found.digest != digest:
            raise CorruptContent(
                f"{destination}@{digest} was stored, but is not there", side="destination", hint="no tag has moved"
            )

    def _verify_attached(self, item: tuple[tuple[str, Digest], set[Digest]]) -> None:
        (destination, subject), wanted = item
        with at("destination"):
            found = {descriptor.digest for descriptor in self.targets.open_writable(destination).referrers(subject)}
        if not wanted <= found:
            raise LiftlockError(
                f"{destination} stored {len(wanted)} referrers of {subject}, but lists {len(wanted & found)} of them",
                side="destination",
                hint="no tag has moved; --no-referrers copies the image without them",
            )

    def _lock_one(self, step: LockStep) -> None:
        with at("destination"):
            locker = self.targets.open_writable(step.destination).locker
            if locker is not None:
                locker.lock(step.tag, step.digest)

    # -- reading

    def _source(self, blob: Descriptor, sources: Sequence[str]) -> BlobSource:
        def opened() -> BlobReader:
            with at("source"):
                for name in sources[:-1]:
                    try:
                        return self.targets.open(name).open_blob(blob)
                    except NotFound:
                        continue
                return self.targets.open(sources[-1]).open_blob(blob)

        counted = 0

        def source() -> BlobReader:
            nonlocal counted
            if counted:
                # A fresh attempt: what was counted before has to be taken back.
                self.on_event(Event("progress", blob.digest, done=-counted, total=blob.size))
                counted = 0

            def count(size: int) -> None:
                nonlocal counted
                counted += size
                self.on_event(Event("progress", blob.digest, done=size, total=blob.size))

            return _Watched(opened(), count, self.cancel)

        return source

    def _placed(self, blob: Descriptor, placed: Placed) -> None:
        with self._lock:
            self.count[placed] += 1
            if placed is Placed.COPIED:
                self.copied_bytes += blob.size


class _Watched:
    """A reader that counts what passes, stops on request, and says that its errors are the source's."""

    __slots__ = ("_cancel", "_count", "_reader")

    def __init__(self, reader: BlobReader, count: Callable[[int], None], cancel: Cancel) -> None:
        self._reader = reader
        self._count = count
        self._cancel = cancel

    def readinto(self, buffer: memoryview, /) -> int:
        return self._watched(lambda: self._reader.readinto(buffer))

    @property
    def pourable(self) -> bool:
        return is_pourable(self._reader)

    def pour(self, pipe: Pipe, limit: int, /) -> int:
        return self._watched(lambda: cast("Pourable", self._reader).pour(pipe, limit))

    def _watched(self, read: Callable[[], int]) -> int:
        self._cancel.check()
        try:
            size = read()
        except LiftlockError as error:
            error.side = error.side or "source"
            raise
        self._count(size)
        return size

    def close(self) -> None:
        self._reader.close()
