"""``container-instances``: an Azure container group, with the images by their digests, or restarted to pull its tags.

A group cannot be patched: it is read, and put again with other images. What Azure never gives out again, its secrets,
would be lost that way, so such a group is only restarted, when that is asked for. Sources:
https://learn.microsoft.com/rest/api/container-instances/container-groups,
https://learn.microsoft.com/azure/container-instances/container-instances-update.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from liftlock.errors import ConfigError, LiftlockError, TransportError
from liftlock.kinds.tools import Tools
from liftlock.notify.azure_resources import AllowPrivate, Resource, ResourceId, of_type, open_resource
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
from liftlock.notify.options import Timeout
from liftlock.pipeline.kinds import Options
from liftlock.release.durations import seconds
from liftlock.release.place import Destination

__all__ = ["ContainerInstances", "ContainerInstancesOptions"]

VERSION = "2023-05-01"
"""Of the API of its type."""

_OVER = ("Succeeded", "Failed")


class ContainerInstancesOptions(Options):
    """Which container group, and how it comes to its images."""

    shorthand = "resource"

    resource: Annotated[ResourceId, of_type("Microsoft.ContainerInstance/containerGroups")]
    containers: ContainerNames = Field(default={})
    registry: str = Field(default="", description=REGISTRY)
    restart: bool = Field(
        default=False,
        description="Restart the group instead, so that it pulls the tags that it names: for a group with secrets.",
    )
    timeout: Timeout = Field(default="10m", description="How long everything may take, until the group is there.")
    allow_private: AllowPrivate = False


class ContainerInstances:
    """Puts the group with new images. What a later promotion has set stays."""

    api_version: ClassVar[int] = 1
    options = ContainerInstancesOptions

    def send(self, message: Message, options: ContainerInstancesOptions, tools: Tools) -> None:
        images = wanted(message, "container-instances", options.containers, options.registry)
        group = open_resource(
            options.resource,
            VERSION,
            tools,
            timeout=seconds(options.timeout),
            allow_private=options.allow_private,
            hints={403: "it needs the right to read, write and restart the group"},
        )
        found = group.get()
        present = _present(group, found)
        require_containers(images, list(present), f"the container group {group.name}")
        if options.restart:
            _restart(group, present, images)
        else:
            _put(group, found, {name: pinned(each) for name, each in images.items()}, message)


def _present(group: Resource, found: Mapping[str, Any]) -> Mapping[str, str]:
    """The image of each container."""
    try:
        return {each["name"]: each["properties"]["image"] for each in _containers(found["properties"])}
    except (KeyError, TypeError):
        raise TransportError(f"{group.name}: Azure answers with something else than a container group") from None


def _containers(properties: Mapping[str, Any]) -> Iterator[Any]:
    for key in PLACES:
        yield from properties.get(key) or []


def _restart(group: Resource, present: Mapping[str, str], images: Mapping[str, Destination]) -> None:
    for name, destination in images.items():
        if present[name] not in destination.references:
            raise ConfigError(
                f"the container {name} of {group.name} runs {present[name]}: no restart brings it what was promoted",
                hint=f"let it run {' or '.join(destination.references) or 'a tag of the stage'}",
            )
    group.settle(group.send("POST", below="/restart"))


def _put(group: Resource, found: Mapping[str, Any], images: Mapping[str, str], message: Message) -> None:
    if is_overtaken(found.get("tags") or {}, message):
        return
    present = _present(group, found)
    tags = {**(found.get("tags") or {}), **marks(message)}
    again = found["properties"].get("provisioningState") in ("Failed", "Canceled")
    if all(present[name] == image for name, image in images.items()) and not again:
        if tags != found.get("tags"):
            group.send("PATCH", {"tags": tags})  # a group that is put is restarted, and this one is right already
        group.wait()
        return
    _require_readable(group, found["properties"])
    group.settle(group.send("PUT", {**_sendable(found, images), "tags": tags}))


def _require_readable(group: Resource, properties: Mapping[str, Any]) -> None:
    """Raise `ConfigError` when putting the group would lose what cannot be read, `LiftlockError` when it has ended."""
    if (properties.get("instanceView") or {}).get("state") in _OVER:
        raise LiftlockError(
            f"the container group {group.name} has ended, and Azure changes no such group",
            hint="deploy it anew, with the image that was promoted",
        )
    lost = next(_unreadable(properties), "")
    if lost:
        raise ConfigError(
            f"the container group {group.name} has {lost}, which Azure does not give out: putting it would lose that",
            hint="say restart: true, and let it run a tag of the stage; or keep secrets in a key vault, and let the "
            "group pull with a managed identity",
        )


def _unreadable(properties: Mapping[str, Any]) -> Iterator[str]:
    """What the group has that reading it does not show."""
    for each in _containers(properties):
        for variable in each["properties"].get("environmentVariables") or []:
            if variable.get("value") is None:
                yield f"the secure value of {variable.get('name')}"
    for each in properties.get("imageRegistryCredentials") or []:
        if not each.get("identity"):
            yield f"the password of the registry {each.get('server')}"
    for each in properties.get("volumes") or []:
        if each.get("azureFile") is not None:
            yield f"the storage key of the volume {each.get('name')}"
        if each.get("secret") is not None:
            yield f"the secret volume {each.get('name')}"
    for each in properties.get("extensions") or []:
        yield f"the protected settings of the extension {each.get('name')}"
    if (properties.get("diagnostics") or {}).get("logAnalytics"):
        yield "the key of its log workspace"


def _sendable(found: Mapping[str, Any], images: Mapping[str, str]) -> dict[str, Any]:
    """The group as it can be put, without what only Azure says."""
    group = {
        key: copy.deepcopy(found[key]) for key in ("location", "zones", "identity", "properties") if found.get(key)
    }
    properties = group["properties"]
    for key in ("provisioningState", "instanceView"):
        properties.pop(key, None)
    for key in ("ip", "fqdn"):
        (properties.get("ipAddress") or {}).pop(key, None)
    for each in _containers(properties):
        each["properties"].pop("instanceView", None)
        each["properties"]["image"] = images.get(each["name"], each["properties"]["image"])
    if group.get("identity"):
        identities = group["identity"].get("userAssignedIdentities")
        group["identity"] = {
            "type": group["identity"].get("type"),
            **({"userAssignedIdentities": {each: {} for each in identities}} if identities else {}),
        }
    return group
