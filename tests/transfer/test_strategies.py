"""What the plan says of how an image comes is how it comes: in worlds in memory, and in a registry's own access log."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.errors import Cancelled, CorruptContent
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Manifest
from liftlock.transfer.events import Cancel
from liftlock.transfer.execute import execute
from liftlock.transfer.model import CopyRequest, Options, Plan, Result
from liftlock.transfer.plan import MOST_IMPORTED, make_plan
from liftlock.transfer.render import plan_json, request_count
from liftlock.transfer.survey import survey
from tests.conftest import NewRepository
from tests.support import images, remote
from tests.support.registry import Registry
from tests.transfer.conftest import Copier
from tests.transfer.worlds import Repository, World, complete, image, index

SOURCES = ("build.example/web", "build.example/worker", "prod.example/staging")
DESTINATIONS = ("prod.example/web", "prod.example/worker", "prod.example/staging", "edge.example/all")

layers = st.lists(st.sampled_from([b"a", b"bb", b"ccc"]), min_size=1, max_size=2)
seeds = st.fixed_dictionaries(
    {
        "source": st.sampled_from(SOURCES),
        "children": st.lists(layers, min_size=1, max_size=2),
        "destination": st.sampled_from(DESTINATIONS),
        "there": st.sampled_from(["no", "content", "tagged"]),
        "signed": st.booleans(),
    }
)


def _request(world: World, number: int, seed: dict[str, Any]) -> CopyRequest:
    source, destination = world.open(seed["source"]), world.open(seed["destination"])
    root = _made(source, seed["children"])
    if seed["there"] != "no":
        _made(destination, seed["children"])
    if seed["signed"]:
        image(source, [b"signature", bytes([number])], subject=root)
    source.put_manifest(root, f"v{number}")
    if seed["there"] == "tagged":
        destination.put_manifest(root, f"to{number}")
    return CopyRequest(source.name, f"v{number}", destination.name, (f"to{number}",))


def _made(place: Repository, stacks: list[list[bytes]]) -> Manifest:
    children = [image(place, stack) for stack in stacks]
    return index(place, children) if len(children) > 1 else children[0]


def _begin(world: World) -> None:
    """Forget how the world was made."""
    for repository in world.repositories.values():
        repository.sent.clear()
        repository.log.clear()


def _plan(world: World, *requests: CopyRequest, exact: bool = True) -> Plan:
    return make_plan(survey(requests, world, Options(exact=exact)))


def _execute(plan: Plan, world: World, cancel: Cancel | None = None) -> Result:
    with tempfile.TemporaryDirectory() as state:
        return execute(plan, world, state=state, cancel=cancel)


@given(st.lists(seeds, min_size=1, max_size=4))
def test_an_exact_plan_says_how_each_image_comes(made: list[dict[str, Any]]) -> None:
    world = World()
    requests = [_request(world, number, seed) for number, seed in enumerate(made)]
    _begin(world)

    plan = _plan(world, *requests)
    had = {name: (set(place.manifests), set(place.blobs)) for name, place in world.repositories.items()}
    result = _execute(plan, world)

    assert [strategy for _, _, strategy in result.ways] == list(plan.strategies)
    for surveyed, strategy in zip(plan.images, plan.strategies, strict=True):
        destination = world.open(surveyed.request.destination)
        manifests, blobs = had[destination.name]
        assert surveyed.root is not None
        whole = [surveyed.root, *surveyed.manifests, *(each.manifest for each in surveyed.attachments)]
        put = [manifest for manifest in whole if manifest.digest not in manifests]
        came = {blob.digest for manifest in put for blob in manifest.blobs if blob.digest not in blobs}
        moved = any(old != surveyed.target_digest for old in surveyed.tags.values())
        assert (strategy == "present") == (not put and not moved)
        assert (strategy == "retag") == (not put and moved)
        if strategy == "mount":
            assert not came & set(destination.sent)
        if strategy == "copy":
            assert came & set(destination.sent) or not came
        if came & set(destination.sent):
            assert strategy == "copy"


# --- a real registry's log --------------------------------------------------------------------------------------------


def _pushed(tmp_path: Path, place: Registry, repository: str) -> images.Image:
    made = images.make_image(tmp_path / "image", "v1", seed=repository, platforms=("linux/amd64", "linux/arm64"))
    remote.push(made.layout, "v1", place, repository)
    return made


def _log(place: Registry) -> dict[str, int]:
    """What one copy did to a registry: bytes uploaded, blobs mounted, manifests by digest, tags."""
    return {
        "sent": place.count("PUT", "/blobs/uploads/", 201),
        "mounted": sum(
            "mount=" in str(seen) and "from=" in str(seen) for seen in place.requests() if seen.status == 201
        ),
        "manifests": place.count("PUT", "/manifests/sha256:", 201),
        "tags": place.count("PUT", "/manifests/stable", 201),
    }


@pytest.mark.parametrize("way", ["copy", "mount", "retag", "present"])
def test_the_registry_sees_what_the_plan_says(
    copy: Copier,
    registry: Registry,
    other_registry: Registry,
    new_repo: NewRepository,
    *,
    tmp_path: Path,
    way: str,
) -> None:
    repository = new_repo()
    made = _pushed(tmp_path, registry, repository)
    source = f"{registry.host}/{repository}"
    destination = {"copy": f"{other_registry.host}/{repository}", "mount": f"{source}-live"}.get(way, source)
    request = CopyRequest(source, "v1", destination, ("stable",))
    if way == "present":
        copy(request)
    place = other_registry if way == "copy" else registry

    plan = copy.plan(request, options=Options(exact=True))
    place.forget()
    result = copy(request)

    assert list(plan.strategies) == [way]
    assert plan_json(plan)["images"][0]["strategy"] == way
    assert result.to_json()["strategies"] == [{"destination": destination, "digest": made.digest, "strategy": way}]
    blobs = len(made.blobs)
    assert (
        _log(place)
        == {
            "copy": {"sent": blobs, "mounted": 0, "manifests": 2, "tags": 1},
            "mount": {"sent": 0, "mounted": blobs, "manifests": 2, "tags": 1},
            "retag": {"sent": 0, "mounted": 0, "manifests": 0, "tags": 1},
            "present": {"sent": 0, "mounted": 0, "manifests": 0, "tags": 0},
        }[way]
    )


def test_two_repositories_of_one_registry_get_the_bytes_once(
    copy: Copier, registry: Registry, other_registry: Registry, repo: str, tmp_path: Path
) -> None:
    _pushed(tmp_path, registry, repo)
    source = f"{registry.host}/{repo}"
    requests = [CopyRequest(source, "v1", f"{other_registry.host}/{repo}{end}", ("v1",)) for end in ("-a", "-b")]

    assert list(copy.plan(*requests).strategies) == ["copy", "mount"]


def test_where_nothing_is_mounted_bytes_are_sent(repo: str, tmp_path: Path) -> None:
    """Amazon ECR Public mounts nothing, so a copy within it is a copy."""
    from liftlock.auth.authorizer import Authorizer
    from liftlock.auth.keychain import Keychain
    from liftlock.targets.registry import RegistryTarget
    from liftlock.transport.client import Transport

    authorizer = Authorizer(Transport(), Keychain({}))
    public = [RegistryTarget(authorizer, "public.ecr.aws", f"{repo}{end}") for end in ("-a", "-b")]
    private = [RegistryTarget(authorizer, "contoso.azurecr.io", f"{repo}{end}") for end in ("-a", "-b")]

    assert public[0].home != public[1].home
    assert private[0].home == private[1].home


# --- imports: a registry in memory that fetches by itself -------------------------------------------------------------


class Fetching(Repository):
    """A repository whose registry imports; ``refuses`` is what it says instead, ``loses`` what it forgets."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(name, world.repositories)
        self.importer = self
        self.refuses = ""
        self.loses: set[Digest] = set()
        self.imported: list[tuple[str, Digest]] = []
        self.before: Callable[[], None] = lambda: None
        self._world = world
        world.repositories[name] = self

    def import_image(self, source: str, digest: Digest, wait: Callable[[float], None]) -> str:
        self.before()
        wait(0)
        if self.refuses:
            return self.refuses
        self.imported.append((source, digest))
        there = self._world.open(source)
        frontier = [digest]
        while frontier:
            manifest = there.manifests[frontier.pop()]
            if manifest.digest not in self.loses:
                self.manifests[manifest.digest] = manifest
                self.blobs |= {blob.digest: there.blobs[blob.digest] for blob in manifest.blobs}
            frontier += [child.digest for child in manifest.manifests]
        return ""


