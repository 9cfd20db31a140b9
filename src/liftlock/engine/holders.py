"""From where the images of a release are taken: the cheapest place that holds them."""

from __future__ import annotations

from collections.abc import Sequence

from liftlock.engine.workplace import Images, Places
from liftlock.errors import Cancelled, LiftlockError, NotFound
from liftlock.oci.hosts import is_public
from liftlock.release.place import Destination
from liftlock.release.release import Release
from liftlock.store.artifacts import Published
from liftlock.store.store import Store
from liftlock.targets.locate import Location
from liftlock.transfer.events import Cancel
from liftlock.transfer.model import CopyRequest
from liftlock.transfer.pool import gather

__all__ = ["copy_requests", "known_places"]


def copy_requests(
    release: Release,
    stage: str,
    destinations: Sequence[Destination],
    *,
    store: Store,
    places: Places,
    images: Images,
    cancel: Cancel,
) -> list[CopyRequest]:
    """The copies that bring a release's images to these destinations in a stage, with their tags.

    A place of the destination's own registry comes first, since blobs mount from there, and before the rest what a
    destination that imports may fetch; then the stages that the release has been through, the latest first; then the
    artifact store; then what was pinned. Raises `NotFound` when
    no place is known, and the last place's error when none has the image.
    """
    with store.read() as tx:
        published = tx.artifacts.get(release.artifact.id)
        history = tx.promotions.of_release(release.id)
    passed = [promotion.stage for promotion in history if promotion.stage != stage and promotion.succeeded]
    earlier = [each for name in reversed(passed) for each in release.destinations(name)]

    def request(destination: Destination) -> CopyRequest:
        holders = [places.target(each.target) for each in earlier if each.image == destination.image]
        holders += known_places(places, published, destination.image)
        target = places.target(destination.target)
        home = images.targets.open(target).home
        importing = images.targets.open_writable(target).importer is not None

        def cost(name: str) -> tuple[bool, bool]:
            """Blobs mount from the same home, a registry imports from another one; elsewhere bytes are sent."""
            return images.targets.open(name).home != home, importing and not is_public(name.partition("/")[0])

        holders.sort(key=cost)  # stable: among those that cost the same, the order stays
        if published.collected:
            source = _still_holding(images, list(dict.fromkeys(holders)), destination)
        else:
            source = _first_holding(images, list(dict.fromkeys(holders)), destination)
        return CopyRequest(source, destination.digest, target, destination.tags)

    return gather(request, destinations, cancel=cancel)


def known_places(places: Places, published: Published, image: str) -> list[str]:
    """The targets where an artifact's image was stored or pinned when it was published, the store first."""
    origin = published.origins[image]
    stored = [places.target(origin.stored)] if origin.stored else []
    return stored + ([Location.parse(origin.source).target] if origin.source else [])


def _first_holding(images: Images, holders: Sequence[str], destination: Destination) -> str:
    if not holders:
        raise NotFound(f"nothing is known of where image {destination.image!r} is kept", hint="publish it again")
    found = _holding(images, holders[:-1], destination)
    return found or holders[-1]  # the copy itself will say if it is not there either


def _still_holding(images: Images, holders: Sequence[str], destination: Destination) -> str:
    """Of an artifact that was collected: the place that has the image nevertheless."""
    found = _holding(images, holders, destination)
    if found is None:
        raise NotFound(
            f"image {destination.image!r} was collected from the artifact store, and no stage holds it any more",
            hint="publish the build again: the same images make the same artifact",
        )
    return found


def _holding(images: Images, holders: Sequence[str], destination: Destination) -> str | None:
    for place in holders:
        try:
            if images.targets.open(place).resolve(destination.digest) is not None:
                return place
        except Cancelled:
            raise
        except LiftlockError:
            # A stage's registry may be down, or closed to who works on the next stage: another place will do.
            continue
    return None
