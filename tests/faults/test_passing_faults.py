"""Faults that pass: each kind of request of a copy fails once, all in one copy, and the copy succeeds all the same."""

from __future__ import annotations

import pytest

from tests.faults.conftest import MakeCopying
from tests.faults.table import BROKEN_ANSWERS, TEMPORARY, points, wrong_digest
from tests.faults.world import BLOB, BY_DIGEST, KINDS, TAG, UPLOAD
from tests.support import faults
from tests.support.front import Action

pytestmark = pytest.mark.fault

SLOW = pytest.mark.slow
SIDES = ("source", "destination")


ALONE = {
    "cut before the request", "cut before the response", "429", "429 that says when", "500", "502 of a proxy",
    "503 that says when", "401",
}  # fmt: skip
TOGETHER = {("cut before the response", "index"), ("429", "several"), ("401", "several")}


def ordinary(name: str, kind: str) -> bool:
    """Whether it belongs to an ordinary run: what differs from others, once with each kind."""
    return name in ALONE if kind == "single" else (name, kind) in TOGETHER


@pytest.mark.parametrize(
    ("name", "side", "kind"),
    [
        pytest.param(name, side, kind, marks=() if ordinary(name, kind) else SLOW)
        for name in TEMPORARY
        for side in SIDES
        for kind in KINDS
    ],
)
def test_each_kind_of_request_fails_once(make_copying: MakeCopying, name: str, side: str, kind: str) -> None:
    copying = make_copying(kind)
    rules = [
        copying.front(side).rule(point.method, point.pattern, TEMPORARY[name](), nth=point.nth)
        for point in points(side, kind)
    ]

    copying.survives()
    assert all(rule.hits for rule in rules)


@pytest.mark.parametrize("name", BROKEN_ANSWERS)
@pytest.mark.parametrize("kind", [pytest.param("single", marks=SLOW), "index", pytest.param("several", marks=SLOW)])
def test_each_kind_of_content_breaks_once(make_copying: MakeCopying, name: str, kind: str) -> None:
    copying = make_copying(kind)
    content = [point for point in points("source", kind, "GET") if point.name not in ("tags", "referrers")]
    rules = [copying.source.rule("GET", point.pattern, BROKEN_ANSWERS[name]()) for point in content]

    copying.survives()
    assert all(rule.hits for rule in rules)


LARGE: dict[str, tuple[str, str, str, Action]] = {
    "upload cut at its first byte": ("destination", "PUT", UPLOAD, faults.cut_request(1)),
    "upload cut in the middle": ("destination", "PUT", UPLOAD, faults.cut_request(100_000)),
    "upload cut after its last byte": ("destination", "PUT", UPLOAD, faults.cut_before_response()),
    "upload corrupted": ("destination", "PUT", UPLOAD, faults.corrupt_request(100_000)),
    "upload lost": ("destination", "PUT", UPLOAD, faults.error(404, "BLOB_UPLOAD_UNKNOWN")),
    "upload refused at its first byte": ("destination", "PUT", UPLOAD, faults.error(503, retry_after="0")),
    "download cut at its first byte": ("source", "GET", BLOB, faults.cut_response(0)),
    "download cut in the middle": ("source", "GET", BLOB, faults.cut_response(100_000)),
    "download ends in the middle": ("source", "GET", BLOB, faults.truncate(100_000)),
    "download is too short": ("source", "GET", BLOB, faults.truncate(100_000, lie=False)),
    "download corrupted": ("source", "GET", BLOB, faults.corrupt_response(100_000)),
    "download redirected": ("source", "GET", BLOB, faults.redirect_elsewhere()),
    "upload redirected": ("destination", "POST", "/blobs/uploads/", faults.upload_elsewhere()),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_blob_meets_a_fault(make_copying: MakeCopying, name: str) -> None:
    copying = make_copying("single")
    side, method, pattern, action = LARGE[name]
    about = "" if method == "POST" else f".*{copying.cargo.large}" if method == "PUT" else copying.cargo.large[7:]
    rule = copying.front(side).rule(method, pattern + about, action)

    copying.survives()
    assert rule.hits


@pytest.mark.parametrize("kind", ["single", pytest.param("several", marks=SLOW)])
def test_digests_that_are_said_wrongly_once(make_copying: MakeCopying, kind: str) -> None:
    copying = make_copying(kind)
    rules = [
        copying.source.rule("GET", TAG, wrong_digest),
        copying.destination.rule("PUT", BY_DIGEST if kind == "several" else TAG, wrong_digest),
    ]

    copying.survives()
    assert all(rule.hits for rule in rules)
