"""Lines that are slow, or silent: the read time-out ends them, and a slow line is no silent one."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import pytest

from liftlock.errors import Cancelled, TransportError
from liftlock.services.copying import copy
from liftlock.services.pairs import Pair, want
from liftlock.services.session import Session
from liftlock.transfer.events import Cancel
from tests.faults.conftest import MakeCopying
from tests.faults.table import POINTS, Point
from tests.faults.world import BLOB, TAG, UPLOAD
from tests.support import faults
from tests.support.front import Exchange

pytestmark = pytest.mark.fault

SLOW = pytest.mark.slow
SECONDS = "0.5"
"""The read time-out: what stalls costs so long."""
PARTS = 0.002


def pause() -> None:
    threading.Event().wait(PARTS)


def slow_request(exchange: Exchange) -> None:
    """Take the request's body in small parts."""

    def parts(body: Iterator[bytes]) -> Iterable[bytes]:
        for part in body:
            pause()
            yield part

    exchange.relay(exchange.forward(change=parts))


@pytest.mark.parametrize("kind", ["single", pytest.param("index", marks=SLOW), pytest.param("several", marks=SLOW)])
def test_a_slow_line_is_waited_for(make_copying: MakeCopying, kind: str) -> None:
    copying = make_copying(kind)
    copying.source.rule("GET", "/manifests/", faults.dribble(pause), times=None)
    copying.source.rule("GET", BLOB, faults.dribble(pause), times=None)
    copying.destination.rule("PUT", UPLOAD, slow_request, times=None)

    copying.survives(LIFTLOCK_READ_TIMEOUT="20")


@pytest.mark.parametrize(
    ("side", "method", "pattern", "after"),
    [
        ("source", "GET", TAG, None),
        ("source", "GET", TAG, 100),
        ("source", "GET", BLOB, None),
        ("source", "GET", BLOB, 100),
        ("destination", "HEAD", TAG, None),
        ("destination", "POST", "/blobs/uploads/", None),
        ("destination", "PUT", UPLOAD, None),
        ("destination", "PUT", TAG, None),
    ],
)
def test_a_line_that_falls_silent_once_is_left(
    make_copying: MakeCopying, side: str, method: str, pattern: str, after: int | None
) -> None:
    copying = make_copying("single")
    stall = faults.Stall(after)
    rule = copying.front(side).rule(method, pattern, stall)

    try:
        copying.survives(LIFTLOCK_READ_TIMEOUT=SECONDS)
    finally:
        stall.release()
    assert rule.hits


@pytest.mark.parametrize(
    ("point", "kind"),
    [
        pytest.param(point, kind, marks=() if point.name == "blob" and kind == "single" else SLOW)
        for point in POINTS
        for kind in ("single", "index")
        if kind in point.kinds
    ],
    ids=str,
)
def test_a_line_that_stays_silent_is_given_up(make_copying: MakeCopying, point: Point, kind: str) -> None:
    copying = make_copying(kind)
    stall = faults.Stall()
    copying.front(point.side).rule(point.method, point.pattern, stall, nth=point.nth, times=None)

    try:
        error = copying.fails(
            TransportError, point.side, again=False, LIFTLOCK_READ_TIMEOUT=SECONDS, LIFTLOCK_ATTEMPTS="2"
        )
    finally:
        stall.release()
    assert "timed out" in str(error)
    copying.succeeds_again()


CANCELLED = {
    "source root", "source blob", "destination tag check", "destination blob", "destination fallback index",
    "destination tag",
}  # fmt: skip


@pytest.mark.parametrize(
    "point",
    [pytest.param(point, marks=() if str(point) in CANCELLED else SLOW) for point in POINTS if "index" in point.kinds],
    ids=str,
)
def test_a_copy_that_stalls_anywhere_is_cancelled_at_once(make_copying: MakeCopying, point: Point) -> None:
    copying = make_copying("index")
    stall, cancel = faults.Stall(), Cancel()
    rule = copying.front(point.side).rule(point.method, point.pattern, stall, nth=point.nth, times=None)
    ended: list[BaseException] = []
    (name,), (repository,) = copying.repositories, copying.repositories.values()
    pair = Pair(
        f"{copying.source.host}/{copying.cargo.repository(name)}:v1", f"{copying.destination.host}/{repository}:v1"
    )

    def work() -> None:
        with Session(copying.env) as session, cancel.waking(session.abort):
            try:
                copy(session, [want(pair, tags=("stable",))], cancel=cancel)
            except Cancelled as error:
                ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    rule.wait()
    cancel.request()
    thread.join(20)
    stall.release()

    assert len(ended) == 1
    copying.succeeds_again()
