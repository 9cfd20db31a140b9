"""The table of faults: what goes wrong, at which request, for whom.

A *point* is one kind of request of a copy. Which of them a kind of image makes is data, so that a test can insist that
its fault really struck.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from liftlock.oci import media_types as mt
from tests.faults.world import (
    BLOB,
    BY_DIGEST,
    FALLBACK,
    LEGACY,
    REFERRERS,
    TAG,
    TAGS,
    UPLOAD,
    UPLOADS,
)
from tests.support import faults
from tests.support.front import Action, Exchange

ALL = frozenset({"single", "index", "several"})
ATTACHED = frozenset({"index", "several"})
"""Kinds with something attached, which are also those with more than one manifest."""


class Point(NamedTuple):
    """One kind of request."""

    name: str
    side: str
    method: str
    pattern: str
    kinds: frozenset[str] = ALL
    nth: int = 1
    """Its first is this one, among those that look the same."""

    def __str__(self) -> str:
        return f"{self.side} {self.name}"


POINTS = (
    Point("root", "source", "GET", TAG),
    Point("manifest", "source", "GET", BY_DIGEST, ATTACHED),
    Point("tags", "source", "GET", TAGS),
    Point("referrers", "source", "GET", REFERRERS),
    Point("fallback index", "source", "GET", FALLBACK, ATTACHED),
    Point("signature", "source", "GET", LEGACY, frozenset({"index"})),
    Point("blob", "source", "GET", BLOB),
    Point("tag check", "destination", "HEAD", TAG),
    Point("upload", "destination", "POST", UPLOADS),
    Point("blob", "destination", "PUT", UPLOAD),
    Point("manifest", "destination", "PUT", BY_DIGEST, ATTACHED),
    Point("signature", "destination", "PUT", LEGACY, frozenset({"index"})),
    Point("fallback look", "destination", "GET", FALLBACK, ATTACHED),
    Point("fallback index", "destination", "PUT", FALLBACK, ATTACHED),
    Point("root look", "destination", "HEAD", BY_DIGEST, ATTACHED),
    Point("referrers", "destination", "GET", REFERRERS, ATTACHED),
    Point("tag", "destination", "PUT", TAG),
)
"""Every kind of request that a copy across registries makes; reading the tags back is like checking them."""


def points(side: str, kind: str, *methods: str) -> list[Point]:
    """The points of one side that copies of this kind reach."""
    return [
        point
        for point in POINTS
        if point.side == side and kind in point.kinds and (not methods or point.method in methods)
    ]


Make = Callable[[], Action]
"""Makes an action: some remember what they did."""

TEMPORARY: dict[str, Make] = {
    "cut before the request": faults.cut,
    "closed before the request": lambda: faults.cut(reset=False),
    "cut before the response": faults.cut_before_response,
    "closed before the response": lambda: faults.cut_before_response(reset=False),
    "429": lambda: faults.error(429, "TOOMANYREQUESTS"),
    "429 that says when": lambda: faults.error(429, "TOOMANYREQUESTS", retry_after="0"),
    "403 that says when": lambda: faults.error(403, "DENIED", "secondary rate limit", retry_after="0"),
    "500": lambda: faults.error(500),
    "502 of a proxy": lambda: faults.respond(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"}),
    "503": lambda: faults.error(503, "UNAVAILABLE"),
    "503 that says when": lambda: faults.error(503, "UNAVAILABLE", retry_after="0"),
    "504 without a body": lambda: faults.respond(504),
    "408": lambda: faults.error(408),
    "401": faults.unauthorized,
}
"""What may strike any request and be over the next time."""

BROKEN_ANSWERS: dict[str, Make] = {
    "cut in the answer": lambda: faults.cut_response(100),
    "ended in the answer": lambda: faults.truncate(100),
    "corrupt answer": lambda: faults.corrupt_response(60),
}
"""What may strike a GET and be over the next time."""


def wrong_digest(exchange: Exchange) -> None:
    """Say that the digest is another one."""
    answer = exchange.forward()
    if answer.header("Docker-Content-Digest") is not None:
        answer.set("Docker-Content-Digest", "sha256:" + "e" * 64)
    exchange.relay(answer)


def listing(*entries: dict[str, object]) -> Action:
    """Answer as a referrers API does, with these entries."""
    document = mt.OCI_INDEX
    body = _json({"schemaVersion": 2, "mediaType": document, "manifests": list(entries)})
    return faults.respond(200, body, {"Content-Type": document})


def _json(document: object) -> bytes:
    import json

    return json.dumps(document).encode()
