"""What a repository in a bucket does beside the contract: large blobs, broken lines, refusals, credentials.

Real parts: moto for Amazon S3, Azurite for Azure Blob Storage, both behind the fault-injecting front. Of Google Cloud
Storage there is no such part: its client is made, and the code beyond that is the same.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from liftlock.errors import (
    AccessDenied,
    Cancelled,
    ConfigError,
    CorruptContent,
    LiftlockError,
    NotFound,
    TransportError,
)
from liftlock.oci.bucket import BucketName
from liftlock.oci.digest import Digest
from liftlock.targets.base import Placed, read_blob
from liftlock.targets.locate import Location
from liftlock.targets.object_access import open_bucket
from liftlock.targets.object_bucket import PART
from liftlock.targets.object_leftovers import abort_uploads
from liftlock.targets.object_store import ObjectTarget
from tests.conftest import MakeFront
from tests.support import faults, images, objects, processes
from tests.support.aws import Moto
from tests.support.azurite import KEY, Azurite
from tests.support.front import Front
from tests.support.objects import Place
from tests.targets.content import Bytes, Content, image_of, read_all, some_bytes


@pytest.fixture(params=["s3", "azure"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "s3":
        return objects.on_s3(request.getfixturevalue("moto"))
    return objects.on_azure(request.getfixturevalue("azurite"))


@pytest.fixture
def s3(moto: Moto) -> Place:
    return objects.on_s3(moto)


@pytest.fixture
def front(moto: Moto, make_front: MakeFront) -> Front:
    return make_front(moto.url.removeprefix("http://"))


@pytest.fixture
def behind(s3: Place, front: Front) -> ObjectTarget:
    """A repository in S3, spoken to through the front."""
    return ObjectTarget(s3.url, {**s3.env, "AWS_ENDPOINT_URL": front.url})


LARGE = 2 * PART + 12_345


def test_a_large_blob_comes_back_whole(place: Place) -> None:
    data = some_bytes(LARGE)
    blob = Content(data)
    target = ObjectTarget(place.url, place.env)

    assert target.put_blob(blob.descriptor, blob.open) is Placed.COPIED

    again = ObjectTarget(place.url, place.env)
    assert again.put_blob(blob.descriptor, None) is Placed.PRESENT
    assert read_all(again.open_blob(blob.descriptor)) == data
    assert place.keys("blobs") == {f"blobs/sha256/{blob.descriptor.digest.hex}": LARGE}


@pytest.mark.parametrize("how", ["changed", "short", "broken"])
def test_of_a_large_blob_that_does_not_arrive_right_nothing_stays(place: Place, moto: Moto, how: str) -> None:
    data = some_bytes(LARGE)
    wanted = Content(data).descriptor
    lost = NotFound("the source lost it")
    sources: dict[str, Callable[[], Bytes]] = {
        "changed": lambda: Bytes(data[:-1] + bytes([data[-1] ^ 1])),
        "short": lambda: Bytes(data[:-1]),
        "broken": lambda: Bytes(data, fail_at=LARGE - PART // 2, error=lost),
    }
    target = ObjectTarget(place.url, place.env)

    with pytest.raises((CorruptContent, NotFound)):
        target.put_blob(wanted, sources[how])

    assert place.keys("blobs") == {}
    assert not ObjectTarget(place.url, place.env).has_blob(wanted.digest)
    if place.url.startswith("s3:"):
        bucket = BucketName.parse(place.url).bucket
        assert "Uploads" not in moto.client("s3").list_multipart_uploads(Bucket=bucket)


def test_what_is_there_costs_a_look_and_sends_nothing(behind: ObjectTarget, front: Front) -> None:
    blob = Content(b"layer")
    behind.put_blob(blob.descriptor, blob.open)
    front.forget()

    assert behind.put_blob(blob.descriptor, blob.open) is Placed.PRESENT

    assert [request.method for request in front.requests()] == ["HEAD"]
    assert blob.opened == 1


def test_what_somebody_else_brought_meanwhile_is_left_alone(s3: Place) -> None:
    """Its absence was known, and is not true any more: the write is for nobody's place but an empty one."""
    blob = Content(b"layer")
    first, second = (ObjectTarget(s3.url, s3.env) for _ in range(2))
    assert first.put_blob(blob.descriptor, blob.open, absent=True) is Placed.COPIED

    assert second.put_blob(blob.descriptor, blob.open, absent=True) is Placed.PRESENT


def test_a_read_goes_on_where_the_line_broke(behind: ObjectTarget, front: Front) -> None:
    data = some_bytes(LARGE)
    blob = Content(data)
    behind.put_blob(blob.descriptor, blob.open)
    rule = front.rule("GET", "/blobs/", faults.cut_response(after=100_000), nth=2, times=1)

    assert read_all(behind.open_blob(blob.descriptor)) == data

    assert rule.hits == 1
    assert front.count("GET", "/blobs/") == 4


