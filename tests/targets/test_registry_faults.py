"""A real registry behind a front that misbehaves: every fault ends in the right content, or in a typed error."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from liftlock.auth.authorizer import Authorizer
from liftlock.auth.keychain import Keychain
from liftlock.errors import (
    AccessDenied,
    Cancelled,
    Conflict,
    CorruptContent,
    LiftlockError,
    NotFound,
    RegistryError,
    TransportError,
)
from liftlock.oci.manifest import Manifest
from liftlock.targets.base import BlobReader, Placed
from liftlock.targets.registry import RegistryTarget, catalog
from liftlock.targets.registry_home import SELF_MOUNT, VERIFIES_DIGESTS
from liftlock.targets.registry_profile import Profile
from liftlock.transport.client import Transport
from liftlock.transport.settings import Settings, TlsFiles
from tests.conftest import MakeFront, MakeRegistry, NewRepository
from tests.support import faults, remote
from tests.support.certificates import Authority
from tests.support.front import Action, Exchange, Front
from tests.support.registry import Registry
from tests.targets.conftest import OpenRegistry
from tests.targets.content import Bytes, Content, image_of, read_all, some_bytes

pytestmark = pytest.mark.fault

CONFIG = Content(b"{}", "application/vnd.oci.empty.v1+json")
UPLOADS, UPLOAD, MANIFESTS = r"/blobs/uploads/(\?|$)", r"/blobs/uploads/[0-9a-f-]{36}", r"/manifests/"


@pytest.fixture
def front(make_front: MakeFront, registry: Registry) -> Front:
    return make_front(registry)


@pytest.fixture
def target(front: Front, repo: str, open_registry: OpenRegistry) -> RegistryTarget:
    return open_registry(front.host, repo, verify="client")


@pytest.fixture
def image(registry: Registry, repo: str) -> Manifest:
    """An image that is in the repository as `v1`; put there without the product's code."""
    manifest = image_of(CONFIG)
    remote.put_blob(registry, repo, CONFIG.data)
    remote.put_manifest(registry, repo, "v1", manifest.raw, manifest.media_type)
    return manifest


def there(registry: Registry, target: RegistryTarget, blob: Content) -> bool:
    return remote.get_blob(registry, target.name.partition("/")[2], blob.descriptor.digest) == blob.data


# --- mounts and probes -----------------------------------------------------------------------------------------------


def test_a_mount_answered_with_202_is_used_as_the_upload(
    front: Front, registry: Registry, target: RegistryTarget, new_repo: NewRepository
) -> None:
    blob, other = Content(some_bytes(10_000, "202")), new_repo("other")
    remote.put_blob(registry, other, blob.data)
    front.rule("POST", "mount=", faults.refuse_mount())

    assert target.put_blob(blob.descriptor, blob.open, mount_from=[f"{front.host}/{other}"]) is Placed.COPIED
    assert (front.count("POST"), front.count("PUT"), len(front.requests())) == (1, 1, 2)
    assert there(registry, target, blob)


@pytest.mark.parametrize(
    "refusal",
    [
        faults.error(400, "UNSUPPORTED"),
        faults.unauthorized(),
        faults.error(403, "DENIED"),
        faults.error(404, "NAME_UNKNOWN"),
        faults.error(405, "UNSUPPORTED"),
    ],
    ids=["400", "401", "403", "404", "405"],
)
def test_a_mount_that_is_refused_becomes_an_upload(
    front: Front, registry: Registry, target: RegistryTarget, new_repo: NewRepository, refusal: Action
) -> None:
    blob, other = Content(some_bytes(10_000, "refused")), new_repo("other")
    remote.put_blob(registry, other, blob.data)
    front.rule("POST", "mount=.*from=.*other", refusal, times=None)

    assert target.put_blob(blob.descriptor, blob.open, mount_from=[f"{front.host}/{other}"]) is Placed.COPIED
    assert front.count("POST", "from=.*other") == 1
    assert there(registry, target, blob)


