"""Which release travels: made of a published artifact, or of what the pipeline's source names right now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from liftlock.errors import UsageError
from liftlock.oci.reference import Reference
from liftlock.release.artifact import Artifact
from liftlock.release.pipeline import Pipeline
from liftlock.release.promotion import Promotion
from liftlock.release.release import Release, sources
from liftlock.release.rules import next_stages
from liftlock.services.project import Project
from liftlock.services.publish import Build, record
from liftlock.services.session import Session
from liftlock.store.artifacts import Origin
from liftlock.store.releases import Created

__all__ = [
    "all_releases",
    "candidates",
    "create_release",
    "find_release",
    "history_of",
    "pin_release",
    "release_json",
]


def create_release(project: Project, artifact: str, variables: Mapping[str, str]) -> Created:
    """The release of a published artifact (build id, id or its beginning) with the pipeline as it is now.

    Creating it again gives the same release.
    """
    with project.home.store.begin() as tx:
        published = tx.artifacts.find(artifact, project.namespace)
        release = Release.create(published.artifact, project.pipeline, created=tx.now, variables=variables)
        for earlier in tx.releases.of_artifact(published.artifact.id):
            # {date} is of the first creation.
            again = Release.create(
                published.artifact, project.pipeline, created=earlier.created_at, variables=variables
            )
            if again.id == earlier.release.id:
                return earlier
        return tx.releases.add(release)


def pin_release(
    project: Project,
    session: Session,
    *,
    build: Build,
    variables: Mapping[str, str],
    pins: Mapping[str, str] | None = None,
) -> Created:
    """The release of what the pipeline's ``source`` names now: digests are pinned, artifact and release are made.

    ``pins`` gives an image's reference (with a digest) instead of asking what its tag holds.
    """
    pipeline = project.pipeline
    references = _pinned_references(pipeline, variables, build, pins or {})
    targets = session.targets
    images = {}
    origins = {}
    for name, reference in references.items():
        manifest = targets.open(reference.name).manifest(reference.selector)
        images[name] = manifest.descriptor
        origins[name] = Origin(source=f"{reference.name}@{manifest.digest}")
    artifact = Artifact(images=images, build=build.id, commit=build.commit, links=build.links, labels=build.labels)
    published = record(project, session, artifact, origins)
    return create_release(project, published.artifact.id, _stage_variables(pipeline, variables))


def _pinned_references(
    pipeline: Pipeline, variables: Mapping[str, str], build: Build, pins: Mapping[str, str]
) -> dict[str, Reference]:
    unknown = sorted(set(pins) - set(pipeline.images))
    if unknown:
        raise UsageError(f"pipeline {pipeline.name!r} has no image {unknown[0]!r}")
    found = {}
    for name, text in pins.items():
        reference = Reference.parse(text)
        if reference.digest is None:
            raise UsageError(f"--image {name}={text}: a pin has a digest", hint=f"write {name}={text}@sha256:…")
        found[name] = reference
    if set(found) == set(pipeline.images):
        return found
    return {**sources(pipeline, variables=variables, build=build.id, commit=build.commit), **found}


def _stage_variables(pipeline: Pipeline, variables: Mapping[str, str]) -> dict[str, str]:
    """What only the source used has done its work."""
    return {name: value for name, value in variables.items() if name in pipeline.stage_variables}


def find_release(project: Project, text: str) -> Created:
    """The release that a text names: by build id, by id, or by how its id begins. Raises `NotFound`, `UsageError`."""
    with project.home.store.read() as tx:
        return tx.releases.find(text, project.pipeline.name)


def all_releases(project: Project) -> Sequence[Created]:
    """The pipeline's releases, the newest first."""
    with project.home.store.read() as tx:
        return tx.releases.of(project.pipeline.name)


def history_of(project: Project) -> Sequence[Promotion]:
    """Every promotion of the pipeline."""
    with project.home.store.read() as tx:
        return tx.promotions.history(project.pipeline.name)


def candidates(project: Project, stage: str) -> list[str]:
    """The names of the releases that may go to a stage now, the newest first."""
    history = history_of(project)
    found = [created.release for created in all_releases(project)]
    known = [each for each in found if any(each_stage.name == stage for each_stage in each.pipeline.stages)]
    return [each.name for each in known if stage in next_stages(each, history)]


def release_json(created: Created, history: Sequence[Promotion]) -> dict[str, Any]:
    """A release for programs."""
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
