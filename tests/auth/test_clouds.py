"""What all clouds have in common: to whom their passwords go, and what becomes of those who have none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from liftlock.auth import acr, azure, gar
from liftlock.auth.access import RegistryAccess
from liftlock.auth.keychain import Keychain
from liftlock.errors import AccessDenied, ConfigError, RefusedError
from liftlock.services import images
from liftlock.services.session import Session
from liftlock.transport.messages import Request
from tests.conftest import MakeFront, MakeRegistry, MakeTokenServer
from tests.support import images as support
from tests.support import remote
from tests.support.azure import REGISTRY as AZURES
from tests.support.azure import Acr, Entra
from tests.support.certificates import Authority
from tests.support.google import Google
from tests.support.registry import Registry

AMAZONS, GOOGLES = "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "europe-docker.pkg.dev"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"}


@pytest.fixture(autouse=True)
def strangers() -> Iterator[None]:
    """Nothing is remembered from test to test."""
    yield
    for module in (acr, azure, gar):
        module.forget()


@pytest.fixture
def tokens_for_all(make_registry: MakeRegistry, make_token_server: MakeTokenServer) -> Registry:
    """A registry that gives a token to everybody who asks for one."""
    return make_registry(token=make_token_server())


# --- to whom ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("registry", [AMAZONS, AZURES, GOOGLES])
@pytest.mark.parametrize(
    ("access", "variables"),
    [
        (RegistryAccess(endpoint="http://10.1.2.3"), {}),
        (RegistryAccess(endpoint="http://registry.example:5000"), {}),
        (RegistryAccess(plain_http=True), {}),
        (RegistryAccess(), {"LIFTLOCK_PLAIN_HTTP": "*"}),
        (RegistryAccess(endpoint="https://registry.example"), {"LIFTLOCK_ENDPOINTS": "{}=http://10.1.2.3"}),
    ],
)
def test_what_a_cloud_gives_is_never_sent_in_the_clear(
    registry: str, access: RegistryAccess, variables: dict[str, str], home: Path
) -> None:
    """A pipeline file's endpoint is not enough to have it overheard: no cloud is even asked."""
    env = {"HOME": str(home), **KEYS, **{name: value.format(registry) for name, value in variables.items()}}

    with pytest.raises(RefusedError, match="without encryption") as caught:
        Keychain(env, {registry: access}).find(registry, "app")

    assert registry in str(caught.value)


def test_nor_where_a_flag_asks_for_it(home: Path) -> None:
    with (
        Session({"HOME": str(home), **KEYS}, plain_http=(AMAZONS,)) as session,
        pytest.raises(RefusedError, match="without encryption"),
    ):
        session.keychain.find(AMAZONS, "app")


def test_this_machine_hears_itself(home: Path) -> None:
    access = RegistryAccess(endpoint="http://127.0.0.1:5000")

    assert Keychain({"HOME": str(home), "PATH": ""}, {GOOGLES: access}).find(GOOGLES, "app") is None


def test_a_realm_of_another_endpoint_gets_nothing_later(
    make_registry: MakeRegistry, make_token_server: MakeTokenServer, home: Path, tmp_path: Path
) -> None:
    """What an endpoint was once said to be must not be where passwords for the registry's own host go."""
    strange, own = make_token_server(), make_token_server(user="me", password="mine")
    elsewhere, registry = make_registry(token=strange), make_registry(token=own)
    made = support.make_image(tmp_path / "image", "v1")
    remote.push(made.layout, "v1", elsewhere, "app")
    remote.push(made.layout, "v1", registry, "app")
    env = {"HOME": str(home)}
    with Session(env, registries={registry.host: RegistryAccess(endpoint=elsewhere.url)}) as session:
        images.digest(session, f"{registry.host}/app:v1")
    strange.forget()

    mine = {"LIFTLOCK_REGISTRY": registry.host, "LIFTLOCK_USERNAME": "me", "LIFTLOCK_PASSWORD": "mine"}
    with Session({**env, **mine}) as session:
        images.digest(session, f"{registry.host}/app:v1")

    assert strange.requests() == []


