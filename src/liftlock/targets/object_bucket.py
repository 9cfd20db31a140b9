"""A bucket as the target needs it: objects put, got, listed and deleted, with our errors, and calls that can be left.

obstore waits inside for as long as its own limits allow. So that a cancel need not, each call runs in a thread that
may be left behind; it ends by itself within those limits, and what it was at is never half visible: an object is there
whole or not at all.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

from liftlock.errors import Cancelled, CorruptContent, LiftlockError, NotFound
from liftlock.oci.manifest import Descriptor
from liftlock.targets.object_errors import is_gone, object_error
from liftlock.typed import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

    from obstore import WritableFile
    from obstore.store import ObjectStore

__all__ = ["PART", "Bucket", "Found", "ObjectReader", "ObjectWriter"]

PART = 8 << 20
"""Bytes of one request of a large object. Amazon S3 wants at least 5 MiB, and at most 10,000 parts."""

MOST_PARTS = 9_000
TRIES = 5
"""Times that one piece is asked for, when the connection breaks while it comes."""

Answer = TypeVar("Answer")


class Found(NamedTuple):
    """An object in a listing."""

    key: str
    size: int
    """Bytes."""
    modified: dt.datetime
    """By the store's clock, UTC."""


class Bucket:
    """Objects under one prefix. ``name`` is for messages; ``open`` makes the client when it is first needed."""

    def __init__(self, name: str, open_store: Callable[[], ObjectStore]) -> None:
        self.name = name
        self._open = open_store
        self._store: ObjectStore | None = None
        self._lock = threading.Lock()
        self._stop: Future[None] = Future()

    def get(self, key: str, limit: int) -> bytes | None:
        """The whole of a small object; None when it is absent. Raises `CorruptContent` above ``limit`` bytes."""
        import obstore

        def work() -> bytes:
            result = obstore.get(self.store, key)
            if result.meta["size"] > limit:
                raise CorruptContent(f"{self.name}/{key} has more than {limit} bytes, too many for a manifest")
            return bytes(result.bytes())

        return self._or_none(work, f"read {key}")

    def find(self, key: str) -> Found | None:
        """Size and time of an object; None when it is absent."""
        import obstore

        meta = self._or_none(lambda: obstore.head(self.store, key), f"look at {key}")
        return None if meta is None else Found(key, meta["size"], meta["last_modified"])

    def put(self, key: str, data: bytes, *, replace: bool = False) -> bool:
        """Write a small object, durably; False when it was there already, which stays unless ``replace`` is given."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        def work() -> bool:
            try:
                obstore.put(self.store, key, data, mode="overwrite" if replace else "create", use_multipart=False)
            except AlreadyExistsError:
                return False
            return True

        return self.run(work, f"write {key}")

    def writer(self, key: str, size: int) -> ObjectWriter:
        """A large object, sent in parts."""
        import obstore

        part = max(PART, -(-size // MOST_PARTS))
        file = self.run(
            lambda: obstore.open_writer(self.store, key, buffer_size=part, max_concurrency=2), f"write {key}"
        )
        return ObjectWriter(self, key, file)

    def piece(self, key: str, start: int, length: int) -> tuple[bytes, int]:
        """Bytes of an object, and how many it has in all; raises `NotFound`."""
        import obstore

        def work() -> tuple[bytes, int]:
            result = obstore.get(self.store, key, options={"range": (start, start + length)})
            return bytes(result.bytes()), result.meta["size"]

        for tries in range(1, TRIES + 1):
            try:
                return self.run(work, f"read {key}")
            except LiftlockError as error:
                if not error.temporary or tries == TRIES:
                    raise
        raise AssertionError("unreachable")

    def list(self, below: str) -> Iterator[Found]:
        """Every object whose name begins with ``below`` and a slash."""
        import obstore

        pages = iter(self.run(lambda: obstore.list(self.store, below), f"list {below}"))
        while page := self.run(lambda: list(next(pages, ())), f"list {below}"):
            yield from (Found(each["path"], each["size"], each["last_modified"]) for each in page)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are not there are no error."""
        import obstore

        def work(batch: Sequence[str]) -> None:
            try:
                obstore.delete(self.store, list(batch))
            except FileNotFoundError as error:
                # Azure says so of one that is not there, perhaps before it has removed the others.
                if not is_gone(error):
                    raise
                for key in batch if len(batch) > 1 else ():
                    work([key])

        for start in range(0, len(keys), 500):
            self.run(lambda first=start: work(keys[first : first + 500]), "delete objects")  # type: ignore[misc]

    def abort(self) -> None:
        """Let every call that is under way, and every later one, end in `Cancelled`."""
        with self._lock:
            if not self._stop.done():
                self._stop.set_result(None)

    @property
    def store(self) -> ObjectStore:
        with self._lock:
            if self._store is None:
                self._store = self._open()
            return self._store

    def run(self, work: Callable[[], Answer], action: str) -> Answer:
        """Do it in a thread that is left behind on `abort`; the library's errors come as ours."""
        self.check()
        done: Future[Answer] = Future()

        def job() -> None:
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                done.set_exception(error)

        threading.Thread(target=job, name="liftlock-object", daemon=True).start()
        either: list[Future[Any]] = [done, self._stop]
        wait(either, return_when=FIRST_COMPLETED)
        if not done.done():
            self.check()
        error = done.exception()
        if error is None:
            return done.result()
        if isinstance(error, LiftlockError):
            raise error
        raise object_error(error, self.name, action) from None

    def check(self) -> None:
        if self._stop.done():
            raise Cancelled(f"{self.name}: stopped on request")

    def _or_none(self, work: Callable[[], Answer], action: str) -> Answer | None:
        def asked() -> Answer | None:
            try:
                return work()
            except FileNotFoundError as error:
                if is_gone(error):
                    return None
                raise

        return self.run(asked, action)