def _world(children: int = 2) -> tuple[World, Fetching, CopyRequest, Digest]:
    world = World()
    source = world.open("build.example/web")
    stack = [image(source, [bytes([number]), b"base"]) for number in range(children)]
    root = index(source, stack, tag="v1")
    image(source, [b"signature"], subject=root)
    destination = Fetching(world, "contoso.azurecr.io/web")
    _begin(world)
    return world, destination, CopyRequest(source.name, "v1", destination.name, ("stable",)), root.digest


@pytest.mark.parametrize("exact", [True, False])
def test_an_absent_image_is_imported_and_what_refers_to_it_copied(exact: bool) -> None:
    world, destination, request, root = _world()

    plan = _plan(world, request, exact=exact)
    result = _execute(plan, world)

    assert list(plan.strategies) == ["import"]
    assert (plan_json(plan)["imports"], len(plan.manifests)) == (1, 1)
    assert destination.imported == [("build.example/web", root)]
    assert destination.tagged["stable"] == root
    assert complete(destination, root)
    assert len(destination.referrers(root)) == 1
    assert destination.sent == [
        blob.digest for blob in plan.manifests[0].manifest.blobs if blob.digest in destination.sent
    ]
    assert len(destination.sent) == 2, "only the signature's config and layer were sent"
    assert [way for _, _, way in result.ways] == ["import"]
    assert _plan(world, request).empty