def test_damaged_content_is_refused(place: Place) -> None:
    target = ObjectTarget(place.url, place.env)
    config = Content(b"{}", "application/vnd.oci.image.config.v1+json")
    target.put_blob(config.descriptor, config.open)
    manifest = image_of(config)
    target.put_manifest(manifest, "1")
    key = f"blobs/sha256/{config.descriptor.digest.hex}"

    place.write(key, b"[]")
    with pytest.raises(CorruptContent, match="digest"):
        read_blob(target, config.descriptor)
    place.write(key, b"{")
    with pytest.raises(CorruptContent):
        read_blob(target, config.descriptor)
    place.write(f"blobs/sha256/{manifest.digest.hex}", manifest.raw + b" ")
    for reference in ("1", manifest.digest):
        with pytest.raises(CorruptContent, match="digest"):
            target.manifest(reference)
    place.write("tags/1", b"nonsense")
    with pytest.raises(CorruptContent, match="descriptor"):
        target.resolve("1")

    again = ObjectTarget(place.url, place.env)
    assert again.put_blob(config.descriptor, config.open) is Placed.COPIED
    assert read_blob(again, config.descriptor) == b"{}"


def test_a_bucket_written_by_another_version_is_left_alone(place: Place) -> None:
    place.write("layout.json", b'{"liftlockObjectLayout":2}')

    with pytest.raises(LiftlockError, match="version"):
        ObjectTarget(place.url, place.env).prepare(0)


def test_an_abort_wakes_who_waits(behind: ObjectTarget, front: Front) -> None:
    blob = Content(b"layer")
    behind.put_blob(blob.descriptor, blob.open)
    rule = front.rule("GET", "/blobs/", faults.Stall(), times=None)
    caught: list[BaseException] = []

    def read() -> None:
        try:
            behind.open_blob(blob.descriptor)
        except LiftlockError as error:
            caught.append(error)

    reading = threading.Thread(target=read)
    reading.start()
    rule.wait()
    behind.abort()
    reading.join(20)

    assert [type(error) for error in caught] == [Cancelled]
    with pytest.raises(Cancelled):
        behind.resolve("1")


# --- refusals --------------------------------------------------------------------------------------------------------


def test_a_bucket_that_is_not_there_is_named(place: Place) -> None:
    name = place.url.replace("/team", "-missing/team")
    target = ObjectTarget(name, place.env)

    for action in (lambda: target.resolve("1"), lambda: target.prepare(0), lambda: list(target.tags())):
        with pytest.raises(NotFound, match="no such bucket") as caught:
            action()
        assert name in str(caught.value)
        assert caught.value.hint


@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        (403, "AccessDenied", AccessDenied, "lack the right"),
        (403, "InvalidAccessKeyId", AccessDenied, "not accepted"),
        (400, "ExpiredToken", AccessDenied, "have expired"),
        (400, "EntityTooLarge", LiftlockError, "answered with an error"),
    ],
)
def test_a_refusal_says_what_was_refused(
    *, behind: ObjectTarget, front: Front, status: int, code: str, kind: type[LiftlockError], said: str
) -> None:
    body = f"<Error><Code>{code}</Code><Message>secret-word</Message></Error>".encode()
    front.rule("PUT", "/layout.json", faults.respond(status, body), times=None)

    with pytest.raises(kind, match=said) as caught:
        behind.prepare(0)

    assert f"{behind.name}: cannot write layout.json" in caught.value.message
    assert code in caught.value.message
    assert "secret-word" not in str(caught.value) + caught.value.hint


