"""A small project for workers: a pipeline, releases of it, and what a worker works with, on any database.

Everything of it is in one folder (and one database), so that processes of a test share it by that folder's name.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from liftlock.engine.workplace import Images, Workplace, boundless
from liftlock.gates.table import GATES
from liftlock.kinds.tools import Tools
from liftlock.notify.table import NOTIFIERS
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.pipeline.load import load
from liftlock.release.artifact import Artifact
from liftlock.release.people import Actor
from liftlock.release.pipeline import Pipeline
from liftlock.release.promotion import Promotion
from liftlock.release.release import Release
from liftlock.services.session import Session
from liftlock.store import tables
from liftlock.store.artifacts import Origin
from liftlock.store.store import Store
from tests.support import images
from tests.support.images import Image

__all__ = ["ANNA", "Works", "now"]

ANNA = Actor(person="anna", asserted=True)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass
class Works:
    """One project in a folder. Without a ``url`` its database is SQLite, in the folder."""

    folder: Path
    url: str = ""
    clock: Callable[[], dt.datetime] = now
    environment: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        database = self.folder / ".liftlock" / "liftlock.db"  # where commands in the folder find it
        database.parent.mkdir(parents=True, exist_ok=True)
        self.store = Store(self.url or database, self.clock)
        self.env = {"HOME": str(self.folder), "PATH": os.environ["PATH"], **(self.environment or {})}

    @property
    def pipeline(self) -> Pipeline:
        """Written with `write`."""
        return load((self.folder / "liftlock.yaml").read_text(), gates=GATES, notifiers=NOTIFIERS)

    def write(self, text: str) -> Works:
        """Write the pipeline file."""
        (self.folder / "liftlock.yaml").write_text(text)
        return self

    def release(self, build: str, names: Sequence[str] = ("web",), **options: object) -> Release:
        """A release of a new build, whose images are in layouts (`images.make_image` has the options)."""
        made: dict[str, Image] = {}
        for name in names:
            layout = self.folder / f"built-{build}-{name}"
            shutil.rmtree(layout, ignore_errors=True)
            made[name] = images.make_image(layout, "v", **{"seed": f"{build}{name}", "layers": 1, **options})  # type: ignore[arg-type]
        artifact = Artifact(
            images={
                name: Descriptor(image.root.media_type, Digest(image.digest), image.root.size)
                for name, image in made.items()
            },
            build=build,
        )
        origins = {name: Origin(stored=f"oci:{self.folder / f'built-{build}-{name}'}") for name in made}
        with self.store.begin() as tx:
            tx.artifacts.publish(artifact, self.pipeline.name, origins, published_by="bob", author="carl")
            return tx.releases.add(Release.create(artifact, self.pipeline, created=tx.now)).release

    def request(self, release: Release, stage: str) -> Promotion:
        """Ask for a promotion, as a person would."""
        from liftlock.engine import decisions

        with self.store.begin() as tx:
            return decisions.request(tx, release, stage, by=[ANNA])

    def get(self, promotion: Promotion | int) -> Promotion:
        """The promotion as it is now."""
        with self.store.read() as tx:
            return tx.promotions.get(promotion if isinstance(promotion, int) else promotion.id)

    def over(self, *promotions: Promotion) -> Callable[[], bool]:
        """Whether these are over, and told."""

        def look() -> bool:
            with self.store.read() as tx:
                return all(
                    tx.promotions.get(each.id).over
                    and all(one.state != "pending" for one in tx.notifications.of(each.id))
                    for each in promotions
                )

        return look

    def images(self, pipeline: Pipeline) -> AbstractContextManager[Images]:
        hosts = [host for host, options in pipeline.registries.items() if options.plain_http]
        return Session(self.env, plain_http=hosts)

    def workplace(self, boundary: Callable[[str], None] = boundless) -> Workplace:
        """What a worker of this project works with."""
        return Workplace(
            store=self.store,
            folder=self.folder,
            state=str(self.folder / "state"),
            images=self.images,
            tools=Tools(folder=self.folder, environment=self.env),
            boundary=boundary,
        )

    def tags(self, layout: str) -> dict[str, str]:
        """What the tags of a layout in the folder hold."""
        if not (self.folder / layout / "index.json").exists():
            return {}
        return {tag: str(found.digest) for tag, found in images.tags(self.folder / layout).items()}

    def kinds_on_ledger(self) -> list[str]:
        """The kinds of all entries, in order."""
        with self.store.read() as tx:
            entries = tx.connection.scalars(select(tables.ledger.c.entry).order_by(tables.ledger.c.number))
            return [json.loads(text)["kind"] for text in entries]

    def close(self) -> None:
        self.store.close()
