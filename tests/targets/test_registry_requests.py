"""How many requests a real registry gets from each call: the access log is the witness, and the sums are a promise."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from liftlock.auth.authorizer import Authorizer
from liftlock.errors import CorruptContent, NotFound, RegistryError
from liftlock.targets.base import Placed
from liftlock.targets.registry import RegistryTarget, catalog
from liftlock.targets.registry_home import SELF_MOUNT, VERIFIES_DIGESTS
from liftlock.transport.client import Transport
from tests.conftest import MakeRegistry, MakeTokenServer, NewRepository
from tests.support import remote
from tests.support.registry import Registry
from tests.targets.conftest import OpenRegistry
from tests.targets.content import Content, image_of, index_of, read_all, referrer_to, some_bytes

CONFIG = Content(b"{}", "application/vnd.oci.empty.v1+json")


@pytest.fixture
def target(registry: Registry, repo: str, open_registry: OpenRegistry) -> RegistryTarget:
    target = open_registry(registry.host, repo)
    registry.forget()
    return target


@pytest.fixture
def knows_self_mount(registry: Registry, transport: Transport) -> None:
    transport.memory.put(registry.host, SELF_MOUNT, True)


def asked(registry: Registry) -> list[tuple[str, int]]:
    """Method and status of every request since the last look."""
    seen = [(request.method, request.status) for request in registry.requests()]
    registry.forget()
    return seen


def put_image(target: RegistryTarget, tag: str | None = None, *, layers: Sequence[Content] = ()) -> str:
    for blob in (CONFIG, *layers):
        target.put_blob(blob.descriptor, blob.open, absent=True)
    manifest = image_of(CONFIG, layers)
    target.put_manifest(manifest, tag)
    return manifest.digest


def test_a_new_blob_costs_post_and_put(registry: Registry, target: RegistryTarget) -> None:
    blob = Content(some_bytes(50_000, "new"))

    assert target.put_blob(blob.descriptor, blob.open) is Placed.COPIED
    assert asked(registry) == [("POST", 202), ("PUT", 201)]
    assert remote.get_blob(registry, target.name.partition("/")[2], blob.descriptor.digest) == blob.data
    assert blob.opened == 1
    assert blob.readers[0].closed


def test_a_blob_known_to_be_absent_costs_post_and_put(registry: Registry, target: RegistryTarget) -> None:
    blob = Content(some_bytes(50_000, "absent"))

    assert target.put_blob(blob.descriptor, blob.open, absent=True) is Placed.COPIED
    opened, _ = registry.requests()
    assert asked(registry) == [("POST", 202), ("PUT", 201)]
    assert "mount" not in opened.parameters


@pytest.mark.usefixtures("knows_self_mount")
def test_a_blob_that_is_there_costs_one_post(registry: Registry, target: RegistryTarget) -> None:
    blob = Content(some_bytes(50_000, "there"))
    target.put_blob(blob.descriptor, blob.open, absent=True)
    asked(registry)

    assert target.put_blob(blob.descriptor, blob.open) is Placed.PRESENT
    assert asked(registry) == [("POST", 201)]
    assert blob.opened == 1


def test_the_first_answer_of_a_registry_to_a_self_mount_is_confirmed(
    registry: Registry, target: RegistryTarget, transport: Transport
) -> None:
    blob = Content(some_bytes(1000, "confirmed"))
    target.put_blob(blob.descriptor, blob.open, absent=True)
    asked(registry)

    assert target.put_blob(blob.descriptor, blob.open) is Placed.PRESENT
    assert asked(registry) == [("POST", 201), ("HEAD", 200)]
    assert transport.memory.get(registry.host, SELF_MOUNT) is True
    assert target.put_blob(blob.descriptor, blob.open) is Placed.PRESENT
    assert asked(registry) == [("POST", 201)]


def test_a_mount_costs_one_post(
    registry: Registry, target: RegistryTarget, new_repo: NewRepository, open_registry: OpenRegistry
) -> None:
    blob = Content(some_bytes(50_000, "mounted"))
    target.put_blob(blob.descriptor, blob.open, absent=True)
    other = open_registry(registry.host, new_repo("other"))
    asked(registry)

    placed = other.put_blob(blob.descriptor, None, mount_from=[other.name, "elsewhere.example/app", target.name])

    assert placed is Placed.MOUNTED
    assert asked(registry) == [("POST", 201)]


def test_a_mount_from_where_the_blob_is_not_becomes_the_upload(
    registry: Registry, target: RegistryTarget, new_repo: NewRepository
) -> None:
    blob = Content(some_bytes(50_000, "not mounted"))

    placed = target.put_blob(blob.descriptor, blob.open, mount_from=[f"{registry.host}/{new_repo('empty')}"])

    assert placed is Placed.COPIED
    assert asked(registry) == [("POST", 202), ("PUT", 201)]


def test_without_a_source_what_cannot_be_mounted_is_not_found(registry: Registry, target: RegistryTarget) -> None:
    with pytest.raises(NotFound):
        target.put_blob(Content(b"nowhere").descriptor, None)


def test_without_a_source_what_is_there_is_present(registry: Registry, target: RegistryTarget) -> None:
    blob = Content(some_bytes(1000, "present"))
    target.put_blob(blob.descriptor, blob.open, absent=True)

    assert target.put_blob(blob.descriptor, None) is Placed.PRESENT


def test_an_empty_blob_is_put_without_reading_anything(registry: Registry, target: RegistryTarget) -> None:
    blob = Content(b"")

    assert target.put_blob(blob.descriptor, blob.open, absent=True) is Placed.COPIED
    assert target.has_blob(blob.descriptor.digest)
    assert blob.opened == 0


def test_the_proof_of_verification_costs_two_requests_once(
    registry: Registry, target: RegistryTarget, transport: Transport
) -> None:
    target.prepare(1 << 30)
    assert asked(registry) == [("POST", 202), ("PUT", 400)]
    assert transport.memory.get(registry.host, VERIFIES_DIGESTS) is True

    target.prepare(1 << 30)
    assert asked(registry) == []


def test_few_bytes_are_not_worth_a_proof(registry: Registry, target: RegistryTarget) -> None:
    target.prepare(1 << 20)

    assert asked(registry) == []


@pytest.mark.parametrize("verify", ["client", "destination"])
def test_no_proof_when_somebody_said_who_verifies(
    registry: Registry, repo: str, open_registry: OpenRegistry, verify: str
) -> None:
    target = open_registry(registry.host, repo, verify="client" if verify == "client" else "destination")
    registry.forget()

    target.prepare(1 << 30)

    assert asked(registry) == []


def test_resolve_costs_one_head_also_when_absent(registry: Registry, target: RegistryTarget) -> None:
    digest = put_image(target, "v1")
    asked(registry)

    found = target.resolve("v1")
    assert asked(registry) == [("HEAD", 200)]
    assert found is not None
    assert found == target.manifest("v1").descriptor
    assert found.digest == digest
    asked(registry)
    assert target.resolve("v2") is None
    assert target.resolve(Content(b"nowhere").descriptor.digest) is None
    assert asked(registry) == [("HEAD", 404), ("HEAD", 404)]


def test_a_manifest_costs_one_get_and_none_by_a_digest_that_was_read(
    registry: Registry, target: RegistryTarget
) -> None:
    digest = put_image(target, "v1")
    asked(registry)

    manifest = target.manifest("v1")
    assert target.manifest(digest) is manifest
    assert asked(registry) == [("GET", 200)]


def test_what_was_written_is_read_back_from_the_registry(registry: Registry, target: RegistryTarget) -> None:
    digest = put_image(target, "v1")
    asked(registry)

    assert target.resolve(digest) is not None
    assert target.manifest(digest).digest == digest
    assert asked(registry) == [("HEAD", 200), ("GET", 200)]


def test_an_absent_manifest_is_not_found(target: RegistryTarget) -> None:
    put_image(target, "v1")

    with pytest.raises(NotFound, match="v2 does not exist"):
        target.manifest("v2")


def test_an_absent_repository_has_no_tags_manifests_or_referrers(target: RegistryTarget) -> None:
    digest = CONFIG.descriptor.digest

    assert list(target.tags()) == []
    assert target.resolve("v1") is None
    assert list(target.referrers(digest)) == []
    assert not target.has_blob(digest)
    with pytest.raises(NotFound):
        target.manifest("v1")
    with pytest.raises(NotFound):
        target.open_blob(CONFIG.descriptor)


def test_a_manifest_and_a_tag_on_it_cost_one_put_each(registry: Registry, target: RegistryTarget) -> None:
    put_image(target)
    asked(registry)

    target.put_manifest(image_of(CONFIG), "v1")
    assert asked(registry) == [("PUT", 201)]


def test_a_blob_costs_one_get(registry: Registry, target: RegistryTarget) -> None:
    blob = Content(some_bytes(300_000, "read"))
    target.put_blob(blob.descriptor, blob.open, absent=True)
    asked(registry)

    assert read_all(target.open_blob(blob.descriptor)) == blob.data
    assert asked(registry) == [("GET", 200)]


def test_tags_cost_one_get(registry: Registry, target: RegistryTarget) -> None:
    put_image(target, "v1")
    target.put_manifest(image_of(CONFIG), "v2")
    asked(registry)

    assert set(target.tags()) == {"v1", "v2"}
    assert asked(registry) == [("GET", 200)]


def test_a_listing_comes_page_by_page(
    make_registry: MakeRegistry, authorizer: Authorizer, open_registry: OpenRegistry
) -> None:
    """The catalog, since distribution 2.8 gives all tags at once."""
    registry = make_registry()
    names = [f"page/{number}" for number in range(7)]
    for name in names:
        put_image(open_registry(registry.host, name), "v1")
    registry.forget()

    assert list(catalog(authorizer, registry.host)) == names
    assert asked(registry) == [("GET", 200)]
    endpoint = open_registry(registry.host, "page/0")._endpoint
    assert list(endpoint.pages("list repositories", "/v2/_catalog?n=3", "repositories")) == names
    assert asked(registry) == [("GET", 200)] * 3


def test_the_first_referrers_call_finds_that_there_is_no_api(
    registry: Registry, target: RegistryTarget, new_repo: NewRepository, open_registry: OpenRegistry
) -> None:
    put_image(target, "v1")
    subject = target.manifest("v1")
    asked(registry)

    assert list(target.referrers(subject.digest)) == []
    assert asked(registry) == [("GET", 404), ("GET", 404)]
    assert list(target.referrers(subject.digest)) == []
    assert list(open_registry(registry.host, new_repo()).referrers(subject.digest)) == []
    assert asked(registry) == [("GET", 404)] * 2


def test_known_tags_spare_the_request_for_a_fallback_tag(registry: Registry, target: RegistryTarget) -> None:
    put_image(target, "v1")
    subject = target.manifest("v1")
    assert list(target.referrers(subject.digest)) == []
    asked(registry)

    assert list(target.referrers(subject.digest, frozenset({"v1"}))) == []
    assert asked(registry) == []


def test_a_referrer_is_listed_in_the_fallback_tag(registry: Registry, target: RegistryTarget) -> None:
    put_image(target, "v1")
    subject = target.manifest("v1")
    signature = referrer_to(subject, CONFIG, kind="application/x-signature", annotations={"by": "someone", "at": "x"})
    asked(registry)

    target.put_manifest(signature)

    assert asked(registry) == [("PUT", 201), ("GET", 404), ("PUT", 201), ("HEAD", 200)]
    (entry,) = target.referrers(subject.digest)
    assert entry.digest == signature.digest
    assert entry.size == signature.size
    assert entry.artifact_type == "application/x-signature"
    assert entry.annotations == {"by": "someone", "at": "x"}


def test_a_second_referrer_leaves_the_first_as_it_was(registry: Registry, repo: str, target: RegistryTarget) -> None:
    put_image(target, "v1")
    subject = target.manifest("v1")
    first = referrer_to(subject, CONFIG, kind="application/one")
    target.put_manifest(first)
    tag = subject.digest.replace(":", "-")
    index = target.manifest(tag)
    known = index.manifests[0].to_json()
    kept = index_of(manifests=[{**known, "annotations": {"somebody": "wrote this"}}], annotations={"of": "the index"})
    remote.put_manifest(registry, repo, tag, kept.raw, kept.media_type)

    target.put_manifest(referrer_to(subject, CONFIG, kind="application/two"))
    target.put_manifest(first)

    index = target.manifest(tag)
    assert index.annotations == {"of": "the index"}
    assert [entry.artifact_type for entry in index.manifests] == ["application/one", "application/two"]
    assert index.manifests[0].annotations == {"somebody": "wrote this"}


def test_deleting_a_referrer_takes_it_out_of_the_fallback_tag(registry: Registry, target: RegistryTarget) -> None:
    put_image(target, "v1")
    subject = target.manifest("v1")
    one, two = (referrer_to(subject, CONFIG, kind=kind) for kind in ("application/one", "application/two"))
    target.put_manifest(one)
    target.put_manifest(two)

    target.delete_manifest(one.digest)

    assert [entry.digest for entry in target.referrers(subject.digest)] == [two.digest]
    with pytest.raises(NotFound):
        target.delete_manifest(one.digest)


def test_deleting_a_manifest_removes_its_tags(target: RegistryTarget) -> None:
    digest = put_image(target, "v1")

    target.delete_manifest(target.manifest("v1").digest)

    assert target.resolve("v1") is None
    assert target.resolve(digest) is None


def test_a_tag_that_cannot_be_deleted_is_an_error_and_keeps_its_manifest(target: RegistryTarget) -> None:
    put_image(target, "v1")

    with pytest.raises(RegistryError, match="does not delete tags"):
        target.delete_tag("v1")
    assert target.resolve("v1") is not None


def test_what_is_not_there_cannot_be_named_by_a_manifest(target: RegistryTarget) -> None:
    layer = Content(some_bytes(100, "missing"))
    target.put_blob(CONFIG.descriptor, CONFIG.open)

    with pytest.raises(RegistryError) as caught:
        target.put_manifest(image_of(CONFIG, [layer]), "v1")
    assert "MANIFEST_BLOB_UNKNOWN" in caught.value.codes
    assert target.resolve("v1") is None


def test_deleting_and_listing_ask_for_their_own_rights(
    make_registry: MakeRegistry, make_token_server: MakeTokenServer, authorizer: Authorizer, open_registry: OpenRegistry
) -> None:
    tokens = make_token_server()
    registry = make_registry(token=tokens)
    target = open_registry(registry.host, "app")
    put_image(target, "v1")

    target.delete_manifest(target.manifest("v1").digest)
    assert list(catalog(authorizer, registry.host)) == ["app"]

    scopes = {scope for request in tokens.requests() for scope in request.scopes}
    assert {"repository:app:pull,push", "repository:app:pull,push,delete", "registry:catalog:*"} <= scopes


@pytest.mark.parametrize("verify", ["client", "destination"])
@pytest.mark.parametrize(
    "data", [some_bytes(200_000, "wrong"), some_bytes(199_999), some_bytes(200_001)], ids=["wrong", "short", "long"]
)
def test_wrong_content_is_never_stored(
    registry: Registry, repo: str, open_registry: OpenRegistry, verify: str, data: bytes
) -> None:
    target = open_registry(registry.host, repo, verify="client" if verify == "client" else "destination")
    blob = Content(data, descriptor=Content(some_bytes(200_000, "right")).descriptor)

    with pytest.raises(CorruptContent):
        target.put_blob(blob.descriptor, blob.open)
    assert blob.opened == 2
    assert not target.has_blob(blob.descriptor.digest)
    assert not target.has_blob(Content(data).descriptor.digest)
