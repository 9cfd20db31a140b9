"""Where a cluster is and who one is there, as a kubeconfig file's current context says.

Tokens and client certificates are understood. What would run a program, go another way, or trust anybody is refused,
and so is every key that this does not know: left out, it might change who one is.
Source: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liftlock.auth.secret import Secret
from liftlock.errors import ConfigError
from liftlock.kinds.tools import Tools
from liftlock.transport.settings import TlsFiles

__all__ = ["Cluster", "read"]

_NO_MATTER = frozenset({"disable-compression", "extensions"})
"""Keys of a cluster or a user that change neither where one goes nor who one is."""

_REFUSED = {
    "exec": "it would run a program: give a token instead, as a secret reference",
    "auth-provider": "Kubernetes has taken such providers out: give a token instead",
    "insecure-skip-tls-verify": "give the cluster's certificate-authority instead",
    "username": "Kubernetes takes no passwords any more: give a token instead",
    "password": "Kubernetes takes no passwords any more: give a token instead",
    "proxy-url": "set HTTPS_PROXY in the worker's environment instead",
}
"""What is not done, and what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One cluster, and who one is there."""

    server: Secret
    """Its URL, without a slash at the end."""
    namespace: str
    token: Secret | None
    tls: TlsFiles | None


def read(text: Secret, base: Path | None, folder: Path, tools: Tools) -> Cluster:
    """The current context of a kubeconfig.

    Relative paths in it start at ``base``; None when it came from nowhere that has paths. What it holds for TLS is
    written into ``folder``, since the library of TLS reads files. Raises `ConfigError`; no message shows a value.
    """
    content = _parsed(text)
    context = _named(content, "contexts", "context", _text(content, "current-context", "the kubeconfig"))
    cluster = _named(content, "clusters", "cluster", _text(context, "cluster", "its context"))
    user = _named(content, "users", "user", _text(context, "user", "its context"))
    files = _Files(base=base, folder=folder)
    tls = TlsFiles(
        files.path(cluster, "certificate-authority"),
        files.path(user, "client-certificate"),
        files.path(user, "client-key"),
    )
    _require_known(cluster, {"server", "certificate-authority", "certificate-authority-data"}, "its cluster")
    known = {"token", "tokenFile", "client-certificate", "client-key", "client-certificate-data", "client-key-data"}
    _require_known(user, known, "its user")
    token = _token(user, files, tools)
    if token is None and not tls.client_cert:
        raise ConfigError("the kubeconfig's user has neither a token nor a client certificate")
    return Cluster(
        server=Secret(_text(cluster, "server", "its cluster").rstrip("/")),
        namespace=str(context.get("namespace") or ""),
        token=token,
        tls=tls if any(tls) else None,
    )


def _parsed(text: Secret) -> Mapping[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(text.reveal())
    except (yaml.YAMLError, ValueError, RecursionError):
        content = None  # whose message would show a part of it
    if not isinstance(content, dict):
        raise ConfigError("the kubeconfig is no YAML mapping", hint="kubectl config view --raw --minify writes one")
    return content


def _named(content: Mapping[str, Any], key: str, inner: str, name: str) -> Mapping[str, Any]:
    items = content.get(key)
    for each in items if isinstance(items, list) else []:
        if isinstance(each, dict) and each.get("name") == name and isinstance(each.get(inner), dict):
            return dict(each[inner])
    raise ConfigError(f"the kubeconfig has no {inner} {name!r}")


def _text(content: Mapping[str, Any], key: str, owner: str) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"the kubeconfig cannot be used: {owner} has no {key}")
    return value


def _require_known(content: Mapping[str, Any], known: set[str], owner: str) -> None:
    for key, value in content.items():
        if key in known or key in _NO_MATTER or value in (None, "", False):
            continue
        hint = _REFUSED.get(key, "its keys are " + ", ".join(sorted(known)))
        raise ConfigError(f"the kubeconfig cannot be used: {owner} has {str(key)[:40]!r}", hint=hint)


def _token(user: Mapping[str, Any], files: _Files, tools: Tools) -> Secret | None:
    if user.get("tokenFile"):  # comes first, as in kubectl: whoever renews tokens writes this file
        return tools.secret(f"file:{files.found(str(user['tokenFile']))}")
    return Secret(_text(user, "token", "its user")) if user.get("token") else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    base: Path | None
    folder: Path

    def path(self, content: Mapping[str, Any], key: str) -> str:
        """The path of what a key names, or of what it holds as ``…-data``, which comes first; empty without it."""
        data = content.get(f"{key}-data")
        if data:
            file = self.folder / f"{key}.pem"
            file.write_bytes(_decoded(data, key))
            return str(file)
        return self.found(str(content[key])) if content.get(key) else ""

    def found(self, path: str) -> str:
        """A path as it is from here."""
        if Path(path).is_absolute():
            return path
        if self.base is None:
            raise ConfigError("the kubeconfig names a relative path, and is no file", hint="write it with --flatten")
        return str(self.base / path)


def _decoded(data: object, key: str) -> bytes:
    try:
        return base64.b64decode(str(data))
    except binascii.Error:
        pass  # whose message would be of the key
    raise ConfigError(f"the kubeconfig cannot be used: {key}-data is not base64")
