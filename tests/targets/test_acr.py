"""Imports and locks of Azure Container Registry.

Azure is not here: a double of its resource manager imports, by skopeo, into a real docker-registry with tokens, before
which a double answers what only Azure's registry does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from liftlock.auth import acr
from liftlock.auth.access import RegistryAccess
from liftlock.auth.authorizer import Authorizer
from liftlock.auth.secret import Credential, Secret
from liftlock.errors import AccessDenied, Cancelled, Conflict, LiftlockError, NotFound, RegistryError
from liftlock.oci.digest import Digest
from liftlock.services.session import Session
from liftlock.targets import acr as target
from liftlock.targets.registry_home import Home
from liftlock.transfer.events import Cancel
from liftlock.transfer.execute import execute
from liftlock.transfer.model import CopyRequest, Options, Plan, Result
from liftlock.transfer.plan import make_plan
from liftlock.transfer.survey import survey
from liftlock.transport.client import Transport
from tests.acceptance.workshop import Workshop
from tests.auth.support import Keys
from tests.conftest import MakeFront, MakeRegistry, MakeTokenServer
from tests.support import faults, images, remote
from tests.support.azure import REGISTRY, RESOURCE, SECRET, Acr, Entra, ResourceManager
from tests.support.certificates import Authority
from tests.support.registry import Registry
from tests.support.tokens import TokenServer

SOURCE = "build.example.com"
USER, PASSWORD = "puller", "source-password~7"


class Cloud(NamedTuple):
    """A registry that holds images, Azure, and what somebody has who works with both."""

    source: Registry
    contoso: Acr
    manager: ResourceManager
    env: Mapping[str, str]
    state: Path

    def plan(self, request: CopyRequest, *, lock: bool = False, cancel: Cancel | None = None) -> tuple[Plan, Result]:
        access = RegistryAccess(import_into=RESOURCE, lock=lock)
        with Session(self.env, registries={REGISTRY: access}) as session:
            plan = make_plan(survey([request], session.targets, Options(lock=True), cancel=cancel))
            return plan, execute(plan, session.targets, state=str(self.state), cancel=cancel)


@pytest.fixture(scope="module")
def source() -> Iterator[Registry]:
    with Registry(user=USER, password=PASSWORD) as registry:
        yield registry


@pytest.fixture(scope="module")
def tokens(authority: Authority) -> Iterator[TokenServer]:
    with TokenServer(authority, user="nobody", password="at all") as server:
        yield server


@pytest.fixture(scope="module")
def destination(tokens: TokenServer) -> Iterator[Registry]:
    with Registry(token=tokens) as registry:
        yield registry


@pytest.fixture(scope="module")
def entra(authority: Authority) -> Iterator[Entra]:
    with Entra(authority) as server:
        yield server


@pytest.fixture
def cloud(
    source: Registry,
    destination: Registry,
    tokens: TokenServer,
    entra: Entra,
    make_front: MakeFront,
    *,
    home: Path,
    tmp_path: Path,
) -> Iterator[Cloud]:
    contoso = Acr(destination, tokens, make_front(destination))
    (home / ".docker").mkdir()
    login = {"auths": {SOURCE: {"username": USER, "password": PASSWORD}}}
    (home / ".docker" / "config.json").write_text(json.dumps(login))
    with ResourceManager(RESOURCE, destination, {SOURCE: source}) as manager:
        places = f"{contoso.env['LIFTLOCK_ENDPOINTS']},{SOURCE}={source.url}"
        env = {**entra.env, **manager.env, "LIFTLOCK_ENDPOINTS": places, "HOME": str(home)}
        yield Cloud(source, contoso, manager, env, tmp_path / "state")
    acr.forget()  # what the next one gets is another's


@pytest.fixture
def image(source: Registry, repo: str, tmp_path: Path) -> images.Image:
    made = images.make_image(tmp_path / "image", "v1", seed=repo, platforms=("linux/amd64", "linux/arm64"))
    images.attach_referrer(made.layout, made.digest, "application/vnd.example.signature", repo.encode())
    remote.push(made.layout, "v1", source, repo)
    return made


def _request(repo: str, *tags: str) -> CopyRequest:
    return CopyRequest(f"{SOURCE}/{repo}", "v1", f"{REGISTRY}/{repo}", tags or ("v1",))


def _sent(cloud: Cloud) -> int:
    return cloud.contoso.front.count("PUT", "/blobs/uploads/", 201)


def test_an_absent_image_is_fetched_by_azure_itself(cloud: Cloud, image: images.Image, repo: str) -> None:
    cloud.manager.polls = 2
    plan, result = cloud.plan(_request(repo))

    assert list(plan.strategies) == ["import"]
    (order,) = cloud.manager.imports
    assert order == {
        "source": {
            "registryUri": SOURCE,
            "sourceImage": f"{repo}@{image.digest}",
            "credentials": {"username": USER, "password": PASSWORD},
        },
        "targetTags": [],
        "untaggedTargetRepositories": [repo],
        "mode": "NoForce",
    }
    assert len(cloud.manager.requests) == 3, "one order, and asked after twice"
    assert [way for _, _, way in result.ways] == ["import"]
    assert result.copied == 2, "the signature's own two blobs"
    assert _whole(cloud, repo, image)
    assert PASSWORD not in str(result.to_json())


def test_what_azure_fetched_is_found_again(cloud: Cloud, image: images.Image, repo: str) -> None:
    cloud.plan(_request(repo))

    plan, _ = cloud.plan(_request(repo, "v1", "stable"))

    assert list(plan.strategies) == ["retag"]
    assert len(cloud.manager.imports) == 1
    assert remote.digest_of(cloud.contoso.registry, repo, "stable") == image.digest


@pytest.mark.parametrize(
    ("late", "refusal"),
    [
        (False, (403, "AuthorizationFailed", f"The client may not read it with {PASSWORD}.")),
        (False, (400, "InvalidRequestBody", "The source registry has network rules.")),
        (True, (400, "ImportFailed", "The source does not support ranges.")),
    ],
)
def test_what_azure_refuses_is_copied_and_said(
    cloud: Cloud, image: images.Image, repo: str, *, late: bool, refusal: tuple[int, str, str]
) -> None:
    if late:
        cloud.manager.late_refusal = refusal
    else:
        cloud.manager.refusal = refusal

    _, result = cloud.plan(_request(repo))

    assert [way for _, _, way in result.ways] == ["copy"]
    (note,) = result.notes
    assert f"{refusal[0]}, {refusal[1]}" in note
    assert PASSWORD not in note
    assert _sent(cloud) == len(image.blobs) + 2
    assert _whole(cloud, repo, image)


@pytest.mark.parametrize(
    ("refusal", "kind", "said"),
    [
        ((404, "ResourceNotFound", "no such registry"), NotFound, "resource id"),
        ((409, "Conflict", "another operation is under way"), RegistryError, ""),
        ((401, "InvalidAuthenticationToken", "wrong tenant"), AccessDenied, "tenant"),
    ],
)
def test_other_failures_are_errors_that_name_registry_and_action(
    cloud: Cloud, image: images.Image, repo: str, *, refusal: tuple[int, str, str], kind: type[LiftlockError], said: str
) -> None:
    cloud.manager.refusal = refusal

    with pytest.raises(kind) as told:
        cloud.plan(_request(repo))

    assert f"{REGISTRY}/{repo}: cannot import {SOURCE}/{repo}" in told.value.message
    assert refusal[1] in told.value.message
    assert said in told.value.hint
    assert PASSWORD not in f"{told.value!r}{told.value.hint}"
    assert remote.list_tags(cloud.contoso.registry, repo) == []
    assert image.digest


def test_a_done_that_was_not_done_is_noticed(cloud: Cloud, image: images.Image, repo: str) -> None:
    cloud.manager.loses = True

    with pytest.raises(LiftlockError, match=f"{image.digest}|was imported, but is not there"):
        cloud.plan(_request(repo))
    assert remote.list_tags(cloud.contoso.registry, repo) == []


def test_patience_with_azure_has_an_end(
    cloud: Cloud, image: images.Image, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "PATIENCE", 0.0)
    cloud.manager.polls = 1000

    with pytest.raises(LiftlockError, match="not done within 0 minutes"):
        cloud.plan(_request(repo))
    assert image.digest


def test_a_cancel_ends_the_waiting(cloud: Cloud, image: images.Image, repo: str) -> None:
    cancel = Cancel()
    cloud.manager.polls = 1_000_000
    cloud.manager.asked = cancel.request

    with pytest.raises(Cancelled):
        cloud.plan(_request(repo), cancel=cancel)
    assert remote.list_tags(cloud.contoso.registry, repo) == []
    assert image.digest


def test_the_place_to_ask_after_is_azures_own(cloud: Cloud, image: images.Image, repo: str) -> None:
    """A token of the resource manager goes to the resource manager."""
    cloud.manager.elsewhere = "http://127.0.0.1:1/operation"

    with pytest.raises(RegistryError, match="does not say where"):
        cloud.plan(_request(repo))
    assert image.digest


def test_another_registry_of_azure_is_read_with_a_token_in_place_of_a_password(
    cloud: Cloud,
    make_registry: MakeRegistry,
    make_token_server: MakeTokenServer,
    make_front: MakeFront,
    *,
    repo: str,
    tmp_path: Path,
) -> None:
    made = images.make_image(tmp_path / "image", "v1")
    tokens = make_token_server(user="nobody", password="at all")
    registry = make_registry(token=tokens)
    remote.push(made.layout, "v1", registry, f"{repo}-there")
    other = Acr(registry, tokens, make_front(registry))
    places = f"{cloud.env['LIFTLOCK_ENDPOINTS']},fabrikam.azurecr.io={other.front.url}"
    cloud.manager.refusal = (400, "ImportFailed", "enough seen")

    cloud._replace(env={**cloud.env, "LIFTLOCK_ENDPOINTS": places}).plan(
        CopyRequest(f"fabrikam.azurecr.io/{repo}-there", "v1", f"{REGISTRY}/{repo}", ("v1",))
    )

    (order,) = cloud.manager.imports
    bearer = cloud.manager.requests[0].headers["authorization"]
    assert order["source"]["credentials"] == {"password": bearer.removeprefix("Bearer ")}


def test_a_token_of_another_registry_is_not_given_to_azure() -> None:
    transport = Transport()
    keys = Keys(Credential("somebody", Secret("refresh"), "identity-token"))
    home = Home(Authorizer(transport, keys), REGISTRY, access=RegistryAccess(import_into=RESOURCE))
    importer = target.AcrImporter(home, "app", RESOURCE)

    why = importer.import_image("quay.io/app", Digest.of(b"x"), lambda _: None)

    assert "takes no token of quay.io" in why
    assert transport.traffic.total().requests == 0


@pytest.mark.parametrize(
    ("registry", "user"),
    [("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "AWS"), ("europe-docker.pkg.dev", "oauth2accesstoken")],
)
def test_nor_is_the_password_of_another_cloud(registry: str, user: str) -> None:
    """It opens all registries of its owner, or all of Google's cloud: more than an import is worth."""
    transport = Transport()
    keys = Keys(Credential(user, Secret("of the cloud")))
    home = Home(Authorizer(transport, keys), REGISTRY, access=RegistryAccess(import_into=RESOURCE))

    why = target.AcrImporter(home, "app", RESOURCE).import_image(f"{registry}/app", Digest.of(b"x"), lambda _: None)

    assert "is another cloud's" in why
    assert transport.traffic.total().requests == 0


