"""A double of Kubernetes' API, as thin as can be: workloads that can be read and patched. There is no controller behind
it: a test says itself how far a rollout is.

Made from https://kubernetes.io/docs/reference/using-api/api-concepts/ (versions, conflicts, Status) and
https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/ (strategic merge: containers
are merged by their names, so that one of a new name is added).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from tests.support.receiver import Received, Reply

STRATEGIC = "application/strategic-merge-patch+json"
_BY_NAME = ("containers", "initContainers")
_KINDS = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}


class Cluster:
    """Workloads by path. Give `answer` to a `Receiver`."""

    def __init__(self, token: str = "") -> None:
        self.token = token
        """The one that is taken; empty: whoever comes has shown a certificate."""
        self.workloads: dict[str, dict[str, Any]] = {}
        self.conflicts = 0
        """How often somebody else is faster, from now on."""

    def add(self, path: str, images: Mapping[str, str], *, init: Mapping[str, str] | None = None) -> dict[str, Any]:
        """A workload at ``NAMESPACE/deployments/NAME`` or its like, with these containers, that has been rolled out."""
        namespace, plural, name = path.split("/")
        pod = {"containers": [{"name": each, "image": image, "tty": True} for each, image in images.items()]}
        if init:
            pod["initContainers"] = [{"name": each, "image": image} for each, image in init.items()]
        workload = {
            "apiVersion": "apps/v1",
            "kind": _KINDS[plural],
            "metadata": {"name": name, "namespace": namespace, "resourceVersion": "1", "generation": 1},
            "spec": {"replicas": 2, "template": {"spec": pod}},
            "status": {"observedGeneration": 1},
        }
        self.workloads[f"/apis/apps/v1/namespaces/{namespace}/{plural}/{name}"] = workload
        return workload

    def answer(self, request: Received) -> Reply:
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return _status(401, "Unauthorized")
        workload = self.workloads.get(urlsplit(request.target).path)
        if workload is None:
            return _status(404, "NotFound")
        if request.method == "PATCH":
            return self._patch(workload, request)
        return Reply(200, json.dumps(workload).encode())

    def _patch(self, workload: dict[str, Any], request: Received) -> Reply:
        if request.headers["content-type"] != STRATEGIC:
            return _status(415, "UnsupportedMediaType")
        if self.conflicts:
            self.conflicts -= 1
            _bump(workload)
        patch = request.json()
        if patch["metadata"].pop("resourceVersion", None) != workload["metadata"]["resourceVersion"]:
            return _status(409, "Conflict")
        before = copy.deepcopy(workload["spec"])
        _merge(workload, patch)
        if workload["spec"] != before:
            workload["metadata"]["generation"] += 1
        _bump(workload)
        return Reply(200, json.dumps(workload).encode())


def images(workload: Mapping[str, Any]) -> dict[str, str]:
    """What each container runs."""
    pod = workload["spec"]["template"]["spec"]
    return {each["name"]: each["image"] for key in _BY_NAME for each in pod.get(key, ())}


def _bump(workload: dict[str, Any]) -> None:
    workload["metadata"]["resourceVersion"] = str(int(workload["metadata"]["resourceVersion"]) + 1)


def _merge(into: dict[str, Any], patch: Mapping[str, Any]) -> None:
    for key, value in patch.items():
        if key in _BY_NAME:
            into[key] = _merge_by_name(into.get(key, []), value)
        elif isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        elif value is None:
            into.pop(key, None)
        else:
            into[key] = value


def _merge_by_name(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    merged = {each["name"]: each for each in old}
    for each in new:
        _merge(merged.setdefault(each["name"], {}), each)
    return list(merged.values())


def _status(code: int, reason: str) -> Reply:
    """What Kubernetes answers instead: a ``Status``."""
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}
    return Reply(code, json.dumps(status).encode(), {"Content-Type": "application/json"})
