"""Where a registry's credentials are found. The first place that has some for it wins:

1. ``LIFTLOCK_USERNAME`` and ``LIFTLOCK_PASSWORD``, for the registry (or the part of one) in ``LIFTLOCK_REGISTRY``;
2. the file in ``REGISTRY_AUTH_FILE``; when that is set, no other file is read;
3. Docker's ``config.json``, in ``$DOCKER_CONFIG`` or ``~/.docker``;
4. containers' ``auth.json``, in ``$XDG_RUNTIME_DIR/containers`` (``/run/containers/UID`` without it), then in
   ``$XDG_CONFIG_HOME/containers`` (``~/.config/containers`` without it);
5. for the registries of a cloud, the cloud itself, as whoever this environment is there (``clouds``).

A registry with a role of its own goes to its cloud at once: that is what the role was named for. A login of Amazon ECR
whose 12 hours are over counts as none.
Within a file: the helper that ``credHelpers`` names for the registry, and then no other entry of this file for it;
else the ``credsStore``; else ``auths``, the longest path first. Nothing is read before it is asked for, and everything
only once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from threading import Lock

from liftlock.auth.files import AuthFile, registry_key, server_name
from liftlock.auth.secret import Credential, Secret
from liftlock.errors import ConfigError, LiftlockError
from liftlock.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from liftlock.auth.access import RegistryAccess

__all__ = ["Keychain", "auth_paths", "docker_config", "from_variables"]

_VARIABLES = ("LIFTLOCK_REGISTRY", "LIFTLOCK_USERNAME", "LIFTLOCK_PASSWORD")


class Keychain:
    """Finds credentials; one per operation, since it remembers what it found. Safe to use from several threads.

    ``registries`` are the options of single ones: a role, and how they are reached.
    """

    def __init__(self, env: Mapping[str, str], registries: Mapping[str, RegistryAccess] | None = None) -> None:
        self._env = env
        self._registries = registries or {}
        self._surroundings: dict[str, Mapping[str, str]] = {}
        self._locks: dict[str, Lock] = {}
        self._files: dict[str, AuthFile | None] = {}
        self._found: dict[tuple[str, str], Credential | None] = {}
        self._helped: dict[tuple[str, str], Credential | None] = {}

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Keychain:
        """A keychain of the places that these variables name."""
        return cls(env)

    def find(self, registry: str, repository: str) -> Credential | None:
        """The credential for a repository (or for the registry itself when that is empty); None: be anonymous.

        Raises `ConfigError` when a place is broken that comes before one that has it: a malformed or unreadable
        file, a failing credential helper, incomplete variables; and what `clouds.Provider` raises.
        """
        access = self._registries.get(registry)
        role = access.role if access else ""
        stored = None if role else self._stored(registry, repository)
        if stored is None or not self._is_over(registry, stored):
            return stored or self._given(registry, role)
        try:
            return self._given(registry, role)
        except LiftlockError as error:
            error.hint = f"the login that was kept for it has ended: liftlock login {registry}; or {error.hint}"
            raise

    def _is_over(self, registry: str, stored: Credential) -> bool:
        """Whether this is a cloud's password that has ended: the cloud then gives another."""
        from liftlock.auth.clouds import is_over, provider_of

        return is_over(stored, time.time()) and provider_of(registry) is not None

    def _given(self, registry: str, role: str) -> Credential | None:
        """From the registry's cloud. Not remembered here: it lives for hours, and the cloud's module knows how long."""
        from liftlock.auth.access import surroundings
        from liftlock.auth.clouds import provider_of

        provider = provider_of(registry)
        if provider is None and role:
            raise ConfigError(f"{registry} has a role, but is no registry of a cloud that has roles")
        if provider is None:
            return None
        env = self._surroundings.get(registry)
        if env is None:
            env = self._surroundings[registry] = surroundings(self._env, registry, self._registries.get(registry))
        return provider.credential(registry, env, role)

    def _stored(self, registry: str, repository: str) -> Credential | None:
        key = (registry, repository)
        # One lock per registry: a slow helper of one does not keep another waiting.
        with self._locks.setdefault(registry, Lock()):
            if key not in self._found:
                self._found[key] = self._find(registry, repository)
            return self._found[key]

    def _find(self, registry: str, repository: str) -> Credential | None:
        found = from_variables(self._env, registry, repository)
        paths = iter(auth_paths(self._env))
        while found is None and (path := next(paths, "")):
            file = self._file(path)
            found = None if file is None else self._find_in(file, registry, repository)
        return found

    def _file(self, path: str) -> AuthFile | None:
        if path not in self._files:
            self._files[path] = AuthFile.read(path)
        if self._files[path] is None and path == self._env.get("REGISTRY_AUTH_FILE"):
            raise ConfigError("does not exist, although REGISTRY_AUTH_FILE names it", path=path)
        return self._files[path]

    def _find_in(self, file: AuthFile, registry: str, repository: str) -> Credential | None:
        helper = file.helper(registry)
        if helper:
            return self._ask(helper, registry)
        store = file.store()
        found = self._ask(store, registry) if store else None
        return found or file.credential(registry, repository)

    def _ask(self, helper: str, registry: str) -> Credential | None:
        key = (helper, server_name(registry))
        if key not in self._helped:
            from liftlock.auth import credential_helper

            self._helped[key] = credential_helper.get(*key, self._env)
        return self._helped[key]


def from_variables(env: Mapping[str, str], registry: str, repository: str) -> Credential | None:
    """The credential in the environment, when it is for this repository.

    Raises `ConfigError` when only some of the three variables are set: a password without a registry would have to
    be offered to all of them.
    """
    values = [env.get(name, "") for name in _VARIABLES]
    if not any(values):
        return None
    missing = [name for name, value in zip(_VARIABLES, values, strict=True) if not value]
    if missing:
        present = " and ".join(name for name in _VARIABLES if name not in missing)
        raise ConfigError(
            f"{present} set, but not {' and '.join(missing)}",
            hint="credentials in the environment are for one registry: set all three, or none",
        )
    place, username, password = values
    asked = registry_key(f"{registry}/{repository}")
    bound = registry_key(place)
    return Credential(username, Secret(password)) if asked == bound or asked.startswith(f"{bound}/") else None


def auth_paths(env: Mapping[str, str]) -> list[str]:
    """Every file that may have credentials, existing or not, in the order in which they are read."""
    if env.get("REGISTRY_AUTH_FILE"):
        return [env["REGISTRY_AUTH_FILE"]]
    runtime = env.get("XDG_RUNTIME_DIR")
    configuration = env.get("XDG_CONFIG_HOME") or _at_home(env, ".config")
    paths = [
        docker_config(env),
        f"{runtime}/containers/auth.json" if runtime else f"/run/containers/{os.getuid()}/auth.json",
        f"{configuration}/containers/auth.json" if configuration else "",
    ]
    return [path for path in paths if path]


def docker_config(env: Mapping[str, str]) -> str:
    """Docker's ``config.json``, existing or not; empty when there is no home folder to have it in."""
    folder = env.get("DOCKER_CONFIG") or _at_home(env, ".docker")
    return f"{folder}/config.json" if folder else ""


def _at_home(env: Mapping[str, str], name: str) -> str:
    return f"{env['HOME']}/{name}" if env.get("HOME") else ""
