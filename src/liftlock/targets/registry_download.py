"""A blob on its way out of a registry, resumed where the connection broke."""

from __future__ import annotations

from collections.abc import Callable

from liftlock.errors import CorruptContent, RegistryError, TransportError
from liftlock.oci.distribution import blob_path
from liftlock.oci.manifest import Descriptor
from liftlock.targets.registry_endpoint import MAX_ERROR, Endpoint, read_answer
from liftlock.targets.registry_errors import failure
from liftlock.transport.messages import Response, is_pourable
from liftlock.transport.urls import split_url
from liftlock.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from liftlock.transport.carriers import Pipe

__all__ = ["BlobDownload"]

PROGRESS = 1024 * 1024
"""Bytes that a connection has to bring for its break not to count."""
MAX_BREAKS = 5
"""Breaks in a row, without progress between them, after which a download is given up."""
SKIP = 128 * 1024


class BlobDownload:
    """Reads one blob; opened when made. Raises `NotFound` when it is absent, `CorruptContent` when its size is wrong.

    A break is followed by a request for the rest (RFC 9110, section 14.2) to the registry itself, since the URL it
    redirects to expires. Where Range is not supported, the bytes that were read are skipped.
    """

    __slots__ = ("_action", "_blob", "_breaks", "_endpoint", "_mark", "_position", "_response")

    def __init__(self, endpoint: Endpoint, blob: Descriptor) -> None:
        self._endpoint = endpoint
        self._blob = blob
        self._action = f"read blob {blob.digest}"
        self._position = 0
        self._mark = 0
        self._breaks = 0
        self._response = endpoint.retrying(self._open)

    def readinto(self, buffer: memoryview, /) -> int:
        return self._read(lambda response: response.readinto(buffer))

    @property
    def pourable(self) -> bool:
        return is_pourable(self._response)

    def pour(self, pipe: Pipe, limit: int, /) -> int:
        return self._read(lambda response: response.pour(pipe, limit))

    def _read(self, read: Callable[[Response], int]) -> int:
        try:
            count = read(self._response)
        except TransportError as error:
            count = self._resume(read, error)
        else:
            if not count and self._position < self._blob.size:
                count = self._resume(read, self._cut())
        self._position += count
        if self._position > self._blob.size:
            raise self._wrong_size("more")
        return count

    def close(self) -> None:
        self._response.close()

    def _resume(self, read: Callable[[Response], int], error: TransportError) -> int:
        """Open again at the position, and read on. The retry layer bounds the attempts; progress renews them."""
        self._response.close()
        self._breaks = 1 if self._position - self._mark >= PROGRESS else self._breaks + 1
        self._mark = self._position
        if self._breaks > MAX_BREAKS or not error.temporary:
            with self._endpoint.doing(self._action):
                raise error

        def attempt() -> int:
            response = self._open()
            try:
                with self._endpoint.doing(self._action):
                    count = read(response)
            except BaseException:
                response.close()
                raise
            self._response = response
            if not count and self._position < self._blob.size:
                response.close()
                raise self._cut()
            return count

        return self._endpoint.retrying(attempt)

    def _open(self) -> Response:
        """One GET for what is left."""
        headers = {"Range": f"bytes={self._position}-"} if self._position else {}
        with self._endpoint.doing(self._action):
            response = self._endpoint.send("GET", blob_path(self._endpoint.repository, self._blob.digest), headers)
        if response.status not in ((200, 206) if self._position else (200,)):
            raise self._refused(response)
        try:
            start = 0
            if response.status == 206:
                start = self._range_start(response)
            self._check_length(response, start)
            self._skip(response, self._position - start)
        except BaseException:
            response.close()
            raise
        return response

    def _refused(self, response: Response) -> Exception:
        answer = read_answer(response, (), MAX_ERROR)
        elsewhere = split_url(answer.url)[0].host != split_url(self._endpoint.home.base_url)[0].host
        if elsewhere and answer.status in (400, 401, 403):
            # The signed URL expired on the way; the registry gives a new one.
            return TransportError(f"{self._endpoint.place}: cannot {self._action}: its storage says {answer.status}")
        return failure(answer, self._endpoint.place, self._action)

    def _range_start(self, response: Response) -> int:
        text = response.headers.get("content-range")
        span, _, size = text.partition("/")
        if not span.startswith(f"bytes {self._position}-") or size not in ("*", str(self._blob.size)):
            raise RegistryError(
                f"{self._endpoint.place}: cannot {self._action}: bytes from {self._position} were asked for, "
                f"{text[:80]!r} came",
                status=206,
            )
        return self._position

    def _check_length(self, response: Response, start: int) -> None:
        length = response.headers.get("content-length")
        if length and length != str(self._blob.size - start):
            raise self._wrong_size(length)

    def _skip(self, response: Response, count: int) -> None:
        scratch = memoryview(bytearray(min(count, SKIP)))
        while count > 0:
            skipped = response.readinto(scratch[: min(count, len(scratch))])
            if not skipped:
                raise self._cut()
            count -= skipped

    def _cut(self) -> TransportError:
        return TransportError(f"{self._endpoint.place}: cannot {self._action}: it ended at byte {self._position}")

    def _wrong_size(self, found: str) -> CorruptContent:
        return CorruptContent(
            f"{self._endpoint.place}: blob {self._blob.digest} has {found} bytes, its descriptor says {self._blob.size}"
        )
