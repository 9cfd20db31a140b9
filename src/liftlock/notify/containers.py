"""Which image goes into which container, for kinds that set the images of what runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from liftlock.errors import ConfigError
from liftlock.notify.base import Message
from liftlock.notify.pushed import pushed
from liftlock.release.place import LAYOUT, Destination

__all__ = [
    "PLACES",
    "REGISTRY",
    "ContainerNames",
    "arrived",
    "is_overtaken",
    "marks",
    "pinned",
    "require_containers",
    "wanted",
]

REGISTRY = "The registry, or the part of one, whose images are taken. Needed when the stage has several targets."
"""What the option of this name is described with."""

PLACES = ("containers", "initContainers")
"""Where a pod, an app and a group have containers, alike."""

_STAGE, _AT = "liftlock-stage", "liftlock-at"

_Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


def _each_once(containers: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
    names = [name for given in containers.values() for name in _listed(given)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"the container {twice[0]} is named twice")
    return containers


ContainerNames = Annotated[
    dict[str, _Name | Annotated[list[_Name], Field(min_length=1)]],
    AfterValidator(_each_once),
    Field(
        description="The container, or containers, of each image: {image: container}. Images that are not named are "
        "left out. Without it every image goes into the container of its own name."
    ),
]
"""Image → container, or containers; empty: each has the other's name."""


def arrived(message: Message, kind: str, registry: str = "") -> Mapping[str, Destination]:
    """Where each image now is; ``registry`` says which place counts where there are several.

    Raises `ConfigError` unless the message is of a success, and each image is at one such place.
    """
    found: dict[str, Destination] = {}
    for each in pushed(message, kind):
        if each.target.startswith(LAYOUT) or not f"{each.target}/".startswith(f"{registry}/" if registry else ""):
            continue
        if each.image in found:
            places = f"{found[each.image].target} and {each.target}"
            raise ConfigError(f"{kind}: {each.image} is at {places}: from where?", hint="say registry: one of them")
        found[each.image] = each
    if not found:
        known = ", ".join(sorted({each.target for each in message.destinations}))
        raise ConfigError(
            f"{kind}: the stage {message.stage} has no images in {registry or 'a registry'}",
            hint=f"they are at {known}",
        )
    return found


def pinned(destination: Destination) -> str:
    """The image by its digest, as hosts pull it."""
    return f"{destination.target}@{destination.digest}"


def wanted(
    message: Message, kind: str, containers: Mapping[str, str | list[str]], registry: str
) -> Mapping[str, Destination]:
    """What each container is to run, by the container's name; raises `ConfigError` when that is not clear."""
    there = arrived(message, kind, registry)
    unknown = sorted(set(containers) - set(there))
    if unknown:
        raise ConfigError(f"{kind}: there is no image {unknown[0]!r}", hint=f"there are {', '.join(sorted(there))}")
    named = containers or {image: image for image in there}
    return {name: there[image] for image, given in named.items() for name in _listed(given)}


def require_containers(names: Mapping[str, object], present: list[str], where: str) -> None:
    """Raise `ConfigError` when a container is to get an image that is not there; it would be added, or nothing done."""
    missing = sorted(set(names) - set(present))
    if missing:
        raise ConfigError(
            f"{where} has no container {missing[0]!r}",
            hint=f"it has {', '.join(sorted(present)) or 'none'}: say containers: {{image: container}}",
        )


def marks(message: Message) -> Mapping[str, str]:
    """What is written beside the images that were set: of which stage they are, and since when."""
    return {
        _STAGE: f"{message.release.pipeline.name}/{message.stage}",
        _AT: message.at.astimezone(dt.UTC).isoformat(),
    }


def is_overtaken(found: Mapping[str, str], message: Message) -> bool:
    """Whether these marks are of a later promotion into the same stage: a late message must not undo it."""
    if found.get(_STAGE) != marks(message)[_STAGE]:
        return False
    try:
        return dt.datetime.fromisoformat(found.get(_AT, "")) > message.at
    except (ValueError, TypeError):
        return False


def _listed(given: str | list[str]) -> list[str]:
    return [given] if isinstance(given, str) else given
