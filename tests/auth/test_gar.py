"""Google's registries: a real docker-registry behind their names, and a double of where Google gives out tokens."""

from __future__ import annotations

import datetime as dt
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from liftlock.auth import gar
from liftlock.auth.clouds import provider_of
from liftlock.auth.keychain import Keychain
from liftlock.errors import AccessDenied, ConfigError, TransportError
from liftlock.services.session import Session
from liftlock.transfer.execute import execute
from liftlock.transfer.model import CopyRequest
from liftlock.transfer.plan import make_plan
from liftlock.transfer.survey import survey
from tests.conftest import MakeRegistry, MakeTokenServer
from tests.support import images, remote
from tests.support.certificates import Authority
from tests.support.google import Google
from tests.support.processes import liftlock
from tests.support.registry import Registry

HOST = "europe-west1-docker.pkg.dev"
TOKEN = "ya29.c.access-token"


@pytest.fixture
def google(authority: Authority, home: Path) -> Iterator[Google]:
    gar.forget()
    with Google(authority.signer(), TOKEN, federated="eyJ.of.a.job") as running:
        yield running
    gar.forget()


@pytest.fixture
def registry(make_registry: MakeRegistry) -> Registry:
    return make_registry(user="oauth2accesstoken", password=TOKEN)


def env(home: Path, registry: Registry | None = None, **others: object) -> dict[str, str]:
    given = {"HOME": str(home), **{name: str(value) for name, value in others.items()}}
    if registry is not None:
        given["LIFTLOCK_ENDPOINTS"] = f"{HOST}={registry.url}"
    return given


def copy(env: Mapping[str, str], layout: Path) -> None:
    with Session(env) as session:
        request = CopyRequest(f"oci:{layout}", "v1", f"{HOST}/shop/apps/web", ("v1",))
        execute(make_plan(survey([request], session.targets)), session.targets, state=str(layout.parent / "state"))


def test_a_service_accounts_key_is_all_that_a_copy_needs(
    google: Google, make_registry: MakeRegistry, make_token_server: MakeTokenServer, home: Path, tmp_path: Path
) -> None:
    """Artifact Registry gives tokens of its own for the access token, as registries do for passwords."""
    tokens = make_token_server(user="oauth2accesstoken", password=TOKEN)
    registry = make_registry(token=tokens)
    image = images.make_image(tmp_path / "image", "v1", platforms=("linux/amd64", "linux/arm64"))
    key = google.service_account(tmp_path / "key.json")
    for _ in range(2):
        copy(env(home, registry, GOOGLE_APPLICATION_CREDENTIALS=key), image.layout)

    assert image.digest in remote.walk(registry, "shop/apps/web", "v1")
    assert len(google.requests) == 1
    assert all(request.status == 200 for request in tokens.requests())


def test_a_federated_identity(google: Google, home: Path, tmp_path: Path) -> None:
    subject = tmp_path / "subject"
    subject.write_text("eyJ.of.a.job")
    given = env(home, GOOGLE_APPLICATION_CREDENTIALS=google.federation(tmp_path / "wif.json", subject))

    found = Keychain(given).find(HOST, "shop/apps/web")
    assert found is not None
    assert (found.username, found.secret.reveal(), found.kind) == ("oauth2accesstoken", TOKEN, "password")

    gar.forget()
    subject.write_text("eyJ.of.another")
    with pytest.raises(AccessDenied, match=r"Google refuses the identity in .*wif\.json: .*invalid_grant"):
        gar.credential(HOST, given, "")


def test_a_federated_identity_becomes_a_service_account(google: Google, home: Path, tmp_path: Path) -> None:
    (tmp_path / "subject").write_text("eyJ.of.a.job")
    file = google.federation(tmp_path / "wif.json", tmp_path / "subject")
    url = f"{google.url}/v1/projects/-/serviceAccounts/other:generateAccessToken"
    file.write_text(json.dumps({**json.loads(file.read_text()), "service_account_impersonation_url": url}))

    found = gar.credential(HOST, env(home, GOOGLE_APPLICATION_CREDENTIALS=file), "")
    assert found is not None
    assert found.secret.reveal() == f"{TOKEN}-of-another"


def test_a_user_of_a_workforce(google: Google, home: Path, tmp_path: Path) -> None:
    info = {
        "type": "external_account_authorized_user",
        "audience": "//iam.googleapis.com/locations/global/workforcePools/w/providers/p",
        "token_url": f"{google.url}/v1/oauthtoken",
        "refresh_token": "eyJ.of.a.job",
        "client_id": "id",
        "client_secret": "secret",
    }
    (tmp_path / "user.json").write_text(json.dumps(info))

    found = gar.credential(HOST, env(home, GOOGLE_APPLICATION_CREDENTIALS=tmp_path / "user.json"), "")
    assert found is not None
    assert found.secret.reveal() == TOKEN


