"""The front does what its rules say, and nothing else: each fault as a plain client sees it."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeFront, MakeRegistry, MakeTokenServer
from tests.support import faults, peers, remote
from tests.support.certificates import Authority
from tests.support.delay import Delay
from tests.support.front import Front
from tests.support.images import Image, make_image
from tests.support.registry import Registry
from tests.support.waiting import until
from tests.support.wire import Response, Wire


@pytest.fixture
def front(make_front: MakeFront, registry: Registry) -> Front:
    return make_front(registry)


@pytest.fixture
def wire(front: Front) -> Iterator[Wire]:
    with Wire(front.host) as wire:
        yield wire


@pytest.fixture
def blob(registry: Registry, repo: str) -> bytes:
    """A blob of 300,000 bytes in `repo`."""
    data = hashlib.shake_256(repo.encode()).digest(300_000)
    remote.put_blob(registry, repo, data)
    return data


def target(repo: str, data: bytes) -> str:
    return f"/v2/{repo}/blobs/sha256:{hashlib.sha256(data).hexdigest()}"


def get(wire: Wire, path: str) -> Response:
    return wire.request("GET", path)


def upload(wire: Wire, repo: str, data: bytes) -> Response:
    opened = wire.request("POST", f"/v2/{repo}/blobs/uploads/")
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    return wire.request("PUT", f"{opened.headers['location']}&digest={digest}", data)


def test_passes_on_what_no_rule_takes(tmp_path: Path, front: Front, registry: Registry, repo: str) -> None:
    image = make_image(tmp_path, "v1", platforms=("linux/amd64", "linux/arm64"), seed=repo)
    remote.push(tmp_path, "v1", front.host, repo)
    copied = tmp_path / "copied"

    peers.run("skopeo", "copy", "--all", "--src-tls-verify=false", f"docker://{front.host}/{repo}:v1", f"oci:{copied}")
    peers.run(
        *("skopeo", "copy", "--all", "--preserve-digests", "--dest-tls-verify=false"),
        *(f"oci:{copied}", f"docker://{front.host}/{repo}-again:v1"),
    )

    assert remote.walk(registry, repo, "v1") == remote.walk(registry, f"{repo}-again", "v1")
    sent = front.find("PUT", rf"{repo}/manifests/v1$")
    assert [request.status for request in sent] == [201]
    assert image.digest == "sha256:" + hashlib.sha256(sent[0].body).hexdigest()


def test_records_requests_and_counts_alike(
    front: Front, wire: Wire, registry: Registry, repo: str, blob: bytes
) -> None:
    registry.forget()
    get(wire, target(repo, blob))
    wire.request("HEAD", target(repo, blob))
    upload(wire, repo, b"small")

    assert [str(seen) for seen in registry.requests()] == [str(request) for request in front.requests()]
    assert [request.body_size for request in front.requests()] == [0, 0, 0, 5]
    assert [request.answer_size for request in front.requests()] == [300_000, 0, 0, 0]
    assert (front.connections, front.peak) == (1, 1)
    front.forget()
    assert front.count() == 0


def test_acts_at_the_nth_request_and_so_many_times(front: Front, wire: Wire, repo: str) -> None:
    rule = front.rule("GET", "/tags/list", faults.error(503, retry_after="2"), nth=2, times=2)

    answers = [get(wire, f"/v2/{repo}/tags/list") for _ in range(5)]

    assert [answer.status for answer in answers] == [404, 503, 503, 404, 404]
    assert answers[1].headers["retry-after"] == "2"
    assert rule.hits == 2
    assert [None, rule] == [request.rule for request in front.requests()[:2]]
    front.rule(None, "", faults.respond(418), times=None)
    assert get(wire, "/v2/").status == 418
    front.clear()
    assert get(wire, "/v2/").status == 200


def test_does_something_in_between(front: Front, wire: Wire, registry: Registry, repo: str, blob: bytes) -> None:
    front.rule("GET", "/blobs/", do=lambda request: registry.blob_path(request.path.rsplit("/", 1)[1]).unlink())

    assert get(wire, target(repo, blob)).status == 404


def test_cuts_before_the_registry_sees_anything(front: Front, wire: Wire, registry: Registry, repo: str) -> None:
    registry.forget()
    front.rule("POST", "/uploads/", faults.cut())
    front.rule("POST", "/uploads/", faults.cut(reset=False), nth=2)

    with pytest.raises(ConnectionResetError):
        wire.request("POST", f"/v2/{repo}/blobs/uploads/")
    with Wire(front.host) as other, pytest.raises(http.client.RemoteDisconnected):
        other.request("POST", f"/v2/{repo}/blobs/uploads/")

    assert registry.requests() == []
    assert [request.status for request in front.requests()] == [None, None]


def test_cuts_an_upload(front: Front, wire: Wire, registry: Registry, repo: str) -> None:
    data = b"x" * 10_000_000
    front.rule("PUT", "/uploads/", faults.cut_request(after=100_000))

    with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
        upload(wire, repo, data)

    assert not remote.has_blob(registry, repo, "sha256:" + hashlib.sha256(data).hexdigest())


def test_cuts_after_the_registry_did_it(front: Front, wire: Wire, registry: Registry, repo: str) -> None:
    front.rule("PUT", "/uploads/", faults.cut_before_response())

    with pytest.raises(ConnectionResetError):
        upload(wire, repo, b"done")

    assert remote.has_blob(registry, repo, "sha256:" + hashlib.sha256(b"done").hexdigest())


def test_cuts_a_download(front: Front, wire: Wire, repo: str, blob: bytes) -> None:
    front.rule("GET", "/blobs/", faults.cut_response(after=1000))
    front.rule("GET", "/blobs/", faults.truncate(after=1000), nth=2)
    front.rule("GET", "/blobs/", faults.truncate(after=1000, lie=False), nth=3)

    with pytest.raises(ConnectionResetError):
        get(wire, target(repo, blob))
    with Wire(front.host) as other, pytest.raises(http.client.IncompleteRead):
        get(other, target(repo, blob))
    with Wire(front.host) as other:
        assert blob[:1000] == get(other, target(repo, blob)).body
        assert blob == get(other, target(repo, blob)).body

    assert [request.answer_size for request in front.find("GET", "/blobs/")] == [1000, 1000, 1000, 300_000]


def test_resumes_a_download(front: Front, repo: str, blob: bytes) -> None:
    with Wire(front.host) as wire:
        answer = wire.request("GET", target(repo, blob), headers={"Range": "bytes=299000-"})

    assert (206, blob[299_000:]) == (answer.status, answer.body)


def test_corrupts_one_byte(front: Front, wire: Wire, registry: Registry, repo: str, blob: bytes) -> None:
    front.rule("GET", "/blobs/", faults.corrupt_response(offset=200_000))
    front.rule("PUT", "/uploads/", faults.corrupt_request(offset=2))

    body = get(wire, target(repo, blob)).body
    answer = upload(wire, repo, b"hello")

    assert [index for index, (a, b) in enumerate(zip(body, blob, strict=True)) if a != b] == [200_000]
    assert answer.status == 400
    assert json.loads(answer.body)["errors"][0]["code"] == "DIGEST_INVALID"


def test_changes_headers(tmp_path: Path, front: Front, wire: Wire, repo: str) -> None:
    make_image(tmp_path, "v1", seed=repo)
    remote.push(tmp_path, "v1", front.host, repo)
    wrong = "sha256:" + "0" * 64
    front.rule("HEAD", "/manifests/", faults.set_header("Docker-Content-Digest", wrong))
    front.rule("HEAD", "/manifests/", faults.set_header("docker-content-digest", None, status=203), nth=2)

    headers = {"Accept": remote.ACCEPT}
    one, two = (wire.request("HEAD", f"/v2/{repo}/manifests/v1", headers=headers) for _ in range(2))

    assert wrong == one.headers["docker-content-digest"]
    assert two.status == 203
    assert "docker-content-digest" not in two.headers


def test_stalls_until_released(front: Front, wire: Wire, repo: str, blob: bytes) -> None:
    before, amid = faults.Stall(), faults.Stall(after=1000)
    front.rule("GET", "/tags/", before)
    rule = front.rule("GET", "/blobs/", amid)
    got: list[object] = []

    def ask() -> None:
        got.append(get(wire, f"/v2/{repo}/tags/list").status)
        got.append(get(wire, target(repo, blob)).body)

    thread = threading.Thread(target=ask)
    thread.start()

    until(lambda: front.count("GET", "/tags/"), "the first request")
    assert got == []
    before.release()
    rule.wait()
    until(lambda: front.find("GET", "/blobs/")[0].answer_size == 1000, "the first bytes")
    assert got == [404]
    amid.release()
    thread.join(10)

    assert [404, blob] == got


def test_stopping_ends_what_is_stalled(make_front: MakeFront, registry: Registry, repo: str) -> None:
    front = make_front(registry)
    rule = front.rule("GET", "/tags/", faults.Stall())
    failed: list[BaseException] = []

    def ask() -> None:
        with Wire(front.host) as wire:
            try:
                get(wire, f"/v2/{repo}/tags/list")
            except OSError as error:
                failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    rule.wait()
    front.stop()
    thread.join(10)

    assert len(failed) == 1


def test_dribbles(front: Front, wire: Wire, repo: str, blob: bytes) -> None:
    parts: list[int] = []
    front.rule("GET", "/blobs/", faults.dribble(lambda: parts.append(1)))

    assert blob == get(wire, target(repo, blob)).body
    assert len(parts) >= len(blob) // 512


def test_redirects_to_another_host(front: Front, wire: Wire, repo: str, blob: bytes) -> None:
    front.rule("GET", "/blobs/", faults.redirect_elsewhere())

    location = get(wire, target(repo, blob)).headers["location"]

    assert location == f"http://{front.elsewhere}{target(repo, blob)}"
    assert front.elsewhere.startswith("localhost:")
    with Wire(front.elsewhere) as other:
        assert blob == get(other, location).body
        refused = other.request("GET", location, headers={"Authorization": "Bearer leaked"})
    assert refused.status == 400
    assert [(request.elsewhere, request.authorization) for request in front.requests()[1:]] == [
        (True, None),
        (True, "Bearer leaked"),
    ]


def test_elsewhere_opens_registries_with_credentials(
    make_front: MakeFront, make_registry: MakeRegistry, make_token_server: MakeTokenServer
) -> None:
    tokens = make_token_server(user="ann", password="secret")
    for registry in (make_registry(user="ann", password="secret"), make_registry(token=tokens)):
        digest = remote.put_blob(registry, "a/b", b"hello")
        front = make_front(registry)
        with Wire(front.elsewhere) as wire, Wire(front.host) as stranger:
            assert get(wire, f"/v2/a/b/blobs/{digest}").body == b"hello"
            assert stranger.once("GET", f"/v2/a/b/blobs/{digest}", None, {}).status == 401


def test_redirects_without_an_end(front: Front, wire: Wire, repo: str, blob: bytes) -> None:
    front.rule("GET", "/blobs/", faults.redirect_to_itself(), times=None)

    location = get(wire, target(repo, blob)).headers["location"]

    assert front.url + target(repo, blob) == location
    assert get(wire, location).status == 307


def test_uploads_elsewhere(front: Front, wire: Wire, registry: Registry, repo: str) -> None:
    front.rule("POST", "/uploads/", faults.upload_elsewhere())
    location = wire.request("POST", f"/v2/{repo}/blobs/uploads/").headers["location"]
    digest = "sha256:" + hashlib.sha256(b"hello").hexdigest()
    assert location.startswith(front.elsewhere_url)

    with Wire(front.elsewhere) as other:
        assert other.request("PUT", f"{location}&digest={digest}", b"hello").status == 201
    assert remote.has_blob(registry, repo, digest)


def test_mounts_as_some_registries_do(front: Front, wire: Wire, registry: Registry, repo: str, blob: bytes) -> None:
    digest = target(repo, blob).rsplit("/", 1)[1]
    mount = f"/v2/{repo}-copy/blobs/uploads/?mount={digest}&from={repo}"
    front.rule("POST", "mount=", faults.refuse_mount())
    front.rule("POST", "mount=", faults.false_mount(), nth=2)

    refused, false = wire.request("POST", mount), wire.request("POST", mount)

    assert refused.status == 202
    assert (201, digest) == (false.status, false.headers["docker-content-digest"])
    assert not remote.has_blob(registry, f"{repo}-copy", digest)
    assert wire.request("PUT", f"{refused.headers['location']}&digest={digest}", blob).status == 201
    assert wire.request("POST", mount.replace("-copy", "-third")).status == 201


def test_refuses_a_single_post(front: Front, wire: Wire, registry: Registry, repo: str) -> None:
    front.rule("POST", "digest=", faults.refuse_single_post())
    digest = "sha256:" + hashlib.sha256(b"{}").hexdigest()

    answer = wire.request("POST", f"/v2/{repo}/blobs/uploads/?digest={digest}", b"{}")

    assert answer.status == 202
    assert wire.request("PUT", f"{answer.headers['location']}&digest={digest}", b"{}").status == 201


def test_answers_with_registries_errors(front: Front, wire: Wire, repo: str) -> None:
    digest = "sha256:" + "1" * 64
    path = f"/v2/{repo}/manifests/v1"
    for number, action in enumerate(
        (faults.immutable_tag(), faults.immutable_tag(412, "DENIED"), faults.missing_blob(digest)), 1
    ):
        front.rule("PUT", "/manifests/", action, nth=number)

    answers = [wire.request("PUT", path, b"{}") for _ in range(3)]

    assert [(answer.status, json.loads(answer.body)["errors"][0]["code"]) for answer in answers] == [
        (400, "TAG_INVALID"),
        (412, "DENIED"),
        (404, "MANIFEST_BLOB_UNKNOWN"),
    ]


def test_gives_the_registrys_own_challenge(
    make_front: MakeFront, make_registry: MakeRegistry, make_token_server: MakeTokenServer
) -> None:
    tokens = make_token_server()
    front = make_front(make_registry(token=tokens))
    front.rule("GET", "/tags/", faults.unauthorized())
    front.rule("GET", "/tags/", faults.unauthorized('Basic realm="x"'), nth=2)
    bearer = {"Authorization": "Bearer " + tokens.sign(("repository:a/b:pull",))}

    with Wire(front.host) as wire:
        one, two, three = (wire.once("GET", "/v2/a/b/tags/list", None, bearer) for _ in range(3))

    assert [one.status, two.status, three.status] == [401, 401, 404]
    assert re.match(rf'Bearer realm="{tokens.realm}",.*scope="repository:a/b:pull"', one.headers["www-authenticate"])
    assert two.headers["www-authenticate"] == 'Basic realm="x"'


def test_pages_without_an_end(front: Front, wire: Wire, repo: str) -> None:
    front.rule("GET", "/tags/list", faults.endless_pages(), times=None)

    one = get(wire, f"/v2/{repo}/tags/list")
    link = one.headers["link"]
    two = get(wire, link[1 : link.index(">")])

    assert json.loads(one.body)["tags"] == ["p1-0", "p1-1"]
    assert json.loads(two.body)["tags"] == ["p2-0", "p2-1"]
    assert 'rel="next"' in two.headers["link"]


@pytest.mark.parametrize("sized", [True, False])
def test_answers_with_a_huge_manifest(front: Front, wire: Wire, repo: str, sized: bool) -> None:
    front.rule("GET", "/manifests/", faults.huge(10_000_000, sized=sized))

    answer = get(wire, f"/v2/{repo}/manifests/v1")

    assert len(answer.body) == 10_000_000
    assert sized == ("content-length" in answer.headers)


def test_speaks_tls_on_both_sides(
    tmp_path: Path, make_front: MakeFront, make_registry: MakeRegistry, authority: Authority
) -> None:
    make_image(tmp_path, "v1")
    registry = make_registry(tls=authority, relative_urls=False)
    front = make_front(registry, tls=authority)
    digest = "sha256:" + hashlib.sha256(b"hello").hexdigest()

    with Wire(front.host, ca=authority.ca) as wire:
        location = wire.request("POST", "/v2/a/b/blobs/uploads/").headers["location"]
        assert wire.request("PUT", f"{location}&digest={digest}", b"hello").status == 201

    assert location.startswith(f"https://{front.host}/")
    assert remote.get_blob(registry, "a/b", digest) == b"hello"


def test_absolute_locations_stay_with_the_front(make_front: MakeFront, make_registry: MakeRegistry) -> None:
    front = make_front(make_registry(relative_urls=False))

    with Wire(front.host) as wire:
        location = wire.request("POST", "/v2/a/b/blobs/uploads/").headers["location"]

    assert location.startswith(f"http://{front.host}/")


def test_a_registry_that_dies_is_a_cut_connection(make_front: MakeFront, make_registry: MakeRegistry) -> None:
    registry = make_registry()
    front = make_front(registry)
    front.rule("GET", "/tags/", do=lambda request: registry.kill())

    with Wire(front.host) as wire:
        assert get(wire, "/v2/").status == 200
        with pytest.raises(OSError, match=r"reset|closed"):
            get(wire, "/v2/a/tags/list")
    registry.start()
    with Wire(front.host) as wire:
        assert get(wire, "/v2/").status == 200


def test_counts_concurrent_requests(front: Front, repo: str) -> None:
    stall = faults.Stall()
    front.rule("GET", "/tags/", stall, times=None)

    def ask() -> None:
        with Wire(front.host) as wire:
            get(wire, f"/v2/{repo}/tags/list")

    threads = [threading.Thread(target=ask) for _ in range(7)]
    for thread in threads:
        thread.start()
    until(lambda: front.count("GET", "/tags/") == 7, "seven requests")
    stall.release()
    for thread in threads:
        thread.join(10)

    assert (front.peak, front.connections) == (7, 7)


def test_a_delayed_line_takes_its_time_and_loses_nothing(tmp_path: Path, registry: Registry, repo: str) -> None:
    image: Image = make_image(tmp_path, "v1", layer_bytes=3_000_000, seed=repo)
    with Delay(registry.host, round_trip=0.04) as line:
        assert image.digest == remote.push(tmp_path, "v1", line.host, repo)
        with Wire(line.host) as wire:
            begin = time.monotonic()
            get(wire, "/v2/")
            first = time.monotonic()
            get(wire, "/v2/")
            second = time.monotonic()

    # Only the least is asserted: a busy machine may take any time longer.
    assert first - begin >= 0.08
    assert second - first >= 0.04
    assert image.digest in remote.walk(registry, repo, "v1")


def test_a_delayed_line_to_nowhere_is_closed() -> None:
    with Front("127.0.0.1:9") as unused:
        free = unused.host
    with Delay(free, round_trip=0.0) as line, Wire(line.host) as wire, pytest.raises(OSError, match=r"reset|closed"):
        get(wire, "/v2/")
