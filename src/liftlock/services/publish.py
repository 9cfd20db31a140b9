"""Publishing: images become an artifact, pinned, canonicalised once, and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from liftlock.errors import NotFound, UsageError
from liftlock.oci.manifest import Descriptor
from liftlock.release.artifact import Artifact
from liftlock.release.release import require_images
from liftlock.services.archives import prepare_archives
from liftlock.services.project import Project
from liftlock.services.session import Session
from liftlock.store.artifacts import Origin, Published
from liftlock.store.memories import LayerMemory
from liftlock.targets.locate import Location
from liftlock.transfer.events import Cancel, Event, OnEvent, ignore
from liftlock.transfer.execute import execute
from liftlock.transfer.model import CopyRequest
from liftlock.transfer.plan import make_plan
from liftlock.transfer.survey import survey

__all__ = ["Build", "all_artifacts", "artifact_json", "export", "find_artifact", "publish", "record"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What made the images."""

    id: str = ""
    commit: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def publish(
    project: Project,
    session: Session,
    sources: Mapping[str, str],
    build: Build,
    *,
    on_event: OnEvent = ignore,
    cancel: Cancel | None = None,
) -> Published:
    """Make an artifact of the images named in ``sources`` (name → location) and keep it.

    What comes from a file is stored; what a registry holds is pinned to its digest, and stored when the pipeline names
    a store. Publishing the same again gives the same artifact. Raises `Conflict` when this build id has published other
    content before; `RefusedError` when the pipeline is for other images.
    """
    if project.known_pipeline is not None:
        require_images(project.known_pipeline, sources, "what is published")
    images, origins = _bring(project, session, sources, on_event, cancel)
    artifact = Artifact(images=images, build=build.id, commit=build.commit, links=build.links, labels=build.labels)
    return record(project, session, artifact, origins)


def record(project: Project, session: Session, artifact: Artifact, origins: Mapping[str, Origin]) -> Published:
    """Keep an artifact whose content is where ``origins`` says: tags, document, last the row that makes it known."""
    with project.home.store.read() as tx:
        earlier = tx.artifacts.of_build(project.namespace, artifact.build) if artifact.build else None
    if earlier is not None and earlier.artifact.digests == artifact.digests:
        artifact = earlier.artifact
    elif earlier is None:
        _keep(project, session, artifact, origins)
    with project.home.store.begin() as tx:
        return tx.artifacts.publish(artifact, project.namespace, origins)


def _bring(
    project: Project, session: Session, sources: Mapping[str, str], on_event: OnEvent, cancel: Cancel | None
) -> tuple[dict[str, Descriptor], dict[str, Origin]]:
    """Pin every image, and bring to the store what belongs there. No tag is set yet: a tag names its artifact."""
    # Compressed layers go straight into the store, which remembers what each became.
    notes = prepare_archives(
        session,
        map(Location.parse, sources.values()),
        on_event,
        scratch=project.artifacts.scratch(),
        remember=LayerMemory(project.home.store),
    )
    for note in notes:
        on_event(Event("note", note))
    requests: dict[str, CopyRequest] = {}
    images: dict[str, Descriptor] = {}
    origins: dict[str, Origin] = {}
    for name, text in sources.items():
        location = Location.parse(text)
        if location.kind == "registry" and not project.stores_everything:
            images[name] = _pinned(session, location)
            origins[name] = Origin(source=f"{location.target}@{images[name].digest}")
            continue
        reference = location.reference or ("latest" if location.kind == "registry" else "")
        requests[name] = CopyRequest(location.target, reference, project.artifacts.target(name))
    if requests:
        plan = make_plan(survey(list(requests.values()), session.targets, cancel=cancel))
        execute(plan, session.targets, state=session.folders.state, on_event=on_event, cancel=cancel)
        for (name, request), image in zip(requests.items(), plan.images, strict=True):
            assert image.root is not None, "without tags, the root is always fetched"  # noqa: S101
            images[name] = image.root.descriptor
            in_registry = Location.parse(sources[name]).kind == "registry"
            pinned = f"{request.source}@{image.target_digest}" if in_registry else ""
            origins[name] = Origin(stored=request.destination, source=pinned)
    return {name: images[name] for name in sources}, origins


def _pinned(session: Session, location: Location) -> Descriptor:
    # The manifest, not just its digest: the artifact says its exact size, and it has to be one we can promote.
    return session.targets.open(location.target).manifest(location.reference or "latest").descriptor


def _keep(project: Project, session: Session, artifact: Artifact, origins: Mapping[str, Origin]) -> None:
    for name, origin in origins.items():
        if origin.stored:
            store = session.targets.open_writable(origin.stored)
            store.put_manifest(store.manifest(artifact.images[name].digest), project.artifacts.tag(artifact, name))
    if any(origin.stored for origin in origins.values()):
        project.artifacts.put(artifact)


def export(
    project: Project,
    session: Session,
    text: str,
    destination: str,
    *,
    on_event: OnEvent = ignore,
    cancel: Cancel | None = None,
) -> Published:
    """Write an artifact's images into one layout or archive, each under its name as tag."""
    location = Location.parse(destination)
    if location.kind not in ("oci", "oci-archive") or location.reference:
        raise UsageError(f"{destination!r} is no place to export to", hint="write oci:FOLDER or oci-archive:FILE")
    published = find_artifact(project, text)
    requests = [
        CopyRequest(_holder(published, name), image.digest, location.target, (name,))
        for name, image in published.artifact.images.items()
    ]
    plan = make_plan(survey(requests, session.targets, cancel=cancel))
    execute(plan, session.targets, state=session.folders.state, on_event=on_event, cancel=cancel)
    return published


def _holder(published: Published, name: str) -> str:
    origin = published.origins[name]
    if origin.stored:
        return origin.stored
    if not origin.source:
        raise NotFound(f"nothing is known of where image {name!r} is kept", hint="publish the artifact again")
    return Location.parse(origin.source).target


def find_artifact(project: Project, text: str) -> Published:
    """The artifact that a text names: by build id, by id, or by how its id begins. Raises `NotFound`, `UsageError`."""
    with project.home.store.read() as tx:
        return tx.artifacts.find(text, project.namespace)


def all_artifacts(project: Project) -> Sequence[Published]:
    """What was published here, the newest first."""
    with project.home.store.read() as tx:
        return tx.artifacts.all()


def artifact_json(published: Published) -> dict[str, Any]:
    """An artifact for programs."""
    artifact = published.artifact
    return {
        "id": artifact.id,
        "build": artifact.build,
        "commit": artifact.commit,
        "links": dict(artifact.links),
        "labels": dict(artifact.labels),
        "images": {
            name: {
                **image.to_json(),
                "stored": published.origins[name].stored,
                "source": published.origins[name].source,
            }
            for name, image in artifact.images.items()
        },
        "publishedAt": published.published_at.isoformat(),
    }