def test_nobody_at_the_endpoint_is_a_failure_of_the_line(s3: Place) -> None:
    target = ObjectTarget(s3.url, {**s3.env, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"})

    with pytest.raises(TransportError, match="no usable answer") as caught:
        target.resolve("1")
    assert s3.env["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)


def test_wrong_keys_are_refused_without_being_shown(azurite: Azurite) -> None:
    place = objects.on_azure(azurite)
    wrong = KEY.replace("E", "F")
    target = ObjectTarget(place.url, {**place.env, "AZURE_STORAGE_ACCOUNT_KEY": wrong})

    with pytest.raises(AccessDenied) as caught:
        target.prepare(0)
    assert wrong not in str(caught.value) + caught.value.hint


# --- credentials -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "extra"), [("s3", "aws"), ("az", "azure"), ("gs", "gcp")])
def test_a_missing_library_is_named_by_its_extra(monkeypatch: pytest.MonkeyPatch, scheme: str, extra: str) -> None:
    for module in ("obstore", "obstore.store", "obstore.exceptions"):
        monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(ConfigError) as caught:
        open_bucket(BucketName(scheme, "bucket", ""), {"AZURE_STORAGE_ACCOUNT_NAME": "account"})
    assert caught.value.hint == f"pip install 'liftlock[{extra}]'"


def test_a_container_needs_an_account() -> None:
    with pytest.raises(ConfigError) as caught:
        open_bucket(BucketName("az", "container", ""), {})
    assert "AZURE_STORAGE_ACCOUNT_NAME" in caught.value.hint


def test_the_client_of_google_cloud_storage_is_made_of_the_environment() -> None:
    from obstore.store import GCSStore

    key = {"private_key": "", "private_key_id": "", "client_email": "me@example.org", "disable_oauth": True}
    store = open_bucket(BucketName("gs", "bucket", "team"), {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(key)})

    assert isinstance(store, GCSStore)
    assert (store.config["bucket"], store.prefix) == ("bucket", "team")
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        open_bucket(BucketName("gs", "bucket", ""), {"GOOGLE_SERVICE_ACCOUNT_KEY": "my-secret"})
    assert "my-secret" not in str(caught.value) + caught.value.hint


def test_a_profile_of_the_aws_tools_gives_credentials(
    s3: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = f"[team]\naws_access_key_id = {s3.env['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = secret\n"
    (tmp_path / "credentials").write_text(profile)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    env = {key: value for key, value in s3.env.items() if "ACCESS_KEY" not in key}

    ObjectTarget(s3.url, {**env, "AWS_PROFILE": "team"}).prepare(0)

    assert list(s3.keys()) == ["layout.json"]
    with pytest.raises(ConfigError, match="'nobody'"):
        ObjectTarget(s3.url, {**env, "AWS_PROFILE": "nobody"}).prepare(0)


def test_uploads_that_a_killed_process_left_are_ended(s3: Place, moto: Moto) -> None:
    bucket, client = BucketName.parse(s3.url).bucket, moto.client("s3")
    for key in ("team/artifacts/blobs/sha256/ab", "elsewhere/blob"):
        client.create_multipart_upload(Bucket=bucket, Key=key)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)

    # moto says of every upload that it was begun in 2010.
    assert abort_uploads(s3.url, s3.env, dt.datetime(2009, 1, 1, tzinfo=dt.UTC), dry_run=False) == 0
    assert abort_uploads(s3.url, s3.env, later, dry_run=True) == 1
    assert abort_uploads(s3.url, s3.env, later, dry_run=False) == 1

    left = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [each["Key"] for each in left] == ["elsewhere/blob"]


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["s3://bucket", "s3://bucket/a/b-c_d.e", "az://container/x", "gs://bucket/x=1/y+2"])
def test_names_are_kept_as_written(text: str) -> None:
    assert str(BucketName.parse(text)) == text
    assert Location.parse(f"{text}:1.0") == ("object", text, "1.0", None)
    digest = Digest.of(b"")
    assert Location.parse(f"{text}@{digest}") == ("object", text, None, digest)
    assert Location.parse(f"{text}:1.0@{digest}") == ("object", text, "1.0", digest)


@pytest.mark.parametrize(
    "text",
    [
        "s3://",
        "s3://b",
        "s3://Bucket/x",
        "s3:///x",
        "s3://bucket//x",
        "s3://bucket/../x",
        "s3://bucket/a b",
        "az://c",
        "s3://bucket/é",
        "s3://bucket/x:",
        "s3://bucket/x:a/b",
        "s3://bucket/x@sha256:12",
        "s3://user:pass@bucket/x",
    ],
)
def test_names_that_a_service_would_change_are_refused(text: str) -> None:
    with pytest.raises(LiftlockError):
        Location.parse(text)


def test_images_are_copied_into_a_bucket_and_out_again(s3: Place, tmp_path: Path) -> None:
    image = images.make_image(tmp_path / "build", "v", platforms=("linux/amd64", "linux/arm64"))
    images.attach_referrer(image.layout, image.root, "application/spdx+json", b"sbom")

    processes.liftlock("copy", f"oci:{image.layout}:v", f"{s3.url}:1.0", env=s3.env)
    processes.liftlock("copy", f"{s3.url}:1.0", f"oci:{tmp_path / 'out'}:1.0", env=s3.env)

    assert images.tags(tmp_path / "out")["1.0"].digest == image.digest
    assert Digest.of(b"sbom").hex in {each.name for each in (tmp_path / "out" / "blobs" / "sha256").iterdir()}
    assert json.loads(s3.read("tags/1.0"))["digest"] == image.digest
