"""Where a registry's credentials are found. The first place that has some for it wins:

1. ``LIFTLOCK_USERNAME`` and ``LIFTLOCK_PASSWORD``, for the registry (or the part of one) in ``LIFTLOCK_REGISTRY``;
2. the file in ``REGISTRY_AUTH_FILE``; when that is set, no other file is read;
3. Docker's ``config.json``, in ``$DOCKER_CONFIG`` or ``~/.docker``;
4. containers' ``auth.json``, in ``$XDG_RUNTIME_DIR/containers`` (``/run/containers/UID`` without it), then in
   ``$XDG_CONFIG_HOME/containers`` (``~/.config/containers`` without it);
5. for the registries of a cloud, the cloud itself, as whoever this environment is there (``clouds``).

A registry with a role of its own goes to its cloud at once: that is what the role was named for. A cloud's login that
says of itself that it has ended counts as none. Where a cloud's identity cannot be had, one is anonymous at registries
that may have something for everybody, and `trouble` says why. A cloud is asked for nothing that would go in the clear
to another machine.
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
from liftlock.errors import AccessDenied, ConfigError, LiftlockError, RefusedError
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
        self._troubles: dict[str, LiftlockError] = {}
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
        file, a failing credential helper, incomplete variables; what `clouds.Provider` raises, see `trouble`; and
        `RefusedError` where a cloud's password would travel in the clear.
        """
        access = self._registries.get(registry)
        role = access.role if access else ""
        stored = None if role else self._stored(registry, repository)
        if stored is not None and not self._is_over(registry, stored):
            return stored
        if registry in self._troubles:
            return None
        try:
            return self._given(registry, role)
        except (AccessDenied, ConfigError) as error:
            from liftlock.auth.clouds import has_strangers

            if stored is not None:
                error.hint = f"the login that was kept for it has ended: liftlock login {registry}; or {error.hint}"
            if role or not has_strangers(registry):
                raise
            self._troubles[registry] = error
            return None

    def trouble(self, registry: str) -> LiftlockError | None:
        """Why one is anonymous at a registry although this environment is somebody; None when that is not so."""
        return self._troubles.get(registry)

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
            env = surroundings(self._env, registry, self._registries.get(registry))
            _refuse_plain(registry, env)
            self._surroundings[registry] = env
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


def _refuse_plain(registry: str, env: Mapping[str, str]) -> None:
    """Raise `RefusedError` when a registry is spoken to without encryption on another machine.

    What a cloud gives opens more than this registry: Amazon's password and Azure's token all that the identity may
    use, Google's token all of Google's cloud. A pipeline file's ``endpoint`` must not be enough to have it overheard.
    """
    from liftlock.transport.settings import Settings
    from liftlock.transport.urls import is_loopback, split_url

    settings = Settings.from_environment(env)
    own = f"{'http' if settings.speaks_plain(registry) else 'https'}://{registry}"
    origin = split_url(settings.endpoints.get(registry) or own)[0]
    if origin.scheme == "http" and not is_loopback(origin.host):
        raise RefusedError(
            f"{registry} is to be spoken to at {origin}, where a cloud's password would travel without encryption",
            hint="name an https endpoint, and drop plain-http",
        )


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
