"""Doubles of what cannot be had here: Entra ID, Azure Container Registry's own requests, and Azure's resource manager.

They stand in for the vendor, as thin as can be, and are made from its documentation:

- `Entra`: learn.microsoft.com/entra/identity-platform, "OAuth 2.0 client credentials flow" and "Error codes";
- `Acr`: github.com/Azure/acr, docs/AAD-OAuth.md (exchange and token), and the data plane's REST description ("Tag -
  Update Attributes", "Manifests - Update Attributes"); what a lock answers is from Azure/acr-cli#70. Everything else is
  a real docker-registry with token authorization;
- `ResourceManager`: learn.microsoft.com/rest/api/containerregistry/registries/import-image. What it imports is really
  brought there, by skopeo.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from tests.support.certificates import Authority
from tests.support.front import Exchange, Front
from tests.support.receiver import Received, Receiver, Reply
from tests.support.registry import Registry
from tests.support.tokens import SERVICE, TokenServer

TENANT = "409520d4-8100-4d1d-ad47-72432ddcc120"
CLIENT = "5a1c6b5e-1f0e-4b44-9a3f-0d2b1b7f6f10"
SECRET = "entra-client-secret~Q8"
REGISTRY = "contoso.azurecr.io"
RESOURCE = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/live"
    "/providers/Microsoft.ContainerRegistry/registries/contoso"
)


def jwt(claims: Mapping[str, Any]) -> str:
    """A token that says this, signed by nobody."""
    parts: tuple[dict[str, Any], ...] = ({"alg": "none", "typ": "JWT"}, dict(claims), {})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)


class Entra:
    """Entra ID's token endpoint for one application, over HTTPS, since azure-identity speaks nothing else.

    It takes the client secret, or a federated token that is `assertion`. `forms` has every request for a token.
    """

    def __init__(
        self, authority: Authority, *, secret: str = SECRET, assertion: str = "", lifetime: int = 3600
    ) -> None:
        self.receiver = Receiver(tls=authority)
        self.receiver.always(self._answer)
        self.secret = secret
        self.assertion = assertion
        self.lifetime = lifetime
        self.refusal = ""
        """What to say instead of giving a token: ``AADSTS7000222: …``."""
        self.forms: list[dict[str, str]] = []
        self.lock = threading.Lock()
        self._ca = str(authority.ca)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.receiver.stop()

    @property
    def env(self) -> dict[str, str]:
        """The service principal."""
        return {**self.place, "AZURE_CLIENT_SECRET": SECRET}

    @property
    def place(self) -> dict[str, str]:
        """Tenant, application and where Entra ID is; nothing by which one could prove to be that application."""
        return {
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_AUTHORITY_HOST": self.receiver.url,
            "SSL_CERT_FILE": self._ca,
        }

    def _answer(self, request: Received) -> Reply:
        if request.method == "GET":
            base = f"{self.receiver.url}/{TENANT}"
            places = {name: f"{base}/oauth2/v2.0/{name}" for name in ("token", "authorize")}
            return _said(
                200,
                {
                    "token_endpoint": places["token"],
                    "authorization_endpoint": places["authorize"],
                    "issuer": f"{base}/v2.0",
                },
            )
        form = {name: values[0] for name, values in urllib.parse.parse_qs(request.body.decode()).items()}
        with self.lock:
            self.forms.append(form)
        refusal = self.refusal or self._doubt(form)
        if refusal:
            said = f"{refusal} Trace ID: 1 Correlation ID: 2 Timestamp: 2026-01-01 00:00:00Z"
            return _said(401, {"error": "invalid_client", "error_description": said, "error_codes": []})
        token = jwt(
            {"tid": TENANT, "aud": form["scope"], "exp": int(time.time()) + self.lifetime, "n": len(self.forms)}
        )
        return _said(200, {"token_type": "Bearer", "expires_in": self.lifetime, "access_token": token})

    def _doubt(self, form: Mapping[str, str]) -> str:
        if "client_assertion" in form:
            known = self.assertion and form["client_assertion"] == self.assertion
            return "" if known else "AADSTS700213: No matching federated identity record found."
        known = form.get("client_secret") == self.secret
        return "" if known else "AADSTS7000215: Invalid client secret provided."


class Acr:
    """Azure's container registry: a docker-registry with tokens, and before it what only Azure has.

    `registry` has to ask for the tokens of `tokens`. `locks` says what is locked: ``repo:tag`` and ``repo@digest``.
    """

    def __init__(self, registry: Registry, tokens: TokenServer, front: Front) -> None:
        self.registry, self.tokens, self.front = registry, tokens, front
        self.lifetime = 10800
        self.refuses = False
        self.exchanges: list[dict[str, str]] = []
        self.locks: set[str] = set()
        front.rule("POST", r"^/oauth2/exchange$", self._exchange, times=None)
        front.rule("PATCH", r"^/acr/v1/", self._attributes, times=None)
        front.rule("PUT", r"/manifests/", self._guarded, times=None)
        front.rule("DELETE", r"/manifests/", self._guarded, times=None)

    @property
    def env(self) -> dict[str, str]:
        """Where the registry called `REGISTRY` is."""
        return {"LIFTLOCK_ENDPOINTS": f"{REGISTRY}={self.front.url}"}

    def _exchange(self, exchange: Exchange) -> None:
        exchange.drain()
        form = {name: values[0] for name, values in urllib.parse.parse_qs(exchange.request.body.decode()).items()}
        self.exchanges.append(form)
        if self.refuses or form.get("grant_type") != "access_token" or form.get("tenant") != TENANT:
            exchange.reply(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"AADSTS50020: of another tenant"}]}')
            return
        claims = {"aud": form["service"], "exp": int(time.time()) + self.lifetime, "grant_type": "refresh_token"}
        self.tokens.identity_token = jwt({**claims, "n": len(self.exchanges)})
        exchange.reply(200, json.dumps({"refresh_token": self.tokens.identity_token}).encode())

    def _attributes(self, exchange: Exchange) -> None:
        exchange.drain()
        repository, _, name = exchange.request.path.removeprefix("/acr/v1/").partition("/_")
        kind, _, reference = name.partition("/")
        reference = urllib.parse.unquote(reference)
        if not self._may(exchange, repository, "metadata_write"):
            said = f'Bearer realm="{self.tokens.realm}",service="{SERVICE}"'
            scope = f"repository:{repository}:metadata_write"
            exchange.reply(401, b"", {"WWW-Authenticate": f'{said},scope="{scope}",error="insufficient_scope"'})
            return
        attributes = json.loads(exchange.request.body)["changeableAttributes"]
        key = f"{repository}:{reference}" if kind == "tags" else f"{repository}@{reference}"
        if attributes == {"writeEnabled": False, "deleteEnabled": False}:
            self.locks.add(key)
        exchange.reply(200, json.dumps({"changeableAttributes": attributes}).encode())

    def _guarded(self, exchange: Exchange) -> None:
        found = re.fullmatch(r"/v2/(.+)/manifests/(.+)", exchange.request.path)
        assert found is not None
        repository, reference = found[1], urllib.parse.unquote(found[2])
        if f"{repository}{'@' if ':' in reference else ':'}{reference}" in self.locks:
            said = {"code": "REGISTRY_DISALLOWED_OPERATION", "message": _DISALLOWED, "detail": {}}
            exchange.reply(405, json.dumps({"errors": [said]}).encode())
            return
        exchange.relay(exchange.forward())

    def _may(self, exchange: Exchange, repository: str, action: str) -> bool:
        """Whether the token of a request was asked for with this action; docker-registry itself knows none such."""
        token = (exchange.request.authorization or "").removeprefix("Bearer ").split(".")
        if len(token) != 3:
            return False
        claims = json.loads(base64.urlsafe_b64decode(token[1] + "=" * (-len(token[1]) % 4)))
        return any(each["name"] == repository and action in each["actions"] for each in claims["access"])


_DISALLOWED = (
    "The operation is disallowed on this registry, repository or image. View troubleshooting steps at "
    "https://aka.ms/acr/faq/#why-does-my-pull-or-push-request-fail-with-disallowed-operation"
)


class ResourceManager:
    """Azure's resource manager, importing into one registry: answers 202 first, brings the image, then answers 200.

    `places` says where registries really are, by name: what skopeo speaks to, and with which credentials.
    """

    def __init__(self, resource: str, destination: Registry, places: Mapping[str, Registry]) -> None:
        self.receiver = Receiver()
        self.receiver.always(self._answer)
        self.resource = resource
        self.destination = destination
        self.places = places
        self.polls = 1
        """How often it answers 202 before the import is done."""
        self.refusal: tuple[int, str, str] | None = None
        """Status, code and message to refuse imports with."""
        self.late_refusal: tuple[int, str, str] | None = None
        """The same, said when the operation is asked after."""
        self.loses = False
        """Whether it says that it imported, and did not."""
        self.elsewhere = ""
        """Where to be asked after an import, instead of here."""
        self.asked: Callable[[], None] = lambda: None
        """Called when it is asked after one."""
        self.requests: list[Received] = []
        self.imports: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self._left: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.receiver.stop()

    @property
    def env(self) -> dict[str, str]:
        return {"AZURE_RESOURCE_MANAGER_ENDPOINT": self.receiver.url}

    def _answer(self, request: Received) -> Reply:
        with self.lock:
            self.requests.append(request)
        if not request.headers.get("authorization", "").startswith("Bearer ey"):
            return _refused(401, "AuthenticationFailed", "Authentication failed.")
        if request.method == "GET":
            return self._asked_after(request.target)
        if not request.target.lower().startswith(f"{self.resource}/importImage?api-version=2023-01-01-preview".lower()):
            return _refused(404, "ResourceNotFound", "The Resource was not found.")
        order = request.json()
        with self.lock:
            self.imports.append(order)
        if self.refusal:
            return _refused(*self.refusal)
        if not self.loses and self.late_refusal is None:
            self._bring(order)
        operation = f"/subscriptions/x/operationStatuses/{len(self.imports)}?api-version=2023-01-01-preview"
        self._left[operation] = self.polls
        return self._accepted(operation)

    def _accepted(self, operation: str) -> Reply:
        place = self.elsewhere or f"{self.receiver.url}{operation}"
        return Reply(202, headers={"Location": place, "Retry-After": "0"})

    def _asked_after(self, target: str) -> Reply:
        self.asked()
        with self.lock:
            self._left[target] -= 1
            left = self._left[target]
        if left > 0:
            return self._accepted(target)
        return _refused(*self.late_refusal) if self.late_refusal else Reply(200)

    def _bring(self, order: Mapping[str, Any]) -> None:
        source = order["source"]
        place = self.places[source.get("registryUri") or source["resourceId"].rpartition("/")[2]]
        repository, _, digest = source["sourceImage"].partition("@")
        for target in order["untaggedTargetRepositories"]:
            command = ["skopeo", "copy", "-q", "--all", "--preserve-digests", "--src-tls-verify=false"]
            given = source.get("credentials")
            if given:
                command += ["--src-creds", f"{given.get('username', '')}:{given['password']}"]
            # skopeo cannot push an index without a tag or digest; a digest is no tag.
            command += [f"docker://{place.host}/{repository}@{digest}"]
            command += [f"docker://{self.destination.host}/{target}@{digest}", "--dest-tls-verify=false"]
            if self.destination.token is not None:
                access = f"repository:{target}:pull,push"
                command += ["--dest-registry-token", self.destination.token.sign((access,))]
            elif self.destination.user:
                command += ["--dest-creds", f"{self.destination.user}:{self.destination.password}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
            assert done.returncode == 0, done.stderr


def _refused(status: int, code: str, message: str) -> Reply:
    return _said(status, {"error": {"code": code, "message": message}})


def _said(status: int, document: object) -> Reply:
    return Reply(status, json.dumps(document).encode(), {"Content-Type": "application/json"})
