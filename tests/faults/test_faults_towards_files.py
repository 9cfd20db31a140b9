"""Copies from a registry that misbehaves into layouts and archives: whole, or not there at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from liftlock.errors import AccessDenied, CorruptContent, LiftlockError, RegistryError, TransportError
from liftlock.services.copying import copy
from liftlock.services.pairs import Pair, want
from liftlock.services.session import Session
from tests.faults.conftest import MakeCopying
from tests.faults.table import TEMPORARY, points
from tests.faults.world import BLOB, TAG, Copying
from tests.support import faults, images
from tests.support.front import Action
from tests.support.images import Image

pytestmark = pytest.mark.fault

FORMS = ("oci", "oci-archive")


def run(copying: Copying, destination: str) -> LiftlockError | None:
    """Copy the first image of the kind into a layout or archive, as `v1`."""
    name = next(iter(copying.repositories))
    pair = Pair(f"{copying.source.host}/{copying.cargo.repository(name)}:v1", f"{destination}:v1")
    try:
        with Session(copying.env) as session:
            session.transport._retrier._random = lambda: 0.0
            copy(session, [want(pair)])
    except LiftlockError as error:
        return error
    finally:
        assert not list(copying.temporary.iterdir())
    return None


def whole(folder: Path, image: Image) -> None:
    """Every blob of the image is in the layout, to the byte."""
    for blob in (*image.manifests, *image.blobs):
        data = images.read_blob(folder, blob.digest)
        assert "sha256:" + hashlib.sha256(data).hexdigest() == blob.digest


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["cut before the response", "429 that says when", "500", "401"])
@pytest.mark.parametrize("form", FORMS)
def test_faults_that_pass(make_copying: MakeCopying, tmp_path: Path, name: str, form: str) -> None:
    copying = make_copying("index")
    rules = [
        copying.source.rule(point.method, point.pattern, TEMPORARY[name](), nth=point.nth)
        for point in points("source", "index")
    ]
    place = tmp_path / "out"

    assert run(copying, f"{form}:{place}") is None
    assert all(rule.hits for rule in rules)
    if form == "oci":
        whole(place, copying.cargo.images["web"])
        assert images.tags(place)["v1"].digest == copying.cargo.images["web"].digest
    else:
        again = tmp_path / "again"
        with Session(copying.env) as session:
            copy(session, [want(Pair(f"oci-archive:{place}:v1", f"oci:{again}:v1"))])
        whole(again, copying.cargo.images["web"])


LASTING: dict[str, tuple[str, Callable[[], Action], type[LiftlockError]]] = {
    "blob cut": (BLOB, lambda: faults.cut_response(1), TransportError),
    "blob corrupt": (BLOB, lambda: faults.corrupt_response(1), CorruptContent),
    "blob too short": (BLOB, lambda: faults.truncate(1, lie=False), CorruptContent),
    "blob denied": (BLOB, lambda: faults.error(403, "DENIED"), AccessDenied),
    "blob failing": (BLOB, lambda: faults.error(500), RegistryError),
    "root corrupt": (TAG, lambda: faults.corrupt_response(60), CorruptContent),
}


@pytest.mark.parametrize("name", LASTING)
def test_a_layout_keeps_its_tags_and_no_partial_files(make_copying: MakeCopying, tmp_path: Path, name: str) -> None:
    copying = make_copying("single")
    image = copying.cargo.images["web"]
    layout = tmp_path / "out"
    images.make_image(layout, "v1", layers=1, layer_bytes=500, seed="old")
    pattern, action, kind = LASTING[name]
    copying.source.rule("GET", pattern, action(), times=None)
    before = images.tags(layout)

    error = run(copying, f"oci:{layout}")
    assert type(error) is kind, repr(error)
    assert error.side == "source"
    assert copying.source.host in str(error)
    assert images.tags(layout) == before
    assert not [each for each in names(layout) if each.startswith(".") or "partial" in each]
    there = {f"sha256:{path.name}" for path in (layout / "blobs" / "sha256").iterdir()}

    copying.source.clear()
    copying.forget()
    assert run(copying, f"oci:{layout}") is None
    whole(layout, image)
    assert images.tags(layout)["v1"].digest == image.digest
    for request in copying.source.find("GET", BLOB):
        assert request.path.rpartition("/")[2] not in there, "read again, although it was there"


@pytest.mark.parametrize("name", LASTING)
def test_an_archive_is_written_whole_or_not_at_all(make_copying: MakeCopying, tmp_path: Path, name: str) -> None:
    copying = make_copying("single")
    folder = tmp_path / "written"
    folder.mkdir()
    pattern, action, kind = LASTING[name]
    copying.source.rule("GET", pattern, action(), times=None)

    error = run(copying, f"oci-archive:{folder / 'app.tar'}")
    assert type(error) is kind, repr(error)
    assert error.side == "source"
    assert not list(folder.iterdir())

    copying.source.clear()
    assert run(copying, f"oci-archive:{folder / 'app.tar'}") is None
    assert [path.name for path in folder.iterdir()] == ["app.tar"]


def test_an_archive_that_is_there_stays_as_it_is(make_copying: MakeCopying, tmp_path: Path) -> None:
    copying = make_copying("single")
    folder = tmp_path / "written"
    folder.mkdir()
    archive = folder / "app.tar"
    assert run(copying, f"oci-archive:{archive}") is None
    before = archive.read_bytes()
    copying.source.rule("GET", BLOB, faults.error(500), times=None)
    copying.source.rule("GET", TAG, faults.error(500), times=None)

    assert run(copying, f"oci-archive:{archive}") is not None
    assert archive.read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["app.tar"]
