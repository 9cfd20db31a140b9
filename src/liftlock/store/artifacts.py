"""What was published, what of it is stored where, and which build made it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Connection, insert, select, true

from liftlock.errors import Conflict, NotFound, UsageError
from liftlock.oci.digest import Digest
from liftlock.release.artifact import Artifact
from liftlock.store import tables as t
from liftlock.store.ids import begins_with
from liftlock.store.turns import insert_missing, pipeline_turn

__all__ = ["Artifacts", "Origin", "Published"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the content of one image is found. Not part of the artifact, whose id is the same wherever it is kept."""

    stored: str = ""
    """The target that keeps it for us (`Target.name`, as ``oci:artifacts``); empty when it is not stored."""
    source: str = ""
    """What it was pinned from, with its digest: ``registry/repository@sha256:…``; empty for what came from a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """An artifact, with what is known of it here."""

    artifact: Artifact
    origins: Mapping[str, Origin]
    """By image name."""
    published_at: dt.datetime
    """When this home first heard of it."""
    published_by: str = ""
    """The person who published it first; empty where nobody wrote that down."""
    author: str = ""
    """The person who wrote its commit, as far as known."""

    @property
    def collected(self) -> bool:
        """Whether an image of it is nowhere any more where it was published: a collection removed it."""
        return any(not origin.stored and not origin.source for origin in self.origins.values())

    @property
    def kept(self) -> Literal["stored", "pinned", "collected"]:
        """In one word, where it is: in a store, only where a registry's owner leaves it, or not any more."""
        if self.collected:
            return "collected"
        return "stored" if all(origin.stored for origin in self.origins.values()) else "pinned"


