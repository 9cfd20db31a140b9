"""``container-apps``: a new revision of an Azure Container App, with the images by their digests.

Source: https://learn.microsoft.com/rest/api/resource-manager/containerapps/container-apps/update
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from liftlock.errors import TransportError
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

__all__ = ["ContainerApps", "ContainerAppsOptions"]

VERSION = "2024-03-01"
"""Of the API of its type."""


class ContainerAppsOptions(Options):
    """Which app."""

    shorthand = "resource"

    resource: Annotated[ResourceId, of_type("Microsoft.App/containerApps")]
    containers: ContainerNames = Field(default={})
    registry: str = Field(default="", description=REGISTRY)
    timeout: Timeout = Field(default="10m", description="How long everything may take, until the app has the revision.")
    allow_private: AllowPrivate = False


class ContainerApps:
    """Patches the app's template; that makes a revision. What a later promotion has set stays."""

    api_version: ClassVar[int] = 1
    options = ContainerAppsOptions

    def send(self, message: Message, options: ContainerAppsOptions, tools: Tools) -> None:
        images = {
            name: pinned(each)
            for name, each in wanted(message, "container-apps", options.containers, options.registry).items()
        }
        app = open_resource(
            options.resource,
            VERSION,
            tools,
            timeout=seconds(options.timeout),
            allow_private=options.allow_private,
            hints={403: "it needs the right to read and write the app: Container Apps Contributor has it"},
        )
        found = app.get()
        if is_overtaken(found.get("tags") or {}, message):
            return
        patch = _patch(app, found, images, message)
        if patch is None:
            app.wait()
        else:
            app.settle(app.send("PATCH", patch))


def _patch(
    app: Resource, found: Mapping[str, Any], images: Mapping[str, str], message: Message
) -> Mapping[str, Any] | None:
    """What to send, as a JSON merge patch: lists go whole. None when everything is, or is becoming, as it should be."""
    properties = found.get("properties") or {}
    template = properties.get("template") or {}
    present = {key: template.get(key) or [] for key in PLACES}
    try:
        names = [each["name"] for key in PLACES for each in present[key]]
        location = found["location"]
    except (KeyError, TypeError):
        raise TransportError(f"{app.name}: Azure answers with something else than a container app") from None
    require_containers(images, names, f"the container app {app.name}")
    after = {
        key: [{**each, "image": images[each["name"]]} if each["name"] in images else each for each in present[key]]
        for key in PLACES
    }
    changed: dict[str, Any] = {key: after[key] for key in PLACES if after[key] != present[key]}
    if properties.get("provisioningState") in ("Failed", "Canceled"):
        changed = {key: after[key] for key in PLACES if after[key]}  # what failed is tried again
    tags = {**(found.get("tags") or {}), **marks(message)}
    if not changed and tags == found.get("tags"):
        return None
    if template.get("revisionSuffix") and changed:
        changed["revisionSuffix"] = None  # it names the revision that is there: a new one gets a name of its own
    return {"location": location, "tags": tags, **({"properties": {"template": changed}} if changed else {})}