class ObjectWriter:
    """An object that is being sent in parts. Left by an error, nothing of it stays, not even its parts."""

    def __init__(self, bucket: Bucket, key: str, file: WritableFile) -> None:
        self._bucket = bucket
        self._key = key
        self._file = file

    def write(self, data: memoryview) -> None:
        copied = bytes(data)  # the caller's buffer is filled again while the part is on its way
        self._bucket.run(lambda: self._file.write(copied), f"write {self._key}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        leave = self._file.__exit__
        if kind is None:
            self._bucket.run(lambda: leave(None, None, None), f"finish {self._key}")
            return
        # Also after an abort: parts that are left behind cost money, and no listing shows them.
        ended = threading.Thread(target=lambda: _quietly(lambda: leave(kind, error, None)), daemon=True)
        ended.start()
        ended.join(10)


class ObjectReader:
    """A blob's bytes, piece by piece, asked for again when the connection breaks. Raises `NotFound` when opened."""

    def __init__(self, bucket: Bucket, key: str, blob: Descriptor) -> None:
        self._bucket = bucket
        self._key = key
        self._blob = blob
        self._position = 0
        self._piece = memoryview(b"")
        self._fetch()

    def readinto(self, buffer: memoryview, /) -> int:
        if not self._piece and self._position < self._blob.size:
            self._fetch()
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count

    def close(self) -> None:
        self._piece = memoryview(b"")

    def _fetch(self) -> None:
        if self._blob.size == 0:
            found = self._bucket.find(self._key)
            if found is None:
                raise NotFound(f"{self._bucket.name} has no {self._key}")
            size = found.size
        else:
            data, size = self._bucket.piece(self._key, self._position, PART)
            self._piece = memoryview(data)
            self._position += len(data)
        if size != self._blob.size:
            raise CorruptContent(
                f"{self._bucket.name}/{self._key} does not have the {self._blob.size} bytes it should have"
            )


def _quietly(work: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):
        work()
