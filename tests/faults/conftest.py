"""Two registries that want tokens, the images that travel between them, and a watch over what a copy leaves behind."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeFront, NewRepository
from tests.faults.world import KINDS, Cargo, Copying, Side, pack
from tests.support import images
from tests.support.certificates import Authority
from tests.support.images import Image
from tests.support.registry import Registry
from tests.support.tokens import TokenServer
from tests.support.waiting import until

MakeCopying = Callable[..., Copying]
"""`make(kind)` copies across registries, `make(kind, mount=True)` within the destination's."""


@pytest.fixture(scope="session")
def sides(authority: Authority) -> Iterator[tuple[Side, Side]]:
    """Source and destination; each has a user of its own."""
    with (
        TokenServer(authority, user="alice", password="alice-is-secret") as left,
        TokenServer(authority, user="bob", password="bob-is-secret-too") as right,
        Registry(token=left) as source,
        Registry(token=right) as destination,
    ):
        yield Side(source, left), Side(destination, right)


@pytest.fixture(scope="session")
def cargo(sides: tuple[Side, Side], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Cargo]:
    """The images of each kind, in both registries."""
    folder = tmp_path_factory.mktemp("cargo")
    return {kind: pack(kind, folder / kind, sides) for kind in KINDS}


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """What the destination's `stable` holds before."""
    return images.make_image(tmp_path_factory.mktemp("old"), "old", layers=1, layer_bytes=500, seed="old")


@pytest.fixture
def leaves_nothing_behind(cargo: dict[str, Cargo], old: Image) -> Iterator[None]:
    """No thread and no file or socket outlives a copy, whatever its end; fronts, which are closed before, included."""
    assert len(cargo) == len(KINDS)
    assert old.digest
    threads, files = threading.active_count(), _open_files()
    yield
    if _open_files() > files:
        gc.collect()  # what an error's traceback held
    until(lambda: threading.active_count() <= threads, "the end of all threads")
    until(lambda: _open_files() <= files, "closed files")


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def make_copying(
    leaves_nothing_behind: None,  # before the fronts, so that it looks after they are gone
    sides: tuple[Side, Side],
    cargo: dict[str, Cargo],
    old: Image,
    make_front: MakeFront,
    *,
    new_repo: NewRepository,
    home: Path,
    tmp_path: Path,
) -> Iterator[MakeCopying]:
    """A factory of copies: fronts before both registries, and repositories of their own at the destination."""

    def make(kind: str, *, mount: bool = False) -> Copying:
        destination = make_front(sides[1].registry)
        source = destination if mount else make_front(sides[0].registry)
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        copying = Copying(
            cargo=cargo[kind],
            source=source,
            destination=destination,
            sides=(sides[1], sides[1]) if mount else sides,
            home=home,
            temporary=temporary,
            repositories={name: new_repo(name) for name in cargo[kind].images},
        )
        copying.prepare(old)
        return copying

    yield make
    for side in sides:
        side.tokens.answer_always(None)
        side.tokens.forget()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)
