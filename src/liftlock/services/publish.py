"""Publishing: images become an artifact, pinned, canonicalised once, and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from liftlock.engine import decisions
from liftlock.engine.holders import known_places
from liftlock.errors import NotFound, UsageError
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.release.artifact import Artifact
from liftlock.release.people import Actor
from liftlock.release.release import Release, require_images
from liftlock.release.stage import Trigger
from liftlock.services.archives import prepare_archives
from liftlock.services.project import Project
from liftlock.services.releases import make_release
from liftlock.services.session import Session
from liftlock.services.standing import Standing, standing
from liftlock.store.artifact_store import ArtifactStore, image_tag
from liftlock.store.artifacts import Origin, Published
from liftlock.store.memories import LayerMemory
from liftlock.store.store import Transaction
from liftlock.targets.locate import Location
from liftlock.transfer.events import Cancel, Event, OnEvent, ignore
from liftlock.transfer.execute import execute
from liftlock.transfer.model import CopyRequest
from liftlock.transfer.plan import make_plan
from liftlock.transfer.pool import gather
from liftlock.transfer.sides import at
from liftlock.transfer.survey import survey

__all__ = [
    "Build",
    "Pinned",
    "Publication",
    "all_artifacts",
    "artifact_json",
    "export",
    "find_artifact",
    "pin",
    "publish",
    "record",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What made the images."""

    id: str = ""
    commit: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    author: str = ""
    """Who wrote the commit. Not part of the artifact: an approval rule asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """An image that shall be part of an artifact."""

    content: Descriptor
    origin: Origin
    below: tuple[Digest, ...] = ()
    """The manifests that it consists of, when it is an index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """An artifact that was published, and what that has started."""

    published: Published
    release: Release | None = None
    """The release of it, where a stage's trigger is ``on-publish``."""
    asked: tuple[Standing, ...] = ()
    """The promotions that were asked for by themselves: none when all of this was published before."""


def publish(
    project: Project,
    session: Session,
    sources: Mapping[str, str],
    build: Build,
    by: Actor,
    *,
    variables: Mapping[str, str] | None = None,
    on_event: OnEvent = ignore,
    cancel: Cancel | None = None,
) -> Publication:
    """Make an artifact of the images named in ``sources`` (name → location) and keep it.

    What comes from a file is stored; what a registry holds is pinned to its digest, and stored when the pipeline names
    a store. Publishing the same again gives the same artifact. Where a stage's trigger is ``on-publish``, the release
    is made (with ``variables``), and asked for, in the transaction that records the artifact. Raises `Conflict` when
    this build id has published other content before; `RefusedError` when the pipeline is for other images.
    """
    if project.known_pipeline is not None:
        require_images(project.known_pipeline, sources, "what is published")
    to_pin: dict[str, Location] = {}
    to_store: dict[str, Location] = {}
    for name, text in sources.items():
        location = Location.parse(text)
        only_pinned = location.kind == "registry" and not project.stores_everything
        (to_pin if only_pinned else to_store)[name] = location
    store = project.artifacts(session.targets) if to_store else None
    # Nothing is collected before the record says that it is needed.
    with store.writing() if store else nullcontext():
        found = pin(session, to_pin, cancel)
        if store:
            found |= _store(project, store, session, to_store, on_event=on_event, cancel=cancel)
        images = {name: found[name] for name in sources}
        _prepare(project, session, images, build)
        with project.home.store.begin() as tx:
            published = _recorded(tx, project, images, build, by)
            return _released(tx, project, published, by, variables or {})


def pin(session: Session, locations: Mapping[str, Location], cancel: Cancel | None = None) -> dict[str, Pinned]:
    """What references in registries name right now, by image name; raises `NotFound`."""

    def one(location: Location) -> Pinned:
        # The manifest, not just its digest: the artifact says its exact size, and it has to be one we can promote.
        with at("source"):
            manifest = session.targets.open(location.target).manifest(location.reference or "latest")
        return Pinned(
            content=manifest.descriptor,
            origin=Origin(source=f"{location.target}@{manifest.digest}"),
            below=tuple(child.digest for child in manifest.manifests),
        )

    return dict(zip(locations, gather(one, locations.values(), cancel=cancel), strict=True))


def record(project: Project, session: Session, images: Mapping[str, Pinned], build: Build, by: Actor) -> Published:
    """Make these images known as an artifact: their tags in the store, the document, last of all the record.

    A build that has published the same before stays with what it published first. Raises `Conflict` when it has
    published something else; then nothing has changed.
    """
    _prepare(project, session, images, build)
    with project.home.store.begin() as tx:
        return _recorded(tx, project, images, build, by)


def _artifact(images: Mapping[str, Pinned], build: Build) -> Artifact:
    return Artifact(
        images={name: image.content for name, image in images.items()},
        build=build.id,
        commit=build.commit,
        links=build.links,
        labels=build.labels,
    )


def _prepare(project: Project, session: Session, images: Mapping[str, Pinned], build: Build) -> None:
    """What has to be in the store before the record says so."""
    artifact = _artifact(images, build)
    with project.home.store.read() as tx:
        earlier = tx.artifacts.of_build(project.namespace, artifact.build) if artifact.build else None
    if earlier is None or earlier.artifact.digests == artifact.digests:
        _keep(project, session, earlier.artifact if earlier else artifact, images)