def test_a_lie_about_a_blob_being_there_is_found_out_once(
    front: Front, registry: Registry, target: RegistryTarget, transport: Transport
) -> None:
    front.rule("POST", "mount=", faults.false_mount(), times=None)
    first, second = Content(some_bytes(1000, "first lie")), Content(some_bytes(1000, "second lie"))

    assert target.put_blob(first.descriptor, first.open) is Placed.COPIED
    assert transport.memory.get(front.host, SELF_MOUNT) is False
    front.forget()
    assert target.put_blob(second.descriptor, second.open) is Placed.COPIED
    assert front.count("POST", "mount=") == 0
    assert target.put_blob(second.descriptor, second.open) is Placed.PRESENT
    assert there(registry, target, first)
    assert there(registry, target, second)


def test_a_large_blob_is_not_sent_again_where_self_mounts_do_not_work(
    front: Front, registry: Registry, repo: str, target: RegistryTarget, transport: Transport
) -> None:
    blob = Content(some_bytes(5 << 20, "large"))
    remote.put_blob(registry, repo, blob.data)
    front.rule("POST", "mount=", faults.refuse_mount(), times=None)

    assert target.put_blob(blob.descriptor, blob.open) is Placed.PRESENT
    assert blob.opened == 0
    assert transport.memory.get(front.host, SELF_MOUNT) is False


def test_a_mount_that_never_happened_shows_at_the_manifest_and_an_upload_repairs_it(
    front: Front, registry: Registry, target: RegistryTarget, transport: Transport, new_repo: NewRepository
) -> None:
    layer = Content(some_bytes(1000, "phantom"))
    target.put_blob(CONFIG.descriptor, CONFIG.open, absent=True)
    transport.memory.put(front.host, SELF_MOUNT, True)
    front.rule("POST", "mount=", faults.false_mount())
    placed = target.put_blob(layer.descriptor, layer.open, mount_from=[f"{front.host}/{new_repo()}"])
    assert placed is Placed.MOUNTED

    with pytest.raises(RegistryError) as caught:
        target.put_manifest(image_of(CONFIG, [layer]), "v1")
    assert "MANIFEST_BLOB_UNKNOWN" in caught.value.codes
    assert transport.memory.get(front.host, SELF_MOUNT) is None
    assert target.put_blob(layer.descriptor, layer.open, absent=True) is Placed.COPIED
    target.put_manifest(image_of(CONFIG, [layer]), "v1")
    assert there(registry, target, layer)


# --- where uploads go ------------------------------------------------------------------------------------------------


def relocate(change: Callable[[Exchange, str], str]) -> Action:
    """Change the `Location` of an answer."""

    def act(exchange: Exchange) -> None:
        answer = exchange.forward()
        answer.set("Location", change(exchange, answer.header("Location") or ""))
        exchange.relay(answer)

    return act


def path_of(location: str) -> str:
    return "/v2/" + location.partition("/v2/")[2]


@pytest.mark.parametrize(
    "change",
    [
        lambda exchange, location: path_of(location),
        lambda exchange, location: exchange.front.url + path_of(location),
        lambda exchange, location: path_of(location) + "&extra=a%2Fb",
        lambda exchange, location: exchange.front.elsewhere_url + path_of(location),
    ],
    ids=["relative", "absolute", "query", "elsewhere"],
)
def test_an_upload_goes_where_the_registry_says(
    front: Front, registry: Registry, target: RegistryTarget, change: Callable[[Exchange, str], str]
) -> None:
    blob = Content(some_bytes(10_000, "location"))
    front.rule("POST", UPLOADS, relocate(change))

    assert target.put_blob(blob.descriptor, blob.open) is Placed.COPIED
    (put,) = front.find("PUT")
    assert "_state=" in put.query
    assert put.query.endswith(f"digest={blob.descriptor.digest}")
    assert there(registry, target, blob)


