"""Releases, and the pipeline snapshots that they keep."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import ColumnElement, Connection, func, select

from liftlock.errors import NotFound
from liftlock.oci.digest import Digest
from liftlock.release.artifact import Artifact
from liftlock.release.pipeline import Pipeline
from liftlock.release.release import Release
from liftlock.release.rules import choose
from liftlock.store import tables as t
from liftlock.store.ids import begins_with
from liftlock.store.turns import insert_missing

__all__ = ["Created", "Releases"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A release, and when this home first had it."""

    release: Release
    created_at: dt.datetime


class Releases:
    """The releases of one transaction."""

    def __init__(self, connection: Connection, now: dt.datetime) -> None:
        self._connection = connection
        self._now = now

    def add(self, release: Release) -> Created:
        """Record a release and its snapshot; one that is there stays as it is. Its artifact has to be published."""
        pipeline = release.pipeline
        snapshot = {"id": pipeline.id, "name": pipeline.name, "document": pipeline.document.decode()}
        insert_missing(self._connection, t.pipelines, [snapshot])
        row = {
            "id": release.id,
            "document": release.document.decode(),
            "pipeline": pipeline.name,
            "pipeline_id": pipeline.id,
            "artifact_id": release.artifact.id,
            "created_at": self._now,
        }
        insert_missing(self._connection, t.releases, [row])
        return self.get(release.id)

    def get(self, release_id: Digest) -> Created:
        """The release of this id; raises `NotFound`."""
        found = self._select(t.releases.c.id == release_id)
        if not found:
            raise NotFound(f"there is no release {release_id.short}", hint="see: liftlock release list")
        return found[0]

    def find(self, text: str, pipeline: str) -> Created:
        """The pipeline's release that a text names; as `liftlock.release.rules.choose`, with its errors."""
        of_build = (
            select(t.releases.c.id)
            .join(t.builds, t.builds.c.artifact_id == t.releases.c.artifact_id)
            .where(t.builds.c.build == text)
        )
        named = begins_with(t.releases.c.id, text) | t.releases.c.id.in_(of_build)
        found = self._select((t.releases.c.pipeline == pipeline) & named)
        chosen = choose(text, (each.release for each in found)).id
        return next(each for each in found if each.release.id == chosen)

    def of(self, pipeline: str) -> Sequence[Created]:
        """Every release of the pipeline of this name, whatever its snapshot; the newest first."""
        return self._select(t.releases.c.pipeline == pipeline)

    def page(self, pipeline: str, limit: int, before: Digest | None = None) -> Sequence[Created]:
        """The newest releases, at most ``limit``; those before this release, where one is given (raises `NotFound`)."""
        c = t.releases.c
        condition = c.pipeline == pipeline
        if before is not None:
            created = self._connection.scalar(select(c.created_at).where(c.pipeline == pipeline, c.id == before))
            if created is None:
                raise NotFound(f"there is no release {before.short}", hint="see: liftlock release list")
            condition &= (c.created_at < created) | ((c.created_at == created) & (c.id > before))
        return self._select(condition, limit)

    def count(self, pipeline: str) -> int:
        """How many releases the pipeline of this name has."""
        query = select(func.count()).select_from(t.releases).where(t.releases.c.pipeline == pipeline)
        return self._connection.scalar(query) or 0

    def of_artifact(self, artifact_id: Digest) -> Sequence[Created]:
        """The releases that carry this artifact, of all pipelines; the newest first."""
        return self._select(t.releases.c.artifact_id == artifact_id)

    def _select(self, condition: ColumnElement[bool], limit: int | None = None) -> list[Created]:
        rows = self._connection.execute(
            select(t.releases, t.artifacts.c.document.label("artifact"))
            .join(t.artifacts, t.artifacts.c.id == t.releases.c.artifact_id)
            .where(condition)
            .order_by(t.releases.c.created_at.desc(), t.releases.c.id)
            .limit(limit)
        ).all()
        snapshots = self._snapshots({row.pipeline_id for row in rows})
        return [
            Created(
                release=Release.parse(
                    row.document.encode(),
                    Digest(row.id),
                    artifact=Artifact.parse(row.artifact.encode(), Digest(row.artifact_id)),
                    pipeline=snapshots[row.pipeline_id],
                ),
                created_at=row.created_at,
            )
            for row in rows
        ]

    def _snapshots(self, ids: Collection[str]) -> dict[str, Pipeline]:
        query = select(t.pipelines).where(t.pipelines.c.id.in_(ids))
        return {row.id: _snapshot(row.document.encode(), Digest(row.id)) for row in self._connection.execute(query)}


@lru_cache(maxsize=256)
def _snapshot(document: bytes, digest: Digest) -> Pipeline:
    """Parsed once: few pipelines are on the way at a time, and none ever changes."""
    return Pipeline.parse(document, digest)
