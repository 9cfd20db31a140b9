"""What kinds need that speak of images which have arrived."""

from __future__ import annotations

from collections.abc import Sequence

from liftlock.errors import ConfigError
from liftlock.notify.base import Message
from liftlock.release.place import Destination

__all__ = ["pushed"]


def pushed(message: Message, kind: str) -> Sequence[Destination]:
    """Where the images now are; raises `ConfigError` unless the message is of a success: only then they are there."""
    if message.occasion != "success":
        raise ConfigError(
            f"{kind} tells of images that have arrived, and nothing has ({message.occasion})",
            hint=f"use {kind} only with on: [success]",
        )
    return message.destinations