class Artifacts:
    """The artifacts of one transaction."""

    def __init__(self, connection: Connection, now: dt.datetime) -> None:
        self._connection = connection
        self._now = now

    def publish(
        self,
        artifact: Artifact,
        pipeline: str,
        origins: Mapping[str, Origin],
        below: Mapping[Digest, Iterable[Digest]] | None = None,
        *,
        published_by: str = "",
        author: str = "",
    ) -> Published:
        """Record an artifact as its build's; ``pipeline`` is the namespace of build ids (empty without a pipeline).

        ``below`` names the manifests that an index consists of, so that the artifact is found by them as well. Who
        published it and who wrote its commit are kept as of the first time.

        A build that has published the same digests before stays with what it published first, which is returned: its
        commit, links and labels may differ from those given. Raises `Conflict` when it published other digests.
        """
        pipeline_turn(self._connection, pipeline)
        earlier = self.of_build(pipeline, artifact.build) if artifact.build else None
        if earlier is not None and earlier.artifact.digests != artifact.digests:
            differing = [
                name
                for name in sorted({*artifact.images, *earlier.artifact.images})
                if artifact.digests.get(name) != earlier.artifact.digests.get(name)
            ]
            raise Conflict(
                f"build {artifact.build} has published other content before: {', '.join(differing)} differ",
                hint="a build id stands for one content for ever: give this build an id of its own with --build",
            )
        kept = earlier.artifact if earlier else artifact
        if earlier is None:
            self._add(artifact, published_by, author)
            if artifact.build:
                row = {"pipeline": pipeline, "build": artifact.build, "artifact_id": artifact.id}
                self._connection.execute(insert(t.builds).values(row))
        self._locate(kept.id, origins)
        self._know(below or {})
        return self.get(kept.id)

    def get(self, artifact_id: Digest) -> Published:
        """The artifact of this id; raises `NotFound`."""
        found = self._select(t.artifacts.c.id == artifact_id)
        if not found:
            raise NotFound(f"there is no artifact {artifact_id.short}", hint="see: liftlock artifact list")
        return found[0]

    def of_build(self, pipeline: str, build: str) -> Published | None:
        """What a build published; None when it has published nothing."""
        found = self._connection.scalar(
            select(t.builds.c.artifact_id).where(t.builds.c.pipeline == pipeline, t.builds.c.build == build)
        )
        return self.get(Digest(found)) if found else None

    def find(self, text: str, pipeline: str) -> Published:
        """The artifact that a text names: by build id, by id, or by at least four digits that its id begins with.

        Raises `NotFound` when it names none, `UsageError` when it names several.
        """
        of_build = select(t.builds.c.artifact_id).where(t.builds.c.pipeline == pipeline, t.builds.c.build == text)
        found = self._select(t.artifacts.c.id.in_(of_build) | begins_with(t.artifacts.c.id, text))
        if not found:
            raise NotFound(f"there is no artifact {text!r}", hint="see: liftlock artifact list")
        if len(found) > 1:
            listed = ", ".join(f"{each.artifact.id.short} (build {each.artifact.build or 'none'})" for each in found)
            raise UsageError(f"{text!r} names several artifacts: {listed}", hint="use the beginning of the one's id")
        return found[0]

    def all(self) -> Sequence[Published]:
        """Every artifact, the newest first."""
        return self._select(true())

    def holding(self, digest: Digest) -> Sequence[Published]:
        """The artifacts that have an image of this digest, or one that this manifest is part of; the newest first."""
        images = t.artifact_images
        roots = select(t.manifests.c.root).where(t.manifests.c.digest == digest)
        holding = select(images.c.artifact_id).where((images.c.digest == digest) | images.c.digest.in_(roots))
        return self._select(t.artifacts.c.id.in_(holding))

    def collect(self, artifact_id: Digest, place: str) -> None:
        """Record that this place does not keep the artifact's content any more."""
        images = t.artifact_images
        here = (images.c.artifact_id == artifact_id) & (images.c.stored == place)
        self._connection.execute(images.update().where(here).values(stored=""))

    def pipelines(self, artifact_id: Digest) -> Sequence[str]:
        """The pipelines that published or released it."""
        builds = select(t.builds.c.pipeline).where(t.builds.c.artifact_id == artifact_id, t.builds.c.pipeline != "")
        releases = select(t.releases.c.pipeline).where(t.releases.c.artifact_id == artifact_id)
        return sorted(self._connection.scalars(builds.union(releases)))

    def _add(self, artifact: Artifact, published_by: str, author: str) -> None:
        # Another pipeline may publish the same artifact, of no known build, at the same time.
        row = {"id": artifact.id, "document": artifact.document.decode(), "published_at": self._now}
        insert_missing(self._connection, t.artifacts, [{**row, "published_by": published_by, "author": author}])
        insert_missing(
            self._connection,
            t.artifact_images,
            [
                {"artifact_id": artifact.id, "name": name, "digest": image.digest, "stored": "", "source": ""}
                for name, image in artifact.images.items()
            ],
        )

    def _locate(self, artifact_id: Digest, origins: Mapping[str, Origin]) -> None:
        """Record where content is; what is known is replaced by what is known better, never by nothing."""
        images = t.artifact_images
        for name, origin in origins.items():
            values = {key: value for key, value in (("stored", origin.stored), ("source", origin.source)) if value}
            if values:
                here = (images.c.artifact_id == artifact_id) & (images.c.name == name)
                self._connection.execute(images.update().where(here).values(values))

    def _know(self, below: Mapping[Digest, Iterable[Digest]]) -> None:
        for root, parts in below.items():
            rows = [{"digest": part, "root": root} for part in sorted(set(parts))]
            insert_missing(self._connection, t.manifests, rows)

    def _select(self, condition: ColumnElement[bool]) -> list[Published]:
        query = select(t.artifacts).where(condition)
        rows = self._connection.execute(query.order_by(t.artifacts.c.published_at.desc(), t.artifacts.c.id)).all()
        origins: dict[str, dict[str, Origin]] = {row.id: {} for row in rows}
        images = t.artifact_images
        here = select(images).join(t.artifacts, t.artifacts.c.id == images.c.artifact_id).where(condition)
        for image in self._connection.execute(here):
            origins[image.artifact_id][image.name] = Origin(stored=image.stored, source=image.source)
        return [
            Published(
                artifact=Artifact.parse(row.document.encode(), Digest(row.id)),
                origins=origins[row.id],
                published_at=row.published_at,
                published_by=row.published_by,
                author=row.author,
            )
            for row in rows
        ]