def test_no_credentials_go_to_an_upload_elsewhere(
    make_registry: MakeRegistry, make_front: MakeFront, transport: Transport
) -> None:
    front = make_front(make_registry(user="someone", password="secret"))
    named = {"LIFTLOCK_REGISTRY": front.host, "LIFTLOCK_USERNAME": "someone", "LIFTLOCK_PASSWORD": "secret"}
    authorizer = Authorizer(transport, Keychain(named))
    target = RegistryTarget(authorizer, front.host, "app", verify="client")
    blob = Content(some_bytes(10_000, "elsewhere"))
    front.rule("POST", UPLOADS, faults.upload_elsewhere(), nth=2)

    assert target.put_blob(blob.descriptor, blob.open) is Placed.COPIED
    (put,) = front.find("PUT")
    assert put.elsewhere
    assert put.authorization is None


def test_an_upload_location_without_tls_is_not_followed_as_such(
    make_registry: MakeRegistry, make_front: MakeFront, authority: Authority
) -> None:
    """Registries behind a proxy that ends TLS write http:// into `Location`."""
    front = make_front(make_registry(), tls=authority)
    front.rule("POST", UPLOADS, relocate(lambda exchange, location: f"http://{front.host}{path_of(location)}"))
    transport = Transport(Settings(tls={front.host: TlsFiles(ca_file=str(authority.ca))}))
    target = RegistryTarget(Authorizer(transport, Keychain({})), front.host, "app", verify="client")
    blob = Content(some_bytes(10_000, "scheme"))

    assert target.put_blob(blob.descriptor, blob.open) is Placed.COPIED
    transport.close()


def test_an_upload_without_a_location_is_an_error(front: Front, target: RegistryTarget) -> None:
    front.rule("POST", UPLOADS, faults.set_header("Location", None))

    with pytest.raises(RegistryError, match="without saying where"):
        target.put_blob(CONFIG.descriptor, CONFIG.open)


# --- broken uploads --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        faults.cut(),
        faults.cut_request(after=50_000),
        faults.error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"),
        faults.error(500),
        faults.error(503, retry_after="0"),
        faults.error(429, "TOOMANYREQUESTS", retry_after="0"),
        faults.unauthorized(),
        faults.corrupt_request(offset=70_000),
    ],
    ids=["cut", "half", "lost", "500", "503", "429", "401", "corrupt"],
)
def test_a_broken_upload_is_begun_anew_with_a_fresh_source(
    front: Front, registry: Registry, target: RegistryTarget, fault: Action
) -> None:
    blob = Content(some_bytes(100_000, "broken"))
    front.rule("PUT", UPLOAD, fault)

    assert target.put_blob(blob.descriptor, blob.open) is Placed.COPIED
    assert blob.opened == front.count("PUT") > 1
    assert all(reader.closed for reader in blob.readers)
    assert there(registry, target, blob)


def test_an_upload_whose_answer_was_lost_is_found_by_the_next_attempt(
    front: Front, registry: Registry, target: RegistryTarget
) -> None:
    blob = Content(some_bytes(100_000, "lost answer"))
    front.rule("PUT", UPLOAD, faults.cut_before_response())

    assert target.put_blob(blob.descriptor, blob.open) is Placed.PRESENT
    assert there(registry, target, blob)


