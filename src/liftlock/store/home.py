"""The folder that remembers: a database, locks, and the artifacts where a pipeline names no other store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path

from liftlock.errors import LiftlockError
from liftlock.store.artifact_store import ArtifactStore, LocalStore
from liftlock.store.locks import exclusively
from liftlock.store.store import Clock, Store

__all__ = ["Home"]


class Home:
    """`.liftlock/`: nothing is made before it is used. One per operation; close it."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self._clock = clock

    @cached_property
    def store(self) -> Store:
        """The database, made or brought up to date; raises `LiftlockError` when that cannot be done."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # State is of one machine: it must not be committed by a hasty `git add .`.
            with contextlib.suppress(FileExistsError), (self.folder / ".gitignore").open("x") as file:
                file.write("*\n")
        except OSError as error:
            raise LiftlockError(f"the folder {self.folder} cannot be made: {error.strerror}") from None
        return Store(self.folder / "liftlock.db", self._clock)

    def artifacts(self, folder: Path | None = None) -> ArtifactStore:
        """The artifact store in a folder; by default the home's own."""
        return LocalStore(folder or self.folder / "artifacts")

    def alone(
        self, pipeline: str, stage: str, *, wait: bool | Callable[[], None] = False
    ) -> AbstractContextManager[None]:
        """The only process of this home that works on a stage; see `exclusively` for ``wait``.

        Whoever holds this knows that an attempt on the stage which has not ended was left by a process that died.
        """
        return exclusively(self.folder / "locks", f"stage {stage!r} of {pipeline!r}", wait=wait)

    def close(self) -> None:
        """Give back the database's connections."""
        if "store" in self.__dict__:
            self.store.close()
