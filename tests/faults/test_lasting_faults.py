"""Faults that stay: the copy ends in one typed error that says where, and nothing of it is left half done."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from liftlock.errors import (
    AccessDenied,
    CorruptContent,
    LiftlockError,
    NotFound,
    RegistryError,
    Throttled,
    TransportError,
)
from tests.faults.conftest import MakeCopying
from tests.faults.table import POINTS, Point, wrong_digest
from tests.faults.world import BLOB, KINDS, TAG, TAGS, UPLOAD, UPLOADS
from tests.support import faults
from tests.support.front import Action

pytestmark = pytest.mark.fault

SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("point", "kind"),
    [
        pytest.param(point, kind, marks=() if kind == ("single" if "single" in point.kinds else "index") else SLOW)
        for point in POINTS
        for kind in KINDS
        if kind in point.kinds
    ],
    ids=str,
)
def test_a_registry_that_fails_for_good_at_one_kind_of_request(
    make_copying: MakeCopying, point: Point, kind: str
) -> None:
    copying = make_copying(kind)
    rule = copying.front(point.side).rule(point.method, point.pattern, faults.error(500), nth=point.nth, times=None)

    error = copying.fails(RegistryError, point.side)
    assert rule.hits >= 5
    assert isinstance(error, RegistryError)
    assert error.status == 500
    assert error.exit_code == 1


class Lasting(NamedTuple):
    """A fault, where it strikes, and what comes of it."""

    name: str
    side: str
    method: str | None
    pattern: str
    action: Callable[[], Action]
    error: type[LiftlockError]
    said: str = ""
    """What the error or its hint has to say."""
    most: int = 5
    """Requests that it may strike, at most, for each thing that is asked for."""

    def __str__(self) -> str:
        return self.name


def _at(
    side: str, what: str, method: str, pattern: str, table: dict[str, tuple[Callable[[], Action], type[LiftlockError]]]
) -> list[Lasting]:
    return [Lasting(f"{what}: {name}", side, method, pattern, action, error) for name, (action, error) in table.items()]


REFUSALS: dict[str, tuple[Callable[[], Action], type[LiftlockError]]] = {
    "cut": (faults.cut, TransportError),
    "closed": (lambda: faults.cut(reset=False), TransportError),
    "401": (faults.unauthorized, AccessDenied),
    "403": (lambda: faults.error(403, "DENIED"), AccessDenied),
    "404 of a web server": (lambda: faults.respond(404, b"<html>Not Found</html>"), RegistryError),
    "418": (lambda: faults.respond(418, b"a teapot"), RegistryError),
    "429": (lambda: faults.error(429, "TOOMANYREQUESTS"), Throttled),
    "429 for a day": (lambda: faults.error(429, "TOOMANYREQUESTS", retry_after="86400"), Throttled),
    "503 that says when": (lambda: faults.error(503, "UNAVAILABLE", retry_after="0"), Throttled),
}
ANSWERS: dict[str, tuple[Callable[[], Action], type[LiftlockError]]] = {
    "cut before the response": (faults.cut_before_response, TransportError),
    "corrupt": (lambda: faults.corrupt_response(60), CorruptContent),
    "redirected in a circle": (faults.redirect_to_itself, TransportError),
    "redirected to nowhere": (lambda: faults.redirect("http://127.0.0.1:1/nowhere"), TransportError),
    "redirected to another scheme": (lambda: faults.redirect("file:///etc/passwd"), TransportError),
    "huge": (lambda: faults.huge(64 << 20), CorruptContent),
    "huge, of unknown length": (lambda: faults.huge(64 << 20, sized=False), CorruptContent),
}

LASTING = [
    *_at("source", "root", "GET", TAG, REFUSALS | ANSWERS),
    *_at("source", "blob", "GET", BLOB, REFUSALS | ANSWERS),
    *_at("destination", "upload", "POST", UPLOADS, REFUSALS),
    *_at("destination", "blob", "PUT", UPLOAD, REFUSALS),
    *_at("destination", "tag", "PUT", TAG, REFUSALS),
    Lasting("root: cut in the answer", "source", "GET", TAG, lambda: faults.cut_response(100), TransportError),
    Lasting("root: another digest is said", "source", "GET", TAG, lambda: wrong_digest, CorruptContent),
    Lasting(
        "root: absent", "source", "GET", TAG, lambda: faults.error(404, "MANIFEST_UNKNOWN"), NotFound, "does not exist"
    ),
    Lasting("blob: absent", "source", "GET", BLOB, lambda: faults.error(404, "BLOB_UNKNOWN"), NotFound),
    Lasting("blob: cut in the middle", "source", "GET", BLOB, lambda: faults.cut_response(1), TransportError),
    Lasting("blob: ends in the middle", "source", "GET", BLOB, lambda: faults.truncate(1), TransportError),
    Lasting("blob: too short", "source", "GET", BLOB, lambda: faults.truncate(1, lie=False), CorruptContent),
    Lasting("tags: without an end", "source", "GET", TAGS, faults.endless_pages, RegistryError, "more than 20 pages"),
    Lasting(
        "tags: in a circle", "source", "GET", TAGS, lambda: faults.endless_pages(advance=False), RegistryError, "twice"
    ),
    Lasting("tags: no list", "source", "GET", TAGS, lambda: faults.respond(200, b'{"tags": 1}'), CorruptContent),
    Lasting(
        "upload: no such repository", "destination", "POST", UPLOADS,
        lambda: faults.error(404, "NAME_UNKNOWN"), NotFound, "create the repository",
    ),
    Lasting(
        "upload: without a place", "destination", "POST", UPLOADS,
        lambda: faults.set_header("Location", None), RegistryError, "without saying where",
    ),
    Lasting("upload: redirected", "destination", "POST", UPLOADS, faults.redirect_elsewhere, RegistryError),
    Lasting(
        "upload: to an address of the cloud's own", "destination", "POST", UPLOADS,
        lambda: faults.set_header("Location", "ftp://169.254.169.254/latest"), TransportError,
    ),
    Lasting("blob: cut at the first byte", "destination", "PUT", UPLOAD, lambda: faults.cut_request(1), TransportError),
    Lasting("blob: corrupted", "destination", "PUT", UPLOAD, lambda: faults.corrupt_request(10), CorruptContent),
    Lasting(
        "blob: lost every time", "destination", "PUT", UPLOAD,
        lambda: faults.error(404, "BLOB_UPLOAD_UNKNOWN"), RegistryError,
    ),
    Lasting("blob: too large", "destination", "PUT", UPLOAD, lambda: faults.error(413, "SIZE_LIMIT"), RegistryError),
    Lasting("tag: invalid", "destination", "PUT", TAG, lambda: faults.error(400, "MANIFEST_INVALID"), RegistryError),
    Lasting(
        "tag: media type refused", "destination", "PUT", TAG,
        lambda: faults.error(415, "MANIFEST_INVALID"), RegistryError, "media type",
    ),
]  # fmt: skip


RARE = {
    fault
    for fault in LASTING
    if fault.name.partition(": ")[2] in REFUSALS
    and not (fault.side == "source" and fault.name.startswith("blob"))
    and not fault.name.endswith(": 401")
}
"""What refuses one kind of request refuses another: in an ordinary run blobs that are read meet all of them."""


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        pytest.param(fault, kind, marks=SLOW if kind != "single" or fault in RARE else ())
        for fault in LASTING
        for kind in KINDS
    ],
    ids=str,
)
def test_a_fault_that_stays(
    make_copying: MakeCopying, fault: Lasting, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liftlock.targets.registry_endpoint.MAX_PAGES", 20)
    copying = make_copying(kind)
    rule = copying.front(fault.side).rule(fault.method, fault.pattern, fault.action(), times=None)

    error = copying.fails(fault.error, fault.side)
    assert rule.hits
    assert fault.said in f"{error}\n{error.hint}"
