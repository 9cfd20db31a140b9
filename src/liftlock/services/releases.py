"""Which release travels: made of a published artifact, or of what the pipeline's source names right now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from liftlock.errors import RefusedError, UsageError
from liftlock.oci.reference import Reference
from liftlock.release.names import suggestion
from liftlock.release.pipeline import Pipeline
from liftlock.release.promotion import Promotion
from liftlock.release.release import Release, check_variables, sources
from liftlock.release.rules import next_stages
from liftlock.services.attempts import bury
from liftlock.services.project import Project
from liftlock.services.publish import Build, pin, record
from liftlock.services.session import Session
from liftlock.store.releases import Created
from liftlock.targets.locate import Location
from liftlock.transfer.events import Cancel

__all__ = [
    "all_releases",
    "candidates",
    "choose_release",
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


def choose_release(project: Project, text: str, stage: str) -> Release:
    """The release that a text names, to go to a stage.

    Raises what `find_release` raises; `RefusedError` when nothing is on record here and the stage comes after others.
    """
    _require_history(project, stage)
    return find_release(project, text).release


def pin_release(
    project: Project,
    session: Session,
    stage: str,
    *,
    build: Build,
    variables: Mapping[str, str],
    pins: Mapping[str, str],
    cancel: Cancel | None = None,
) -> Release:
    """The release of what the pipeline's ``source`` names now: digests are pinned, artifact and release are made.

    ``pins`` gives images' references, with digests, instead of asking what their tags hold. Raises `UsageError`, naming
    the releases there are, for a stage that comes after others; with none on record, `RefusedError`.
    """
    pipeline = project.pipeline
    _require_history(project, stage)
    after = pipeline.stage(stage).after
    if after or (pipeline.source is None and set(pins) != set(pipeline.images)):
        why = f"it comes after {' and '.join(after)}" if after else f"pipeline {pipeline.name!r} has no source"
        names = candidates(project, stage)
        raise UsageError(
            f"which release shall go to {stage!r}? It has to be named, since {why}",
            hint=f"one of: {', '.join(names)}" if names else "none may go there yet; see: liftlock status",
        )
    references = _references(pipeline, variables, build, pins)
    locations = {name: Location.parse(str(reference)) for name, reference in references.items()}
    published = record(project, session, pin(session, locations, cancel), build)
    used = pipeline.stage_variables  # what only the source used has done its work
    chosen = {name: value for name, value in variables.items() if name in used}
    return create_release(project, published.artifact.id, chosen).release


def _require_history(project: Project, stage: str) -> None:
    """Missing history never lets anything pass."""
    pipeline = project.pipeline
    after = pipeline.stage(stage).after
    if after and not all_releases(project):
        first = [each.name for each in pipeline.stages if not each.after]
        raise RefusedError(
            f"nothing may go to {stage!r}: it comes after {' and '.join(after)}, and no release of pipeline "
            f"{pipeline.name!r} is on record in {project.home.folder}",
            hint=f"promote to {' or '.join(first)} first, and keep that folder from one job to the next",
        )


def _references(
    pipeline: Pipeline, variables: Mapping[str, str], build: Build, pins: Mapping[str, str]
) -> dict[str, Reference]:
    check_variables(pipeline, variables)
    unknown = sorted(set(pins) - set(pipeline.images))
    if unknown:
        raise UsageError(
            f"--image {unknown[0]}: pipeline {pipeline.name!r} has no such image",
            hint=suggestion(unknown[0], pipeline.images, "it has "),
        )
    found = {name: Reference.parse(text) for name, text in pins.items()}
    for name, reference in found.items():
        if reference.digest is None:
            raise UsageError(f"--image {name}={pins[name]}: a pin has a digest", hint=f"write {pins[name]}@sha256:…")
    if set(found) != set(pipeline.images):
        found = {**sources(pipeline, variables=variables, build=build.id, commit=build.commit), **found}
    return {name: found[name] for name in pipeline.images}


def find_release(project: Project, text: str) -> Created:
    """The release that a text names: by build id, by id, or by how its id begins. Raises `NotFound`, `UsageError`."""
    with project.home.store.read() as tx:
        return tx.releases.find(text, project.pipeline.name)


def all_releases(project: Project) -> Sequence[Created]:
    """The pipeline's releases, the newest first."""
    with project.home.store.read() as tx:
        return tx.releases.of(project.pipeline.name)


def history_of(project: Project) -> Sequence[Promotion]:
    """Every promotion of the pipeline; none is left running by a process that died."""
    bury(project, project.pipeline.name)
    with project.home.store.read() as tx:
        return tx.promotions.history(project.pipeline.name)


def candidates(project: Project, stage: str) -> list[str]:
    """The names of the releases that may go to a stage now, the newest first."""
    history = history_of(project)
    found = [created.release for created in all_releases(project)]
    return [each.name for each in found if stage in next_stages(each, history)]


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
