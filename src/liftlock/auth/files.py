"""Docker's ``config.json`` and containers' ``auth.json``: one form of file, read with care for who wrote it.

Sources: docker/cli ``cli/config/configfile``; containers-auth.json(5). A key of ``auths`` names a registry
(``registry.example``), a part of one (``registry.example/team/app``), or, as old versions of Docker wrote it, a URL
(``https://registry.example/v1/``), whose path means nothing. Docker Hub is ``https://index.docker.io/v1/``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from liftlock.auth.secret import IDENTITY_TOKEN_USER, Credential, Secret
from liftlock.errors import ConfigError
from liftlock.oci.reference import DOCKER_HUB
from liftlock.typed import Any

__all__ = ["AuthFile", "registry_key", "server_name"]

DOCKER_HUB_KEY = "https://index.docker.io/v1/"
DOCKER_HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})


def registry_key(key: str) -> str:
    """What a key of ``auths`` or ``credHelpers`` stands for: ``host[:port]``, perhaps with a path of names."""
    bare = key.removeprefix("https://").removeprefix("http://")
    host, _, path = bare.partition("/")
    if bare != key or path in ("v1/", "v2/"):
        path = ""
    host = host.lower()
    host = DOCKER_HUB if host in DOCKER_HUB_NAMES else host
    return f"{host}/{path}".rstrip("/")


def server_name(registry: str) -> str:
    """How Docker names a registry in its file and to credential stores."""
    registry = registry_key(registry).partition("/")[0]
    return DOCKER_HUB_KEY if registry == DOCKER_HUB else registry


class AuthFile:
    """One such file, read and checked as far as it is used.

    Raises `ConfigError` with path and line when it cannot be read or is not well formed; a file that does not exist
    is None to `read`.
    """

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        try:
            self.content: Any = json.loads(text) if text.strip() else {}
        except json.JSONDecodeError as error:
            raise ConfigError(f"is not JSON: {error.msg}", path=path, line=error.lineno) from None
        except RecursionError:
            raise ConfigError("is nested too deeply", path=path) from None
        if not isinstance(self.content, dict):
            raise ConfigError("is not a JSON object", path=path, line=1)

    @classmethod
    def read(cls, path: str) -> AuthFile | None:
        """The file at ``path``; None when there is none."""
        try:
            with open(path, encoding="utf-8-sig") as file:
                return cls(path, file.read())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except UnicodeDecodeError:
            raise ConfigError("is not UTF-8 text", path=path) from None
        except OSError as error:
            raise ConfigError(
                f"cannot be read: {error.strerror}", path=path, hint="it has to be readable by the user who runs this"
            ) from None

    def auths(self, registry: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The entries that are for the whole of this registry, by their keys as written, the best first."""
        best = server_name(registry)
        entries = self._table("auths")
        keys = [key for key in entries if registry_key(key) == registry_key(registry)]
        for key in sorted(keys, key=lambda key: key != best):
            if not isinstance(entries[key], dict):
                raise ConfigError(f"auths: {key!r} is not an object", path=self.path, line=self._line(key))
            yield key, entries[key]

    def credential(self, registry: str, repository: str) -> Credential | None:
        """What ``auths`` has for this repository: the longest path first, the registry itself last."""
        scope = f"{registry}/{repository}" if repository else registry
        while scope:
            for key, entry in self.auths(scope):
                found = self._read_entry(key, entry)
                if found is not None:
                    return found
            scope = scope.rpartition("/")[0]
        return None

    def helper(self, registry: str) -> str:
        """The credential helper that the file names for this very registry (``credHelpers``); empty when none."""
        table = self._table("credHelpers")
        wanted = registry_key(registry)
        return next((self._name(key, value) for key, value in table.items() if registry_key(key) == wanted), "")

    def store(self) -> str:
        """The credential helper for every other registry (``credsStore``); empty when none."""
        return self._name("credsStore", self.content.get("credsStore"))

    def _read_entry(self, key: str, entry: Mapping[str, Any]) -> Credential | None:
        fields = {}
        for name in ("auth", "username", "password", "identitytoken", "registrytoken"):
            value = entry.get(name, "")
            if not isinstance(value, str):
                raise ConfigError(f"auths: {key!r}: {name!r} is not a string", path=self.path, line=self._line(key))
            fields[name] = value
        username, password = fields["username"], fields["password"]
        if fields["auth"]:
            username, password = self._decode(key, fields["auth"])
        if fields["registrytoken"]:
            return Credential(username, Secret(fields["registrytoken"]), "bearer")
        if fields["identitytoken"]:
            return Credential(username or IDENTITY_TOKEN_USER, Secret(fields["identitytoken"]), "identity-token")
        if not username and not password:
            return None  # Docker leaves such an entry for what is in a credential store
        kind: Any = "identity-token" if username == IDENTITY_TOKEN_USER else "password"
        return Credential(username, Secret(password), kind)

    def _decode(self, key: str, auth: str) -> tuple[str, str]:
        from binascii import a2b_base64

        try:
            pair = a2b_base64(auth.strip(), strict_mode=True).decode()
        except ValueError:
            pair = ""
        username, colon, password = pair.partition(":")
        if not colon:
            raise ConfigError(
                f"auths: {key!r}: 'auth' is not the base64 of user:password",
                path=self.path,
                line=self._line(key),
                hint=f"liftlock login {registry_key(key).partition('/')[0]} writes it anew",
            )
        return username, password.rstrip("\0")  # old versions of Docker padded it

    def _table(self, name: str) -> dict[str, Any]:
        table = self.content.get(name)
        if table is None:
            return {}
        if not isinstance(table, dict):
            raise ConfigError(f"{name!r} is not an object", path=self.path, line=self._line(name))
        return table

    def _name(self, key: str, value: object) -> str:
        if value is None or value == "":
            return ""
        from liftlock.auth.credential_helper import is_name  # few files name one

        if not isinstance(value, str) or not is_name(value):
            raise ConfigError(
                f"{key!r} does not name a credential helper",
                path=self.path,
                line=self._line(key),
                hint="it is what follows docker-credential- in the name of a program on PATH",
            )
        return value

    def _line(self, key: str) -> int:
        """The line on which a key stands first; 0 when it is spelled in another way there."""
        start = self.text.find(json.dumps(key, ensure_ascii=False))
        return self.text.count("\n", 0, start) + 1 if start >= 0 else 0
