"""A blob on its way into a registry: found there, mounted, or sent, in as few requests as the registry allows.

The POST that opens an upload carries the question whether that is needed: ``mount`` from a repository that holds the
blob, or from the destination itself. 201 answers "it is there now"; 202 opens an upload, which is then used.
Sources: distribution spec 1.1, "Pushing blobs" and "Mounting a blob from another repository".
"""

from __future__ import annotations

from collections.abc import Callable

from liftlock.errors import AccessDenied, Conflict, CorruptContent, LiftlockError, NotFound, RegistryError
from liftlock.oci.digest import Digest, Hasher
from liftlock.oci.distribution import blob_path, upload_location, uploads_path
from liftlock.oci.manifest import Descriptor
from liftlock.targets.base import BlobReader, BlobSource, Placed
from liftlock.targets.registry_endpoint import Endpoint
from liftlock.targets.registry_errors import Answer
from liftlock.targets.registry_home import PUT_TAKES_BYTES, SELF_MOUNT, SINGLE_POST, VERIFIES_DIGESTS
from liftlock.transport.messages import Body, Stream, is_pourable
from liftlock.typed import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from liftlock.transport.carriers import Pipe
    from liftlock.transport.messages import Pourable

__all__ = ["CheckedSource", "Upload", "has_blob", "prove_verification"]

WORTH_ASKING = 4 * 1024 * 1024
"""Bytes from which a HEAD is cheaper than the risk of sending a blob that is there."""
SINGLE_POST_LIMIT = 64 * 1024
"""Bytes; what a registry that knows no single POST throws away is small."""

_REFUSED = (400, 401, 403, 404, 405)
"""Answers to a mount that only mean: not this way. Which of them it is depends on the registry (see its profile)."""
_OCTETS = {"Content-Type": "application/octet-stream"}


def has_blob(endpoint: Endpoint, digest: Digest) -> bool:
    """One attempt to learn whether the repository has a blob."""
    return endpoint.head(f"look for blob {digest}", blob_path(endpoint.repository, digest)) is not None


def prove_verification(endpoint: Endpoint) -> None:
    """Find out whether the registry checks digests, by sending it a byte under a digest that is not its own.

    Two requests, once per registry. A registry that takes it holds one byte of garbage that nothing names. Only a
    clear answer is remembered.
    """
    wrong = Digest.of(b"liftlock: is a wrong digest refused?")

    def attempt() -> bool | None:
        opened = _start(endpoint, wrong)
        answer = endpoint.once(
            "prove that the registry verifies digests",
            "PUT",
            upload_url(endpoint, opened, wrong),
            expect=range(200, 500),
            headers=_OCTETS,
            body=b"\0",
        )
        if answer.status == 400 and "DIGEST_INVALID" in answer.codes:
            return True
        return False if answer.status in (201, 204) else None

    proven = endpoint.retrying(attempt)
    if proven is not None:
        endpoint.home.learn(VERIFIES_DIGESTS, proven)


def upload_url(endpoint: Endpoint, opened: Answer, digest: Digest, *, ending: bool = True) -> str:
    """Where an upload that was opened with 202 takes its bytes: the PUT that ends it, or a PATCH before that."""
    location = opened.headers.get("location")
    if not location:
        raise RegistryError(
            f"{endpoint.place}: cannot upload blob {digest}: the registry opened an upload without saying where",
            status=opened.status,
        )
    with endpoint.doing(f"upload blob {digest}"):
        url = endpoint.home.own_url(upload_location(opened.url, location, digest if ending else ""))
        endpoint.home.transport.guard(endpoint.home.base_url, url)
    return url


def _start(endpoint: Endpoint, digest: Digest, **query: str) -> Answer:
    """Open an upload; with ``mount`` and ``origin`` in the query, ask for a mount in the same request."""
    return endpoint.once(
        f"upload blob {digest}",
        "POST",
        uploads_path(endpoint.repository, **query),
        expect=(201, 202, *_REFUSED) if query else (202,),
        body=b"",
    )


