"""Google's registries (Artifact Registry, Container Registry): an access token is the password.

Who one is comes from the first of these that the environment has, and no other is tried when it is refused:

1. the file in ``GOOGLE_APPLICATION_CREDENTIALS``: a service account's key, a workload identity federation, an
   impersonation, or a user;
2. what ``gcloud auth application-default login`` left, in ``$CLOUDSDK_CONFIG`` or ``~/.config/gcloud``;
3. the metadata server, where ``GCE_METADATA_HOST``, ``K_SERVICE`` or ``CLOUD_RUN_JOB`` is set, or this machine's
   firmware says that it is Google's. Nobody else's network is asked for one.

google-auth does the work; it is imported when somebody has an identity. Sources:
https://cloud.google.com/docs/authentication/application-default-credentials,
https://cloud.google.com/artifact-registry/docs/docker/authentication#token.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from importlib import import_module

from liftlock.auth.expiring import Expiring
from liftlock.auth.secret import Credential, Secret
from liftlock.errors import AccessDenied, ConfigError, TransportError
from liftlock.typed import Any, NamedTuple

__all__ = ["credential", "forget"]

USER = "oauth2accesstoken"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"

NOBODY_FOR = 60.0
"""Seconds for which it is believed that this environment is nobody at Google."""

_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
_READ = (_FILE, "CLOUDSDK_CONFIG", "HOME", "GCE_METADATA_HOST", "K_SERVICE", "CLOUD_RUN_JOB", "SSL_CERT_FILE")
"""All that decides who one is: environments that agree in these share their tokens."""

_MACHINE = ("GCE_METADATA_HOST", "K_SERVICE", "CLOUD_RUN_JOB")
"""Variables that are set only where a metadata server is."""

_FIRMWARE = "/sys/class/dmi/id/product_name"
_GOOGLES = "Google"
"""What the firmware of every machine at Google begins with, as google-auth looks for it, too."""

_tokens = Expiring()


class _Identity(NamedTuple):
    """Who asks, as it may be shown, and how its credentials are made."""

    name: str
    load: Callable[[], Any]


def credential(registry: str, env: Mapping[str, str], role: str) -> Credential | None:
    """The password of a registry, see `clouds.Provider`; None when this environment is nobody at Google."""
    if role:
        raise ConfigError(
            f"{registry} has a role, and Google has none of that kind",
            hint="to become a service account: gcloud auth application-default login --impersonate-service-account=…",
        )
    key = tuple(env.get(name, "") for name in _READ)
    return _tokens.get(key, lambda: _ask(env))


def forget() -> None:
    """Ask anew for everything."""
    _tokens.forget()


def _ask(env: Mapping[str, str]) -> tuple[Credential | None, float]:
    identity = _identity(env)
    if identity is None:
        return None, time.time() + NOBODY_FOR
    token, end = _request(identity, env)
    return Credential(USER, Secret(token)), end


def _identity(env: Mapping[str, str]) -> _Identity | None:
    named = env.get(_FILE, "")
    if named:
        return _Identity(f"the identity in {named}", lambda: _from_file(named))
    folder = env.get("CLOUDSDK_CONFIG") or (f"{env['HOME']}/.config/gcloud" if env.get("HOME") else "")
    left = f"{folder}/application_default_credentials.json" if folder else ""
    if left and os.path.isfile(left):
        return _Identity(f"the identity in {left}", lambda: _from_file(left))
    if any(env.get(name) for name in _MACHINE) or _on_google_machine():
        return _Identity("this machine's service account", _from_machine)
    return None


def _on_google_machine() -> bool:
    try:
        with open(_FIRMWARE, encoding="ascii", errors="replace") as file:
            return file.read(100).startswith(_GOOGLES)
    except OSError:
        return False


def _from_file(path: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            info = json.load(file)
    except OSError as error:
        raise ConfigError(f"the credentials cannot be read: {error.strerror}", path=path) from None
    except ValueError:
        info = None
    kind = str(info.get("type")) if isinstance(info, dict) else ""
    if kind not in _KINDS:
        raise ConfigError(
            "it is no credentials file of Google that can be used here",
            path=path,
            hint=f"its type is one of {', '.join(_KINDS)}",
        )
    from google.auth.exceptions import GoogleAuthError

    try:
        return _loaded(_KINDS[kind], info)
    except (GoogleAuthError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the credentials cannot be used: {_shown(error)}", path=path) from None


class _Kind(NamedTuple):
    """One type of file: whose class reads it, and by which method."""

    module: str
    method: str
    scoped: bool = True
    """Whether it is said what the token is for; a user has said so at the login."""


_FEDERATED = _Kind("google.auth.identity_pool", "from_info")

_KINDS: Mapping[str, _Kind] = {
    "service_account": _Kind("google.oauth2.service_account", "from_service_account_info"),
    "external_account": _FEDERATED,
    "impersonated_service_account": _Kind(
        "google.auth.impersonated_credentials", "from_impersonated_service_account_info"
    ),
    "external_account_authorized_user": _Kind(
        "google.auth.external_account_authorized_user", "from_info", scoped=False
    ),
    "authorized_user": _Kind("google.oauth2.credentials", "from_authorized_user_info", scoped=False),
}


def _loaded(kind: _Kind, info: Mapping[str, Any]) -> Any:
    if kind is _FEDERATED:
        source = info.get("credential_source") or {}
        if "executable" in source:
            raise ValueError("it would run a program, which is not done")
        if str(source.get("environment_id", "")).startswith("aws"):
            kind = kind._replace(module="google.auth.aws")
    load = getattr(import_module(kind.module).Credentials, kind.method)
    return load(info, scopes=[SCOPE]) if kind.scoped else load(info)


def _from_machine() -> Any:
    # Its place is read from the process's own environment by google-auth.
    return import_module("google.auth.compute_engine").Credentials(scopes=[SCOPE])


def _request(identity: _Identity, env: Mapping[str, str]) -> tuple[str, float]:
    """A token, and its end in seconds since the epoch."""
    try:
        import requests
        from google.auth import exceptions
        from google.auth.transport.requests import Request
    except ImportError:
        raise ConfigError(
            f"{identity.name} needs google-auth, which is not installed", hint="pip install 'liftlock[gcp]'"
        ) from None
    credentials = identity.load()
    with requests.Session() as session:
        if env.get("SSL_CERT_FILE"):
            session.verify = env["SSL_CERT_FILE"]
        try:
            credentials.refresh(Request(session))
        except exceptions.TransportError as error:
            raise TransportError(f"no token for {identity.name}: {_shown(error)}") from None
        except exceptions.GoogleAuthError as error:
            if error.retryable:
                raise TransportError(f"no token for {identity.name}: {_shown(error)}") from None
            raise AccessDenied(f"Google refuses {identity.name}: {_shown(error)}", hint=_HINT) from None
    return str(credentials.token), _end(credentials)


_HINT = "the key or the login may have ended, been deleted, or this machine's clock be wrong"


def _end(credentials: Any) -> float:
    from datetime import UTC

    return float(credentials.expiry.replace(tzinfo=UTC).timestamp())


def _shown(error: Exception) -> str:
    """The first sentence of an error: what follows may be the whole answer."""
    said = str(error.args[0] if error.args else type(error).__name__).strip().partition("\n")[0]
    return "".join(each if each.isprintable() else " " for each in said)[:300]