def test_a_lost_upload_is_not_continued(front: Front, target: RegistryTarget) -> None:
    """Registries behind one address may not share what they know of uploads (distribution/distribution#2225)."""
    blob = Content(some_bytes(100_000, "lost"))
    front.rule("PUT", UPLOAD, faults.error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"))

    assert target.put_blob(blob.descriptor, blob.open) is Placed.COPIED
    first, second = front.find("PUT")
    assert first.path != second.path
    assert front.count("POST") == 2


def test_bytes_that_change_on_every_way_are_corrupt(
    front: Front, registry: Registry, repo: str, open_registry: OpenRegistry
) -> None:
    target = open_registry(front.host, repo, verify="destination")
    blob = Content(some_bytes(100_000, "always corrupt"))
    front.rule("PUT", UPLOAD, faults.corrupt_request(offset=99_999), times=None)

    with pytest.raises(CorruptContent):
        target.put_blob(blob.descriptor, blob.open)
    assert front.count("PUT") == 2
    assert not remote.has_blob(registry, repo, blob.descriptor.digest)


def test_a_registry_that_stays_ill_is_asked_five_times(front: Front, target: RegistryTarget) -> None:
    front.rule("PUT", UPLOAD, faults.error(502), times=None)
    blob = Content(some_bytes(1000, "ill"))

    with pytest.raises(RegistryError) as caught:
        target.put_blob(blob.descriptor, blob.open)
    assert caught.value.status == 502
    assert front.count("PUT") == 5


def test_a_refused_upload_is_not_repeated(front: Front, target: RegistryTarget) -> None:
    front.rule("POST", UPLOADS, faults.error(403, "DENIED", "no right to push"), times=None)

    with pytest.raises(AccessDenied) as caught:
        target.put_blob(CONFIG.descriptor, CONFIG.open, absent=True)
    assert target.name in str(caught.value)
    assert "no right to push" in str(caught.value)
    assert f"liftlock login {front.host}" in caught.value.hint
    assert front.count("POST") == 1


def test_a_missing_repository_says_that_it_has_to_be_created(front: Front, target: RegistryTarget) -> None:
    front.rule("POST", UPLOADS, faults.error(404, "NAME_UNKNOWN", "The repository does not exist"), times=None)

    with pytest.raises(NotFound) as caught:
        target.put_blob(CONFIG.descriptor, CONFIG.open, absent=True)
    assert "create the repository" in caught.value.hint


class Failing:
    """A source that fails after some bytes, each time it is opened."""

    def __init__(self, error: LiftlockError, data: bytes) -> None:
        self.error = error
        self.data = data
        self.opened = 0

    def open(self) -> BlobReader:
        self.opened += 1
        return Bytes(self.data, fail_at=len(self.data) // 2, error=self.error)


@pytest.mark.parametrize("error", [TransportError("source gone"), RegistryError("source ill", status=503)])
def test_a_source_that_gave_up_is_not_asked_again_by_the_destination(
    registry: Registry, target: RegistryTarget, error: LiftlockError
) -> None:
    blob = Content(some_bytes(500_000, "source"))
    source = Failing(error, blob.data)

    with pytest.raises(type(error)) as caught:
        target.put_blob(blob.descriptor, source.open)
    assert caught.value is error
    assert source.opened == 1
    assert not there(registry, target, blob)


def test_a_blob_that_another_client_stored_meanwhile_is_present(
    front: Front, registry: Registry, repo: str, target: RegistryTarget
) -> None:
    """As Nexus says it (sonatype/nexus-public#967)."""
    blob = Content(some_bytes(1000, "race"))
    body = b'{"errors":[{"code":"BLOB_UPLOAD_INVALID","message":"invalid","detail":"blob cannot be updated"}]}'
    front.rule(
        "PUT", UPLOAD, faults.respond(400, body), do=lambda request: void(remote.put_blob(registry, repo, blob.data))
    )

    assert target.put_blob(blob.descriptor, blob.open) is Placed.PRESENT


def void(value: object) -> None:
    """For calls whose answer nobody wants."""


# --- who verifies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        (faults.respond(201), False),
        (faults.error(400, "UNKNOWN"), None),
        (faults.error(403, "DENIED"), None),
    ],
    ids=["accepted", "unclear", "denied"],
)
def test_where_the_proof_fails_we_hash(
    front: Front, open_registry: OpenRegistry, transport: Transport, answer: Action, fact: bool | None
) -> None:
    target = open_registry(front.host, "proof/fails")
    front.rule("PUT", UPLOAD, answer)
    target.prepare(1 << 30)
    assert transport.memory.get(front.host, VERIFIES_DIGESTS) is fact

    wrong = Content(some_bytes(100_000, "wrong"), descriptor=Content(some_bytes(100_000, "right")).descriptor)
    front.forget()
    with pytest.raises(CorruptContent):
        target.put_blob(wrong.descriptor, wrong.open)
    assert all(put.body_size < 100_000 for put in front.find("PUT"))


