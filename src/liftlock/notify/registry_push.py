"""``registry-push``: what a registry would say after a push, for hosts that deploy when their registry calls them.

One POST for each image and tag. Sources of the three forms:
https://learn.microsoft.com/azure/container-registry/container-registry-webhook-reference#push-event,
https://docs.docker.com/docker-hub/repos/manage/webhooks/#example-webhook-payload,
https://distribution.github.io/distribution/about/notifications/#events.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from liftlock import __version__
from liftlock.auth.secret import Secret
from liftlock.errors import ConfigError
from liftlock.kinds.options import WebUrl
from liftlock.kinds.tools import Tools
from liftlock.notify.base import Message
from liftlock.notify.options import Timeout
from liftlock.notify.pushed import pushed
from liftlock.oci.reference import Reference
from liftlock.pipeline.kinds import Options
from liftlock.release.durations import seconds
from liftlock.release.place import LAYOUT, Destination

__all__ = ["RegistryPush", "RegistryPushOptions", "push"]

_JSON = "application/json"
_EVENTS = "application/vnd.docker.distribution.events.v1+json"
_IDS = uuid.UUID("7d3c1f5e-6a55-5d0c-9d0e-3f0f2c9a4b11")
"""The name space of the events' ids: the same event has the same id in every try."""


class RegistryPushOptions(Options):
    """Which host, and which registry it expects."""

    shorthand = "url"

    url: WebUrl = Field(
        description="The host's webhook. A user name and password in it are sent as Basic authorization."
    )
    format: Literal["acr", "docker-hub", "distribution"] = Field(
        default="acr", description="Whose form it takes: Azure Container Registry's, Docker Hub's, or distribution's."
    )
    timeout: Timeout = Field(default="30s", description="How long each request may take.")
    allow_private: bool = Field(
        default=False, alias="allow-private", description="Whether it may lead to a private or loopback address."
    )


class RegistryPush:
    """Tells a host that its images were pushed."""

    api_version: ClassVar[int] = 1
    options = RegistryPushOptions

    def send(self, message: Message, options: RegistryPushOptions, tools: Tools) -> None:
        there = [each for each in pushed(message, "registry-push") if not each.target.startswith(LAYOUT)]
        if not there:
            raise ConfigError(
                f"the stage {message.stage} has no registry to speak for",
                hint="registry-push is for registries' images",
            )
        push(message, there, options, tools)


def push(message: Message, there: Sequence[Destination], options: RegistryPushOptions, tools: Tools) -> None:
    """Say of each of these images and each of its tags that it was pushed; raises what `call` raises."""
    from liftlock.kinds.http import Call, call

    url = tools.secret(options.url)
    for destination in there:
        for tag in destination.tags:
            event = _event(message, destination, tag)
            content_type, payload = _FORMS[options.format](event, destination, tag)
            headers = {"content-type": content_type, "idempotency-key": event["id"]}
            call(
                Call(
                    method="POST",
                    url=url,
                    headers={name: Secret(value) for name, value in headers.items()},
                    body=json.dumps(payload, separators=(",", ":")).encode(),
                    timeout=seconds(options.timeout),
                    allow_private=options.allow_private,
                ),
                tools,
            ).require_success()


def _event(message: Message, destination: Destination, tag: str) -> dict[str, Any]:
    """Azure Container Registry's form, which is distribution's without its envelope."""
    name = f"{destination.target}:{tag}"
    reference = Reference.parse(name)
    return {
        "id": str(uuid.uuid5(_IDS, f"{message.key} {name}")),
        "timestamp": message.at.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "action": "push",
        "target": {
            "mediaType": destination.content.media_type,
            "size": destination.content.size,
            "digest": str(destination.digest),
            "length": destination.content.size,
            "repository": reference.repository,
            "tag": tag,
        },
        "request": {
            "id": str(uuid.uuid5(_IDS, f"request {message.key} {name}")),
            "host": reference.registry,
            "method": "PUT",
            "useragent": f"liftlock/{__version__}",
        },
    }


def _acr(event: dict[str, Any], _destination: Destination, _tag: str) -> tuple[str, Any]:
    return _JSON, event


def _distribution(event: dict[str, Any], _destination: Destination, _tag: str) -> tuple[str, Any]:
    target, host = event["target"], event["request"]["host"]
    url = f"https://{host}/v2/{target['repository']}/manifests/{target['digest']}"
    source = {"addr": host, "instanceID": event["request"]["id"]}
    return _EVENTS, {"events": [{**event, "target": {**target, "url": url}, "actor": {}, "source": source}]}


def _docker_hub(event: dict[str, Any], destination: Destination, tag: str) -> tuple[str, Any]:
    """Of a registry other than Docker Hub ``repo_name`` begins with its host, as in a reference."""
    repository = event["target"]["repository"]
    namespace, _, name = repository.rpartition("/")
    at = dt.datetime.fromisoformat(event["timestamp"])
    hub = event["request"]["host"] == "docker.io"
    return _JSON, {
        "push_data": {"pushed_at": int(at.timestamp()), "pusher": "liftlock", "tag": tag, "images": []},
        "repository": {
            "name": name,
            "namespace": namespace,
            "owner": namespace,
            "repo_name": repository if hub else destination.target,
            "repo_url": f"https://hub.docker.com/r/{repository}" if hub else f"https://{destination.target}",
            "status": "Active",
        },
    }


_FORMS = {"acr": _acr, "docker-hub": _docker_hub, "distribution": _distribution}
