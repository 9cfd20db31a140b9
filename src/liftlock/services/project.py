"""The composition root of the releases wing: a pipeline file, and the home that remembers, beside it."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from liftlock.errors import NotFound
from liftlock.pipeline.load import DEFAULT_FILE, read
from liftlock.release.pipeline import Pipeline
from liftlock.release.place import LAYOUT
from liftlock.store.artifact_store import ArtifactStore
from liftlock.store.home import Home

__all__ = ["HOME_FOLDER", "Project"]

HOME_FOLDER = ".liftlock"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Project:
    """What one command works on: the pipeline of a file, and the state in ``.liftlock`` beside that file.

    Without a ``file`` it is ``liftlock.yaml`` in the current folder, which need not be there for what works without a
    pipeline. One per operation; close it.
    """

    def __init__(self, file: str | None = None, *, clock: Callable[[], dt.datetime] = _now) -> None:
        self.file = Path(file or DEFAULT_FILE)
        self._named = file is not None
        self.folder = self.file.parent.absolute()
        self.home = Home(self.folder / HOME_FOLDER, clock)
        self.clock = clock

    @cached_property
    def pipeline(self) -> Pipeline:
        """Raises `NotFound` without a file, `ConfigError` for what is wrong with it."""
        return read(self.file)

    @property
    def known_pipeline(self) -> Pipeline | None:
        """The pipeline; None when there is no file, and none was named."""
        try:
            return self.pipeline
        except NotFound:
            if self._named:
                raise
            return None

    @property
    def namespace(self) -> str:
        """Whose build ids these are: the pipeline's name, empty without one."""
        return self.known_pipeline.name if self.known_pipeline else ""

    @property
    def stores_everything(self) -> bool:
        """Whether a store was configured: then images of registries are stored as well, not only pinned."""
        return bool(self.known_pipeline and self.known_pipeline.store)

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """The store that the pipeline names, else the home's own."""
        return self.home.artifacts(
            self.folder / self.known_pipeline.store if self.known_pipeline and self.stores_everything else None
        )

    def target(self, place: str) -> str:
        """The name to open a place of the pipeline by: layouts are relative to the file's folder, wherever we stand."""
        if place.startswith(LAYOUT):
            return LAYOUT + os.path.normpath(self.folder / place.removeprefix(LAYOUT))
        return place

    def written(self, target: str) -> str:
        """The reverse of `target`: a place as it would be written in the file, where it is in or below its folder."""
        path = target.removeprefix(LAYOUT)
        below = os.path.relpath(path, self.folder) if path != target and os.path.isabs(path) else ""
        return target if not below or below.split(os.sep)[0] == os.pardir else LAYOUT + below

    def close(self) -> None:
        """Give back the database."""
        self.home.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
