"""``docker login`` and ``docker logout``: the credentials that Docker, podman, skopeo and liftlock all read."""

from __future__ import annotations

import os
import sys

from liftlock.ci.docker import words
from liftlock.ci.docker.flags import Flags
from liftlock.ci.docker.run import Run
from liftlock.ci.docker.words import Said
from liftlock.errors import AccessDenied
from liftlock.oci.reference import DOCKER_HUB

__all__ = ["login", "logout"]


def login(run: Run, given: Flags) -> None:
    """Try credentials on a registry, and keep them."""
    from liftlock.auth.login import login as try_and_store
    from liftlock.auth.secret import Secret

    registry = _registry(given)
    password = _password(run, given)
    username = given.values.get("username")
    if username is None:
        raise Said(words.NO_TERMINAL, hint="name the user with -u, and pipe the password into --password-stdin")
    if not username:
        raise Said(words.NO_USERNAME)
    with run.session() as session:
        try:
            stored = try_and_store(registry, username, Secret(password), transport=session.transport, env=run.env)
        except AccessDenied as error:
            url = f"{session.transport.base_url(registry)}/v2/"
            raise Said(
                words.LOGIN_FAILED.format(url=url),
                detail=error.message,
                hint=error.hint,
            ) from None
    for warning in stored.warnings:
        if stored.place not in warning:
            run.warn(f"WARNING! {warning}")
    if os.sep in stored.place:
        run.warn(words.STORED_PLAIN.format(path=stored.place))
    run.say(words.LOGGED_IN)


def logout(run: Run, given: Flags) -> None:
    """Forget a registry's credentials."""
    from liftlock.auth.files import server_name
    from liftlock.auth.login import logout as forget

    registry = _registry(given)
    run.say(words.LOGGED_OUT.format(server=server_name(registry)))
    for place in forget(registry, env=run.env).remaining:
        run.warn(f"WARNING! {place} still has credentials for {registry}")


def _registry(given: Flags) -> str:
    """The server's host: scripts write it as a URL, or with a repository behind it. Docker Hub when none is named."""
    from liftlock.auth.files import registry_key

    return registry_key(given.arguments[0]).partition("/")[0] if given.arguments else DOCKER_HUB


def _password(run: Run, given: Flags) -> str:
    password = given.values.get("password")
    if password is not None:
        if "password-stdin" in given.on:
            raise Said(words.TWO_PASSWORDS)
        run.warn(words.PASSWORD_IN_FLAG)
    elif "password-stdin" in given.on:
        if "username" not in given.values:
            raise Said(words.PASSWORD_OF_WHOM)
        password = sys.stdin.buffer.read().decode(errors="replace").removesuffix("\n").removesuffix("\r")
    elif sys.stdin.isatty() and given.values.get("username"):
        import getpass

        password = getpass.getpass("Password: ")
    if not password:
        raise Said(words.NO_TERMINAL, hint="the password is empty, or nobody is here to type it: use --password-stdin")
    return password
