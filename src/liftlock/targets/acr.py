"""What only Azure Container Registry does: fetch images by itself, and lock them.

An import is asked of Azure's resource manager, not of the registry: ``POST …/importImage``, answered at once or by 202
and a ``Location`` that is asked until it is done. It brings an image with all of its platforms, and no promise about
what refers to it. Locks are set at the registry, which takes no change and no delete of what is locked, only reading.

Sources: learn.microsoft.com/rest/api/containerregistry/registries/import-image (2023-01-01-preview), "Import container
images" and "Lock a container image" of ACR's documentation; the data plane's description of ``/acr/v1/``.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping

from liftlock.auth import acr, azure
from liftlock.auth.bearer import same_origin
from liftlock.auth.clouds import provider_of
from liftlock.auth.secret import Credential
from liftlock.auth.session import read_answer
from liftlock.errors import AccessDenied, Conflict, LiftlockError, NotFound, RegistryError, Throttled
from liftlock.oci.digest import Digest
from liftlock.oci.distribution import Scope
from liftlock.targets.registry_endpoint import Endpoint
from liftlock.targets.registry_home import Home
from liftlock.targets.registry_manifests import find
from liftlock.transport.messages import Headers, Request
from liftlock.transport.retry import retry_after
from liftlock.transport.urls import split_url
from liftlock.typed import Any, NamedTuple

__all__ = ["PATIENCE", "AcrImporter", "AcrLocker"]

API_VERSION = "2023-01-01-preview"
PATIENCE = 3600.0
"""Seconds that an import may take; one of many gigabytes from far away takes minutes."""
PAUSE, SHORTEST_PAUSE, LONGEST_PAUSE = 5.0, 0.1, 60.0
"""Seconds between two questions whether it is done: when Azure says nothing of it, and bounds of what it says."""
_SHOWN = 300
"""Characters of what Azure said."""

_LOCKED = json.dumps({"changeableAttributes": {"writeEnabled": False, "deleteEnabled": False}}).encode()


class _Said(NamedTuple):
    """An answer of the resource manager."""

    status: int
    headers: Headers
    code: str
    message: str

    def __str__(self) -> str:
        return ", ".join(filter(None, (str(self.status), self.code))) + (f": {self.message}" if self.message else "")


class AcrImporter:
    """Imports into one repository of a registry, whose Azure resource is ``resource``."""

    def __init__(self, home: Home, repository: str, resource: str) -> None:
        self._home = home
        self._repository = repository
        self._place = f"{home.registry}/{repository}"
        self._manager = acr.resource_manager(home.registry, home.env)
        self._url = f"{self._manager}{resource.rstrip('/')}/importImage?api-version={API_VERSION}"
        self._resource = resource

    def import_image(self, source: str, digest: Digest, wait: Callable[[float], None]) -> str:
        registry, _, repository = source.partition("/")
        credential = self._home.authorizer.credential(registry, repository)
        if credential is not None and provider_of(registry) not in (None, acr):
            return f"the password of {registry} is another cloud's, and opens more than this registry"
        if credential is not None and not self._is_shareable(credential):
            return f"Azure takes no token of {registry}, only a user name and a password"
        origin: dict[str, Any] = {"registryUri": registry, "sourceImage": f"{repository}@{digest}"}
        if credential is not None:
            origin["credentials"] = self._given(credential)
        order = {
            "source": origin,
            "targetTags": [],
            "untaggedTargetRepositories": [self._repository],
            "mode": "NoForce",
        }
        secrets = [credential.secret.reveal()] if credential is not None else []
        return self._followed(f"import {source}@{digest.short}", json.dumps(order).encode(), secrets, wait)

    @staticmethod
    def _is_shareable(credential: Credential) -> bool:
        return credential.kind == "password" or credential.username == acr.USERNAME

    def _given(self, credential: Credential) -> Mapping[str, str]:
        """What Azure is given for the source. Another registry of Azure takes a token of Entra ID in place of both."""
        if credential.kind == "password":
            return {"username": credential.username, "password": credential.secret.reveal()}
        return {"password": self._token()}

    def _followed(self, action: str, order: bytes, secrets: list[str], wait: Callable[[float], None]) -> str:
        """Ask, and ask after it until it is done; what speaks against it when Azure refuses."""
        deadline = time.monotonic() + PATIENCE
        said = self._ask(action, "POST", self._url, order, secrets)
        while said.status == 202:
            url = said.headers.get("location")
            if not same_origin(url, self._manager):
                raise RegistryError(
                    f"{self._place}: cannot {action}: Azure accepts it, and does not say where it can be asked after",
                    status=202,
                )
            if time.monotonic() >= deadline:
                raise LiftlockError(
                    f"{self._place}: cannot {action}: Azure was not done within {PATIENCE / 60:g} minutes",
                    hint="it may still go on there; run the same command again later, or drop import: and copy",
                )
            told = retry_after(said.headers)
            wait(PAUSE if told is None else min(max(told, SHORTEST_PAUSE), LONGEST_PAUSE))
            said = self._ask(action, "GET", url, None, secrets)
        if said.status in (400, 403):
            return f"Azure does not import it ({said})"
        if not 200 <= said.status < 300:
            raise self._failure(action, said)
        return ""

    def _ask(self, action: str, method: str, url: str, body: bytes | None, secrets: list[str]) -> _Said:
        """One request with its retries, answered by anything that is not a passing trouble."""

        def attempt() -> _Said:
            headers = {"Authorization": f"Bearer {self._token()}", "Accept": "application/json"}
            if body is not None:
                headers["Content-Type"] = "application/json"
            answer = read_answer(self._home.transport.send(Request(method, url, headers, body), redirects=False))
            said = _Said(answer.status, answer.headers, *_error(answer.body, secrets))
            if said.status in (408, 429) or said.status >= 500:
                raise self._failure(action, said)
            return said

        return self._home.transport.retrying(split_url(self._manager)[0].authority, attempt)

    def _token(self) -> str:
        return azure.access_token(f"{self._manager}/.default", self._home.env).reveal()

    def _failure(self, action: str, said: _Said) -> LiftlockError:
        what = f"{self._place}: cannot {action}: Azure says {said}"
        if said.status == 401:
            return AccessDenied(what, hint="the identity has to belong to the tenant of the registry's subscription")
        if said.status == 404:
            return NotFound(what, hint=f"is {self._resource} the registry's resource id? See import: in registries")
        if said.status == 429:
            return Throttled(what, status=429, codes=(said.code,), retry_after=retry_after(said.headers))
        return RegistryError(what, status=said.status, codes=(said.code,))


def _error(body: bytes, secrets: list[str]) -> tuple[str, str]:
    """Code and message of an answer of the resource manager, fit to be shown."""
    try:
        error = json.loads(body)["error"]
        code, message = str(error.get("code", "")), str(error.get("message", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", ""
    for secret in secrets:
        message = message.replace(secret, "***")
    message = re.sub(r"\beyJ[\w-]{8,}\S*", "***", " ".join(message.split()))
    return re.sub(r"\W", "", code)[:60], "".join(each for each in message if each.isprintable())[:_SHOWN]


class AcrLocker:
    """Locks tags and manifests of one repository."""

    def __init__(self, home: Home, repository: str) -> None:
        self._endpoint = Endpoint(home, Scope(repository, frozenset({"pull", "metadata_write"})))

    def lock(self, tag: str, digest: Digest) -> None:
        endpoint = self._endpoint
        self._patch(f"lock {digest}", f"_manifests/{digest}")
        self._patch(f"lock tag {tag}", f"_tags/{tag}")
        found = endpoint.retrying(lambda: find(endpoint, tag))
        if found is None or found.digest != digest:
            raise Conflict(
                f"{endpoint.place}:{tag} is locked, and holds {found.digest if found else 'nothing'}, not {digest}",
                hint="another writer moved it just before; az acr repository update --write-enabled true unlocks it",
            )

    def _patch(self, action: str, path: str) -> None:
        endpoint = self._endpoint
        headers = {"Content-Type": "application/json"}
        url = f"/acr/v1/{endpoint.repository}/{path}"
        try:
            endpoint.retrying(lambda: endpoint.once(action, "PATCH", url, expect=(200,), headers=headers, body=_LOCKED))
        except AccessDenied as error:
            error.hint = (
                "to lock needs the right to write metadata, as the role Container Registry Repository Writer has"
            )
            raise
