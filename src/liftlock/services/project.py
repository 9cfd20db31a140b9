"""The composition root of the releases wing: a pipeline file, the home that remembers, and what a worker works with."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from liftlock.auth.access import NewRepository, RegistryAccess
from liftlock.engine.workplace import Images, Workplace, place_of
from liftlock.errors import NotFound
from liftlock.gates.table import GATES
from liftlock.kinds.tools import Tools
from liftlock.notify.table import NOTIFIERS
from liftlock.pipeline.load import DEFAULT_FILE, read
from liftlock.release.pipeline import Pipeline, RegistryOptions
from liftlock.release.place import LAYOUT, REGISTRY_STORE
from liftlock.services.folders import Folders
from liftlock.store.artifact_store import ArtifactStore
from liftlock.store.home import Home

if TYPE_CHECKING:
    from liftlock.targets.locate import Targets

__all__ = ["HOME_FOLDER", "Project"]

HOME_FOLDER = ".liftlock"

DATABASE_URL = "LIFTLOCK_DATABASE_URL"
"""The variable that names a database beyond this machine."""

OpenImages = Callable[[Pipeline], AbstractContextManager[Images]]
"""Opens what one piece of work needs of a pipeline's registries and layouts."""


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Project:
    """What one command works on: the pipeline of a file, and the state in ``.liftlock`` beside that file.

    Without a ``file`` it is ``liftlock.yaml`` in the current folder, which need not be there for what works without a
    pipeline. ``LIFTLOCK_DATABASE_URL`` in ``env`` names a database that several machines share. One per operation;
    close it.
    """

    def __init__(
        self, file: str | None = None, *, clock: Callable[[], dt.datetime] = _now, env: Mapping[str, str] = os.environ
    ) -> None:
        self.file = Path(file or DEFAULT_FILE)
        self._named = file is not None
        self.folder = self.file.parent.absolute()
        self.env = env
        self.home = Home(self.folder / HOME_FOLDER, clock, env.get(DATABASE_URL, ""))
        self.clock = clock

    @property
    def embedded(self) -> bool:
        """Whether the state is this machine's alone: then a command that waits does the work itself."""
        return not self.env.get(DATABASE_URL)

    @cached_property
    def pipeline(self) -> Pipeline:
        """Raises `NotFound` without a file, `ConfigError` for what is wrong with it."""
        return read(self.file, GATES, NOTIFIERS)

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

    def artifacts(self, targets: Targets) -> ArtifactStore:
        """The store that the pipeline names, else the home's own; ``targets`` opens those that are elsewhere.

        Raises `ConfigError` where the library that a store needs is not installed.
        """
        named = self.known_pipeline.store if self.known_pipeline else ""
        if named.startswith(REGISTRY_STORE):
            from liftlock.store.registry_store import RegistryStore

            return RegistryStore(targets.open_writable(named.removeprefix(REGISTRY_STORE)))
        if "://" in named:
            from liftlock.store.object_store import ObjectStore
            from liftlock.targets.object_store import ObjectTarget

            return ObjectStore(cast(ObjectTarget, targets.open_writable(named)), self.env)
        return self.home.artifacts(self.folder / named if named else None)

    @property
    def tools(self) -> Tools:
        """What gates and notifiers are lent here."""
        return Tools(folder=self.folder, environment=self.env)

    def workplace(self, images: OpenImages) -> Workplace:
        """What a worker of this project works with; ``images`` opens registries with this environment's credentials."""
        return Workplace(
            store=self.home.store,
            folder=self.folder,
            state=Folders.from_environment(self.env).state,
            images=images,
            tools=self.tools,
        )

    def access(self, options: RegistryOptions) -> RegistryAccess:
        """How a registry is talked to from here: files are relative to the pipeline file's folder."""
        create = options.create
        return RegistryAccess(
            plain_http=options.plain_http,
            ca_file=self._file(options.ca_file),
            endpoint=options.endpoint,
            role=options.role,
            create=NewRepository(
                create.immutable, create.scan_on_push, create.encryption, self._file(create.lifecycle), create.tags
            )
            if create
            else None,
            import_into=options.import_into,
            lock=options.lock,
        )

    def _file(self, path: str) -> str:
        return str(self.folder / path) if path else ""

    def target(self, place: str) -> str:
        """The name to open a place of the pipeline by: layouts are relative to the file's folder, wherever we stand."""
        return place_of(self.folder, place)

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
