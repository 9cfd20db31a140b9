"""Tokens of Entra ID (Azure AD), for whoever this environment is in Azure.

The first of these that the environment has is used, and no other is tried when it is refused:

1. a service principal: ``AZURE_TENANT_ID``, ``AZURE_CLIENT_ID``, ``AZURE_CLIENT_SECRET``;
2. a workload's federated token: ``AZURE_FEDERATED_TOKEN_FILE`` with tenant and client (AKS sets all three);
3. the service connection of Azure Pipelines: ``SYSTEM_OIDCREQUESTURI``, ``SYSTEM_ACCESSTOKEN``, and the
   ``AZURESUBSCRIPTION_…`` variables that its Azure tasks set;
4. GitHub's job: ``ACTIONS_ID_TOKEN_REQUEST_URL`` and ``…_TOKEN`` with tenant and client;
5. a managed identity: ``IDENTITY_ENDPOINT`` (or its elder ``MSI_ENDPOINT``), or an Azure machine's firmware says so;
   ``AZURE_CLIENT_ID`` chooses among several;
6. whoever is logged in to the Azure CLI, when ``az`` is on the path.

``AZURE_AUTHORITY_HOST`` names another cloud's Entra ID. azure-identity does the work; it is imported when somebody has
an identity. Sources: azure-identity's documentation; ``learn.microsoft.com/entra/workload-id``.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Mapping
from threading import Lock

from liftlock.auth.expiring import Expiring
from liftlock.auth.secret import Secret
from liftlock.errors import AccessDenied, ConfigError, TransportError
from liftlock.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

__all__ = ["access_token", "find_token", "forget", "identity"]

_READ = (
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
    "SYSTEM_OIDCREQUESTURI",
    "SYSTEM_ACCESSTOKEN",
    "AZURESUBSCRIPTION_TENANT_ID",
    "AZURESUBSCRIPTION_CLIENT_ID",
    "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
    "SSL_CERT_FILE",
    "PATH",
)
"""All that decides who one is: environments that agree in these share their tokens."""

NOBODY_FOR = 60.0
"""Seconds for which it is believed that nobody is logged in."""
_RETRIES = 1
"""How often azure-identity repeats a request by itself; what uses the token has retries of its own."""
_METADATA = ("169.254.169.254", 80)
"""Where an Azure machine asks for the tokens of its identity (IMDS)."""

_PUBLIC = "https://login.microsoftonline.com"
_AUDIENCES = {
    "login.microsoftonline.us": "api://AzureADTokenExchangeUSGov",
    "login.chinacloudapi.cn": "api://AzureADTokenExchangeChina",
}
"""Who a federated token is for, by the host of Entra ID; ``api://AzureADTokenExchange`` everywhere else."""

_ASSET_TAG = "/sys/class/dmi/id/chassis_asset_tag"
_AZURE_ASSET_TAG = "7783-7084-3265-9085-8269-3286-77"
"""What the firmware of every Azure machine says (cloud-init recognises them by it)."""


class _Identity(NamedTuple):
    """Who asks, as it may be shown, and who gets its tokens."""

    name: str
    credential: TokenCredential
    certain: bool = True
    """Whether the environment names this one; what was only found may turn out to be nobody."""
    secrets: tuple[str, ...] = ()
    """What no message may repeat."""


_tokens = Expiring()
_identities: dict[tuple[str, ...], list[_Identity]] = {}
_lock = Lock()


def access_token(scope: str, env: Mapping[str, str]) -> Secret:
    """A token of this environment's identity for a scope, such as ``https://management.azure.com/.default``.

    It is good for some minutes at least. Raises `ConfigError` when this environment has no identity in Azure, and what
    `find_token` raises.
    """
    token = find_token(scope, env)
    if token is None:
        raise ConfigError(
            "this environment has no identity in Azure",
            hint="set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, use a managed or a workload's "
            "identity, or log in with az login",
        )
    return token


def find_token(scope: str, env: Mapping[str, str]) -> Secret | None:
    """The same, and None when there is no identity.

    Raises `AccessDenied` when Entra ID refuses the identity, with its AADSTS code; `ConfigError` when azure-identity
    is not installed, or a setting is broken; `TransportError` when Entra ID does not answer.
    """
    key = identity(env)
    return _tokens.get((*key, scope), lambda: _ask(key, scope, env))


def identity(env: Mapping[str, str]) -> tuple[str, ...]:
    """All in an environment that decides who one is. It holds secrets: for comparing, never for showing."""
    return tuple(env.get(name, "") for name in _READ)


def forget() -> None:
    """Ask anew for everything: who one is, and the tokens."""
    with _lock:
        _identities.clear()
    _tokens.forget()


