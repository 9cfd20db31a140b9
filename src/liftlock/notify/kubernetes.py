"""``kubernetes``: sets the images of a workload's containers, by digest, and may wait until they run.

One look, one strategic merge patch of the containers whose image changes; the patch holds only if nobody else changed
the workload in between. Sources: https://kubernetes.io/docs/reference/using-api/api-concepts/,
https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, model_validator

from liftlock.errors import LiftlockError, TransportError
from liftlock.kinds.options import WebUrl
from liftlock.kinds.tools import Tools
from liftlock.notify.base import Message
from liftlock.notify.containers import (
    PLACES,
    REGISTRY,
    ContainerNames,
    is_overtaken,
    marks,
    pinned,
    require_containers,
    wanted,
)
from liftlock.notify.json_api import Api, is_open, parsed
from liftlock.notify.kubeconfig import Cluster, read
from liftlock.notify.kubernetes_rollout import KINDS, progress
from liftlock.notify.options import Timeout
from liftlock.pipeline.kinds import Options, SecretReference
from liftlock.release.durations import seconds
from liftlock.transport.settings import TlsFiles

__all__ = ["Kubernetes", "KubernetesOptions"]

TRIES = 5
"""How often the workload is looked at anew because somebody else changed it meanwhile: controllers often do."""

_FIRST_LOOK, _LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two looks at a rollout: it may be quick, and may take long."""

_NAME = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"


def _a_workload(text: str) -> str:
    if not re.fullmatch(rf"(deployment|statefulset|daemonset)/{_NAME}", text):
        raise ValueError("write deployment/NAME, statefulset/NAME or daemonset/NAME")
    return text


class KubernetesOptions(Options):
    """Which workload, in which cluster, as whom."""

    workload: Annotated[str, AfterValidator(_a_workload)] = Field(
        description="deployment/NAME, statefulset/NAME or daemonset/NAME."
    )
    namespace: Annotated[str, Field(pattern=rf"^({_NAME})?$")] = Field(
        default="", description="Its namespace. Default: the kubeconfig's, or default."
    )
    server: WebUrl | None = Field(default=None, description="The URL of the cluster's API. It goes with token.")
    token: SecretReference | None = Field(default=None, description="A service account's token, as a secret reference.")
    ca_file: str = Field(
        default="", alias="ca-file", description="A PEM file with the cluster's authority, beside the system's."
    )
    kubeconfig: SecretReference | None = Field(
        default=None,
        description="Instead of server and token: a reference to a kubeconfig, whose current context is used.",
    )
    containers: ContainerNames = Field(default={})
    registry: str = Field(default="", description=REGISTRY)
    wait: Timeout | None = Field(
        default=None, description="How long to wait until the rollout is done. Without it nothing is waited for."
    )
    timeout: Timeout = Field(default="30s", description="How long each request may take.")
    allow_private: bool = Field(
        default=False, alias="allow-private", description="Whether it may lead to a private or loopback address."
    )

    @model_validator(mode="after")
    def _one_way(self) -> KubernetesOptions:
        if self.kubeconfig is None and (self.server is None or self.token is None):
            raise ValueError("say server and token, or kubeconfig")
        if self.kubeconfig is not None and (self.server or self.token or self.ca_file):
            raise ValueError("kubeconfig says server, token and ca-file: leave these out")
        if self.server and is_open(self.server):
            raise ValueError("server: a token is not sent without TLS: write https://")
        return self


class Kubernetes:
    """Sets images. What a later promotion has set stays."""

    api_version: ClassVar[int] = 1
    options = KubernetesOptions

    def send(self, message: Message, options: KubernetesOptions, tools: Tools) -> None:
        images = {
            name: pinned(each)
            for name, each in wanted(message, "kubernetes", options.containers, options.registry).items()
        }
        with _cluster(options, tools) as cluster:
            namespace = options.namespace or cluster.namespace or "default"
            kind, _, name = options.workload.partition("/")
            api = Api(
                base=cluster.server,
                token=lambda: cluster.token,
                tools=tools,
                timeout=seconds(options.timeout),
                allow_private=options.allow_private,
                tls=cluster.tls,
                hints={
                    401: "the cluster does not take the token: it may have expired",
                    403: f"it needs the right to get and patch {kind}s in the namespace {namespace}",
                    404: f"there is no {options.workload} in the namespace {namespace}",
                },
            )
            path = f"/apis/apps/v1/namespaces/{namespace}/{kind}s/{name}"
            if _set(api, path, images, message, options.workload) and options.wait is not None:
                _wait(api, path, options.workload, seconds(options.wait))


