"""A promotion without a release: what the pipeline's source names right now is pinned, and made one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from liftlock.errors import UsageError
from liftlock.oci.reference import Reference
from liftlock.release.names import suggestion
from liftlock.release.people import Actor
from liftlock.release.pipeline import Pipeline
from liftlock.release.release import Release, check_variables, sources
from liftlock.services.project import Project
from liftlock.services.proof import require_proof, without_state
from liftlock.services.publish import Build, pin, record
from liftlock.services.releases import any_release, candidates, create_release, require_history
from liftlock.services.session import Session
from liftlock.targets.locate import Location
from liftlock.transfer.events import Cancel

__all__ = ["PinnedRelease", "pin_release"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedRelease:
    """A release of what the source named, and the earlier stages that the registries prove it to be in."""

    release: Release
    proven: frozenset[str] = frozenset()


def pin_release(
    project: Project,
    session: Session,
    stage: str,
    *,
    build: Build,
    variables: Mapping[str, str],
    pins: Mapping[str, str],
    by: Actor,
    cancel: Cancel | None = None,
) -> PinnedRelease:
    """The release of what the pipeline's ``source`` names now: digests are pinned, artifact and release are made.

    ``pins`` gives images' references, with digests, instead of asking what their tags hold. Where nothing is on record
    here of the stages that come before, their registries are asked whether they hold exactly these images.

    Raises `UsageError`, naming the releases there are, where the earlier stages are on record; `RefusedError` where
    the registries do not prove it, or the stage's rules cannot be kept without state.
    """
    pipeline = project.pipeline
    rule = pipeline.stage(stage)
    if not any_release(project):
        without_state(rule)
    recorded = _recorded(project, rule.after)
    no_source = pipeline.source is None and set(pins) != set(pipeline.images)
    if no_source:
        require_history(project, stage)
    if recorded or no_source:
        why = f"pipeline {pipeline.name!r} has no source" if no_source else f"it comes after {' and '.join(rule.after)}"
        names = candidates(project, stage)
        raise UsageError(
            f"which release shall go to {stage!r}? It has to be named, since {why}",
            hint=f"one of: {', '.join(names)}" if names else "none may go there yet; see: liftlock status",
        )
    references = _references(pipeline, variables, build, pins)
    locations = {name: Location.parse(str(reference)) for name, reference in references.items()}
    published = record(project, session, pin(session, locations, cancel), build, by)
    used = pipeline.stage_variables  # what only the source used has done its work
    chosen = {name: value for name, value in variables.items() if name in used}
    release = create_release(project, published.artifact.id, chosen, by).release
    proven = require_proof(project, session, release, stage, cancel) if rule.after else frozenset()
    return PinnedRelease(release=release, proven=proven)


def _recorded(project: Project, stages: tuple[str, ...]) -> bool:
    """Whether anything is on record of these stages: then that counts, and not what registries hold."""
    if not stages:
        return False
    with project.home.store.read() as tx:
        return any(each.stage in stages for each in tx.promotions.history(project.pipeline.name))


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