class Upload:
    """One blob that shall be in one repository. What the retry layer repeats is the whole of it, from the POST on."""

    def __init__(
        self,
        endpoint: Endpoint,
        blob: Descriptor,
        source: BlobSource | None,
        *,
        origin: str | None,
        absent: bool,
        hashing: bool,
    ) -> None:
        self.endpoint = endpoint
        self.home = endpoint.home
        self.blob = blob
        self.source = source
        self.origin = origin
        self.absent = absent
        self.hashing = hashing
        self._source_error: LiftlockError | None = None
        self._renewed = False

    def run(self) -> Placed:
        """Raises what the source raised, or `CorruptContent` when its bytes are not the blob's."""
        outcome = self.endpoint.retrying(self._attempt)
        if isinstance(outcome, LiftlockError):
            raise outcome
        return outcome

    def _attempt(self) -> Placed | LiftlockError:
        """A source's error is returned: its own retries are over, and the destination's must not repeat them."""
        try:
            opened = self._begin()
            if isinstance(opened, Placed):
                return opened
            if self.source is None:
                raise NotFound(f"{self.endpoint.place} has no blob {self.blob.digest}, and it could not be mounted")
            return self._send(opened, self.source)
        except LiftlockError:
            if self._source_error is not None:
                return self._source_error
            raise

    # -- the POST

    def _begin(self) -> Placed | Answer:
        if self.origin is not None:
            mounted = self._mount_origin(self.origin)
            if mounted is not None:
                return mounted
            self.origin = None
        if self.absent:
            return self._single_post() or _start(self.endpoint, self.blob.digest)
        if self.home.profile.self_mount and self.home.fact(SELF_MOUNT) is not False:
            return self._probe()
        return self._present_or_start()

    def _mount_origin(self, origin: str) -> Placed | Answer | None:
        """Mount from another repository; None when the registry refuses even to open an upload that way."""
        try:
            answer = self._mount(origin)
        except AccessDenied:
            return None  # the right to read the other repository may be all that is missing
        if answer.status == 201:
            return Placed.MOUNTED
        return self._unless_present(answer) if answer.status == 202 else None

    def _mount(self, origin: str) -> Answer:
        return _start(self.endpoint, self.blob.digest, mount=self.blob.digest, origin=origin)

    def _probe(self) -> Placed | Answer:
        """Mount the blob onto itself. The first 201 of a registry is confirmed, since some always say so."""
        known = self.home.fact(SELF_MOUNT)
        answer = self._mount(self.endpoint.repository)
        if answer.status == 202:
            return answer if known else self._unless_present(answer, probed=True)
        if answer.status == 201:
            if known:
                return Placed.PRESENT
            confirmed = has_blob(self.endpoint, self.blob.digest)
            self.home.learn(SELF_MOUNT, confirmed)
            return Placed.PRESENT if confirmed else _start(self.endpoint, self.blob.digest)
        if answer.status in (400, 405):
            self.home.learn(SELF_MOUNT, False)
        return self._present_or_start()

    def _unless_present(self, opened: Answer, *, probed: bool = False) -> Placed | Answer:
        """A 202 may also mean that the registry mounts nothing. Before many bytes are sent in vain, ask."""
        if self.absent or (self.source is not None and self.blob.size < WORTH_ASKING):
            return opened
        if not has_blob(self.endpoint, self.blob.digest):
            return opened
        if probed:
            self.home.learn(SELF_MOUNT, False)
        return Placed.PRESENT

    def _present_or_start(self) -> Placed | Answer:
        if has_blob(self.endpoint, self.blob.digest):
            return Placed.PRESENT
        return _start(self.endpoint, self.blob.digest)

    def _single_post(self) -> Placed | Answer | None:
        """Try to store a small blob with the POST alone; None when the registry does not take it that way."""
        if not self.home.profile.single_post or self.home.fact(SINGLE_POST) is False:
            return None
        if self.source is None or self.blob.size > SINGLE_POST_LIMIT:
            return None
        answer = self.endpoint.once(
            f"upload blob {self.blob.digest}",
            "POST",
            uploads_path(self.endpoint.repository, digest=self.blob.digest),
            expect=(201, 202, 405),
            headers=_OCTETS,
            body=self._body(self.source),
        )
        self.home.learn(SINGLE_POST, answer.status == 201)
        if answer.status == 201:
            return Placed.COPIED
        return answer if answer.status == 202 else None

    # -- the PUT

    def _send(self, opened: Answer, source: BlobSource) -> Placed | LiftlockError:
        try:
            answer = self._carry(opened, source)
        except AccessDenied:
            # The POST was allowed: ACR refuses at random (Azure/acr#841). Once more, from the POST on.
            if self._renewed or self._source_error is not None:
                raise
            self._renewed = True
            return self._attempt()
        except Conflict:
            # Nexus, when another client stored the same blob meanwhile (sonatype/nexus-public#967).
            if has_blob(self.endpoint, self.blob.digest):
                return Placed.PRESENT
            raise
        stored = answer.headers.get("docker-content-digest")
        if stored.partition(":")[0] == self.blob.digest.algorithm and stored != self.blob.digest:
            raise CorruptContent(f"{self.endpoint.place}: blob {self.blob.digest} was stored as {stored[:160]}")
        return Placed.COPIED

    def _carry(self, opened: Answer, source: BlobSource) -> Answer:
        """Send the bytes: with the PUT that ends the upload, where the registry knows that."""
        if self.home.fact(PUT_TAKES_BYTES) is False:
            return self._patch_and_put(opened, source)
        try:
            return self._put(opened, self._body(source))
        except NotFound:
            if self._source_error is not None:
                raise
        # Artifactory 6 knows no blob that comes with the PUT (docker/buildx#196).
        answer = self._patch_and_put(_start(self.endpoint, self.blob.digest), source)
        self.home.learn(PUT_TAKES_BYTES, False)
        return answer

    def _put(self, opened: Answer, body: Body) -> Answer:
        url = upload_url(self.endpoint, opened, self.blob.digest)
        action = f"upload blob {self.blob.digest}"
        return self.endpoint.once(action, "PUT", url, expect=(201, 204), headers=_OCTETS, body=body)

    def _patch_and_put(self, opened: Answer, source: BlobSource) -> Answer:
        """The whole blob with one PATCH: it is not in chunks that way, either."""
        url = upload_url(self.endpoint, opened, self.blob.digest, ending=False)
        action = f"upload blob {self.blob.digest}"
        expect = (201, 202, 204)
        patched = self.endpoint.once(action, "PATCH", url, expect=expect, headers=_OCTETS, body=self._body(source))
        return self._put(patched, b"")

    def _body(self, source: BlobSource) -> Body:
        if not self.blob.size:
            self.blob.digest.verify(b"", f"blob of {self.endpoint.place}")
            return b""
        return lambda: self._open(source)

    def _open(self, source: BlobSource) -> Stream:
        try:
            reader = source()
        except LiftlockError as error:
            self._source_error = error
            raise
        return Stream(self.blob.size, CheckedSource(reader, self.blob, self._failed, hashing=self.hashing))

    def _failed(self, error: LiftlockError) -> None:
        self._source_error = error


