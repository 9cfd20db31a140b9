"""Azure Container Registry: a real docker-registry with tokens, before it a double of the exchange, and of Entra ID."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from liftlock.auth import acr, azure
from liftlock.auth.access import RegistryAccess
from liftlock.auth.keychain import Keychain
from liftlock.auth.secret import Secret
from liftlock.errors import AccessDenied, ConfigError, RegistryError
from liftlock.services.session import Session
from liftlock.transfer.execute import execute
from liftlock.transfer.model import CopyRequest
from liftlock.transfer.plan import make_plan
from liftlock.transfer.survey import survey
from tests.conftest import MakeFront, MakeRegistry, MakeTokenServer
from tests.support import faults, images
from tests.support.azure import REGISTRY, TENANT, Acr, Entra, jwt
from tests.support.certificates import Authority


@pytest.fixture
def entra(authority: Authority) -> Iterator[Entra]:
    with Entra(authority) as server:
        yield server


@pytest.fixture
def contoso(make_registry: MakeRegistry, make_token_server: MakeTokenServer, make_front: MakeFront) -> Acr:
    tokens = make_token_server(user="nobody", password="at all")
    registry = make_registry(token=tokens)
    return Acr(registry, tokens, make_front(registry))


@pytest.fixture(autouse=True)
def strangers() -> Iterator[None]:
    """Nothing is remembered from test to test."""
    yield
    acr.forget()
    azure.forget()


def _copy(env: Mapping[str, str], layout: Path, repository: str = "app") -> None:
    with Session(env) as session:
        request = CopyRequest(f"oci:{layout}", "v1", f"{REGISTRY}/{repository}", ("v1",))
        execute(make_plan(survey([request], session.targets)), session.targets, state=str(layout.parent / "state"))


def _env(entra: Entra, contoso: Acr, home: Path) -> dict[str, str]:
    return {**entra.env, **contoso.env, "HOME": str(home)}


def test_an_identity_in_azure_is_all_that_a_copy_needs(entra: Entra, contoso: Acr, home: Path, tmp_path: Path) -> None:
    image = images.make_image(tmp_path / "image", "v1", platforms=("linux/amd64", "linux/arm64"))

    _copy(_env(entra, contoso, home), image.layout)

    (exchange,) = contoso.exchanges
    assert exchange["service"] == REGISTRY
    assert exchange["tenant"] == TENANT
    assert [form["scope"] for form in entra.forms] == ["https://containerregistry.azure.net/.default"]
    assert {request.form["refresh_token"] for request in contoso.tokens.requests()} == {contoso.tokens.identity_token}
    assert contoso.registry.count("PUT", "/manifests/v1", 201) == 1


def test_the_next_operation_exchanges_nothing(entra: Entra, contoso: Acr, home: Path, tmp_path: Path) -> None:
    image = images.make_image(tmp_path / "image", "v1")

    for repository in ("one", "two"):
        _copy(_env(entra, contoso, home), image.layout, repository)

    assert len(contoso.exchanges) == len(entra.forms) == 1


def test_a_token_about_to_end_is_exchanged_anew(entra: Entra, contoso: Acr, home: Path) -> None:
    contoso.lifetime = 0

    found = {acr.credential(REGISTRY, _env(entra, contoso, home), "") for _ in range(2)}

    assert len(found) == len(contoso.exchanges) == 2
    assert len(entra.forms) == 1


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({"iat": 1_000_000, "exp": 1_010_800}, 10_800),  # by a clock that is years away
        ({"iat": "now", "exp": 10**400}, 3600),
        ({"exp": "soon"}, 3600),
        ({"exp": float("nan")}, 3600),
        ({"exp": []}, 3600),
        ({}, 3600),
    ],
)
def test_a_token_lives_as_long_as_it_says_by_whatever_clock(
    said: dict[str, object], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azure, "find_token", lambda _scope, _env: Secret(jwt({})))
    monkeypatch.setattr(acr, "_exchange", lambda _registry, _token, _env: jwt(said))
    before = time.time()

    _, end = acr._exchanged(REGISTRY, {})

    assert before + seconds <= end <= time.time() + seconds


def test_many_threads_exchange_once(entra: Entra, contoso: Acr, home: Path) -> None:
    start = threading.Barrier(8)
    found = []

    def ask() -> None:
        start.wait()
        found.append(acr.credential(REGISTRY, _env(entra, contoso, home), ""))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(found)) == 1
    assert found[0] is not None
    assert (found[0].username, found[0].kind) == (acr.USERNAME, "identity-token")
    assert len(contoso.exchanges) == 1


def test_a_token_that_the_registry_has_had_enough_of_is_renewed(
    entra: Entra, contoso: Acr, home: Path, tmp_path: Path
) -> None:
    """A 401 in the middle of a copy: another access token, with the same refresh token, and on it goes."""
    image = images.make_image(tmp_path / "image", "v1", layers=3)
    challenge = f'Bearer realm="{contoso.tokens.realm}",service="liftlock-test-registry",error="invalid_token"'
    rule = contoso.front.rule("PUT", r"/blobs/uploads/", faults.unauthorized(challenge))

    _copy(_env(entra, contoso, home), image.layout)

    assert rule.hits == 1
    assert len(contoso.exchanges) == 1
    assert len(contoso.tokens.requests()) > 1
    assert contoso.registry.count("PUT", "/manifests/v1", 201) == 1


def test_a_registry_of_another_tenant_is_told_so(entra: Entra, contoso: Acr, home: Path, tmp_path: Path) -> None:
    contoso.refuses = True
    image = images.make_image(tmp_path / "image", "v1")

    with pytest.raises(AccessDenied) as told:
        _copy(_env(entra, contoso, home), image.layout)

    assert REGISTRY in told.value.message
    assert "UNAUTHORIZED" in told.value.message
    assert "AcrPush" in told.value.hint
    assert "eyJ" not in f"{told.value!r} {told.value.hint}"


def test_an_identity_that_is_over_is_entras_word(entra: Entra, contoso: Acr, home: Path, tmp_path: Path) -> None:
    entra.refusal = "AADSTS7000222: The provided client secret keys are expired."
    image = images.make_image(tmp_path / "image", "v1")

    with pytest.raises(AccessDenied, match="AADSTS7000222"):
        _copy(_env(entra, contoso, home), image.layout)
    assert not contoso.exchanges


@pytest.mark.parametrize("body", [b"", b"[]", b'{"refresh_token": ""}', b'{"refresh_token": 7}'])
def test_an_exchange_without_a_token_is_no_token(entra: Entra, contoso: Acr, home: Path, body: bytes) -> None:
    contoso.front.clear()
    contoso.front.rule("POST", "^/oauth2/exchange$", faults.respond(200, body), times=None)

    with pytest.raises(RegistryError, match="without one"):
        acr.credential(REGISTRY, _env(entra, contoso, home), "")


def test_a_passing_trouble_of_the_exchange_is_waited_out(entra: Entra, contoso: Acr, home: Path) -> None:
    contoso.front.clear()
    contoso.front.rule("POST", "^/oauth2/exchange$", faults.error(503, retry_after="0"))
    contoso.front.rule("POST", "^/oauth2/exchange$", faults.respond(200, b'{"refresh_token": "opaque"}'), times=None)

    found = acr.credential(REGISTRY, _env(entra, contoso, home), "")

    assert found is not None
    assert found.secret.reveal() == "opaque"


def test_the_exchange_does_not_follow_a_redirect(entra: Entra, contoso: Acr, home: Path) -> None:
    contoso.front.clear()
    away = {"Location": "http://127.0.0.1:1/oauth2/exchange"}
    contoso.front.rule("POST", "^/oauth2/exchange$", faults.respond(307, b"", away), times=None)

    with pytest.raises(RegistryError, match="307"):
        acr.credential(REGISTRY, _env(entra, contoso, home), "")


def test_nobody_is_anonymous(tmp_path: Path) -> None:
    assert acr.credential(REGISTRY, {"PATH": str(tmp_path)}, "") is None


def test_a_role_is_amazons(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none to assume"):
        acr.credential(REGISTRY, {"PATH": str(tmp_path)}, "arn:aws:iam::123456789012:role/x")


def test_a_stored_login_comes_before_the_cloud(entra: Entra, contoso: Acr, home: Path) -> None:
    env = _env(entra, contoso, home)
    stored = {"LIFTLOCK_REGISTRY": REGISTRY, "LIFTLOCK_USERNAME": "token1", "LIFTLOCK_PASSWORD": "p"}

    found = Keychain({**env, **stored}).find(REGISTRY, "app")

    assert found is not None
    assert found.username == "token1"
    assert not entra.forms


@pytest.mark.parametrize(("lives", "who"), [(-1, "the cloud"), (3600, "az acr login")])
def test_a_login_of_the_cli_counts_until_it_is_over(
    entra: Entra, contoso: Acr, home: Path, *, lives: int, who: str
) -> None:
    kept = jwt({"exp": int(time.time()) + lives})
    login = {"auth": base64.b64encode(f"{acr.USERNAME}:".encode()).decode(), "identitytoken": kept}
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {REGISTRY: login}}))

    found = Keychain(_env(entra, contoso, home)).find(REGISTRY, "app")

    assert found is not None
    assert (found.secret.reveal() == kept) == (who == "az acr login")
    assert len(contoso.exchanges) == (who == "the cloud")


def test_the_endpoint_of_a_pipeline_file_is_where_the_exchange_goes(entra: Entra, contoso: Acr, home: Path) -> None:
    registries = {REGISTRY: RegistryAccess(endpoint=contoso.front.url)}

    found = Keychain({**entra.env, "HOME": str(home)}, registries).find(REGISTRY, "app")

    assert found is not None
    assert len(contoso.exchanges) == 1


@pytest.mark.parametrize("url", ["http://management.example", "management.azure.com", "ftp://x"])
def test_a_resource_manager_is_spoken_to_with_tls(url: str) -> None:
    with pytest.raises(ConfigError, match="AZURE_RESOURCE_MANAGER_ENDPOINT is no https URL"):
        acr.resource_manager(REGISTRY, {"AZURE_RESOURCE_MANAGER_ENDPOINT": url})
