"""How attempts begin and end, and what follows: who is told, who is next, which stages are asked for."""

from __future__ import annotations

import datetime as dt
from typing import Any

from liftlock.engine.record import entered, shown, tell
from liftlock.engine.weighing import advance, request, settle
from liftlock.release.people import ENGINE, Actor
from liftlock.release.promotion import Execution, Promotion
from liftlock.release.release import Release
from liftlock.release.rules import has_succeeded, unmet
from liftlock.release.stage import Trigger
from liftlock.store.artifacts import Published
from liftlock.store.notifications import Notification
from liftlock.store.store import Transaction

__all__ = ["ended", "finish", "makers", "started", "told", "untold"]


def started(tx: Transaction, promotion: int) -> Promotion:
    """Work on the queued attempt begins; raises `Conflict` when there is none."""
    running = tx.promotions.start(promotion)
    release = tx.releases.get(running.release).release
    entered(tx, release, running, "attempt.started", ENGINE, attempt=len(running.attempts))
    shown(tx, running)
    return running


def ended(tx: Transaction, promotion: int, execution: Execution, reason: str = "") -> Promotion:
    """The running attempt is over: recorded, told, and after a success the stages that follow by themselves are asked
    for (``on-success``), and whoever is next in its own stage is weighed.

    Where a success must be told of (``required``), the attempt has arrived, and goes on running until `told` or
    `untold` ends it. Ending it again so changes nothing. Raises `Conflict` when there is no such attempt.
    """
    found = tx.promotions.lock(promotion)
    release = tx.releases.get(found.release).release
    running = found.unfinished
    if execution is Execution.SUCCEEDED and running is not None:
        if running.arrived_at is not None:
            return found
        if tell(tx, release, found, "success", attempt=running.number, required=True):
            arrived = tx.promotions.arrive(promotion)
            entered(tx, release, arrived, "attempt.arrived", ENGINE, attempt=running.number)
            shown(tx, arrived)
            return arrived
    return finish(tx, release, found, execution, reason)


def told(tx: Transaction, notification: int) -> Promotion:
    """A notification was delivered. The last one that a success had to be told with ends the attempt as succeeded."""
    found = tx.notifications.get(notification)
    promotion = tx.promotions.lock(found.promotion)
    tx.notifications.delivered(notification)
    if not _keeps(promotion, found):
        return promotion
    same = (each for each in tx.notifications.of(promotion.id) if _keeps(promotion, each))
    if any(each.state != "delivered" for each in same):
        return promotion
    return finish(tx, tx.releases.get(promotion.release).release, promotion, Execution.SUCCEEDED)


def untold(tx: Transaction, notification: int, reason: str, next_at: dt.datetime | None) -> Promotion:
    """A notification was not delivered: it is tried again then, or never (None). One that a success had to be told with
    then fails the attempt, whose tags stay where they are.
    """
    found = tx.notifications.get(notification)
    promotion = tx.promotions.lock(found.promotion)
    tx.notifications.undelivered(notification, reason, next_at)
    if next_at is not None:
        return promotion
    release = tx.releases.get(promotion.release).release
    kind = release.pipeline.stage(promotion.stage).notify[found.rule].kind
    data = {"occasion": found.occasion, "notifier": kind, "reason": reason}
    entered(tx, release, promotion, "notification.failed", ENGINE, **data)
    if not _keeps(promotion, found):
        return promotion
    return finish(tx, release, promotion, Execution.FAILED, f"its tags are there, but {kind} was not told: {reason}")


def finish(
    tx: Transaction,
    release: Release,
    promotion: Promotion,
    execution: Execution,
    reason: str = "",
    *,
    by: Actor = ENGINE,
) -> Promotion:
    """The attempt that is under way ends, and what follows from that happens."""
    over = tx.promotions.end(promotion.id, execution, reason)
    number = len(over.attempts)
    data: dict[str, Any] = {"attempt": number, "execution": execution.value, "reason": reason}
    if execution is Execution.SUCCEEDED or over.attempts[-1].arrived_at is not None:
        data["tags"] = _moved(tx, over)
    entered(tx, release, over, "attempt.ended", by, **data)
    shown(tx, over)
    if execution is Execution.SUCCEEDED:
        tell(tx, release, over, "success", attempt=number)
        _follow(tx, release, over)
    elif execution is not Execution.CANCELED:  # who canceled it knows
        tell(tx, release, over, "failure", attempt=number)
    advance(tx, over.pipeline, over.stage)
    return tx.promotions.get(promotion.id)


def makers(published: Published) -> tuple[Actor, ...]:
    """Who asks for an automatic promotion: those who published the artifact and wrote its commit."""
    persons = dict.fromkeys(person for person in (published.published_by, published.author) if person)
    return tuple(Actor(person=person) for person in persons)


def _moved(tx: Transaction, promotion: Promotion) -> list[dict[str, str | None]]:
    """Which tags the last attempt moved; one that was taken over may have written some of them down twice."""
    moves: dict[tuple[str, str], dict[str, str | None]] = {}
    for each in tx.tag_moves.of(promotion.id, len(promotion.attempts)):
        first = moves.get((each.destination, each.tag))
        old = first["old"] if first else each.old and str(each.old)
        moves[each.destination, each.tag] = {
            "target": each.destination,
            "tag": each.tag,
            "old": old,
            "new": str(each.new),
        }
    return list(moves.values())


def _keeps(promotion: Promotion, notification: Notification) -> bool:
    """Whether an attempt that has arrived goes on running because of this notification."""
    running = promotion.unfinished
    return (
        running is not None
        and running.arrived_at is not None
        and notification.occasion == "success"
        and notification.attempt == running.number
    )


def _follow(tx: Transaction, release: Release, promotion: Promotion) -> None:
    """Ask for the stages that follow by themselves, and look at what waited for this success."""
    if promotion.rollback:  # what comes back to one stage has nothing to do in the next
        return
    mine = tx.promotions.of_release(release.id)
    for stage in release.pipeline.stages:
        if promotion.stage not in stage.after:
            continue
        waiting = next((each for each in mine if each.stage == stage.name and not each.decision.made), None)
        if waiting is not None:
            settle(tx, release, waiting)
        elif (
            stage.trigger is Trigger.ON_SUCCESS
            and not unmet(release, stage.name, mine)
            and not has_succeeded(mine, release.id, stage.name)
        ):
            by = makers(tx.artifacts.get(release.artifact.id))
            request(tx, release, stage.name, by=by, trigger=Trigger.ON_SUCCESS)
