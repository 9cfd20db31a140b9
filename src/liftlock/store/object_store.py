"""The artifact store in a bucket: Amazon S3, Azure Blob Storage, Google Cloud Storage."""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from liftlock.errors import Conflict, CorruptContent, LiftlockError, NotFound
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import MAX_MANIFEST
from liftlock.release.artifact import Artifact
from liftlock.store.artifact_store import Swept, image_tag, read_document
from liftlock.store.reachable import dropped_tags, reachable
from liftlock.targets.object_bucket import Found
from liftlock.targets.object_leftovers import abort_uploads
from liftlock.targets.object_store import ObjectTarget, digest_of
from liftlock.targets.scratch import Scratch, ScratchBeside

__all__ = ["ObjectStore"]

LONGEST_WRITING = dt.timedelta(hours=6)
"""A publication that has said that it writes, and not that it has ended, counts for so long: it may have died."""
LONGEST_COLLECTING = dt.timedelta(hours=1)
"""As long after a collection was last heard of, it counts; it says that it goes on after each batch."""
BATCH = 500


class ObjectStore:
    """A prefix of a bucket: a repository (`targets.object_store`), and ``artifacts/<hex>.json`` per artifact.

    Object stores have no locks, but what one wrote is seen by all from then on. So who publishes writes an object
    below ``locks/writing``, then looks below ``locks/collecting``; who collects writes there, then looks for writers
    and for other collectors. Of two at the same time at least one sees the other, and gives way. How old such an
    object is, is said by the store's own clock.
    """

    def __init__(self, target: ObjectTarget, env: Mapping[str, str]) -> None:
        self._target = target
        self._bucket = target.bucket
        self._env = env
        # Not the target's: after a cancel, too, others are told that this is over.
        self._locks = ObjectTarget(target.name, env).bucket
        self._collecting = ""

    @property
    def place(self) -> str:
        return self._target.name

    @contextmanager
    def scratch(self) -> Iterator[Scratch]:
        with contextlib.closing(ScratchBeside(self._target)) as scratch:
            yield scratch

    @contextmanager
    def writing(self) -> Iterator[None]:
        self._target.prepare(0)
        with self._mark("writing") as (_, now):
            if self._others("collecting", now, LONGEST_COLLECTING):
                raise Conflict(
                    f"{self.place} is being collected at this moment",
                    hint="run the same command again when that is over",
                )
            yield

    def put(self, artifact: Artifact) -> None:
        self._bucket.put(_key(artifact.id), artifact.document)
        self.get(artifact.id)

    def get(self, artifact_id: Digest) -> Artifact:
        document = self._bucket.get(_key(artifact_id), MAX_MANIFEST)
        if document is None:
            raise NotFound(f"{self.place} has no artifact {artifact_id.short}")
        return read_document(document, artifact_id, f"{self.place}/{_key(artifact_id)}")

    def ids(self) -> Collection[Digest]:
        found = set()
        for each in self._bucket.list("artifacts"):
            with contextlib.suppress(CorruptContent):
                found.add(Digest(f"sha256:{each.key.rpartition('/')[2].removesuffix('.json')}"))
        return found

    @contextmanager
    def alone(self) -> Iterator[None]:
        self._target.prepare(0)
        with self._mark("collecting") as (key, now):
            if len(self._others("collecting", now, LONGEST_COLLECTING)) > 1:
                raise Conflict(f"{self.place} is being collected by somebody else", hint="let that end first")
            if writers := self._others("writing", now, LONGEST_WRITING):
                since = min(each.modified for each in writers)
                raise Conflict(
                    f"somebody has been publishing into {self.place} since {since:%Y-%m-%d %H:%M} UTC",
                    hint="run the same command again later; a publication that died counts for six hours",
                )
            self._collecting = key
            yield

    def collect(self, removed: Sequence[Artifact], *, before: dt.datetime, dry_run: bool = False) -> Swept:
        tags = set(self._target.tags())
        gone = tags & {image_tag(artifact, image) for artifact in removed for image in artifact.images}
        if not dry_run:
            # Documents first: what is left of an interrupted collection is content that nobody names.
            self._remove([_key(each) for each in self.ids() if each in {artifact.id for artifact in removed}])
            self._remove([f"tags/{tag}" for tag in sorted(gone)])
        reach = reachable(self._target, tags - gone)
        unneeded = [
            each
            for each in self._target.contents()
            if each.modified < before and (digest := digest_of(each.key)) is not None and digest not in reach
        ]
        if not dry_run:
            self._remove([f"tags/{tag}" for tag in dropped_tags(tags, reach)])
            about = [each.key for each in self._bucket.list("referrers") if not _is_about(each.key, reach.manifests)]
            self._remove(about)
            self._remove([each.key for each in unneeded])
            self._remove([each.key for each in self._bucket.list("locks/writing")])  # of the dead: `alone` looked
        size = sum(each.size for each in unneeded)
        return Swept(objects=len(unneeded), size=size, notes=self._uploads(before, dry_run=dry_run))

    def _remove(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), BATCH):
            self._bucket.delete(keys[start : start + BATCH])
            self._locks.put(self._collecting, b"", replace=True)

    def _uploads(self, before: dt.datetime, *, dry_run: bool) -> tuple[str, ...]:
        """Parts of objects that a killed process has left: no listing shows them, and they cost money."""
        try:
            count = abort_uploads(self._target.name, self._env, before, dry_run=dry_run)
        except LiftlockError as error:
            return (f"parts of interrupted uploads were not looked for: {error.message}",)
        return (f"{count} interrupted uploads {'would be' if dry_run else 'were'} ended",) if count else ()

    @contextmanager
    def _mark(self, what: str) -> Iterator[tuple[str, dt.datetime]]:
        """An object that says what goes on, while it goes on; and when that began, by the store's clock."""
        key = f"locks/{what}/{secrets.token_hex(8)}"
        self._locks.put(key, b"")
        try:
            found = self._locks.find(key)
            if found is None:
                raise Conflict(f"{self.place}/{key} was removed by somebody else", hint="run the same command again")
            yield key, found.modified
        finally:
            with contextlib.suppress(LiftlockError):
                self._locks.delete([key])

    def _others(self, what: str, now: dt.datetime, longest: dt.timedelta) -> Sequence[Found]:
        return [each for each in self._locks.list(f"locks/{what}") if now - each.modified < longest]


def _key(artifact_id: Digest) -> str:
    return f"artifacts/{artifact_id.hex}.json"


def _is_about(key: str, manifests: Collection[Digest]) -> bool:
    """Whether a referrer's object is about one of these manifests."""
    subject = digest_of(key.rsplit("/", 2)[0])
    return subject is None or subject in manifests
