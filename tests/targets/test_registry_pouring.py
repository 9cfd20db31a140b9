"""A large blob from one plain registry to another that verifies it: its bytes pass through the kernel alone."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from liftlock.errors import CorruptContent
from liftlock.targets.base import Placed
from liftlock.targets.registry import RegistryTarget
from tests.conftest import MakeFront
from tests.support import faults, remote
from tests.support.front import Action, Front
from tests.support.registry import Registry
from tests.targets.conftest import OpenRegistry
from tests.targets.content import Content, some_bytes

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(not hasattr(os, "splice"), reason="splice is Linux's"),
]

SIZE = 3 << 20


@pytest.fixture
def front(make_front: MakeFront, registry: Registry) -> Front:
    """Before the source."""
    return make_front(registry)


@pytest.fixture
def stored(registry: Registry, repo: str) -> Content:
    blob = Content(some_bytes(SIZE, "poured"))
    remote.put_blob(registry, repo, blob.data)
    return blob


@pytest.fixture
def source(front: Front, repo: str, open_registry: OpenRegistry) -> RegistryTarget:
    return open_registry(front.host, repo)


@pytest.fixture
def poured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each piece that was spliced, into a pipe and out of it."""
    pieces: list[int] = []
    splice: Callable[..., int] = os.splice

    def counting(*arguments: int) -> int:
        pieces.append(splice(*arguments))
        return pieces[-1]

    monkeypatch.setattr(os, "splice", counting)
    return pieces


@pytest.mark.parametrize(
    ("fault", "then"),
    [
        (None, None),
        (faults.cut_response(1_000_000), None),
        (faults.truncate(1_000_000), None),
        (faults.cut_response(1_000_000), faults.set_header("Content-Length", None)),
    ],
    ids=["whole", "reset", "truncated", "the rest in a form that is not poured"],
)
def test_a_poured_blob_arrives_although_its_source_breaks(
    *,
    front: Front,
    source: RegistryTarget,
    stored: Content,
    other_registry: Registry,
    repo: str,
    open_registry: OpenRegistry,
    poured: list[int],
    fault: Action | None,
    then: Action | None,
) -> None:
    destination = open_registry(other_registry.host, repo, verify="destination")
    for number, rule in enumerate(filter(None, (fault, then)), start=1):
        front.rule("GET", "/blobs/", rule, nth=number)

    placed = destination.put_blob(stored.descriptor, lambda: source.open_blob(stored.descriptor))

    assert placed is Placed.COPIED
    assert remote.get_blob(other_registry, repo, stored.descriptor.digest) == stored.data
    assert sum(poured) > 1_000_000
    assert len(front.find("GET", "/blobs/")) == (1 if fault is None else 2)


def test_a_poured_blob_that_is_not_what_its_digest_says_is_refused(
    *,
    front: Front,
    source: RegistryTarget,
    stored: Content,
    other_registry: Registry,
    repo: str,
    open_registry: OpenRegistry,
    poured: list[int],
) -> None:
    destination = open_registry(other_registry.host, repo, verify="destination")
    front.rule("GET", "/blobs/", faults.corrupt_response(2_000_000), times=None)

    with pytest.raises(CorruptContent, match="DIGEST_INVALID"):
        destination.put_blob(stored.descriptor, lambda: source.open_blob(stored.descriptor))

    assert poured
    assert not remote.has_blob(other_registry, repo, stored.descriptor.digest)


def test_what_we_verify_ourselves_is_not_poured(
    *,
    source: RegistryTarget,
    stored: Content,
    other_registry: Registry,
    repo: str,
    open_registry: OpenRegistry,
    poured: list[int],
) -> None:
    destination = open_registry(other_registry.host, repo, verify="client")

    destination.put_blob(stored.descriptor, lambda: source.open_blob(stored.descriptor))

    assert not poured
    assert remote.has_blob(other_registry, repo, stored.descriptor.digest)


def test_without_room_for_a_pipe_a_blob_passes_through_memory(
    *,
    source: RegistryTarget,
    stored: Content,
    other_registry: Registry,
    repo: str,
    open_registry: OpenRegistry,
    poured: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("liftlock.transport.carriers.ROOM", 1 << 31)  # which no user is granted
    destination = open_registry(other_registry.host, repo, verify="destination")

    destination.put_blob(stored.descriptor, lambda: source.open_blob(stored.descriptor))

    assert not poured
    assert remote.has_blob(other_registry, repo, stored.descriptor.digest)