def _ask(key: tuple[str, ...], scope: str, env: Mapping[str, str]) -> tuple[Secret | None, float]:
    with _lock:
        if key not in _identities:
            _identities[key] = _identities_of(env)
        identities = _identities[key]
    tokens = (_request(identity, scope) for identity in identities)
    return next(filter(None, tokens), (None, time.time() + NOBODY_FOR))


def _identities_of(env: Mapping[str, str]) -> list[_Identity]:
    """Who the environment names; where it names nobody, who may be found. Raises `ConfigError`."""
    tenant, client = env.get("AZURE_TENANT_ID", ""), env.get("AZURE_CLIENT_ID", "")
    secret, file = env.get("AZURE_CLIENT_SECRET", ""), env.get("AZURE_FEDERATED_TOKEN_FILE", "")
    if tenant and client and secret:
        return [_service_principal(tenant, client, secret, env)]
    if tenant and client and file:
        return [_federated(f"the workload {client}", tenant, client, lambda: _read(file), env)]
    connection = env.get("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "")
    if env.get("SYSTEM_OIDCREQUESTURI") and connection:
        tenant, client = (env.get(f"AZURESUBSCRIPTION_{name}_ID", "") for name in ("TENANT", "CLIENT"))
        name = f"the service connection {connection}"
        return [_federated(name, tenant, client, lambda: _azure_pipelines(connection, env), env)]
    if tenant and client and env.get("ACTIONS_ID_TOKEN_REQUEST_URL"):
        return [_federated(f"the application {client}", tenant, client, lambda: _github(env), env)]
    if env.get("IDENTITY_ENDPOINT") or env.get("MSI_ENDPOINT"):
        return [_managed(client, certain=True)]
    found = [_managed(client, certain=False)] if _on_azure_machine() else []
    return [*found, _azure_cli(tenant)] if shutil.which("az", path=env.get("PATH")) else found


def _library() -> Any:
    try:
        import azure.identity
    except ImportError:
        raise ConfigError(
            "an identity in Azure needs azure-identity, which is not installed", hint="pip install 'liftlock[azure]'"
        ) from None
    return azure.identity


def _service_principal(tenant: str, client: str, secret: str, env: Mapping[str, str]) -> _Identity:
    settings = _settings(env)
    credential = _library().ClientSecretCredential(
        # Another Entra ID than Microsoft's public ones is not to be confirmed by those.
        tenant,
        client,
        secret,
        disable_instance_discovery=not _is_microsofts(settings["authority"]),
        **settings,
    )
    return _Identity(f"the service principal {client}", credential, secrets=(secret,))


def _federated(name: str, tenant: str, client: str, token: Callable[[], str], env: Mapping[str, str]) -> _Identity:
    if not tenant or not client:
        raise ConfigError(
            f"{name} is not enough to be somebody in Azure",
            hint="set AZURESUBSCRIPTION_TENANT_ID and AZURESUBSCRIPTION_CLIENT_ID, as the AzureCLI@2 task does",
        )
    return _Identity(name, _library().ClientAssertionCredential(tenant, client, token, **_settings(env)))


def _managed(client: str, *, certain: bool) -> _Identity:
    # Its endpoints are read from the process's own environment by azure-identity.
    credential = _library().ManagedIdentityCredential(client_id=client or None)
    return _Identity(f"the managed identity {client}".rstrip(), credential, certain)


def _azure_cli(tenant: str) -> _Identity:
    return _Identity("the login of the Azure CLI", _library().AzureCliCredential(tenant_id=tenant), certain=False)


def _settings(env: Mapping[str, str]) -> dict[str, Any]:
    """Where Entra ID is, and who may vouch for it, as azure-identity takes it."""
    settings: dict[str, Any] = {"authority": env.get("AZURE_AUTHORITY_HOST", "").rstrip("/") or _PUBLIC}
    settings["retry_total"] = _RETRIES
    if env.get("SSL_CERT_FILE"):
        settings["connection_verify"] = env["SSL_CERT_FILE"]
    return settings


def _is_microsofts(authority: str) -> bool:
    host = authority.removeprefix("https://").partition("/")[0]
    return host in ("login.microsoftonline.com", *_AUDIENCES)


def _on_azure_machine() -> bool:
    """Whether this is a machine of Azure that answers for its identities. Nobody else's network is asked."""
    try:
        with open(_ASSET_TAG, encoding="ascii", errors="replace") as file:
            if file.read(100).strip() != _AZURE_ASSET_TAG:
                return False
        import socket

        with socket.create_connection(_METADATA, timeout=1.0):
            return True
    except OSError:
        return False


# --- federated tokens -------------------------------------------------------------------------------------------------


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"AZURE_FEDERATED_TOKEN_FILE cannot be read: {error}", path=path) from None


