"""From where the images of a release are taken: the cheapest place that holds them."""

from __future__ import annotations

from collections.abc import Sequence

from liftlock.errors import Cancelled, LiftlockError, NotFound
from liftlock.release.place import Destination
from liftlock.release.release import Release
from liftlock.services.project import Project
from liftlock.services.session import Session
from liftlock.store.artifacts import Published
from liftlock.targets.locate import Location
from liftlock.transfer.events import Cancel
from liftlock.transfer.model import CopyRequest
from liftlock.transfer.pool import gather

__all__ = ["copy_requests", "known_places"]


def copy_requests(
    project: Project, session: Session, release: Release, stage: str, cancel: Cancel
) -> list[CopyRequest]:
    """For each image of the release, the copy that brings it to its destination in the stage.

    A place of the destination's own registry comes first, since blobs mount from there; then the stages that the
    release has been through, the latest first; then the artifact store; then what was pinned. Raises `NotFound` when
    no place is known, and the last place's error when none has the image.
    """
    with project.home.store.read() as tx:
        published = tx.artifacts.get(release.artifact.id)
        history = tx.promotions.history(release.pipeline.name)
    passed = [
        promotion.stage
        for promotion in history
        if promotion.release == release.id and promotion.stage != stage and promotion.succeeded
    ]
    earlier = [each for name in reversed(passed) for each in release.destinations(name)]

    def request(destination: Destination) -> CopyRequest:
        places = [project.target(each.target) for each in earlier if each.image == destination.image]
        places += known_places(project, published, destination.image)
        target = project.target(destination.target)
        home = session.targets.open(target).home
        # Stable: among those that blobs mount from, and among the others, the order stays.
        places.sort(key=lambda name: session.targets.open(name).home != home)
        source = _first_holding(session, list(dict.fromkeys(places)), destination)
        return CopyRequest(source, destination.digest, target, destination.tags)

    return gather(request, release.destinations(stage), cancel=cancel)


def known_places(project: Project, published: Published, image: str) -> list[str]:
    """The targets where an artifact's image was stored or pinned when it was published, the store first."""
    origin = published.origins[image]
    stored = [project.target(origin.stored)] if origin.stored else []
    return stored + ([Location.parse(origin.source).target] if origin.source else [])


def _first_holding(session: Session, places: Sequence[str], destination: Destination) -> str:
    if not places:
        raise NotFound(f"nothing is known of where image {destination.image!r} is kept", hint="publish it again")
    for place in places[:-1]:
        try:
            if session.targets.open(place).resolve(destination.digest) is not None:
                return place
        except Cancelled:
            raise
        except LiftlockError:
            # A stage's registry may be down, or closed to who works on the next stage: another place will do.
            continue
    return places[-1]  # the copy itself will say if it is not there either