def test_a_machine_at_google(google: Google, registry: Registry, home: Path, tmp_path: Path) -> None:
    image = images.make_image(tmp_path / "image", "v1")
    liftlock(
        "copy",
        f"oci:{image.layout}:v1",
        f"{HOST}/shop/apps/web:v1",
        env={"LIFTLOCK_ENDPOINTS": f"{HOST}={registry.url}", "GCE_METADATA_HOST": google.host},
    )

    assert image.digest in remote.walk(registry, "shop/apps/web", "v1")


def test_what_gcloud_left_is_found(google: Google, home: Path) -> None:
    folder = home / ".config/gcloud"
    folder.mkdir(parents=True)
    google.service_account(folder / "application_default_credentials.json")

    found = gar.credential("gcr.io", env(home), "")
    assert found is not None
    assert found.secret.reveal() == TOKEN


def test_nobody_is_anonymous(google: Google, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gar, "_FIRMWARE", str(home / "none"))

    assert gar.credential(HOST, env(home), "") is None
    assert google.requests == []


def test_stored_credentials_come_first(google: Google, home: Path, tmp_path: Path) -> None:
    (home / ".docker").mkdir()
    (home / ".docker/config.json").write_text(json.dumps({"auths": {HOST: {"auth": "X2pzb25fa2V5Omtub3du"}}}))
    given = env(home, GOOGLE_APPLICATION_CREDENTIALS=google.service_account(tmp_path / "key.json"))

    found = Keychain(given).find(HOST, "")
    assert found is not None
    assert found.username == "_json_key"
    assert google.requests == []


def test_a_token_that_ends_soon_is_asked_for_anew(google: Google, home: Path, tmp_path: Path) -> None:
    given = env(home, GOOGLE_APPLICATION_CREDENTIALS=google.service_account(tmp_path / "key.json"))
    google.lifetime = 0
    for _ in range(2):
        assert gar.credential(HOST, given, "") is not None
    assert len(google.requests) == 2


def test_many_threads_ask_once(google: Google, home: Path, tmp_path: Path) -> None:
    given = env(home, GOOGLE_APPLICATION_CREDENTIALS=google.service_account(tmp_path / "key.json"))
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        assert gar.credential(HOST, given, "") is not None

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(google.requests) == 1


def test_a_key_that_google_refuses(google: Google, authority: Authority, home: Path, tmp_path: Path) -> None:
    given = env(home, GOOGLE_APPLICATION_CREDENTIALS=google.service_account(tmp_path / "key.json"))
    google.pair = authority.signer("another")
    with pytest.raises(AccessDenied, match=r"key\.json: invalid_grant: Invalid JWT Signature") as caught:
        gar.credential(HOST, given, "")

    assert "the key or the login may have ended" in caught.value.hint
    assert "PRIVATE" not in f"{caught.value}"


def test_google_does_not_answer(google: Google, home: Path, tmp_path: Path) -> None:
    given = env(home, GOOGLE_APPLICATION_CREDENTIALS=google.service_account(tmp_path / "key.json"))
    google.stop()
    with pytest.raises(TransportError, match="no token for the identity in") as caught:
        gar.credential(HOST, given, "")

    assert caught.value.temporary


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "the credentials cannot be read: No such file"),
        ("{", "it is no credentials file of Google that can be used here"),
        ('{"type": ["service_account"]}', "it is no credentials file of Google"),
        ("[]", "it is no credentials file of Google"),
        ('{"type": "gdch_service_account"}', "it is no credentials file of Google"),
        ('{"type": "service_account"}', "the credentials cannot be used"),
        ('{"type": "service_account", "client_email": "a", "token_uri": "u", "private_key": "x"}', "cannot be used"),
        ('{"type": "authorized_user"}', "the credentials cannot be used"),
        (
            '{"type": "external_account", "credential_source": {"executable": {"command": "/bin/sh"}}}',
            "it would run a program, which is not done",
        ),
    ],
)
def test_a_file_that_cannot_be_used(content: str | None, said: str, home: Path, tmp_path: Path) -> None:
    gar.forget()
    file = tmp_path / "key.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        gar.credential(HOST, env(home, GOOGLE_APPLICATION_CREDENTIALS=file), "")

    assert str(caught.value).startswith(f"{file}: ")
    assert said in str(caught.value)


def test_without_the_library(google: Google, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = env(home, GOOGLE_APPLICATION_CREDENTIALS=google.service_account(tmp_path / "key.json"))
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(ConfigError, match="needs google-auth") as caught:
        gar.credential(HOST, given, "")

    assert caught.value.hint == "pip install 'liftlock[gcp]'"


def test_a_role_is_refused(home: Path) -> None:
    with pytest.raises(ConfigError, match="has a role, and Google has none of that kind"):
        gar.credential(HOST, env(home), "arn:aws:iam::1:role/x")


@pytest.mark.parametrize("host", [HOST, "us-docker.pkg.dev", "gcr.io", "eu.gcr.io", "europe-docker.pkg.dev:443"])
def test_which_registries_are_googles(host: str) -> None:
    assert provider_of(host) is gar


def test_the_end_of_a_token_is_of_utc() -> None:
    class Given:
        expiry = dt.datetime(2026, 11, 22, 12, 0)  # noqa: DTZ001 - as google-auth gives it

    assert gar._end(Given()) == dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC).timestamp()