def _github(env: Mapping[str, str]) -> str:
    """The token of a GitHub job (docs.github.com, "OpenID Connect reference")."""
    from urllib.parse import quote, urlsplit

    host = urlsplit(_settings(env)["authority"]).hostname or ""
    audience = quote(_AUDIENCES.get(host, "api://AzureADTokenExchange"), safe="")
    url = f"{env['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience={audience}"
    return _fetch(url, env.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", ""), "value", env)


def _azure_pipelines(connection: str, env: Mapping[str, str]) -> str:
    """The token of a service connection (Azure DevOps REST API 7.1, "Oidctoken - Create")."""
    from urllib.parse import quote

    token = env.get("SYSTEM_ACCESSTOKEN", "")
    if not token:
        raise ConfigError(
            f"the service connection {connection} needs SYSTEM_ACCESSTOKEN",
            hint="give it to the step: env: {SYSTEM_ACCESSTOKEN: $(System.AccessToken)}",
        )
    uri = env["SYSTEM_OIDCREQUESTURI"].rstrip("/")
    url = f"{uri}?api-version=7.1&serviceConnectionId={quote(connection, safe='')}"
    return _fetch(url, token, "oidcToken", env, b"")


def _fetch(url: str, bearer: str, field: str, env: Mapping[str, str], body: bytes | None = None) -> str:
    """Ask a CI system for a federated token; by POST when there is a body."""
    import json

    from liftlock.auth.session import read_answer
    from liftlock.transport.client import Transport
    from liftlock.transport.messages import Request
    from liftlock.transport.settings import Settings
    from liftlock.transport.urls import split_url

    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    # Without this Azure DevOps redirects to a login page.
    method = "GET" if body is None else "POST"
    headers |= {"Authorization": f"Bearer {bearer}", "X-TFS-FedAuthRedirect": "Suppress"}
    transport = Transport(Settings.from_environment(env))
    host = split_url(url)[0].authority
    try:
        answer = read_answer(transport.send(Request(method, url, headers, body), redirects=False))
    finally:
        transport.close()
    if answer.status != 200:
        raise AccessDenied(
            f"{host} gives this job no token for Azure: status {answer.status}",
            hint="the job needs the right to ask for it; on GitHub: permissions: id-token: write",
        )
    try:
        token = json.loads(answer.body)[field]
    except (ValueError, KeyError, TypeError, RecursionError):
        token = None
    if not isinstance(token, str) or not token:
        raise TransportError(f"{host} answers 200, but without a token for Azure")
    return token


# --- asking Entra ID --------------------------------------------------------------------------------------------------


def _request(identity: _Identity, scope: str) -> tuple[Secret, float] | None:
    from azure.core.exceptions import AzureError, ClientAuthenticationError
    from azure.identity import CredentialUnavailableError

    try:
        token = identity.credential.get_token(scope)
    except CredentialUnavailableError as error:
        if identity.certain:
            raise _refused(identity, str(error)) from None
        return None
    except ClientAuthenticationError as error:
        raise _refused(identity, str(error)) from None
    except (AzureError, OSError) as error:
        raise TransportError(
            f"no token for {identity.name}: {type(error).__name__}: {_shown(identity, error)}"
        ) from None
    except ValueError as error:
        raise ConfigError(f"{identity.name} is not usable in Azure: {_shown(identity, error)}") from None
    return Secret(token.token), token.expires_on


def _refused(identity: _Identity, said: str) -> AccessDenied:
    return AccessDenied(
        f"Entra ID refuses {identity.name}: {_shown(identity, said)}",
        hint=_hint(said),
    )


def _hint(said: str) -> str:
    code = re.search(r"AADSTS\d+", said)
    hints = {
        "AADSTS7000215": "AZURE_CLIENT_SECRET is not the secret's value: its id, or an old one, may be there instead",
        "AADSTS7000222": "the client secret has expired: make a new one",
        "AADSTS700016": "no application has this AZURE_CLIENT_ID in the tenant",
        "AADSTS90002": "there is no such tenant: check AZURE_TENANT_ID and AZURE_AUTHORITY_HOST",
        "AADSTS70021": "the application has no federated credential for this issuer and subject",
        "AADSTS700213": "the application has no federated credential for this issuer and subject",
        "AADSTS500011": "the tenant does not know what the token is for: check AZURE_TENANT_ID",
    }
    return hints.get(code[0], "learn.microsoft.com/entra/identity-platform/reference-error-codes") if code else ""


def _shown(identity: _Identity, said: object) -> str:
    """The first line of what was said, without any secret, and without trace ids."""
    text = str(said).strip().partition("\n")[0]
    for secret in identity.secrets:
        text = text.replace(secret, "***")
    text = re.sub(r"\beyJ[\w-]{8,}\S*", "***", text)
    text = re.split(r" Trace ID:| Correlation ID:| To troubleshoot", text)[0]
    return "".join(each if each.isprintable() else " " for each in text)[:300].rstrip()
