"""Which release travels: made of a published artifact, named by a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from liftlock.errors import RefusedError
from liftlock.release.people import Actor
from liftlock.release.pipeline import Pipeline
from liftlock.release.promotion import Promotion
from liftlock.release.release import Release
from liftlock.release.rules import next_stages
from liftlock.services.project import Project
from liftlock.store.artifacts import Published
from liftlock.store.releases import Created
from liftlock.store.store import Transaction

__all__ = [
    "candidates",
    "choose_release",
    "create_release",
    "find_release",
    "history_of",
    "make_release",
    "page",
    "release_json",
    "require_history",
]


CANDIDATES = 100
"""How many of the newest releases are looked at for a hint."""


def create_release(project: Project, artifact: str, variables: Mapping[str, str], by: Actor) -> Created:
    """The release of a published artifact (build id, id or its beginning) with the pipeline as it is now.

    Creating it again gives the same release.
    """
    with project.home.store.begin() as tx:
        published = tx.artifacts.find(artifact, project.namespace)
        return make_release(tx, project.pipeline, published, variables, by)[0]


def make_release(
    tx: Transaction, pipeline: Pipeline, published: Published, variables: Mapping[str, str], by: Actor
) -> tuple[Created, bool]:
    """The release of an artifact with a pipeline, and whether it is a new one: then the ledger has it too."""
    artifact = published.artifact
    release = Release.create(artifact, pipeline, created=tx.now, variables=variables)
    for earlier in tx.releases.of_artifact(artifact.id):
        # {date} is of the first creation.
        again = Release.create(artifact, pipeline, created=earlier.created_at, variables=variables)
        if again.id == earlier.release.id:
            return earlier, False
    created = tx.releases.add(release)
    tx.ledger.append(
        pipeline.name,
        "release.created",
        by,
        {
            "release": str(release.id),
            "artifact": str(artifact.id),
            "pipeline": str(pipeline.id),
            "build": artifact.build,
            "commit": artifact.commit,
            "images": {name: str(digest) for name, digest in artifact.digests.items()},
        },
    )
    return created, True


def choose_release(project: Project, text: str, stage: str) -> Release:
    """The release that a text names, to go to a stage; raises what `require_history` and `find_release` raise."""
    require_history(project, stage)
    return find_release(project, text).release


def require_history(project: Project, stage: str) -> None:
    """Raise `RefusedError` when nothing is on record here and the stage comes after others."""
    pipeline = project.pipeline
    after = pipeline.stage(stage).after
    if after and not any_release(project):
        first = [each.name for each in pipeline.stages if not each.after]
        keep = f"promote to {' or '.join(first)} first, and keep that folder from one job to the next"
        raise RefusedError(
            f"nothing may go to {stage!r}: it comes after {' and '.join(after)}, and no release of pipeline "
            f"{pipeline.name!r} is on record in {project.home.folder}",
            hint=f"{keep}; or name no release, and the registries are asked" if pipeline.source else keep,
        )


def find_release(project: Project, text: str) -> Created:
    """The release that a text names: by build id, by id, or by how its id begins. Raises `NotFound`, `UsageError`."""
    with project.home.store.read() as tx:
        return tx.releases.find(text, project.pipeline.name)


def any_release(project: Project) -> bool:
    """Whether a release of the pipeline is on record here."""
    with project.home.store.read() as tx:
        return tx.releases.count(project.pipeline.name) > 0


def page(project: Project, limit: int) -> tuple[Sequence[tuple[Created, Sequence[Promotion]]], int]:
    """The newest releases, at most ``limit``, each with its promotions; and how many there are in all."""
    name = project.pipeline.name
    with project.home.store.read() as tx:
        found = tx.releases.page(name, limit)
        histories = tx.promotions.of_releases([each.release.id for each in found])
        return [(each, histories[each.release.id]) for each in found], tx.releases.count(name)


def history_of(project: Project, release: Release) -> Sequence[Promotion]:
    """Every promotion of a release."""
    with project.home.store.read() as tx:
        return tx.promotions.of_release(release.id)


def candidates(project: Project, stage: str) -> list[str]:
    """The names of the newest releases that may go to a stage now, the newest first."""
    found, _ = page(project, CANDIDATES)
    return [each.release.name for each, history in found if stage in next_stages(each.release, history)]


def release_json(created: Created, history: Sequence[Promotion]) -> dict[str, Any]:
    """A release for programs; ``history`` are its own promotions."""
    release = created.release
    return {
        "id": release.id,
        "name": release.name,
        "build": release.artifact.build,
        "commit": release.artifact.commit,
        "artifact": release.artifact.id,
        "pipeline": release.pipeline.name,
        "images": {name: image.digest for name, image in release.artifact.images.items()},
        "variables": dict(release.variables),
        "createdAt": created.created_at.isoformat(),
        "next": list(next_stages(release, history)),
    }
