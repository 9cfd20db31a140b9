"""Following promotions: their events as they come, and the work itself where this machine alone keeps the state."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from liftlock.release.conditions import Condition
from liftlock.release.promotion import Decision, Promotion
from liftlock.services.project import OpenImages, Project
from liftlock.services.standing import standing
from liftlock.store.events import Seen
from liftlock.store.store import Transaction
from liftlock.transfer.events import Cancel, Event, OnEvent

__all__ = ["Follower", "Stop", "as_copy_events", "settled", "until"]

LOOK = 0.2
"""Seconds between two looks while others do the work."""


class Stop(enum.Enum):
    """Why waiting ends early."""

    TIME = "time"
    """The time that may pass is over."""
    SIGNAL = "signal"
    """Somebody asked to stop."""


def until(
    project: Project,
    images: OpenImages,
    done: Callable[[], bool],
    *,
    seconds: float | None = None,
    cancel: Cancel,
    give_up: Callable[[Stop], bool],
) -> Stop | None:
    """Do what is due, or wait for those who do, until ``done``; why it stopped before that, where it did.

    ``seconds`` bound it (None: nothing does). When it has to stop, ``give_up`` is called once, and says whether there
    is still something to wait for: then it goes on until ``done``.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    stopped: Stop | None = None

    def look() -> bool:
        nonlocal stopped
        if done():
            return True
        if stopped is None:
            if cancel.requested:
                stopped = Stop.SIGNAL
            elif deadline is not None and time.monotonic() >= deadline:
                stopped = Stop.TIME
            return stopped is not None and not give_up(stopped)
        return False

    if look():  # a worker takes a moment to begin
        return stopped
    if project.embedded:
        from liftlock.engine.worker import Worker

        with Worker(project.workplace(images)) as worker:
            worker.run_until(look)
    else:
        pause = threading.Event()
        with cancel.waking(pause.set):
            while not look():
                pause.wait(LOOK)
                if stopped is not None:
                    pause.clear()
    return stopped


class Follower:
    """Hands on the events of one promotion, or of all, from a cursor on, each once."""

    def __init__(self, on_seen: Callable[[Seen], None], *, cursor: int = 0, promotion: int | None = None) -> None:
        self._on_seen = on_seen
        self._cursor = cursor
        self._promotion = promotion

    def look(self, tx: Transaction) -> None:
        """What has come since."""
        while found := tx.events.after(self._cursor, promotion=self._promotion):
            for seen in found:
                self._cursor = seen.id
                self._on_seen(seen)


def as_copy_events(on_event: OnEvent) -> Callable[[Seen], None]:
    """Events of a promotion, told as those of a copy."""
    copying = _Copying()

    def on_seen(seen: Seen) -> None:
        for event in copying.events(seen.kind, seen.data):
            on_event(event)

    return on_seen


class _Copying:
    """The bytes of all images as one phase, which begins anew when another image comes along."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}
        self._total: dict[str, int] = {}

    def events(self, kind: str, data: Mapping[str, Any]) -> list[Event]:
        if kind == "progress":
            return self._progress(data["image"], data["done"], data["total"])
        if kind == "state":
            return [Event("phase", data["state"])]
        if kind == "tag":
            return [Event("tag", data["subject"], data["detail"])]
        return [Event("note", data["subject"])] if kind == "note" else []

    def _progress(self, image: str, done: int, total: int) -> list[Event]:
        found = []
        if image not in self._total:
            self._total[image] = total
            found = [
                Event("phase", "blobs", total=sum(self._total.values())),
                Event("progress", "", done=sum(self._done.values())),
            ]
        more = done - self._done.get(image, 0)
        self._done[image] = done
        return [*found, Event("progress", image, done=more, total=total)]


def settled(tx: Transaction, promotion: Promotion, *, embedded: bool) -> bool:
    """Whether nothing happens to a promotion at once: it is over and told, or waits for what takes time or people.

    Where this machine alone keeps the state (``embedded``), who has to hear of the wait hears of it first: nobody else
    would tell them until the next command.
    """
    if promotion.over:
        return _told(tx, promotion)
    if promotion.decision is not Decision.WAITING:
        return False
    look = tx.promotions.next_look(promotion.id)
    if look is not None and look <= tx.now:
        return False
    release = tx.releases.get(promotion.release).release
    return not only_queued(standing(tx, release, promotion).unmet) and (not embedded or _told(tx, promotion))


def _told(tx: Transaction, promotion: Promotion) -> bool:
    """Whether there is nothing to tell right now; what could not be delivered may be tried again later."""
    return not any(
        each.state == "pending" and each.next_at is not None and each.next_at <= tx.now
        for each in tx.notifications.of(promotion.id)
    )


def only_queued(unmet: tuple[Condition, ...]) -> bool:
    """Whether it is only its turn that is missing: that comes by itself."""
    return bool(unmet) and all(each.kind == "queue" for each in unmet)