def test_where_the_proof_holds_the_registry_verifies(
    front: Front, registry: Registry, repo: str, open_registry: OpenRegistry
) -> None:
    target = open_registry(front.host, repo)
    target.prepare(1 << 30)
    wrong = Content(some_bytes(100_000, "wrong"), descriptor=Content(some_bytes(100_000, "right")).descriptor)
    front.forget()

    with pytest.raises(CorruptContent, match="DIGEST_INVALID"):
        target.put_blob(wrong.descriptor, wrong.open)
    assert [put.body_size for put in front.find("PUT")] == [100_000, 100_000]
    assert not remote.has_blob(registry, repo, wrong.descriptor.digest)


# --- downloads -------------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(registry: Registry, repo: str) -> Content:
    blob = Content(some_bytes(3 << 20, "stored"))
    remote.put_blob(registry, repo, blob.data)
    return blob


def forget_range(exchange: Exchange) -> None:
    """As a server that knows no Range."""
    exchange._headers = [(name, value) for name, value in exchange._headers if name.lower() != "range"]
    exchange.relay(exchange.forward())


@pytest.mark.parametrize(
    "fault", [faults.cut_response(1_000_000), faults.truncate(1_000_000)], ids=["reset", "truncated"]
)
@pytest.mark.parametrize("again", [None, forget_range], ids=["range", "no range"])
def test_a_broken_download_goes_on_where_it_broke(
    front: Front, target: RegistryTarget, stored: Content, fault: Action, again: Action | None
) -> None:
    front.rule("GET", "/blobs/", fault)
    if again is not None:
        front.rule("GET", "/blobs/", again, nth=2)

    assert read_all(target.open_blob(stored.descriptor)) == stored.data
    first, second = front.find("GET")
    assert "range" not in first.headers
    start = int(second.headers["range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= 1_000_000


def test_a_redirect_that_expired_is_asked_for_again(front: Front, target: RegistryTarget, stored: Content) -> None:
    front.rule("GET", "/blobs/", faults.redirect_elsewhere(), times=None)
    front.rule("GET", "/blobs/", faults.cut_response(1_000_000), elsewhere=True)
    front.rule("GET", "/blobs/", faults.respond(403, b"<Error>Request has expired</Error>"), nth=2, elsewhere=True)

    assert read_all(target.open_blob(stored.descriptor)) == stored.data
    assert [request.elsewhere for request in front.find("GET")] == [False, True] * 3


def test_a_download_that_always_breaks_is_given_up(front: Front, target: RegistryTarget, stored: Content) -> None:
    front.rule("GET", "/blobs/", faults.truncate(1000), times=None)

    with pytest.raises(TransportError):
        read_all(target.open_blob(stored.descriptor))
    assert front.count("GET") <= 11


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.error(416, "UNKNOWN"), RegistryError),
        (faults.set_header("Content-Range", "bytes 7-99/3145728"), RegistryError),
        (faults.set_header("Content-Range", None), RegistryError),
    ],
    ids=["416", "wrong range", "no range"],
)
def test_a_wrong_answer_to_a_range_is_an_error(
    front: Front, target: RegistryTarget, stored: Content, fault: Action, error: type[LiftlockError]
) -> None:
    front.rule("GET", "/blobs/", faults.cut_response(1_000_000))
    front.rule("GET", "/blobs/", fault, times=None)

    with pytest.raises(error):
        read_all(target.open_blob(stored.descriptor))


