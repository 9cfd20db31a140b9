"""Names of places in object stores: ``s3://bucket/prefix``, ``az://container/prefix``, ``gs://bucket/prefix``."""

from __future__ import annotations

from liftlock.errors import UsageError
from liftlock.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SERVICES", "BucketName"]

SERVICES: Mapping[str, str] = {"s3": "Amazon S3", "az": "Azure Blob Storage", "gs": "Google Cloud Storage"}
"""By scheme."""

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_NAME = _LETTERS | set("-._")
_KEY = _NAME | set("ABCDEFGHIJKLMNOPQRSTUVWXYZ") | {"=", "+"}


class BucketName(NamedTuple):
    """A bucket (Azure calls it a container) and the beginning of all names in it that are ours."""

    scheme: str
    bucket: str
    prefix: str
    """Without slashes around it; may be empty."""

    @classmethod
    def parse(cls, text: str) -> BucketName:
        """Read one; raises `UsageError`. Characters that some service would encode are refused: a name stays itself."""
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in SERVICES:
            raise UsageError(f"{text!r} names no object store", hint="write s3://, az:// or gs://, bucket and prefix")
        bucket, _, prefix = rest.partition("/")
        prefix = prefix.removesuffix("/")
        what = "container" if scheme == "az" else "bucket"
        if not 3 <= len(bucket) <= 63 or not _NAME.issuperset(bucket) or bucket[0] not in _LETTERS:
            raise UsageError(f"{text!r}: {bucket!r} cannot name a {what}", hint=f"write {scheme}://{what}/prefix")
        parts = prefix.split("/") if prefix else []
        if any(not part or part in (".", "..") or not _KEY.issuperset(part) for part in parts) or len(prefix) > 512:
            raise UsageError(
                f"{text!r}: {prefix!r} cannot begin the names in a {what}",
                hint="use letters, digits, '-', '_', '.', '=' and '+', in parts with one '/' between them",
            )
        return cls(scheme, bucket, prefix)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")
