"""Any world of images, copied: every tag holds its image, whole; each blob crossed once; then nothing is left to do."""

from __future__ import annotations

import tempfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.errors import Conflict, UsageError
from liftlock.oci.digest import Digest
from liftlock.transfer.execute import execute
from liftlock.transfer.model import CopyRequest, Options, Plan
from liftlock.transfer.plan import make_plan
from liftlock.transfer.render import plan_json, request_count
from liftlock.transfer.survey import survey
from tests.transfer.worlds import Repository, World, complete, image, index

SOURCES = ("build.example/web", "build.example/worker", "prod.example/staging")
DESTINATIONS = ("prod.example/web", "prod.example/worker", "prod.example/staging", "edge.example/all")

layers = st.lists(st.sampled_from([b"a", b"bb", b"ccc", b"dddd", b"eeeee"]), min_size=1, max_size=3)
seeds = st.fixed_dictionaries(
    {
        "source": st.sampled_from(SOURCES),
        "children": st.lists(layers, min_size=1, max_size=3),
        "signed": st.integers(0, 2),
        "destination": st.sampled_from(DESTINATIONS),
        "pinned": st.booleans(),
        "tags": st.integers(1, 2),
        "before": st.sampled_from(["nothing", "something", "part"]),
    }
)


def _request(world: World, number: int, seed: dict[str, Any]) -> CopyRequest:
    source = world.open(seed["source"])
    children = [image(source, [*stack, bytes([number])]) for stack in seed["children"]]
    root = index(source, children, tag=f"v{number}") if len(children) > 1 else children[0]
    source.put_manifest(root, f"v{number}")
    for signature in range(seed["signed"]):
        image(source, [b"signature", bytes([number, signature])], subject=root)
    destination = world.open(seed["destination"])
    tags = tuple(f"to{number}-{position}" for position in range(seed["tags"]))
    if seed["before"] == "something":
        image(destination, [b"before"], tag=tags[0])
    if seed["before"] == "part":
        image(destination, seed["children"][0])
    reference = root.digest if seed["pinned"] else f"v{number}"
    return CopyRequest(source.name, reference, destination.name, tags)


def _plan(world: World, requests: list[CopyRequest], options: Options) -> Plan:
    return make_plan(survey(requests, world, options))


@given(st.lists(seeds, min_size=1, max_size=4), st.booleans(), st.booleans())
def test_after_execute_nothing_is_left(made: list[dict[str, Any]], exact: bool, referrers: bool) -> None:
    world = World()
    requests = [_request(world, number, seed) for number, seed in enumerate(made)]
    options = Options(exact=exact, referrers=referrers)
    wanted = {request: world.open(request.source).manifest(request.reference).digest for request in requests}

    plan = _plan(world, requests, options)
    with tempfile.TemporaryDirectory() as state:
        result = execute(plan, world, state=state)

    for request, digest in wanted.items():
        destination = world.open(request.destination)
        assert all(destination.tagged[tag] == digest for tag in request.tags)
        assert complete(destination, digest)
        if referrers:
            signatures = {each.digest for each in world.open(request.source).referrers(digest)}
            assert signatures <= {each.digest for each in destination.referrers(digest)}
    for home in {repository.home for repository in world.repositories.values()}:
        sent = [each for other in world.repositories.values() if other.home == home for each in other.sent]
        assert len(sent) == len(set(sent)), "a blob crosses once to each home"
    assert result.copied == sum(len(other.sent) for other in world.repositories.values())
    assert _plan(world, requests, Options(exact=True, referrers=referrers)).empty
    assert _plan(world, requests, options).empty


@given(st.lists(seeds, min_size=1, max_size=4))
def test_an_exact_plan_says_exactly_what_moves(made: list[dict[str, Any]]) -> None:
    world = World()
    requests = [_request(world, number, seed) for number, seed in enumerate(made)]

    plan = _plan(world, requests, Options(exact=True))
    with tempfile.TemporaryDirectory() as state:
        result = execute(plan, world, state=state)

    assert all(step.action != "ensure" for step in plan.blobs)
    assert result.present == 0
    assert result.copied_bytes == plan.upload_bytes
    assert result.copied + result.mounted == sum(len(step.destinations) for step in plan.blobs)
    assert plan_json(plan)["empty"] == (request_count(plan) == 0)


def test_a_plan_is_the_same_every_time() -> None:
    world = World()
    source = world.open("build.example/web")
    for number in range(5):
        image(source, [b"base", bytes([number])], tag=f"v{number}")
    requests = [CopyRequest(source.name, f"v{number}", "prod.example/web", ("x", "y")[:1]) for number in range(1)]

    first, second = (plan_json(_plan(world, requests, Options())) for _ in range(2))

    assert first == second


def test_one_tag_for_two_images_is_a_mistake() -> None:
    world = World()
    source = world.open("build.example/web")
    image(source, [b"one"], tag="v1")
    image(source, [b"two"], tag="v2")

    with pytest.raises(UsageError, match="destination of two images"):
        survey([CopyRequest(source.name, tag, "prod.example/web", ("stable",)) for tag in ("v1", "v2")], world)


@pytest.mark.parametrize("no_clobber", [True, False])
def test_what_may_not_move_is_refused_before_anything_is_done(no_clobber: bool) -> None:
    world = World()
    image(world.open("build.example/web"), [b"new"], tag="v2")
    old = image(world.open("prod.example/web"), [b"old"], tag="stable")
    expect = None if no_clobber else Digest.of(b"something else")

    with pytest.raises(Conflict, match=str(old.digest)):
        _plan(
            world,
            [CopyRequest("build.example/web", "v2", "prod.example/web", ("stable",), expect)],
            Options(no_clobber=no_clobber),
        )


def test_the_largest_blobs_come_first() -> None:
    world = World()
    image(world.open("build.example/web"), [b"s", b"l" * 100, b"m" * 50], tag="v1")

    plan = _plan(world, [CopyRequest("build.example/web", "v1", "prod.example/web", ("v1",))], Options())

    sizes = [step.blob.size for step in plan.blobs]
    assert sizes == sorted(sizes, reverse=True)


def test_layers_that_are_fetched_elsewhere_are_not_copied() -> None:
    world = World()
    source: Repository = world.open("build.example/web")
    foreign = {
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": Digest.of(b"windows"),
        "size": 7,
        "urls": ["https://example.org/windows"],
    }
    base = image(source, [b"own"])
    from liftlock.oci.manifest import Manifest

    document = {**base.json, "layers": [foreign, *base.json["layers"]]}
    source.manifests[Manifest.build(document).digest] = Manifest.build(document)
    source.tagged["v1"] = Manifest.build(document).digest

    plan = _plan(world, [CopyRequest(source.name, "v1", "prod.example/web", ("v1",))], Options())

    assert Digest.of(b"windows") not in {step.blob.digest for step in plan.blobs}
