"""Bringing a release into a stage: content by digest, home by home, and then the tags, all together.

Both are one copy of `liftlock.transfer`: the second finds the content there, and has only the tags left to move. So a
tag moves when everything is everywhere, and not before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from liftlock.engine.holders import copy_requests
from liftlock.engine.progress import Progress
from liftlock.engine.shift import Shift
from liftlock.errors import Cancelled
from liftlock.release.place import LAYOUT, Destination
from liftlock.release.promotion import Promotion
from liftlock.release.release import Release
from liftlock.store.memories import PromotionJournal
from liftlock.targets.base import Target, WritableTarget
from liftlock.transfer.events import Cancel, Event
from liftlock.transfer.execute import execute
from liftlock.transfer.journal import Journal, NoJournal
from liftlock.transfer.model import CopyRequest, Opener, Options, TagMove
from liftlock.transfer.plan import make_plan
from liftlock.transfer.survey import survey

__all__ = ["LAYOUTS", "bring", "homes", "move"]

LAYOUTS = "layouts"
"""The home of all destinations that are folders."""


def homes(release: Release, stage: str) -> list[str]:
    """Where a stage's content goes: the hosts of its registries, and `LAYOUTS`; each once, in the pipeline's order."""
    return list(dict.fromkeys(_home(each) for each in release.destinations(stage)))


def _home(destination: Destination) -> str:
    return LAYOUTS if destination.target.startswith(LAYOUT) else destination.target.partition("/")[0]


def bring(shift: Shift, promotion: int, attempt: int, home: str, cancel: Cancel) -> dict[str, Any]:
    """Bring the images of an attempt to one home, by digest alone; what that moved."""
    shift.boundary(f"content of {home}")
    found, release = _about(shift, promotion)
    if found.attempts[attempt - 1].execution.ended:
        raise Cancelled("the attempt has ended")  # it was canceled while this was in its queue
    here = [each for each in release.destinations(found.stage) if _home(each) == home]
    done = _copied(shift, found, attempt, release, destinations=here, cancel=cancel, tags=False)
    shift.boundary(f"content at {home}")
    return {key: value for key, value in done.items() if key != "tags"}


def move(shift: Shift, promotion: int, attempt: int, cancel: Cancel) -> dict[str, Any]:
    """Point the tags of an attempt at its images, which are there by digest; what that moved."""
    shift.boundary("tags")
    found, release = _about(shift, promotion)
    done = _copied(
        shift, found, attempt, release, destinations=release.destinations(found.stage), cancel=cancel, tags=True
    )
    shift.boundary("tagged")
    return done


def _about(shift: Shift, promotion: int) -> tuple[Promotion, Release]:
    with shift.workplace.store.read() as tx:
        found = tx.promotions.get(promotion)
        return found, tx.releases.get(found.release).release


def _copied(
    shift: Shift,
    promotion: Promotion,
    attempt: int,
    release: Release,
    *,
    destinations: Sequence[Destination],
    cancel: Cancel,
    tags: bool,
) -> dict[str, Any]:
    place = shift.workplace
    names = {each.digest: each.image for each in destinations}
    home = _home(destinations[0])  # of a copy; the tags of all homes move together, and no bytes do
    progress = Progress(release.pipeline.name, promotion.id, attempt, names, home=home)

    def on_event(event: Event) -> None:
        progress(event)
        if event.kind == "tag":
            place.boundary(f"tag {event.subject}")

    with place.images(release.pipeline) as images, cancel.waking(images.abort), shift.watching(progress):
        if tags:  # the content is there, so that it is tagged where it is
            targets = [(place.target(each.target), each) for each in destinations]
            requests = [CopyRequest(name, each.digest, name, each.tags) for name, each in targets]
        else:
            found = copy_requests(
                release, promotion.stage, destinations, store=place.store, places=place, images=images, cancel=cancel
            )
            requests = [CopyRequest(each.source, each.reference, each.destination) for each in found]
        plan = make_plan(survey(requests, images.targets, Options(lock=True), cancel=cancel))
        progress.follow(plan)
        journal: Journal = NoJournal()  # what an attempt that died left in it is for the tags, later
        if tags:
            journal = _OwnedJournal(PromotionJournal(place.store, promotion.id, attempt), shift)
        result = execute(
            plan,
            _Owned(images.targets, shift.own),
            state=place.state,
            journal=journal,
            on_event=on_event,
            cancel=cancel,
            patience=shift.lease.ttl,
        )
    return result.to_json()


class _Owned:
    """Targets that are written to only by a worker that owns its work: it asks just before each write.

    A registry cannot be told to refuse a write that comes too late, so the time between asking and writing is what is
    left of the danger that a worker is stopped, replaced, and goes on.
    """

    def __init__(self, targets: Opener, own: Callable[[], None]) -> None:
        self._targets = targets
        self._own = own

    def open(self, name: str) -> Target:
        return self._targets.open(name)

    def open_writable(self, name: str) -> WritableTarget:
        self._own()
        return self._targets.open_writable(name)

    def abort(self) -> None:
        self._targets.abort()


class _OwnedJournal:
    """A journal that is begun and finished only by a worker that owns its work."""

    def __init__(self, journal: Journal, shift: Shift) -> None:
        self._journal = journal
        self._shift = shift

    def begin(self, moves: Sequence[TagMove]) -> Sequence[TagMove]:
        self._shift.boundary("journal")
        begun = self._shift.patiently(lambda: self._journal.begin(moves))
        self._shift.boundary("journaled")
        return begun

    def finish(self) -> None:
        self._shift.boundary("moved")
        self._shift.patiently(self._journal.finish)