def test_a_blob_of_another_size_than_its_descriptor_says_is_corrupt(
    front: Front, target: RegistryTarget, stored: Content
) -> None:
    front.rule("GET", "/blobs/", faults.truncate(1000, lie=False), times=None)

    with pytest.raises(CorruptContent, match="descriptor"):
        target.open_blob(stored.descriptor)


def test_a_blob_that_does_not_end_is_corrupt(front: Front, target: RegistryTarget, stored: Content) -> None:
    front.rule("GET", "/blobs/", faults.huge(4 << 20, sized=False), times=None)

    with pytest.raises(CorruptContent, match="descriptor"):
        read_all(target.open_blob(stored.descriptor))


# --- manifests -------------------------------------------------------------------------------------------------------


def test_a_digest_that_the_bytes_do_not_have_is_corrupt(front: Front, target: RegistryTarget, image: Manifest) -> None:
    wrong = faults.set_header("Docker-Content-Digest", CONFIG.descriptor.digest)
    front.rule("GET", MANIFESTS, wrong, times=None)

    with pytest.raises(CorruptContent):
        target.manifest("v1")
    assert front.count("GET") == 2
    assert target.manifest(image.digest) == image


def test_corrupt_bytes_get_one_fresh_attempt(front: Front, target: RegistryTarget, image: Manifest) -> None:
    front.rule("GET", MANIFESTS, faults.corrupt_response(20))

    assert target.manifest(image.digest) == image
    assert front.count("GET") == 2


@pytest.mark.parametrize("reference", ["tag", "digest"])
def test_bytes_that_stay_corrupt_are_an_error(
    front: Front, target: RegistryTarget, image: Manifest, reference: str
) -> None:
    front.rule("GET", MANIFESTS, faults.corrupt_response(20), times=None)

    with pytest.raises(CorruptContent):
        target.manifest("v1" if reference == "tag" else image.digest)


@pytest.mark.parametrize("header", ["Docker-Content-Digest", "Content-Type"])
def test_a_head_that_says_too_little_is_followed_by_a_get(
    front: Front, target: RegistryTarget, image: Manifest, header: str
) -> None:
    front.rule("HEAD", MANIFESTS, faults.set_header(header, None))

    assert target.resolve("v1") == image.descriptor
    assert [request.method for request in front.requests()] == ["HEAD", "GET"]


def test_a_digest_that_is_none_is_no_hint(front: Front, target: RegistryTarget, image: Manifest) -> None:
    front.rule(None, MANIFESTS, faults.set_header("Docker-Content-Digest", "sha256:none"), times=None)

    assert target.resolve("v1") == image.descriptor
    assert target.manifest("v1") == image


def test_a_huge_manifest_is_not_read(front: Front, target: RegistryTarget) -> None:
    front.rule("GET", MANIFESTS, faults.huge(64 << 20, sized=False), times=None)

    with pytest.raises(CorruptContent, match="longer"):
        target.manifest("v1")


@pytest.mark.parametrize("body", [b"<html>nothing here</html>", b'{"errors":[{"code":"OTHER"}]}', b""])
def test_a_404_that_no_registry_would_give_is_not_absence(front: Front, target: RegistryTarget, body: bytes) -> None:
    front.rule("GET", "", faults.respond(404, body), times=None)

    with pytest.raises(RegistryError):
        target.manifest("v1")
    with pytest.raises(RegistryError):
        list(target.tags())
    with pytest.raises(RegistryError):
        target.open_blob(CONFIG.descriptor)


DENIED = b'{"errors":[{"code":"DENIED"}]}'


