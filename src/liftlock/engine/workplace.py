"""What a worker works with: the composition root hands it in, and the engine makes nothing of it itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from liftlock.kinds.tools import Tools
from liftlock.release.pipeline import Pipeline
from liftlock.release.place import LAYOUT
from liftlock.store.store import Store
from liftlock.transfer.model import Opener

__all__ = ["Images", "Places", "Workplace", "boundless", "place_of"]


class Images(Protocol):
    """Registries and layouts, opened for one piece of work."""

    @property
    def targets(self) -> Opener: ...

    def abort(self) -> None:
        """From any thread: stalled calls end in `Cancelled`, and so does everything later."""
        ...


class Places(Protocol):
    """Knows what the places that a pipeline writes down mean on this machine."""

    def target(self, place: str) -> str: ...


def boundless(name: str) -> None:
    """Nothing happens at the boundary of an effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What one worker works with. Everything in it may be used from many threads."""

    store: Store
    folder: Path
    """The pipeline file's: what relative paths in a release mean."""
    state: str
    """A folder of this user and machine, for the locks of tags."""
    images: Callable[[Pipeline], AbstractContextManager[Images]]
    """Opens what one piece of work needs, with the credentials of this environment."""
    tools: Tools
    """What gates and notifiers are lent: secrets and environment of this machine."""
    pipeline: Pipeline | None = None
    """Whose schedules this worker keeps, as its file says them now; None where there is no file."""
    boundary: Callable[[str], None] = boundless
    """Told before and after each effect, by name: where tests let a worker die."""

    def target(self, place: str) -> str:
        """The name to open a place by: layouts are relative to the pipeline file's folder."""
        return place_of(self.folder, place)


def place_of(folder: Path, place: str) -> str:
    """The name to open a place of a pipeline by, which is written relative to a folder."""
    if place.startswith(LAYOUT):
        return LAYOUT + os.path.normpath(folder / place.removeprefix(LAYOUT))
    return place
