"""Credential helpers: programs named ``docker-credential-NAME`` which keep credentials for Docker and its kin.

Source: docker/docker-credential-helpers. The verb is the argument; the registry, or the credential as JSON, comes on
stdin. "Not found" is an answer of its own, by its words, since the exit code is the same for every failure.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping

from liftlock.auth.secret import IDENTITY_TOKEN_USER, Credential, Secret
from liftlock.errors import ConfigError

__all__ = ["erase", "get", "is_name", "store"]

TIMEOUT = 60.0
"""Seconds: some ask a cloud for a token, some ask a person for the key of the store."""
NOT_FOUND = "credentials not found"
"""In full "credentials not found in native keychain"; some say more, and in other letters."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


def is_name(text: str) -> bool:
    """Whether this can follow ``docker-credential-``: no path, no option, nothing that a shell would read."""
    return _NAME.match(text) is not None


def get(name: str, server: str, env: Mapping[str, str], *, timeout: float = TIMEOUT) -> Credential | None:
    """What the helper has for ``server``; None when it has nothing. Raises `ConfigError` naming it when it fails."""
    status, output, errors = _run(name, "get", server, env, timeout)
    if status != 0:
        if NOT_FOUND in f"{output}\n{errors}".lower():
            return None
        raise _failure(name, f"fails for {server}", output, errors)
    try:
        said = json.loads(output)
        username, secret = said.get("Username") or "", said.get("Secret") or ""
    except (ValueError, AttributeError, RecursionError):
        raise ConfigError(f"docker-credential-{name} answers for {server}, but not in its protocol") from None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise ConfigError(f"docker-credential-{name} answers for {server}, but not in its protocol")
    if not username and not secret:
        return None
    return Credential(username, Secret(secret), "identity-token" if username == IDENTITY_TOKEN_USER else "password")


def store(name: str, server: str, credential: Credential, env: Mapping[str, str], *, timeout: float = TIMEOUT) -> None:
    """Have the helper keep a credential. Raises `ConfigError` naming it when it fails."""
    entry = {"ServerURL": server, "Username": credential.username, "Secret": credential.secret.reveal()}
    status, output, errors = _run(name, "store", json.dumps(entry), env, timeout)
    if status != 0:
        raise _failure(name, f"cannot store the credentials of {server}", output, errors)


def erase(name: str, server: str, env: Mapping[str, str], *, timeout: float = TIMEOUT) -> None:
    """Have the helper forget ``server``; it is no failure when it knows nothing of it."""
    status, output, errors = _run(name, "erase", server, env, timeout)
    if status != 0 and NOT_FOUND not in f"{output}\n{errors}".lower():
        raise _failure(name, f"cannot erase the credentials of {server}", output, errors)


def _run(name: str, verb: str, said: str, env: Mapping[str, str], timeout: float) -> tuple[int, str, str]:
    """Exit status, stdout and stderr."""
    program = f"docker-credential-{name}"
    import shutil  # most commands run no helper, and these two load slowly
    import subprocess

    path = shutil.which(program, path=env.get("PATH", os.defpath))
    if path is None:
        raise ConfigError(
            f"the credential helper {program} is not on PATH",
            hint="install it, or remove it from credsStore and credHelpers of the docker configuration",
        )
    try:
        done = subprocess.run(
            [path, verb], input=said.encode(), capture_output=True, timeout=timeout, env=dict(env), check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"the credential helper {program} does not answer within {timeout:g} s",
            hint="it may wait for somebody to unlock its store",
        ) from None
    except OSError as error:
        raise ConfigError(f"the credential helper {path} cannot be run: {error.strerror}") from None
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def _failure(name: str, what: str, output: str, errors: str) -> ConfigError:
    # A helper that fails may still have printed a credential: only plain words of its first line are passed on.
    said = next((line.strip() for line in (*output.splitlines(), *errors.splitlines()) if line.strip()), "")
    words = said[:200] if said.isprintable() and not said.startswith(("{", '"')) else ""
    return ConfigError(f"the credential helper docker-credential-{name} {what}{f': {words}' if words else ''}")
