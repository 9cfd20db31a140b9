"""Azure Container Registry: a token of Entra ID becomes the registry's own refresh token.

The exchange is the registry's (``POST /oauth2/exchange``), and goes where the registry itself is spoken to; what it
gives is an identity token like any other, good for some hours.
Sources: github.com/Azure/acr, ``docs/AAD-OAuth.md``; the audiences are those of Azure's own SDKs
(``ContainerRegistryAudience``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from liftlock.auth import azure
from liftlock.auth.expiring import Expiring, claims
from liftlock.auth.secret import Credential, Secret
from liftlock.errors import AccessDenied, ConfigError, RegistryError, TransportError
from liftlock.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from liftlock.auth.bearer import Answer

__all__ = ["USERNAME", "credential", "forget", "resource_manager"]

USERNAME = "00000000-0000-0000-0000-000000000000"
"""Says that the password is a refresh token."""

_MANAGERS = {
    ".azurecr.cn": "https://management.chinacloudapi.cn",
    ".azurecr.us": "https://management.usgovcloudapi.net",
}
"""The resource managers of the clouds that are not the public one, by what the hosts of registries end in there."""
_MANAGER = "https://management.azure.com"
_AUDIENCE = "https://containerregistry.azure.net"
"""For whom Entra's token has to be; the other clouds' registries take those for their resource manager."""

_LIFETIME = 3600.0
"""Seconds that a refresh token is believed to live that does not say it; real ones live for three hours."""

_NEVER = 1e11
"""Seconds since the epoch that are no date any more."""

_credentials = Expiring()


def credential(registry: str, env: Mapping[str, str], role: str) -> Credential | None:
    """The identity token of this environment's identity for a registry; see `liftlock.auth.clouds.Provider`.

    ``env`` says where the registry is spoken to (``LIFTLOCK_ENDPOINTS``). Raises `AccessDenied` when Entra ID or the
    registry refuses the identity, and what `azure.find_token` and the transport raise.
    """
    if role:
        raise ConfigError(f"{registry} has a role, and Azure has none to assume", hint="drop role")
    places = env.get("LIFTLOCK_ENDPOINTS", "")
    return _credentials.get((registry, places, azure.identity(env)), lambda: _exchanged(registry, env))


def resource_manager(registry: str, env: Mapping[str, str]) -> str:
    """The URL of Azure's resource manager for a registry; ``AZURE_RESOURCE_MANAGER_ENDPOINT`` names another.

    Raises `ConfigError` when that one would be sent tokens, and passwords of sources, without encryption.
    """
    from liftlock.transport.urls import is_loopback, split_url

    url = (env.get("AZURE_RESOURCE_MANAGER_ENDPOINT") or _of_cloud(registry) or _MANAGER).rstrip("/")
    try:
        origin = split_url(url)[0]
    except TransportError:
        origin = None
    if origin is None or (origin.scheme != "https" and not is_loopback(origin.host)):
        raise ConfigError("AZURE_RESOURCE_MANAGER_ENDPOINT is no https URL", hint="a token is not sent without TLS")
    return url


def _of_cloud(registry: str) -> str:
    return next((manager for suffix, manager in _MANAGERS.items() if registry.endswith(suffix)), "")


def forget() -> None:
    """Ask anew for everything."""
    _credentials.forget()


def _exchanged(registry: str, env: Mapping[str, str]) -> tuple[Credential | None, float]:
    token = azure.find_token(f"{_of_cloud(registry) or _AUDIENCE}/.default", env)
    if token is None:
        return None, time.time()  # nobody: `azure` remembers for how long
    refresh = _exchange(registry, token, env)
    return Credential(USERNAME, Secret(refresh), "identity-token"), _end(refresh)


def _end(token: str) -> float:
    """When a token ends that was just given, by this machine's clock: that may be wrong, and then no token would do."""
    now, said = time.time(), claims(token)
    issued, end = said.get("iat"), said.get("exp")
    if not isinstance(end, int | float) or not 0 <= end < _NEVER:
        return now + _LIFETIME
    if isinstance(issued, int | float) and 0 <= issued <= end:
        return now + end - issued
    return float(end)


def _exchange(registry: str, token: Secret, env: Mapping[str, str]) -> str:
    from urllib.parse import urlencode

    from liftlock.auth.session import read_answer
    from liftlock.transport.client import Transport
    from liftlock.transport.messages import Request
    from liftlock.transport.settings import Settings

    form = {"grant_type": "access_token", "service": registry, "access_token": token.reveal()}
    tenant = claims(token.reveal()).get("tid") or env.get("AZURE_TENANT_ID", "")
    if tenant:
        form["tenant"] = str(tenant)
    transport = Transport(Settings.from_environment(env))
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    request = Request("POST", f"{transport.base_url(registry)}/oauth2/exchange", headers, urlencode(form).encode())

    def attempt() -> str:
        return _refresh_token(registry, request.url, read_answer(transport.send(request, redirects=False)))

    try:
        return transport.retrying(registry, attempt)
    finally:
        transport.close()


def _refresh_token(registry: str, url: str, answer: Answer) -> str:
    from liftlock.auth.bearer import failure
    from liftlock.oci.distribution import error_codes

    if answer.status in (400, 401, 403):
        said = " ".join((str(answer.status), *error_codes(answer.body)[0]))
        raise AccessDenied(
            f"{registry} refuses this environment's identity in Azure ({said})",
            hint="the identity must belong to the registry's tenant, and have a role there: AcrPull or AcrPush",
        )
    if answer.status != 200:
        raise failure(url, answer)
    try:
        token = json.loads(answer.body)["refresh_token"]
    except (ValueError, KeyError, TypeError, RecursionError):
        token = None
    if not isinstance(token, str) or not token:
        raise RegistryError(f"{registry} answers the exchange of a token with 200, but without one", status=200)
    return token
