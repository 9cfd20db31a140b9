"""Copies within one registry: mounts that are refused, fail, or are claimed, and blobs that are missed afterwards."""

from __future__ import annotations

import urllib.parse

import pytest

from liftlock.errors import AccessDenied, RegistryError, TransportError
from tests.faults.conftest import MakeCopying
from tests.faults.table import TEMPORARY
from tests.faults.world import BY_DIGEST, TAG, UPLOAD
from tests.support import faults
from tests.support.front import Action, Exchange

pytestmark = pytest.mark.fault

SLOW = pytest.mark.slow
MOUNT = "mount=.*from=(single|index|several)"
"""From the source; not from itself, which asks whether the blob is there."""


STRUCK = [
    pytest.param(kind, times, id=f"{kind} {'once' if times else 'always'}", marks=SLOW if late else ())
    for kind, times, late in (
        ("single", 1, False), ("single", None, False), ("index", None, False), ("several", 1, False),
        ("index", 1, True), ("several", None, True),
    )
]  # fmt: skip


def unsupported(status: int) -> Action:
    return faults.error(status, "UNSUPPORTED")


@pytest.mark.parametrize(("kind", "times"), STRUCK)
def test_mounts_that_are_refused_become_uploads(make_copying: MakeCopying, kind: str, times: int | None) -> None:
    copying = make_copying(kind, mount=True)
    rule = copying.destination.rule("POST", MOUNT, faults.refuse_mount(), times=times)

    copied = copying.survives()
    assert copied.result is not None
    assert rule.hits >= 1
    assert copied.result.copied >= 1
    assert copied.result.mounted == 0 or times == 1 or kind == "several"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("single", 400),
        ("single", 401),
        ("single", 403),
        ("single", 404),
        ("single", 405),
        ("index", 400),
        pytest.param("several", 403, marks=SLOW),
    ],
)
def test_mounts_that_are_an_error_become_uploads(make_copying: MakeCopying, kind: str, status: int) -> None:
    copying = make_copying(kind, mount=True)
    action = faults.unauthorized() if status == 401 else unsupported(status)
    rule = copying.destination.rule("POST", MOUNT, action, times=None)

    copied = copying.survives()
    assert copied.result is not None
    assert rule.hits
    assert copied.result.copied > 0


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("cut before the response", "503 that says when") else SLOW)
        for name in TEMPORARY
    ],
)
def test_a_mount_that_fails_once_is_tried_again(make_copying: MakeCopying, name: str) -> None:
    copying = make_copying("single", mount=True)
    rule = copying.destination.rule("POST", MOUNT, TEMPORARY[name]())

    copying.survives()
    assert rule.hits


@pytest.mark.parametrize("kind", ["single", "index", pytest.param("several", marks=SLOW)])
def test_mounts_that_always_fail(make_copying: MakeCopying, kind: str) -> None:
    copying = make_copying(kind, mount=True)
    copying.destination.rule("POST", "mount=", faults.error(500), times=None)

    error = copying.fails(RegistryError, "destination")
    assert "upload blob" in str(error)


def test_a_mount_that_never_answers_is_given_up(make_copying: MakeCopying) -> None:
    copying = make_copying("single", mount=True)
    copying.destination.rule("POST", "mount=", faults.cut(), times=None)

    copying.fails(TransportError, "destination")


@pytest.mark.parametrize(("kind", "times"), STRUCK)
def test_mounts_that_are_claimed_but_never_happened_are_repaired(
    make_copying: MakeCopying, kind: str, times: int | None
) -> None:
    """Some Harbors said so (goharbor/harbor#18541)."""
    copying = make_copying(kind, mount=True)
    rule = copying.destination.rule("POST", MOUNT, faults.false_mount(), times=times)

    copying.survives()
    assert rule.hits
    assert copying.destination.count("PUT", UPLOAD) >= 1


# --- a manifest whose blobs are missing -------------------------------------------------------------------------------


def lacks_a_layer(exchange: Exchange) -> None:
    """Refuse the manifest for a blob that it names."""
    exchange.drain()
    digest = exchange.request.body.partition(b'"layers"')[2].partition(b'"digest": "')[2][:71].decode()
    faults.missing_blob(digest or "sha256:" + "0" * 64)(exchange)


@pytest.mark.parametrize("mount", [False, pytest.param(True, marks=SLOW)], ids=["across", "within"])
def test_a_manifest_that_is_refused_once_for_a_blob_is_put_again(
    make_copying: MakeCopying, kind: str, mount: bool
) -> None:
    copying = make_copying(kind, mount=mount)
    rule = copying.destination.rule("PUT", TAG if kind == "single" else BY_DIGEST, lacks_a_layer)

    copying.survives()
    assert rule.hits


@pytest.mark.parametrize("kind", ["single", "index", pytest.param("several", marks=SLOW)])
def test_a_manifest_that_is_always_refused_for_a_blob(make_copying: MakeCopying, kind: str) -> None:
    copying = make_copying(kind)
    copying.destination.rule("PUT", TAG if kind == "single" else BY_DIGEST, lacks_a_layer, times=None)

    error = copying.fails(RegistryError, "destination")
    assert isinstance(error, RegistryError)
    assert "MANIFEST_BLOB_UNKNOWN" in error.codes
    assert "push manifest" in str(error)


def test_a_blob_that_is_collected_meanwhile_is_brought_again(make_copying: MakeCopying) -> None:
    """Between its upload and the manifest that names it the destination loses it."""
    copying = make_copying("single")
    lost = copying.cargo.large
    (repository,) = copying.repositories.values()

    def lose(request: object) -> None:
        link = copying.registry.folder / "data/docker/registry/v2/repositories" / repository / "_layers/sha256"
        (link / lost[7:] / "link").unlink()

    rule = copying.destination.rule("PUT", TAG, do=lose)

    copying.survives()
    assert rule.hits
    assert sum(lost in urllib.parse.unquote(put.query) for put in copying.destination.find("PUT", UPLOAD)) > 1


def test_rights_to_read_but_not_to_write(make_copying: MakeCopying) -> None:
    copying = make_copying("single", mount=True)
    copying.destination.rule("POST", "/blobs/uploads/", faults.error(403, "DENIED", "pull only"), times=None)

    error = copying.fails(AccessDenied, "destination")
    assert error.exit_code == 4
    assert "pull only" in str(error)
