"""Who an environment is in Azure, before a double of Entra ID; azure-identity does what it does for real."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from liftlock.auth import azure
from liftlock.errors import AccessDenied, ConfigError
from tests.support.azure import CLIENT, SECRET, TENANT, Entra
from tests.support.certificates import Authority
from tests.support.receiver import Receiver, Reply

SCOPE = "https://management.azure.com/.default"


@pytest.fixture
def entra(authority: Authority) -> Iterator[Entra]:
    azure.forget()
    with Entra(authority, assertion="federated-token") as server:
        yield server
    azure.forget()


def test_a_service_principal_gets_a_token_and_keeps_it(entra: Entra) -> None:
    tokens = {azure.access_token(SCOPE, entra.env).reveal() for _ in range(3)}

    assert len(tokens) == 1
    (form,) = entra.forms
    assert (form["client_id"], form["client_secret"], form["scope"]) == (CLIENT, SECRET, SCOPE)


def test_other_scopes_and_other_environments_have_tokens_of_their_own(entra: Entra) -> None:
    first = azure.access_token(SCOPE, entra.env)
    other = azure.access_token("https://containerregistry.azure.net/.default", entra.env)

    assert first != other
    with pytest.raises(AccessDenied):
        azure.access_token(SCOPE, {**entra.env, "AZURE_CLIENT_SECRET": "another"})


def test_many_threads_ask_once(entra: Entra) -> None:
    start = threading.Barrier(8)
    found = []

    def ask() -> None:
        start.wait()
        found.append(azure.access_token(SCOPE, entra.env).reveal())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(found)) == len(entra.forms) == 1


def test_a_workload_shows_its_token_as_it_is_now(entra: Entra, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("federated-token\n")
    env = {**entra.place, "AZURE_FEDERATED_TOKEN_FILE": str(file)}

    azure.access_token(SCOPE, env)

    (form,) = entra.forms
    assert form["client_assertion"] == "federated-token"
    assert "client_secret" not in form
    with pytest.raises(ConfigError, match="AZURE_FEDERATED_TOKEN_FILE cannot be read"):
        azure.access_token(SCOPE, {**env, "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "none")})


def test_a_github_job_asks_github_for_what_it_shows(entra: Entra) -> None:
    with Receiver() as github:
        github.always(Reply(200, b'{"value": "federated-token"}'))
        env = {
            **entra.place,
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{github.url}/token?api-version=2",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "job-token",
        }
        azure.access_token(SCOPE, env)

        (asked,) = github.requests
    assert asked.target == "/token?api-version=2&audience=api%3A%2F%2FAzureADTokenExchange"
    assert asked.headers["authorization"] == "Bearer job-token"
    assert entra.forms[0]["client_assertion"] == "federated-token"


def test_an_azure_pipeline_shows_the_token_of_its_service_connection(entra: Entra) -> None:
    with Receiver() as devops:
        devops.always(Reply(200, b'{"oidcToken": "federated-token"}'))
        env = {
            "AZURE_AUTHORITY_HOST": entra.place["AZURE_AUTHORITY_HOST"],
            "SSL_CERT_FILE": entra.place["SSL_CERT_FILE"],
            "AZURESUBSCRIPTION_TENANT_ID": TENANT,
            "AZURESUBSCRIPTION_CLIENT_ID": CLIENT,
            "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": "connection 1",
            "SYSTEM_OIDCREQUESTURI": f"{devops.url}/oidctoken/",
        }
        with pytest.raises(ConfigError, match="SYSTEM_ACCESSTOKEN"):
            azure.access_token(SCOPE, env)
        azure.access_token(SCOPE, {**env, "SYSTEM_ACCESSTOKEN": "job-token"})

        (asked,) = devops.requests
    assert (asked.method, asked.target) == (
        "POST",
        "/oidctoken?api-version=7.1&serviceConnectionId=connection%201",
    )
    assert entra.forms[0]["client_assertion"] == "federated-token"


def test_a_job_that_may_not_have_a_token_is_told_what_it_lacks(entra: Entra) -> None:
    with Receiver() as github:
        github.always(Reply(403, b"{}"))
        env = {
            **entra.place,
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{github.url}/token?x=1",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "job-token",
        }
        with pytest.raises(AccessDenied) as told:
            azure.access_token(SCOPE, env)
    assert "id-token: write" in told.value.hint


def test_the_identity_of_a_service_of_azure(monkeypatch: pytest.MonkeyPatch) -> None:
    azure.forget()
    with Receiver() as service:
        answer = {"access_token": "managed", "expires_on": "4102444800", "token_type": "Bearer", "resource": "x"}
        service.always(Reply(200, json.dumps(answer).encode(), {"Content-Type": "application/json"}))
        env = {"IDENTITY_ENDPOINT": f"{service.url}/msi/token", "IDENTITY_HEADER": "of-the-site"}
        for name, value in env.items():
            monkeypatch.setenv(name, value)  # azure-identity reads them where the process has them

        assert azure.access_token(SCOPE, env).reveal() == "managed"

        (asked,) = service.requests
    assert asked.path == "/msi/token"
    assert asked.headers["x-identity-header"] == "of-the-site"
    assert "resource=https" in asked.target


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("AADSTS7000215: Invalid client secret provided.", "is not the secret's value"),
        ("AADSTS7000222: The provided client secret keys for app 'x' are expired.", "has expired"),
    ],
)
def test_a_refusal_has_entras_code_and_no_secret(entra: Entra, said: str, hint: str) -> None:
    entra.refusal = f"{said} You sent {SECRET}."

    with pytest.raises(AccessDenied) as told:
        azure.access_token(SCOPE, entra.env)

    assert said in told.value.message
    assert CLIENT in told.value.message
    assert hint in told.value.hint
    assert SECRET not in f"{told.value!r}{told.value.hint}{told.value.__cause__}{told.value.__context__!s:.0}"
    assert "Trace ID" not in told.value.message


def test_nobody_is_no_error_until_somebody_is_needed(tmp_path: Path) -> None:
    azure.forget()
    env = {"PATH": str(tmp_path)}

    assert azure.find_token(SCOPE, env) is None
    with pytest.raises(ConfigError) as told:
        azure.access_token(SCOPE, env)
    assert "az login" in told.value.hint


@pytest.fixture
def az(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for an ``az`` on the path; azure-identity finds it through the process's own environment."""
    azure.forget()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "az"


def _write(az: Path, script: str) -> dict[str, str]:
    az.write_text(f"#!/bin/sh\necho called >> {az}.log\n{script}\n")
    az.chmod(0o755)
    return {"PATH": f"{az.parent}:/usr/bin:/bin"}


def test_who_is_logged_in_to_the_cli_is_the_last_resort(az: Path) -> None:
    env = _write(az, """echo '{"accessToken": "of-the-cli", "expires_on": 4102444800}'""")

    assert azure.access_token(SCOPE, env).reveal() == "of-the-cli"


def test_a_cli_without_a_login_is_nobody_and_is_not_asked_again_and_again(az: Path) -> None:
    env = _write(az, """echo "Please run 'az login' to set up an account." >&2; exit 1""")

    assert [azure.find_token(SCOPE, env) for _ in range(3)] == [None] * 3
    assert Path(f"{az}.log").read_text() == "called\n"


def test_a_missing_library_is_named(entra: Entra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "azure.identity", None)

    with pytest.raises(ConfigError) as told:
        azure.access_token(SCOPE, entra.env)

    assert told.value.hint == "pip install 'liftlock[azure]'"
