"""Referrers where there is an API, where there is none, and where others write at the same time.

distribution 2.8 has no referrers API: what a front answers in its place is *synthetic*, after the distribution spec.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from liftlock.errors import AccessDenied, Conflict, CorruptContent, RegistryError
from liftlock.oci import media_types as mt
from liftlock.oci.distribution import fallback_tag
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.targets.registry import RegistryTarget
from tests.conftest import MakeFront
from tests.support import faults, remote
from tests.support.front import Action, Exchange, Front
from tests.support.registry import Registry
from tests.targets.conftest import OpenRegistry
from tests.targets.content import Content, image_of, index_of, referrer_to

pytestmark = pytest.mark.fault

CONFIG = Content(b"{}", "application/vnd.oci.empty.v1+json")


@pytest.fixture
def front(make_front: MakeFront, registry: Registry) -> Front:
    return make_front(registry)


@pytest.fixture
def target(front: Front, repo: str, open_registry: OpenRegistry) -> RegistryTarget:
    return open_registry(front.host, repo)


@pytest.fixture
def subject(front: Front, registry: Registry, repo: str, target: RegistryTarget) -> Manifest:
    manifest = image_of(CONFIG)
    remote.put_blob(registry, repo, CONFIG.data)
    remote.put_manifest(registry, repo, "v1", manifest.raw, manifest.media_type)
    return manifest


def put(place: Registry | str, repo: str, manifest: Manifest, tag: str | None = None) -> None:
    remote.put_manifest(place, repo, tag or manifest.digest, manifest.raw, manifest.media_type)


def listing(entries: Sequence[Descriptor], following: str | None = None) -> Action:
    """A page of the referrers API."""
    document = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": [entry.to_json() for entry in entries]}
    headers = {"Content-Type": mt.OCI_INDEX} | ({"Link": f'<{following}>; rel="next"'} if following else {})
    return faults.respond(200, json.dumps(document).encode(), headers)


def some_referrers(subject: Manifest, count: int) -> list[Manifest]:
    return [referrer_to(subject, CONFIG, kind=f"application/kind{number}") for number in range(count)]


# --- the API (synthetic) ---------------------------------------------------------------------------------------------


def test_all_pages_of_the_api_are_read(front: Front, target: RegistryTarget, subject: Manifest) -> None:
    one, two, three = (manifest.referrer_descriptor() for manifest in some_referrers(subject, 3))
    front.rule("GET", r"/referrers/[^?]*\?page=2", listing([three, one]))
    front.rule("GET", "/referrers/", listing([one, two], following="?page=2"))

    assert [entry.digest for entry in target.referrers(subject.digest)] == [one.digest, two.digest, three.digest]
    assert len(front.requests()) == 2


def test_pages_of_the_api_that_do_not_end_are_an_error(front: Front, target: RegistryTarget, subject: Manifest) -> None:
    front.rule("GET", "/referrers/", listing([], following="?page=2"), times=None)

    with pytest.raises(RegistryError, match="does not end"):
        target.referrers(subject.digest)


def test_an_empty_answer_of_the_api_is_the_answer(front: Front, target: RegistryTarget, subject: Manifest) -> None:
    front.rule("GET", "/referrers/", listing([]), times=None)

    assert list(target.referrers(subject.digest)) == []
    assert len(front.requests()) == 1


def test_a_cut_answer_of_the_api_is_no_shorter_list(front: Front, target: RegistryTarget, subject: Manifest) -> None:
    front.rule(
        "GET", "/referrers/", faults.respond(200, b'{"manifests": [', {"Content-Type": mt.OCI_INDEX}), times=None
    )

    with pytest.raises(CorruptContent):
        target.referrers(subject.digest)


@pytest.mark.parametrize("status", [403, 500])
def test_an_error_of_the_api_is_not_taken_for_its_absence(
    front: Front, target: RegistryTarget, subject: Manifest, status: int
) -> None:
    front.rule("GET", "/referrers/", faults.error(status, "UNKNOWN"), times=None)

    with pytest.raises(Exception, match=str(status)):
        target.referrers(subject.digest)
    assert front.count("GET", "/manifests/") == 0


@pytest.mark.parametrize(
    "answer",
    [
        faults.respond(404, b"404 page not found"),
        faults.error(405, "UNSUPPORTED"),
        faults.respond(200, b"<html></html>"),
    ],
    ids=["404", "405", "page"],
)
def test_without_an_api_the_fallback_tag_is_read_and_the_api_not_asked_again(
    front: Front, repo: str, target: RegistryTarget, subject: Manifest, answer: Action
) -> None:
    (referrer,) = some_referrers(subject, 1)
    put(front.host, repo, referrer)
    put(front.host, repo, index_of(referrer), fallback_tag(subject.digest))
    front.rule("GET", "/referrers/", answer, times=None)

    for _ in range(2):
        assert [entry.digest for entry in target.referrers(subject.digest)] == [referrer.digest]
    assert front.count("GET", "/referrers/") == 1


def test_an_absent_repository_says_nothing_of_the_api(front: Front, target: RegistryTarget, subject: Manifest) -> None:
    (referrer,) = some_referrers(subject, 1)
    front.rule("GET", "/referrers/", faults.error(404, "NAME_UNKNOWN"))
    front.rule("GET", "/referrers/", listing([referrer.referrer_descriptor()]), nth=2)

    assert list(target.referrers(subject.digest)) == []
    assert [entry.digest for entry in target.referrers(subject.digest)] == [referrer.digest]


def test_a_registry_that_notes_the_subject_keeps_the_list_itself(
    front: Front, target: RegistryTarget, subject: Manifest
) -> None:
    (referrer,) = some_referrers(subject, 1)
    front.rule("PUT", "/manifests/", faults.set_header("OCI-Subject", subject.digest))

    target.put_manifest(referrer)

    assert [request.method for request in front.requests()] == ["PUT"]


# --- the fallback tag ------------------------------------------------------------------------------------------------


def test_a_registry_that_takes_the_tag_for_the_digest_has_no_referrers(
    front: Front, registry: Registry, repo: str, target: RegistryTarget, subject: Manifest
) -> None:
    """Its index's own children would be shown as referrers (oras-project/oras#2148)."""
    index = index_of(subject)
    put(registry, repo, index, "index")

    def alias(exchange: Exchange) -> None:
        exchange.relay(exchange.forward(target=f"/v2/{repo}/manifests/{index.digest}"))

    front.rule("GET", fallback_tag(index.digest), alias, times=None)

    assert list(target.referrers(index.digest)) == []


