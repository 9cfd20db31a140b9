"""What a notifier is told to tell."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from liftlock.kinds.tools import Tools
from liftlock.pipeline.kinds import Options
from liftlock.release.place import Destination
from liftlock.release.release import Release

__all__ = ["Message", "Notifier"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One occasion of one promotion, for one receiver. Delivered at least once; `key` lets a receiver see it once."""

    key: str
    """The same in every try."""
    occasion: str
    """``success``, ``failure``, ``waiting``, ``approval-needed``."""
    release: Release
    stage: str
    promotion: int
    state: str
    """The promotion's, in one word."""
    at: dt.datetime
    """When it happened; later than what was told of another promotion into the stage before, on any clock."""
    reason: str = ""
    waiting_for: Sequence[str] = ()
    """The conditions that are not met, a sentence each."""
    destinations: Sequence[Destination] = ()
    """Where the images are, or will be."""

    def to_json(self) -> dict[str, Any]:
        """The body that programs get: ids, names, digests, tags."""
        return {
            "type": f"promotion.{self.occasion}",
            "key": self.key,
            "at": self.at.astimezone(dt.UTC).isoformat(),
            "pipeline": self.release.pipeline.name,
            "stage": self.stage,
            "promotion": self.promotion,
            "state": self.state,
            "reason": self.reason,
            "waitingFor": list(self.waiting_for),
            "release": {
                "id": str(self.release.id),
                "name": self.release.name,
                "build": self.release.artifact.build,
                "commit": self.release.artifact.commit,
            },
            "images": [
                {
                    "image": each.image,
                    "repository": each.target,
                    "digest": str(each.digest),
                    "tags": list(each.tags),
                }
                for each in self.destinations
            ],
        }


class Notifier(Protocol):
    """One kind of notifier. Made without arguments, used from any thread; it keeps nothing between two messages."""

    api_version: ClassVar[int]
    """1. A kind from outside that was written for another version is refused by name."""
    options: type[Options]

    def send(self, message: Message, options: Any, tools: Tools) -> None:
        """Deliver it, or raise `LiftlockError`: with ``temporary`` true where another try may help."""
        ...
