"""What kinds need that speak of images which have arrived."""

from __future__ import annotations

from collections.abc import Sequence

from liftlock.errors import ConfigError
from liftlock.notify.base import Message
from liftlock.release.place import Destination

__all__ = ["chosen", "pushed"]


def pushed(message: Message, kind: str) -> Sequence[Destination]:
    """Where the images now are; raises `ConfigError` unless the message is of a success: only then they are there."""
    if message.occasion != "success":
        raise ConfigError(
            f"{kind} tells of images that have arrived, and nothing has ({message.occasion})",
            hint=f"use {kind} only with on: [success]",
        )
    return message.destinations


def chosen(there: Sequence[Destination], *, image: str, target: str, where: str) -> Destination:
    """The one place that an image and a target mean; either may be empty where there is only one.

    Raises `ConfigError`, whose message begins with ``where``, when they mean none or several.
    """
    images = sorted({each.image for each in there})
    if image and image not in images:
        raise ConfigError(f"{where}: there is no image {image!r}", hint=f"there are {', '.join(images)}")
    if not image and len(images) > 1:
        raise ConfigError(f"{where}: which image?", hint=f"say image: one of {', '.join(images)}")
    mine = [each for each in there if each.image == (image or images[0])]
    fitting = [each for each in mine if not target or each.target == target]
    if len(fitting) != 1:
        known = ", ".join(each.target for each in mine)
        raise ConfigError(f"{where}: which target?", hint=f"say target: one of {known}")
    return fitting[0]