@pytest.mark.parametrize(
    ("profile", "headers"),
    [(Profile(denied_means_absent=True), {}), (Profile(), {"X-JFrog-Version": "Artifactory/7.9"})],
    ids=["profile", "artifactory"],
)
def test_denied_is_absent_for_questions_where_the_registry_is_known_for_it(
    front: Front, repo: str, open_registry: OpenRegistry, profile: Profile, headers: dict[str, str]
) -> None:
    target = open_registry(front.host, repo, profile=profile)
    front.rule(None, "", faults.respond(403, DENIED, headers), times=None)

    assert target.resolve("v1") is None
    assert not target.has_blob(CONFIG.descriptor.digest)
    with pytest.raises(AccessDenied):
        target.manifest("v1")
    with pytest.raises(AccessDenied):
        target.open_blob(CONFIG.descriptor)


def test_denied_is_denied_anywhere_else(front: Front, target: RegistryTarget) -> None:
    front.rule(None, "", faults.respond(403, DENIED), times=None)

    with pytest.raises(AccessDenied):
        target.resolve("v1")
    with pytest.raises(AccessDenied):
        target.has_blob(CONFIG.descriptor.digest)


@pytest.mark.parametrize(
    "refusal",
    [
        faults.immutable_tag(400, "TAG_INVALID"),
        faults.immutable_tag(412, "PRECONDITION"),
        faults.error(409, "TAG_IMMUTABLE"),
        faults.error(403, "DENIED"),
        faults.respond(
            400,
            b'{"errors":[{"code":"BLOB_UPLOAD_INVALID","message":"blob upload invalid",'
            b'"detail":"Repository does not allow updating assets: docker"}]}',
        ),
    ],
    ids=["ECR", "Harbor", "409", "Docker Hub", "Nexus"],
)
def test_an_immutable_tag_that_has_the_digest_is_success_and_any_other_a_conflict(
    front: Front, target: RegistryTarget, image: Manifest, refusal: Action
) -> None:
    front.rule("PUT", MANIFESTS + "v1$", refusal, times=None)
    other = image_of(CONFIG, annotations={"other": "image"})

    target.put_manifest(image, "v1")
    with pytest.raises((Conflict, AccessDenied)) as caught:
        target.put_manifest(other, "v1")
    assert caught.value.exit_code in (4, 6)
    found = target.resolve("v1")
    assert found is not None
    assert found.digest == image.digest


def test_a_manifest_that_a_policy_blocks_is_neither_absent_nor_read(front: Front, target: RegistryTarget) -> None:
    """Harbor answers 412 to HEAD and GET (goharbor/harbor#15885)."""
    front.rule(None, MANIFESTS, faults.error(412, "PROJECTPOLICYVIOLATION"), times=None)

    with pytest.raises(Conflict, match="blocks it"):
        target.resolve("v1")
    with pytest.raises(Conflict, match="blocks it"):
        target.manifest("v1")


def test_a_missing_media_type_is_named_where_a_registry_wants_it(front: Front, target: RegistryTarget) -> None:
    """ECR."""
    manifest = Manifest.build({"schemaVersion": 2, "config": CONFIG.descriptor.to_json(), "layers": []})
    front.rule("PUT", MANIFESTS, faults.error(405, "UNSUPPORTED", "Invalid parameter"))

    with pytest.raises(RegistryError) as caught:
        target.put_manifest(manifest, "v1")
    assert "mediaType" in caught.value.hint


def test_a_media_type_that_is_refused_says_so(front: Front, target: RegistryTarget, image: Manifest) -> None:
    front.rule("PUT", MANIFESTS, faults.error(415, "MANIFEST_INVALID"), times=None)

    with pytest.raises(RegistryError) as caught:
        target.put_manifest(image, "v2")
    assert "media type" in caught.value.hint


def test_a_manifest_stored_as_something_else_is_corrupt(front: Front, target: RegistryTarget, image: Manifest) -> None:
    wrong = faults.set_header("Docker-Content-Digest", CONFIG.descriptor.digest)
    front.rule("PUT", MANIFESTS, wrong, times=None)

    with pytest.raises(CorruptContent, match="stored as"):
        target.put_manifest(image, "v2")