@contextmanager
def _cluster(options: KubernetesOptions, tools: Tools) -> Iterator[Cluster]:
    """The cluster to speak to, as long as its files for TLS are there."""
    with tempfile.TemporaryDirectory(prefix="liftlock-kubernetes-") as folder:
        if options.kubeconfig is not None:
            kind, _, name = options.kubeconfig.partition(":")
            base = (tools.folder / name).parent if kind == "file" else None
            yield read(tools.secret(options.kubeconfig), base, Path(folder), tools)
        else:
            yield Cluster(
                server=tools.secret(options.server or ""),
                namespace="",
                token=tools.secret(options.token or ""),
                tls=TlsFiles(str(tools.folder / options.ca_file)) if options.ca_file else None,
            )


def _set(api: Api, path: str, images: Mapping[str, str], message: Message, shown: str) -> bool:
    """Set what is not as it should be; False when a later promotion has set it."""
    for _ in range(TRIES):
        found = _workload(api, path)
        if is_overtaken(found["metadata"].get("annotations") or {}, message):
            return False
        patch = _patch(found, images, message, shown)
        if patch is None:
            return True
        answer = api.send(
            "PATCH",
            f"{path}?fieldManager=liftlock",
            patch,
            content_type="application/strategic-merge-patch+json",
            tolerated=(409,),
        )
        if answer.status != 409:
            parsed(answer)
            return True
    raise TransportError(f"{shown}: others changed it {TRIES} times meanwhile")


def _workload(api: Api, path: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = api.get(path)
    try:
        pod = found["spec"]["template"]["spec"]
        names = [each["name"] for key in PLACES for each in pod.get(key) or []]
        if names and found["metadata"]["resourceVersion"] and found["kind"] in KINDS:
            return found
    except (AttributeError, KeyError, TypeError):
        pass
    raise TransportError("the cluster answers with something else than a workload")


def _patch(
    found: Mapping[str, Any], images: Mapping[str, str], message: Message, shown: str
) -> Mapping[str, Any] | None:
    """What to send; None when everything is as it should be."""
    pod = found["spec"]["template"]["spec"]
    present = {key: {each["name"]: each.get("image") for each in pod.get(key) or []} for key in PLACES}
    require_containers(images, [name for each in present.values() for name in each], shown)
    changed = {
        key: [
            {"name": name, "image": images[name]}
            for name, image in present[key].items()
            if name in images and image != images[name]
        ]
        for key in PLACES
    }
    changed = {key: each for key, each in changed.items() if each}
    noted = found["metadata"].get("annotations") or {}
    if not changed and all(noted.get(key) == value for key, value in marks(message).items()):
        return None
    return {
        "metadata": {"resourceVersion": found["metadata"]["resourceVersion"], "annotations": dict(marks(message))},
        **({"spec": {"template": {"spec": changed}}} if changed else {}),
    }


def _wait(api: Api, path: str, shown: str, longest: float) -> None:
    """Until the rollout is done; raises `TransportError` (temporary) when it takes longer: another try waits on."""
    deadline = time.monotonic() + longest
    pause = _FIRST_LOOK
    while True:
        now = progress(_workload(api, path))
        if now.done:
            return
        if now.failed:
            raise LiftlockError(f"the rollout of {shown} has failed: {now.said}", hint="kubectl describe says why")
        if time.monotonic() + pause > deadline:
            raise TransportError(f"the rollout of {shown} is not done: {now.said}")
        api.pause(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
