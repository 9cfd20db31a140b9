"""A double of Azure Resource Manager's hosts, as thin as can be: resources that are read, patched, put and restarted,
with changes that take a while. Nothing runs behind it.

Made from https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations (operations),
https://learn.microsoft.com/rest/api/resource-manager/containerapps/container-apps/update (JSON merge patch),
https://learn.microsoft.com/rest/api/container-instances/container-groups (put, patch of tags, restart),
https://learn.microsoft.com/rest/api/appservice/web-apps/update-configuration.
"""

from __future__ import annotations

import base64
import copy
import json
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from tests.support.receiver import Received, Reply

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/live/providers"


class Arm:
    """Resources by their ids. Give `answer` to a `Receiver`, and its address to `url`."""

    def __init__(self) -> None:
        self.url = ""
        self.resources: dict[str, dict[str, Any]] = {}
        self.way: Literal["operation", "location", "state"] = "operation"
        """How it says that a change goes on: an operation, a place to look at, or the resource's own state alone."""
        self.looks = 0
        """How often it says so before the change is over; 0: it is over at once."""
        self.outcome = "Succeeded"
        self.restarts: list[str] = []
        self._left = 0

    def answer(self, request: Received) -> Reply:
        parts = urlsplit(request.target)
        if self._audience(request) != f"{self.url}/.default":
            return _error(401, "InvalidAuthenticationToken")
        if "api-version" not in parse_qs(parts.query):
            return _error(400, "MissingApiVersionParameter")
        if parts.path.startswith("/operations/"):
            return self._operation()
        restarted = request.method == "POST" and parts.path.endswith("/restart")
        resource = self.resources.get(parts.path.removesuffix("/restart") if restarted else parts.path)
        if resource is None:
            return _error(404, "ResourceNotFound")
        if restarted:
            self.restarts.append(parts.path.removesuffix("/restart"))
            return self._begun(resource)
        if request.method == "GET":
            if self.way == "state":
                self._look()
            return _json(200, self._shown(resource))
        if request.method == "PUT":
            kept = {key: resource[key] for key in ("id", "name", "type")}
            resource.clear()
            resource.update(kept | request.json())
        else:
            _merge(resource, request.json())
        return self._begun(resource)

    def _audience(self, request: Received) -> str:
        """For whom its token is, which says so itself; nobody signed it."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        claims = token.partition(".")[2].partition(".")[0]
        try:
            return str(json.loads(base64.urlsafe_b64decode(claims + "=="))["aud"])
        except (ValueError, KeyError):
            return ""

    def _begun(self, resource: dict[str, Any]) -> Reply:
        self._left = self.looks
        if not self.looks:
            return _json(200, self._shown(resource))
        headers = {"Retry-After": "0"}
        if self.way == "operation":
            headers["Azure-AsyncOperation"] = f"{self.url}/operations/1?api-version=2024-01-01"
        if self.way == "location":
            headers["Location"] = f"{self.url}/operations/1?api-version=2024-01-01"
        return Reply(201 if self.way == "state" else 202, json.dumps(self._shown(resource)).encode(), headers)

    def _look(self) -> None:
        self._left = max(0, self._left - 1)

    def _operation(self) -> Reply:
        self._look()
        if self.way == "location":
            return Reply(202 if self._left else 200, headers={"Retry-After": "0"})
        status: dict[str, Any] = {"id": "/operations/1", "status": self.outcome if not self._left else "InProgress"}
        if status["status"] == "Failed":
            status["error"] = {"code": "InaccessibleImage", "message": "The image is not accessible."}
        return _json(200, status)

    def _shown(self, resource: dict[str, Any]) -> dict[str, Any]:
        shown = copy.deepcopy(resource)
        if "linuxFxVersion" not in shown["properties"]:
            shown["properties"].setdefault("provisioningState", "InProgress" if self._left else self.outcome)
        return shown


def _merge(into: dict[str, Any], patch: dict[str, Any]) -> None:
    """RFC 7396."""
    for key, value in patch.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def _json(status: int, content: object) -> Reply:
    return Reply(status, json.dumps(content).encode(), {"Content-Type": "application/json", "Retry-After": "0"})


def _error(status: int, code: str) -> Reply:
    return _json(status, {"error": {"code": code, "message": "Told in a sentence."}})
