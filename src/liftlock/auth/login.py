"""Logging in to a registry and out of it: credentials are tried before they are kept, where Docker would keep them."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping

from liftlock.auth import credential_helper
from liftlock.auth.authorizer import Authorizer
from liftlock.auth.bearer import basic, failure
from liftlock.auth.files import AuthFile, registry_key, server_name
from liftlock.auth.keychain import auth_paths, docker_config, from_variables
from liftlock.auth.rewrite import rewrite
from liftlock.auth.secret import Credential, Secret
from liftlock.auth.session import read_answer
from liftlock.errors import AccessDenied, ConfigError, UsageError
from liftlock.transport.client import Transport
from liftlock.transport.messages import Request
from liftlock.typed import NamedTuple

__all__ = ["Forgotten", "Stored", "login", "logout"]

_REFUSED_HINT = "check user name and password; some registries want an access token in place of the password"
_SECRET_FIELDS = ("auth", "username", "password", "identitytoken", "registrytoken")


class Stored(NamedTuple):
    """What came of a login."""

    registry: str
    place: str
    """The file, or the credential helper (``docker-credential-NAME``), that has the credentials now."""
    warnings: tuple[str, ...]
    """Sentences for the user: stored unencrypted, not checked, shadowed by another place."""


class Forgotten(NamedTuple):
    """What came of a logout."""

    registry: str
    places: tuple[str, ...]
    """Where credentials were removed; empty when there were none."""
    remaining: tuple[str, ...]
    """Other places that still have credentials for the registry, and are left alone."""


def login(registry: str, username: str, password: Secret, *, transport: Transport, env: Mapping[str, str]) -> Stored:
    """Try the credentials on the registry, then keep them.

    They go to the credential helper that is configured for the registry (``credHelpers``, ``credsStore``), else into
    ``REGISTRY_AUTH_FILE`` or Docker's ``config.json``, which protects them by nothing but its mode.

    Raises `AccessDenied` when the registry refuses them (nothing is kept then), `ConfigError` when the file or the
    helper is broken, `UsageError` when they cannot be credentials, and what the transport raises.
    """
    registry = _registry(registry)
    if not username or not password or ":" in username:
        raise UsageError(
            "a login needs a user name without ':', and a password", hint="the password can be given on stdin"
        )
    credential = Credential(username, password)
    path = _path(env)
    file = AuthFile.read(path) or AuthFile(path, "")
    warnings = transport.retrying(registry, lambda: _try(registry, credential, transport))
    server, helper = server_name(registry), file.helper(registry) or file.store()
    if helper:
        credential_helper.store(helper, server, credential, env)
    else:
        rewrite(path, lambda file: _put(file, registry, credential))
        warnings = (
            *warnings,
            f"the password is stored unencrypted in {path}; a credential helper (credsStore) would keep it safe",
        )
    if from_variables(env, registry, "") is not None:
        warnings = (*warnings, "LIFTLOCK_USERNAME and LIFTLOCK_PASSWORD are set for this registry, and come first")
    return Stored(registry, f"docker-credential-{helper}" if helper else path, warnings)


def logout(registry: str, *, env: Mapping[str, str]) -> Forgotten:
    """Remove a registry's credentials from where `login` puts them. Raises `ConfigError` when that is broken."""
    registry = _registry(registry)
    path, server = _path(env), server_name(registry)
    places = []
    file = AuthFile.read(path)
    if file is not None:
        helper = file.helper(registry) or file.store()
        if helper and credential_helper.get(helper, server, env) is not None:
            credential_helper.erase(helper, server, env)
            places.append(f"docker-credential-{helper}")
        if list(file.auths(registry)):
            rewrite(path, lambda file: _remove(file, registry))
            places.append(path)
    remaining = [other for other in auth_paths(env) if other != path and _has(other, registry)]
    if from_variables(env, registry, "") is not None:
        remaining.insert(0, "LIFTLOCK_REGISTRY")
    return Forgotten(registry, tuple(places), tuple(remaining))


def _registry(text: str) -> str:
    registry = registry_key(text.strip())
    if not registry or "/" in registry:
        raise UsageError(
            f"{text!r} is not a registry", hint="host[:port], without a repository; Docker Hub is docker.io"
        )
    return registry


def _path(env: Mapping[str, str]) -> str:
    path = env.get("REGISTRY_AUTH_FILE") or docker_config(env)
    if not path:
        raise ConfigError("there is no place for credentials", hint="set HOME, DOCKER_CONFIG or REGISTRY_AUTH_FILE")
    return path


class _Only(NamedTuple):
    """A keychain with one credential."""

    credential: Credential

    def find(self, registry: str, repository: str) -> Credential:  # noqa: ARG002 - it is for every one
        return self.credential

    def trouble(self, registry: str) -> None:  # noqa: ARG002
        return None


def _try(registry: str, credential: Credential, transport: Transport) -> tuple[str, ...]:
    """Ask for ``/v2/`` with the credential; warnings. Without a challenge there is no proof that it is any good."""
    request = Request("GET", f"{transport.base_url(registry)}/v2/")
    challenged = read_answer(transport.send(request)).status == 401
    if challenged:
        try:
            response = Authorizer(transport, _Only(credential)).send(registry, request, None)
        except AccessDenied as error:
            error.hint = _REFUSED_HINT
            raise
    else:
        response = transport.send(request._replace(headers={"Authorization": basic(credential)}))
    answer = read_answer(response)
    if answer.status in (401, 403):
        raise AccessDenied(f"{registry} refuses {credential.username!r} ({answer.status})", hint=_REFUSED_HINT)
    if answer.status != 200:
        raise failure(request.url, answer)
    return () if challenged else (f"{registry} asks for no credentials, so these could not be checked",)


def _put(file: AuthFile, registry: str, credential: Credential) -> None:
    server = server_name(registry)
    before = dict(file.auths(registry)).get(server, {})
    kept = {name: value for name, value in before.items() if name not in _SECRET_FIELDS}
    pair = f"{credential.username}:{credential.secret.reveal()}"
    file.content["auths"] = table = file.content.get("auths") or {}
    table[server] = {"auth": b2a_base64(pair.encode(), newline=False).decode("ascii"), **kept}


def _remove(file: AuthFile, registry: str) -> None:
    for key in [key for key, _ in file.auths(registry)]:
        del file.content["auths"][key]


def _has(path: str, registry: str) -> bool:
    file = AuthFile.read(path)
    return file is not None and file.credential(registry, "") is not None