def test_a_registrys_words_cannot_steer_a_terminal(front: Front, target: RegistryTarget) -> None:
    front.rule("GET", MANIFESTS, faults.error(403, "DENIED", "\x1b[2Jgone\u202e"), times=None)

    with pytest.raises(AccessDenied) as caught:
        target.manifest("v1")
    assert str(caught.value).isprintable()


# --- lists -----------------------------------------------------------------------------------------------------------


def test_pages_that_go_round_in_a_circle_are_an_error(front: Front, target: RegistryTarget) -> None:
    front.rule("GET", "/tags/list", faults.endless_pages(advance=False), times=None)

    with pytest.raises(RegistryError, match="the same page twice"):
        list(target.tags())
    assert front.count("GET") <= 3


def test_pages_without_an_end_are_an_error(
    front: Front, target: RegistryTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liftlock.targets.registry_endpoint.MAX_PAGES", 20)
    front.rule("GET", "/tags/list", faults.endless_pages(), times=None)

    with pytest.raises(RegistryError, match="more than 20 pages"):
        list(target.tags())


def test_a_page_link_to_another_host_is_followed_at_the_registry(
    front: Front, registry: Registry, target: RegistryTarget, image: Manifest
) -> None:
    link = f'<http://internal.invalid:1/v2/{target.name.partition("/")[2]}/tags/list?last=v0>; rel="next"'
    front.rule("GET", "/tags/list", faults.set_header("Link", link))

    assert list(target.tags()) == ["v1", "v1"]
    assert front.count("GET", "last=v0") == 1


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"tags": [1]}', b"tags"])
def test_a_list_that_is_none_is_corrupt(front: Front, target: RegistryTarget, body: bytes) -> None:
    front.rule("GET", "/tags/list", faults.respond(200, body), times=None)

    with pytest.raises(CorruptContent):
        list(target.tags())


def test_a_registry_without_a_catalog_says_so(front: Front, authorizer: Authorizer) -> None:
    front.rule("GET", "/_catalog", faults.error(405, "UNSUPPORTED"), times=None)

    with pytest.raises(RegistryError) as caught:
        list(catalog(authorizer, front.host))
    assert "does not support" in caught.value.hint


# --- removing and stopping -------------------------------------------------------------------------------------------


def test_a_tag_is_deleted_where_the_registry_does_that(front: Front, target: RegistryTarget) -> None:
    """Synthetic: distribution 2.8 deletes no tags."""
    front.rule("DELETE", MANIFESTS + "v1", faults.respond(202))

    target.delete_tag("v1")
    assert [str(request) for request in front.requests()] == [
        f"DELETE /v2/{target.name.partition('/')[2]}/manifests/v1 → 202"
    ]


def test_deleting_where_it_is_switched_off_says_so(make_registry: MakeRegistry, open_registry: OpenRegistry) -> None:
    registry = make_registry(delete=False)
    manifest = image_of(CONFIG)
    remote.put_blob(registry, "app", CONFIG.data)
    remote.put_manifest(registry, "app", "v1", manifest.raw, manifest.media_type)

    with pytest.raises(RegistryError) as caught:
        open_registry(registry.host, "app").delete_manifest(manifest.digest)
    assert "switched off" in caught.value.hint


def test_an_abort_wakes_a_stalled_call(front: Front, target: RegistryTarget) -> None:
    stall = faults.Stall()
    rule = front.rule("HEAD", MANIFESTS, stall)
    ended: list[BaseException] = []

    def ask() -> None:
        try:
            target.resolve("v1")
        except Cancelled as error:
            ended.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    rule.wait()
    target.abort()
    thread.join(10)
    stall.release()
    assert len(ended) == 1
