"""The folder that remembers: a database, and the artifacts where a pipeline names no other store."""

from __future__ import annotations

import contextlib
from functools import cached_property
from pathlib import Path

from liftlock.errors import LiftlockError
from liftlock.store.artifact_store import ArtifactStore
from liftlock.store.local_store import LocalStore
from liftlock.store.store import Clock, Store, upgrade

__all__ = ["Home"]


class Home:
    """`.liftlock/`: nothing is made before it is used. One per operation; close it.

    With a ``database_url`` the database is PostgreSQL and elsewhere, and the folder is for this machine's part.
    """

    def __init__(self, folder: Path, clock: Clock, database_url: str = "") -> None:
        self.folder = folder
        self._clock = clock
        self._database_url = database_url

    @cached_property
    def store(self) -> Store:
        """The database, opened (see `Store`); raises `LiftlockError` when that cannot be done."""
        if not self._database_url:
            self._make_folder()
        return Store(self._database, self._clock)

    def upgrade(self) -> tuple[str | None, str]:
        """Bring the database's schema up to date: from which revision (None: from nothing) to which."""
        if not self._database_url:
            self._make_folder()
        return upgrade(self._database)

    @property
    def _database(self) -> Path | str:
        return self._database_url or self.folder / "liftlock.db"

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # State is of one machine: it must not be committed by a hasty `git add .`.
            with contextlib.suppress(FileExistsError), (self.folder / ".gitignore").open("x") as file:
                file.write("*\n")
        except OSError as error:
            raise LiftlockError(f"the folder {self.folder} cannot be made: {error.strerror}") from None

    def artifacts(self, folder: Path | None = None) -> ArtifactStore:
        """The artifact store in a folder; by default the home's own."""
        if folder is None and self._database_url:
            # What only reads may do so on a disk that cannot be written.
            with contextlib.suppress(LiftlockError):
                self._make_folder()
        return LocalStore(folder or self.folder / "artifacts")

    def close(self) -> None:
        """Give back the database's connections."""
        if "store" in self.__dict__:
            self.store.close()