# --- by which way -----------------------------------------------------------------------------------------------------


@pytest.fixture
def contoso(
    make_registry: MakeRegistry, make_token_server: MakeTokenServer, make_front: MakeFront, tmp_path: Path
) -> Acr:
    """A registry of Azure that only an authority of its own vouches for."""
    folder = tmp_path / "own"
    folder.mkdir()
    tokens = make_token_server()
    registry = make_registry(token=tokens)
    return Acr(registry, tokens, make_front(registry, tls=Authority(folder)))


@pytest.mark.parametrize("way", ["flag", "file"])
def test_a_cloud_is_reached_as_the_registry_is(way: str, authority: Authority, contoso: Acr, home: Path) -> None:
    """The authority that is trusted for the registry, and its endpoint, count for the exchange of tokens too."""
    assert contoso.front.authority is not None
    ca, url = str(contoso.front.authority.ca), contoso.front.url
    with Entra(authority) as entra:
        env = {**entra.env, "HOME": str(home)}
        if way == "flag":
            session = Session({**env, "LIFTLOCK_ENDPOINTS": f"{AZURES}={url}"}, ca_file=ca)
        else:
            session = Session(env, registries={AZURES: RegistryAccess(endpoint=url, ca_file=ca)})
        with session:
            assert session.keychain.find(AZURES, "app") is not None
            response = session.transport.send(Request("GET", f"{session.transport.base_url(AZURES)}/v2/"))
            response.close()

    assert response.status == 401
    assert len(contoso.exchanges) == 1


# --- strangers --------------------------------------------------------------------------------------------------------


def _public(registry: Registry, tmp_path: Path) -> support.Image:
    made = support.make_image(tmp_path / "image", "v1")
    remote.push(made.layout, "v1", registry, "app")
    return made


def _google(home: Path, registry: Registry, key: Path) -> dict[str, str]:
    places = {"LIFTLOCK_ENDPOINTS": f"gcr.io={registry.url}", "GOOGLE_APPLICATION_CREDENTIALS": str(key)}
    return {"HOME": str(home), **places}


def test_what_is_for_everybody_needs_no_library(
    tokens_for_all: Registry, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machines of CI systems have az and gcloud's login; that is no reason to be unable to read a public image."""
    made = _public(tokens_for_all, tmp_path)
    key = tmp_path / "key.json"
    key.write_text("{}")
    monkeypatch.setitem(sys.modules, "google.auth", None)

    with Session(_google(home, tokens_for_all, key)) as session:
        assert images.digest(session, "gcr.io/app:v1").digest == made.digest


def test_who_is_refused_as_a_stranger_is_told_what_to_install(
    make_registry: MakeRegistry, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = make_registry(user="oauth2accesstoken", password="a token")
    key = tmp_path / "key.json"
    key.write_text("{}")
    monkeypatch.setitem(sys.modules, "google.auth", None)

    with Session(_google(home, private, key)) as session, pytest.raises(ConfigError) as caught:
        images.digest(session, "gcr.io/app:v1")

    assert caught.value.hint == "pip install 'liftlock[gcp]'"


def test_who_is_forbidden_as_a_stranger_is_told_why_he_is_one(
    authority: Authority, tokens_for_all: Registry, make_front: MakeFront, home: Path, tmp_path: Path
) -> None:
    """Google gives strangers a token, and then says 403; each operation offers a refused key once."""
    front = make_front(tokens_for_all)
    front.rule("HEAD", "/manifests/", lambda exchange: exchange.reply(403, b""), times=None)
    with Google(authority.signer(), "ya29.x") as google:
        key = google.service_account(tmp_path / "key.json")
        google.pair = authority.signer("another")
        env = {**_google(home, tokens_for_all, key), "LIFTLOCK_ENDPOINTS": f"gcr.io={front.url}"}
        with Session(env) as session:
            for _ in range(2):
                with pytest.raises(AccessDenied, match="Google refuses the identity in"):
                    images.digest(session, "gcr.io/app:v1")
        assert len(google.requests) == 1