def test_a_fallback_tag_that_is_used_for_something_else_is_left_alone(
    registry: Registry, repo: str, target: RegistryTarget, subject: Manifest
) -> None:
    (referrer,) = some_referrers(subject, 1)
    other = image_of(CONFIG, annotations={"something": "else"})
    tag = fallback_tag(subject.digest)
    put(registry, repo, other, tag)

    with pytest.raises(Conflict, match="should be the index of referrers"):
        target.referrers(subject.digest)
    with pytest.raises(Conflict, match="should be the index of referrers"):
        target.put_manifest(referrer)
    assert remote.digest_of(registry, repo, tag) == other.digest


def denied_where_absent(exchange: Exchange) -> None:
    """As Artifactory's virtual repositories do (google/go-containerregistry#1691)."""
    answer = exchange.forward()
    if answer.status == 404:
        answer.read(1 << 16)
        faults.error(403, "DENIED")(exchange)
    else:
        exchange.relay(answer)


def test_a_fallback_tag_that_is_denied_and_on_no_list_is_absent(
    front: Front, target: RegistryTarget, subject: Manifest
) -> None:
    one, two = some_referrers(subject, 2)
    front.rule("GET", "/manifests/sha256-", denied_where_absent, times=None)

    target.put_manifest(one)
    target.put_manifest(two)

    assert {entry.digest for entry in target.referrers(subject.digest)} == {one.digest, two.digest}
    assert front.count("GET", "/tags/list") == 1


@pytest.mark.parametrize("listed", [True, False], ids=["on the list", "no list"])
def test_a_fallback_tag_that_is_denied_and_may_be_there_is_not_written(
    front: Front, registry: Registry, repo: str, target: RegistryTarget, *, subject: Manifest, listed: bool
) -> None:
    one, two = some_referrers(subject, 2)
    target.put_manifest(one)
    before = remote.digest_of(registry, repo, fallback_tag(subject.digest))
    front.rule("GET", "/manifests/sha256-", faults.error(403, "DENIED"), times=None)
    if not listed:
        front.rule("GET", "/tags/list", faults.error(403, "DENIED"), times=None)

    with pytest.raises(AccessDenied, match="cannot read manifest sha256-"):
        target.put_manifest(two)
    assert remote.digest_of(registry, repo, fallback_tag(subject.digest)) == before


def test_an_update_that_another_writer_overwrote_is_repeated(
    front: Front, registry: Registry, repo: str, target: RegistryTarget, subject: Manifest
) -> None:
    ours, theirs = some_referrers(subject, 2)
    put(registry, repo, theirs)
    tag = fallback_tag(subject.digest)
    # After our PUT, just before we look, they write what they had read before it.
    front.rule("HEAD", tag, do=lambda _: put(registry, repo, index_of(theirs), tag))

    target.put_manifest(ours)

    assert {entry.digest for entry in target.referrers(subject.digest)} == {ours.digest, theirs.digest}
    assert front.count("PUT", tag) == 2


def test_a_writer_who_always_wins_ends_in_an_error(
    front: Front, registry: Registry, repo: str, target: RegistryTarget, subject: Manifest
) -> None:
    ours, theirs = some_referrers(subject, 2)
    put(registry, repo, theirs)
    tag = fallback_tag(subject.digest)
    front.rule("HEAD", tag, do=lambda _: put(registry, repo, index_of(theirs), tag), times=None)

    with pytest.raises(Conflict, match="changed 5 times"):
        target.put_manifest(ours)


def test_a_registry_that_compares_tells_us_to_read_again(
    front: Front, registry: Registry, repo: str, target: RegistryTarget, subject: Manifest
) -> None:
    """Synthetic: Debian's registry offers an ETag and ignores If-Match."""
    first, ours, theirs = some_referrers(subject, 3)
    put(registry, repo, theirs)
    target.put_manifest(first)
    tag = fallback_tag(subject.digest)
    front.rule(
        "PUT",
        tag,
        faults.error(412, "PRECONDITION", "changed"),
        do=lambda _: put(registry, repo, index_of(theirs), tag),
    )
    front.forget()

    target.put_manifest(ours)

    assert all("if-match" in request.headers for request in front.find("PUT", tag))
    assert {entry.digest for entry in target.referrers(subject.digest)} == {ours.digest, theirs.digest}


def test_an_immutable_fallback_tag_is_said_to_be_one(front: Front, target: RegistryTarget, subject: Manifest) -> None:
    first, second = some_referrers(subject, 2)
    target.put_manifest(first)
    tag = fallback_tag(subject.digest)
    front.rule("PUT", tag, faults.immutable_tag(), times=None)
    front.forget()

    with pytest.raises(Conflict, match="does not let it be replaced"):
        target.put_manifest(second)
    assert front.count("PUT", tag) == 1