# --- locks ------------------------------------------------------------------------------------------------------------


def test_promoted_tags_and_digests_are_locked(cloud: Cloud, image: images.Image, repo: str) -> None:
    cloud.plan(_request(repo, "v1", "v1.0"), lock=True)

    assert cloud.contoso.locks == {f"{repo}:v1", f"{repo}:v1.0", f"{repo}@{image.digest}"}
    assert cloud.contoso.front.requests()[-1].method in ("HEAD", "PATCH")


def test_what_a_crash_left_unlocked_is_locked_by_the_same_command(cloud: Cloud, image: images.Image, repo: str) -> None:
    gone = cloud.contoso.front.rule("PATCH", "/_tags/", None)
    cloud.contoso.front.clear()
    cloud.contoso.front.rule("PATCH", "/_tags/", faults.error(400, "INVALID"))
    restored = Acr(cloud.contoso.registry, cloud.contoso.tokens, cloud.contoso.front)

    with pytest.raises(RegistryError, match="cannot lock tag v1"):
        cloud.plan(_request(repo), lock=True)
    assert restored.locks == {f"{repo}@{image.digest}"}
    plan, _ = cloud.plan(_request(repo), lock=True)

    assert plan.empty
    assert restored.locks == {f"{repo}@{image.digest}", f"{repo}:v1"}
    assert not gone.hits


