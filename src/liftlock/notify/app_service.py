"""``app-service``: a container app of Azure App Service, by its deployment webhook or by Resource Manager.

The webhook says that a tag was pushed, and the site pulls it anew. Resource Manager is told the digest, and starts the
site again with it. Sources: https://learn.microsoft.com/azure/app-service/deploy-ci-cd-custom-container,
https://learn.microsoft.com/rest/api/appservice/web-apps/update-configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from liftlock.errors import ConfigError, TransportError
from liftlock.kinds.tools import Tools
from liftlock.notify.azure_resources import AllowPrivate, ResourceId, of_type, open_resource
from liftlock.notify.base import Message
from liftlock.notify.containers import REGISTRY, arrived, pinned
from liftlock.notify.json_api import parsed
from liftlock.notify.options import Timeout
from liftlock.notify.registry_push import RegistryPushOptions, push
from liftlock.pipeline.kinds import Options, SecretReference
from liftlock.release.durations import seconds
from liftlock.release.place import Destination

__all__ = ["AppService", "AppServiceOptions"]

VERSION = "2023-12-01"
"""Of the API of its type."""

_DOCKER = "DOCKER|"


class AppServiceOptions(Options):
    """Which site, and by which way."""

    shorthand = "webhook"

    webhook: SecretReference | None = Field(
        default=None,
        description="A reference to the site's webhook: https://$SITE:PASSWORD@SITE.scm.azurewebsites.net/….",
    )
    resource: Annotated[ResourceId, of_type("Microsoft.Web/sites")] | None = Field(
        default=None, description="Instead: the site's id, /subscriptions/…/Microsoft.Web/sites/NAME."
    )
    slot: Annotated[str, Field(pattern=r"^([A-Za-z0-9-]{1,59})?$")] = Field(
        default="", description="The deployment slot of the resource. Default: production."
    )
    image: str = Field(default="", description="Which image. Needed when the pipeline has several.")
    registry: str = Field(default="", description=REGISTRY)
    timeout: Timeout = Field(default="2m", description="How long each request may take.")
    allow_private: AllowPrivate = False

    @model_validator(mode="after")
    def _one_way(self) -> AppServiceOptions:
        if (self.webhook is None) == (self.resource is None):
            raise ValueError("say webhook, or resource")
        if self.webhook is not None and self.slot:
            raise ValueError("slot goes with resource: a webhook is a slot's own")
        return self


class AppService:
    """Tells the site of its new image."""

    api_version: ClassVar[int] = 1
    options = AppServiceOptions

    def send(self, message: Message, options: AppServiceOptions, tools: Tools) -> None:
        destination = _one(arrived(message, "app-service", options.registry), options.image)
        if options.webhook is not None:
            told = RegistryPushOptions.model_validate(
                {"url": options.webhook, "timeout": options.timeout, "allow-private": options.allow_private}
            )
            push(message, [destination], told, tools)
        else:
            _configure(destination, options, tools)


def _one(there: Mapping[str, Destination], image: str) -> Destination:
    known = ", ".join(sorted(there))
    if not image and len(there) > 1:
        raise ConfigError("app-service: which image?", hint=f"say image: one of {known}")
    found = there.get(image or next(iter(there)))
    if found is None:
        raise ConfigError(f"app-service: there is no image {image!r}", hint=f"there are {known}")
    return found


def _configure(destination: Destination, options: AppServiceOptions, tools: Tools) -> None:
    slot = f"/slots/{options.slot}" if options.slot else ""
    site = open_resource(
        f"{options.resource}{slot}",
        VERSION,
        tools,
        timeout=seconds(options.timeout),
        allow_private=options.allow_private,
        hints={403: "it needs the right to read and write the site's configuration: Website Contributor has it"},
    )
    after = f"{_DOCKER}{pinned(destination)}"
    before = _version(site.get("/config/web"))
    if before == after:
        return
    if not before.upper().startswith(_DOCKER):
        raise ConfigError(
            f"the site {site.name} runs {before or 'no Linux container'}, and not one container",
            hint="app-service sets the image of a Linux site that runs one container (DOCKER|…)",
        )
    answer = site.send("PATCH", {"properties": {"linuxFxVersion": after}}, "/config/web")
    if _version(parsed(answer)) != after:
        raise TransportError(f"Azure took the new image of {site.name}, and shows another one")


def _version(config: Mapping[str, object]) -> str:
    properties = config.get("properties")
    return str(properties.get("linuxFxVersion") or "") if isinstance(properties, dict) else ""
