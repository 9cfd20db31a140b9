"""Small blobs in one request, where a registry can do that.

distribution 2.8 cannot: the front plays a registry that can, and is *synthetic* there.
"""

from __future__ import annotations

import pytest

from liftlock.errors import CorruptContent
from liftlock.targets.base import Placed
from liftlock.targets.registry_home import SINGLE_POST
from liftlock.targets.registry_profile import Profile
from liftlock.transport.client import Transport
from tests.conftest import MakeFront
from tests.support import faults, remote
from tests.support.front import Exchange, Front
from tests.support.registry import Registry
from tests.targets.conftest import OpenRegistry
from tests.targets.content import Content, some_bytes

pytestmark = pytest.mark.fault

ABLE = Profile(single_post=True)


@pytest.fixture
def front(make_front: MakeFront, registry: Registry) -> Front:
    return make_front(registry)


def take_it(exchange: Exchange) -> None:
    """Store the body, as a registry does that knows the single POST."""
    exchange.drain()
    repository = exchange.request.path.removeprefix("/v2/").removesuffix("/blobs/uploads/")
    upstream = exchange.front.upstream
    assert isinstance(upstream, Registry)
    remote.put_blob(upstream, repository, exchange.request.body)
    exchange.reply(201)


def test_a_small_blob_costs_one_request(
    front: Front, repo: str, open_registry: OpenRegistry, transport: Transport
) -> None:
    target = open_registry(front.host, repo, profile=ABLE)
    blob = Content(some_bytes(1000, "small"))
    front.rule("POST", r"\?digest=", take_it, times=None)

    assert target.put_blob(blob.descriptor, blob.open, absent=True) is Placed.COPIED
    assert [request.method for request in front.requests()] == ["POST"]
    assert target.has_blob(blob.descriptor.digest)
    assert transport.memory.get(front.host, SINGLE_POST) is True


@pytest.mark.parametrize("status", [202, 405])
def test_a_registry_that_cannot_is_asked_once(
    front: Front, repo: str, open_registry: OpenRegistry, transport: Transport, status: int
) -> None:
    target = open_registry(front.host, repo, profile=ABLE)
    refusal = faults.refuse_single_post() if status == 202 else faults.error(405, "UNSUPPORTED")
    front.rule("POST", r"\?digest=", refusal, times=None)
    first, second = Content(some_bytes(1000, "first")), Content(some_bytes(1000, "second"))

    assert target.put_blob(first.descriptor, first.open, absent=True) is Placed.COPIED
    assert [request.method for request in front.requests()] == (
        ["POST", "PUT"] if status == 202 else ["POST", "POST", "PUT"]
    )
    assert transport.memory.get(front.host, SINGLE_POST) is False
    front.forget()
    assert target.put_blob(second.descriptor, second.open, absent=True) is Placed.COPIED
    assert front.count("POST", "digest=") == 0
    assert target.has_blob(first.descriptor.digest)
    assert target.has_blob(second.descriptor.digest)


def test_wrong_content_is_not_completed(front: Front, repo: str, open_registry: OpenRegistry) -> None:
    target = open_registry(front.host, repo, profile=ABLE, verify="client")
    wrong = Content(some_bytes(1000, "wrong"), descriptor=Content(some_bytes(1000, "right")).descriptor)
    front.rule("POST", r"\?digest=", take_it, times=None)

    with pytest.raises(CorruptContent):
        target.put_blob(wrong.descriptor, wrong.open, absent=True)
    assert all(post.body_size < 1000 for post in front.find("POST"))


def test_large_blobs_and_unknown_registries_go_the_usual_way(
    front: Front, repo: str, open_registry: OpenRegistry
) -> None:
    large, small = Content(some_bytes(100_000, "large")), Content(some_bytes(1000, "usual"))

    open_registry(front.host, repo, profile=ABLE).put_blob(large.descriptor, large.open, absent=True)
    open_registry(front.host, repo, profile=Profile()).put_blob(small.descriptor, small.open, absent=True)

    assert front.count("POST", "digest=") == 0
