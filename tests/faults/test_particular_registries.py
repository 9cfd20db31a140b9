"""Whole copies as with certain registries: what they say and do that no other does. Each says where that is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from liftlock.errors import AccessDenied, Conflict, RegistryError
from liftlock.services.copying import copy
from liftlock.services.pairs import Pair, want
from liftlock.services.session import Session
from liftlock.transfer.model import Options
from tests.conftest import MakeFront, MakeRegistry, MakeTokenServer
from tests.faults.conftest import MakeCopying
from tests.faults.world import FALLBACK, TAG, UPLOAD
from tests.support import faults, images, remote
from tests.support.front import Exchange

pytestmark = pytest.mark.fault

SLOW = pytest.mark.slow


# --- Nexus, and old Quays ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["index", pytest.param("several", marks=SLOW)])
def test_digests_are_never_said_and_cookies_given(make_copying: MakeCopying, kind: str) -> None:
    """Nexus on PostgreSQL, and Quay until quay/quay#1310, say no digest. A cookie would make Harbor ask for a token
    against forged requests (goharbor/harbor#9323)."""
    copying = make_copying(kind)

    def act(exchange: Exchange) -> None:
        answer = exchange.forward()
        answer.set("Docker-Content-Digest", None)
        answer.set("Set-Cookie", "sid=1; Path=/; HttpOnly")
        exchange.relay(answer)

    for front in copying.fronts:
        front.rule(None, "", act, times=None)

    copying.survives()
    assert not [each for front in copying.fronts for each in front.requests() if "cookie" in each.headers]


def test_a_token_server_without_a_scheme(make_copying: MakeCopying) -> None:
    """Nexus 3.77 writes ``null://`` into its challenge (sonatype/nexus-public#580)."""
    copying = make_copying("single")

    def nameless(exchange: Exchange) -> None:
        answer = exchange.forward()
        challenge = answer.header("WWW-Authenticate")
        if challenge is not None:
            answer.set("WWW-Authenticate", challenge.replace('realm="http://', 'realm="null://'))
        exchange.relay(answer)

    for front in copying.fronts:
        front.rule(None, "", nameless, times=None)
    for side in copying.sides:
        side.tokens.forget()

    copying.survives()
    assert all(side.tokens.requests() for side in copying.sides)


# --- Harbor -----------------------------------------------------------------------------------------------------------


def test_an_image_that_a_policy_keeps_back(make_copying: MakeCopying) -> None:
    """Harbor answers 412 to who reads an image with too many findings (goharbor/harbor#15885)."""
    copying = make_copying("single")
    said = "current image with 3 vulnerabilities cannot be pulled due to configured policy"
    copying.source.rule(None, TAG, faults.error(412, "PROJECTPOLICYVIOLATION", said), times=None)

    error = copying.fails(Conflict, "source")
    assert "the registry blocks it" in str(error)


def test_a_tag_that_a_policy_keeps_back_at_the_destination_is_not_taken_for_absent(make_copying: MakeCopying) -> None:
    """412 to HEAD, too (goharbor/harbor#15283): the tag exists, and what it holds is not known."""
    copying = make_copying("index")
    copying.destination.rule("HEAD", r"/manifests/stable$", faults.respond(412), times=None)

    copying.fails(Conflict, "destination", again=False)
    assert copying.destination.count("PUT", TAG) == 0
    copying.succeeds_again()


@pytest.mark.parametrize("oauth2", [True, pytest.param(False, marks=SLOW)], ids=["POST", "GET"])
def test_a_robot_with_signs_in_its_name(
    oauth2: bool,
    make_token_server: MakeTokenServer,
    make_registry: MakeRegistry,
    make_front: MakeFront,
    *,
    home: Path,
    tmp_path: Path,
) -> None:
    """Harbor's robots are called ``robot$project+name``."""
    tokens = make_token_server(user="robot$shop+ci", password="pa+ss%24&word", oauth2=oauth2)
    front = make_front(make_registry(token=tokens))
    image = images.make_image(tmp_path / "image", "v1", layers=1, layer_bytes=1000)
    env = {
        "HOME": str(home),
        "LIFTLOCK_REGISTRY": front.host,
        "LIFTLOCK_USERNAME": "robot$shop+ci",
        "LIFTLOCK_PASSWORD": "pa+ss%24&word",
    }
    with Session(env) as session:
        copy(session, [want(Pair(f"oci:{image.layout}:v1", f"{front.host}/shop/web:v1"))], Options())

    assert front.count("PUT", r"/manifests/v1$", status=201) == 1


# --- Artifactory and GitLab -------------------------------------------------------------------------------------------


ARTIFACTORY = ("X-JFrog-Version", "Artifactory/7.104 80000")
GITLAB = ("Gitlab-Container-Registry-Version", "v4.20.0-gitlab")


@pytest.mark.parametrize(
    ("mark", "kind"),
    [
        (ARTIFACTORY, "single"),
        pytest.param(ARTIFACTORY, "index", marks=SLOW),
        (GITLAB, "single"),
        pytest.param(GITLAB, "index", marks=SLOW),
    ],
    ids=["Artifactory-single", "Artifactory-index", "GitLab-single", "GitLab-index"],
)
def test_what_is_absent_is_denied(make_copying: MakeCopying, mark: tuple[str, str], kind: str) -> None:
    """Artifactory's virtual repositories (google/go-containerregistry#1691, sigstore/cosign#2973), and GitLab for
    nested repositories (containers/skopeo#2484)."""
    copying = make_copying(kind)
    denied = 0

    def instead(exchange: Exchange) -> None:
        nonlocal denied
        answer = exchange.forward()
        if answer.status == 404:
            denied += 1
            answer.read(1 << 16)
            body = json.dumps({"errors": [{"code": "DENIED", "message": "requested access is denied"}]}).encode()
            exchange.reply(403, body, {"Content-Type": "application/json", mark[0]: mark[1]})
            return
        answer.set(mark[0], mark[1])
        exchange.relay(answer)

    for method in ("HEAD", "GET"):
        copying.destination.rule(method, "/(manifests|blobs|tags)/", instead, times=None)

    copying.survives()
    assert denied


@pytest.mark.parametrize("kind", ["single", pytest.param("several", marks=SLOW)])
def test_uploads_whose_put_takes_no_bytes(make_copying: MakeCopying, kind: str) -> None:
    """Artifactory 6 answers BLOB_UNKNOWN (docker/buildx#196): the bytes come with one PATCH. That is learnt once."""
    copying = make_copying(kind)

    def empty_handed(exchange: Exchange) -> None:
        if exchange.request.headers.get("content-length") == "0":
            exchange.relay(exchange.forward())
        else:
            exchange.drain()
            faults.error(404, "BLOB_UNKNOWN", "blob unknown to registry")(exchange)

    copying.destination.rule("PUT", UPLOAD, empty_handed, times=None)

    copied = copying.survives()
    assert copied.result is not None
    assert copying.destination.count("PATCH", UPLOAD, status=202) == copied.result.copied
    copying.forget()
    copying.survives()
    assert copying.destination.count("PUT", UPLOAD, status=404) == 0


def test_a_tag_that_may_not_be_replaced_without_the_right_to_delete(make_copying: MakeCopying) -> None:
    """Artifactory (jfrog.com/help, "Overwriting a tag needs Delete/Overwrite")."""
    copying = make_copying("single")
    said = faults.error(403, "MANIFEST_INVALID", "Not enough permissions to overwrite artifact 'shop/web/stable'")
    copying.destination.rule("PUT", TAG, said, times=None)

    error = copying.fails(AccessDenied, "destination")
    assert "Not enough permissions to overwrite" in str(error)
    assert error.hint.startswith("replacing a tag may need the right to delete as well; ")


# --- GHCR -------------------------------------------------------------------------------------------------------------


def test_a_fallback_index_that_says_wrong_types(make_copying: MakeCopying) -> None:
    """GHCR's are not to be relied on (NVIDIA/aicr#1957): what is written at the destination is the manifests' own."""
    copying = make_copying("index")

    def wrongly(exchange: Exchange) -> None:
        answer = exchange.forward()
        index = json.loads(answer.read(1 << 20))
        for entry in index["manifests"]:
            entry["artifactType"] = "application/vnd.oci.image.config.v1+json"
            entry.pop("annotations", None)
        exchange.reply(200, json.dumps(index).encode(), {"Content-Type": images.OCI_INDEX})

    rule = copying.source.rule("GET", FALLBACK, wrongly, times=None)

    copying.survives()
    assert rule.hits


# --- Docker Hub -------------------------------------------------------------------------------------------------------


def test_docker_hub_counts_one_pull_for_each_manifest_and_one_for_what_is_there(
    make_front: MakeFront, make_registry: MakeRegistry, home: Path, tmp_path: Path
) -> None:
    """A manifest's GET is a pull, its HEAD is not (docs.docker.com/docker-hub/usage/pulls).

    What is there already costs the index, whose children may have something attached, and without that nothing.
    """
    hub, destination = make_registry(), make_registry()
    image = images.make_image(tmp_path / "image", "1.0", platforms=("linux/amd64", "linux/arm64"), layers=1)
    remote.push(image.layout, "1.0", hub, "library/web")
    front = make_front(hub)
    env = {"HOME": str(home), "LIFTLOCK_ENDPOINTS": f"docker.io={front.url}"}

    def pulls(options: Options) -> list[str]:
        front.forget()
        with Session(env) as session:
            copy(session, [want(Pair("web:1.0", f"{destination.host}/web:1.0"))], options)
        return sorted(request.path.rpartition("/")[2] for request in front.find("GET", "/manifests/(sha256:|1.0)"))

    assert pulls(Options()) == sorted([image.digest, *(each.manifest.digest for each in image.platforms)])
    assert pulls(Options()) == [image.digest]
    assert pulls(Options(referrers=False)) == []


# --- Quay -------------------------------------------------------------------------------------------------------------


def test_an_artifact_that_is_not_on_a_registrys_list(make_copying: MakeCopying) -> None:
    """Quay takes only artifacts whose types it was told of (docs.quay.io, "OCI artifact types")."""
    copying = make_copying("index")
    _, listed = copying.cargo.held["web"]
    sboms = "|".join(
        digest for entries in listed.values() for digest, kind in entries if kind == "application/spdx+json"
    )
    refusal = faults.error(400, "MANIFEST_INVALID", "manifest schema unsupported")
    copying.destination.rule("PUT", f"/manifests/({sboms})$", refusal, times=None)

    error = copying.fails(RegistryError, "destination", again=False)
    assert "manifest schema unsupported" in str(error)
    assert "may not take this media type" in error.hint
    assert copying.destination.count("PUT", TAG) == 0
    copying.succeeds_again()