class CheckedSource:
    """Exactly the blob's bytes. The last piece is handed out only when all bytes are right.

    So a wrong blob is never completed: `CorruptContent` comes instead of its end, and the connection is cut.
    """

    __slots__ = ("_blob", "_failed", "_hasher", "_left", "_reader")

    def __init__(
        self, reader: BlobReader, blob: Descriptor, failed: Callable[[LiftlockError], None], *, hashing: bool
    ) -> None:
        self._reader = reader
        self._blob = blob
        self._failed = failed
        self._hasher: Hasher | None = blob.digest.hasher() if hashing else None
        self._left = blob.size

    def readinto(self, buffer: memoryview, /) -> int:
        count = self._read(lambda: self._reader.readinto(buffer))
        if self._hasher is not None:
            self._hasher.update(buffer[:count])
        return self._checked(count)

    @property
    def pourable(self) -> bool:
        return self._hasher is None and is_pourable(self._reader)

    def pour(self, pipe: Pipe, limit: int, /) -> int:
        return self._checked(self._read(lambda: cast("Pourable", self._reader).pour(pipe, limit)))

    def _checked(self, count: int) -> int:
        self._left -= count
        if self._left <= 0 or not count:
            self._finish()
        return count

    def close(self) -> None:
        self._reader.close()

    def _read(self, read: Callable[[], int]) -> int:
        try:
            return read()
        except LiftlockError as error:
            self._failed(error)
            raise

    def _finish(self) -> None:
        if self._left > 0:
            raise self._corrupt(f"ends {self._left} of {self._blob.size} bytes too early")
        if self._left < 0 or self._read(lambda: self._reader.readinto(memoryview(bytearray(1)))):
            raise self._corrupt(f"has more than its descriptor's {self._blob.size} bytes")
        if self._hasher is not None and self._hasher.digest != self._blob.digest:
            raise self._corrupt(f"has digest {self._hasher.digest}")

    def _corrupt(self, how: str) -> CorruptContent:
        return CorruptContent(f"the source's blob {self._blob.digest} {how}", side="source")
