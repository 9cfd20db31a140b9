"""Following promotions: their events as they come, and the work itself where this machine alone keeps the state."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Mapping

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
    done: dict[str, int] = {}

    def on_seen(seen: Seen) -> None:
        for event in _events(seen.kind, seen.data, done):
            on_event(event)

    return on_seen


def _events(kind: str, data: Mapping[str, object], done: dict[str, int]) -> list[Event]:
    if kind == "progress":
        image, now, total = f"{data['image']} to {data['home']}", int(str(data["done"])), int(str(data["total"]))
        begun = [] if done else [Event("phase", "blobs", total=total)]
        more = now - done.get(image, 0)
        done[image] = now
        return [*begun, Event("progress", image, done=more, total=total)]
    if kind == "state":
        return [Event("phase", str(data["state"]))]
    if kind == "tag":
        return [Event("tag", str(data["subject"]), str(data.get("detail", "")))]
    if kind == "note":
        return [Event("note", str(data["subject"]))]
    return []


def settled(tx: Transaction, promotion: Promotion) -> bool:
    """Whether nothing happens to a promotion at once: it is over and told, or waits for what takes time or people."""
    if promotion.over:
        return not any(
            each.state == "pending" and each.next_at is not None and each.next_at <= tx.now
            for each in tx.notifications.of(promotion.id)
        )
    if promotion.decision is not Decision.WAITING:
        return False
    look = tx.promotions.next_look(promotion.id)
    if look is not None and look <= tx.now:
        return False
    release = tx.releases.get(promotion.release).release
    return not only_queued(standing(tx, release, promotion).unmet)


def only_queued(unmet: tuple[Condition, ...]) -> bool:
    """Whether it is only its turn that is missing: that comes by itself."""
    return bool(unmet) and all(each.kind == "queue" for each in unmet)