def test_a_refused_import_becomes_a_copy_with_a_note() -> None:
    world, destination, request, root = _world()
    destination.refuses = "Azure does not import it (403, AuthorizationFailed)"

    result = _execute(_plan(world, request), world)

    assert complete(destination, root)
    assert destination.tagged["stable"] == root
    assert [way for _, _, way in result.ways] == ["copy"]
    (note,) = result.notes
    assert "copied instead: Azure does not import it (403" in note
    assert _plan(world, request).empty


def test_what_was_lost_on_the_way_is_noticed_before_a_tag_moves() -> None:
    world, destination, request, _ = _world()
    destination.loses = {world.open(request.source).manifest("v1").manifests[0].digest}

    with pytest.raises(CorruptContent, match="was imported, but is not there"):
        _execute(_plan(world, request), world)
    assert "stable" not in destination.tagged


def test_a_cancel_ends_an_import() -> None:
    world, destination, request, _ = _world()
    cancel = Cancel()
    destination.before = cancel.request

    with pytest.raises(Cancelled):
        _execute(_plan(world, request), world, cancel)
    assert not destination.imported
    assert "stable" not in destination.tagged


def test_the_same_image_under_two_names_is_imported_once() -> None:
    world, destination, request, root = _world()

    _execute(_plan(world, request, request._replace(tags=("live",))), world)

    assert len(destination.imported) == 1
    assert destination.tagged == {"stable": root, "live": root}


def test_what_is_there_already_is_not_imported() -> None:
    world, destination, request, root = _world()
    _execute(_plan(world, request._replace(tags=())), world)
    destination.imported.clear()

    plan = _plan(world, request, exact=False)

    assert not plan.imports
    assert list(plan.strategies) in (["retag"], ["copy"])
    _execute(plan, world)
    assert destination.tagged["stable"] == root


@pytest.mark.parametrize(
    "source",
    ["localhost:5000/web", "registry/web", "10.0.0.7:5000/web", "[::1]:5000/web", "build.internal/web", "oci:web"],
)
def test_what_azure_cannot_reach_is_copied(source: str) -> None:
    world, destination, _, _ = _world()
    image(world.open(source), [b"x"], tag="v1")

    assert list(_plan(world, CopyRequest(source, "v1", destination.name, ("v1",))).strategies) == ["copy"]


def test_a_registry_does_not_import_from_itself() -> None:
    world, destination, _, _ = _world()
    image(world.open("contoso.azurecr.io/staging"), [b"x"], tag="v1")

    plan = _plan(world, CopyRequest("contoso.azurecr.io/staging", "v1", destination.name, ("v1",)))

    assert list(plan.strategies) == ["mount"]


def test_an_image_of_too_many_manifests_is_copied() -> None:
    assert list(_plan(*_world(MOST_IMPORTED - 1)[::2]).strategies) == ["import"]
    assert list(_plan(*_world(MOST_IMPORTED)[::2]).strategies) == ["copy"]


def test_locks_are_planned_for_every_tag_and_leave_a_plan_empty() -> None:
    world, destination, request, root = _world()
    locked: list[tuple[str, Digest]] = []

    class Locker:
        def lock(self, tag: str, digest: Digest) -> None:
            assert destination.tagged[tag] == digest, "tags are locked after they moved"
            locked.append((tag, digest))

    destination.locker = Locker()

    def promotion() -> Plan:
        return make_plan(survey([request], world, Options(exact=True, lock=True)))

    _execute(promotion(), world)
    plan = promotion()
    _execute(plan, world)
    assert not _plan(world, request).locks, "what is only copied is not locked"

    assert locked == [("stable", root)] * 2
    assert plan.empty
    assert request_count(plan) == 3 * len(plan.locks) == 3