def test_a_locked_tag_that_holds_the_image_is_success(cloud: Cloud, image: images.Image, repo: str) -> None:
    for _ in range(2):
        cloud.plan(_request(repo), lock=True)

    assert f"{repo}@{image.digest}" in cloud.contoso.locks


def test_a_tag_that_is_locked_to_another_image_stays(
    cloud: Cloud, image: images.Image, repo: str, tmp_path: Path
) -> None:
    cloud.plan(_request(repo), lock=True)
    other = images.make_image(tmp_path / "other", "v1", seed="other")
    remote.push(other.layout, "v1", cloud.source, repo)

    with pytest.raises(Conflict) as told:
        cloud.plan(_request(repo), lock=True)

    assert f"{REGISTRY}/{repo}" in told.value.message
    assert "lock" in told.value.hint
    assert remote.digest_of(cloud.contoso.registry, repo, "v1") == image.digest


def test_a_pipeline_file_says_it_all(cloud: Cloud, image: images.Image, repo: str, tmp_path: Path) -> None:
    """The commands of a user: the plan says import, the promotion does it, and locks what it tagged."""
    workshop = Workshop(
        tmp_path / "shop",
        f"""
        pipeline: shop
        images: [web]
        registries:
          {REGISTRY}: {{import: {RESOURCE}, lock: true}}
        stages:
          - {{name: live, to: {REGISTRY}/{repo}, tags: ["{{build}}"]}}
        """,
    )
    env = {**cloud.env, "PATH": os.environ["PATH"]}
    workshop.run("artifact", "publish", f"web={SOURCE}/{repo}:v1", "--build", "42", env=env)
    workshop.run("release", "create", "42", env=env)

    planned = workshop.run("plan", "42", "--to", "live", env=env).out
    promoted = workshop.json("promote", "42", "--to", "live", env=env)

    assert "imports    1, by the destination's registry" in planned
    assert planned.count("  import\n") == 1
    assert [each["strategy"] for each in promoted["images"]] == ["import"]
    assert len(cloud.manager.imports) == 1
    assert cloud.contoso.locks == {f"{repo}:42", f"{repo}@{image.digest}"}
    kept = b"".join(file.read_bytes() for file in (tmp_path / "shop").rglob("*") if file.is_file())
    assert PASSWORD.encode() not in kept
    assert SECRET.encode() not in kept
    assert b"eyJ" not in kept


def test_without_lock_nothing_is_locked(cloud: Cloud, image: images.Image, repo: str) -> None:
    cloud.plan(_request(repo))

    assert not cloud.contoso.locks
    assert image.digest


def _whole(cloud: Cloud, repo: str, image: images.Image) -> bool:
    """Whether the image is there as it is at the source, to the byte, with its signature."""
    here, there = (remote.walk(place, repo, "v1") for place in (cloud.contoso.registry, cloud.source))
    listing = images.fallback_tag(image.digest)  # who keeps it writes it in a way of its own
    lists = {remote.digest_of(place, repo, listing) for place in (cloud.contoso.registry, cloud.source)}
    return here.keys() - lists == there.keys() - lists