def _recorded(tx: Transaction, project: Project, images: Mapping[str, Pinned], build: Build, by: Actor) -> Published:
    artifact = _artifact(images, build)
    published = tx.artifacts.publish(
        artifact,
        project.namespace,
        {name: image.origin for name, image in images.items()},
        {image.content.digest: image.below for image in images.values()},
        published_by=by.person,
        author=build.author,
    )
    # A ledger belongs to a pipeline: without one there is none, and the release that is made later is on its own.
    if project.namespace and published.published_at == tx.now:
        made = published.artifact
        tx.ledger.append(
            project.namespace,
            "artifact.published",
            by,
            {
                "artifact": str(made.id),
                "build": made.build,
                "commit": made.commit,
                "author": published.author,
                "images": {name: str(digest) for name, digest in made.digests.items()},
            },
        )
    return published


def _released(
    tx: Transaction, project: Project, published: Published, by: Actor, variables: Mapping[str, str]
) -> Publication:
    """The release that a stage with ``on-publish`` makes of it, asked for where it is new."""
    pipeline = project.known_pipeline
    started = [stage.name for stage in pipeline.stages if stage.trigger is Trigger.ON_PUBLISH] if pipeline else []
    if pipeline is None or not started:
        if variables:
            raise UsageError(
                "--var is for the release that is made on publish, and no stage asks for one",
                hint="no stage of this pipeline has trigger: on-publish",
            )
        return Publication(published=published)
    created, new = make_release(tx, pipeline, published, variables, by)
    release = created.release
    if not new:
        return Publication(published=published, release=release)
    for stage in started:
        release.destinations(stage)  # raises where a variable has no value
    asked = tuple(standing(tx, release, each) for each in decisions.published(tx, release, published))
    return Publication(published=published, release=release, asked=asked)


def _store(
    project: Project,
    store: ArtifactStore,
    session: Session,
    locations: Mapping[str, Location],
    *,
    on_event: OnEvent,
    cancel: Cancel | None,
) -> dict[str, Pinned]:
    """Bring images to the store. No tag is set yet: a tag names its artifact, which is made of all of them."""
    with store.scratch() as scratch:
        # Compressed layers go straight to where they stay, and it is remembered what each became.
        notes = prepare_archives(
            session, locations.values(), on_event, scratch=scratch, remember=LayerMemory(project.home.store)
        )
        for note in notes:
            on_event(Event("note", note))
        return _stored(project, store, session, locations, on_event=on_event, cancel=cancel)


def _stored(
    project: Project,
    store: ArtifactStore,
    session: Session,
    locations: Mapping[str, Location],
    *,
    on_event: OnEvent,
    cancel: Cancel | None,
) -> dict[str, Pinned]:
    requests = [
        CopyRequest(
            location.target,
            location.reference or ("latest" if location.kind == "registry" else ""),
            store.place,
        )
        for location in locations.values()
    ]
    plan = make_plan(survey(requests, session.targets, cancel=cancel))
    execute(plan, session.targets, state=session.folders.state, on_event=on_event, cancel=cancel)
    found = {}
    for (name, location), image in zip(locations.items(), plan.images, strict=True):
        assert image.root is not None, "without tags, the root is always fetched"  # noqa: S101
        source = f"{location.target}@{image.target_digest}" if location.kind == "registry" else ""
        found[name] = Pinned(
            content=image.root.descriptor,
            origin=Origin(stored=project.written(image.request.destination), source=source),
            below=tuple(manifest.digest for manifest in image.manifests),
        )
    return found


def _keep(project: Project, session: Session, artifact: Artifact, images: Mapping[str, Pinned]) -> None:
    for name, image in images.items():
        if image.origin.stored:
            target = session.targets.open_writable(project.target(image.origin.stored))
            target.put_manifest(target.manifest(image.content.digest), image_tag(artifact, name))
    if any(image.origin.stored for image in images.values()):
        project.artifacts(session.targets).put(artifact)


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
    if published.collected:
        raise NotFound(
            f"artifact {published.artifact.id.short} was collected from the artifact store",
            hint="publish the build again: the same images make the same artifact",
        )
    requests = [
        CopyRequest(known_places(project, published, name)[0], image.digest, location.target, (name,))
        for name, image in published.artifact.images.items()
    ]
    plan = make_plan(survey(requests, session.targets, cancel=cancel))
    execute(plan, session.targets, state=session.folders.state, on_event=on_event, cancel=cancel)
    return published


def find_artifact(project: Project, text: str) -> Published:
    """The artifact that a text names: by build id, by id, or by how its id begins. Raises `NotFound`, `UsageError`."""
    with project.home.store.read() as tx:
        return tx.artifacts.find(text, project.namespace)


def all_artifacts(project: Project) -> Sequence[Published]:
    """What was published here, the newest first."""
    with project.home.store.read() as tx:
        return tx.artifacts.all()


def artifact_json(project: Project, published: Published) -> dict[str, Any]:
    """An artifact for programs; layouts with their whole path."""
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
                "stored": project.target(published.origins[name].stored),
                "source": published.origins[name].source,
            }
            for name, image in artifact.images.items()
        },
        "publishedAt": published.published_at.isoformat(),
        "publishedBy": published.published_by,
        "author": published.author,
        "kept": published.kept,
    }
