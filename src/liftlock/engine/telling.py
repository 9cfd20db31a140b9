"""Delivering notifications, each tried on its own; a receiver that gets one twice knows it by its key."""

from __future__ import annotations

import logging
from dataclasses import replace

from liftlock.engine import decisions
from liftlock.engine.shift import Shift
from liftlock.errors import LiftlockError
from liftlock.notify.base import Message
from liftlock.notify.schedule import next_try
from liftlock.release.conditions import conditions
from liftlock.release.promotion import Decision
from liftlock.release.stage import NotifyRule
from liftlock.store.notifications import Notification
from liftlock.store.store import Transaction

__all__ = ["deliver"]

log = logging.getLogger(__name__)


def deliver(shift: Shift, notification: int, tries: int) -> None:
    """Try once to deliver a notification, and write down whether it arrived, or when it is tried again.

    ``tries`` is how often it was tried when this became due: another try since has made this one needless.
    """
    shift.boundary("notify")

    def looked_up() -> tuple[Notification, NotifyRule, Message] | None:
        with shift.workplace.store.read() as tx:
            found = tx.notifications.get(notification)
            return _message(tx, found) if found.state == "pending" and found.tries == tries else None

    due = shift.patiently(looked_up)
    if due is None:
        return
    found, rule, message = due
    error = _sent(shift, rule, message)
    shift.boundary("sent")

    def written_down() -> None:
        with shift.workplace.store.begin() as tx:
            tx.promotions.lock(found.promotion)
            now = tx.notifications.get(notification)
            if now.state != "pending" or now.tries != tries:
                return
            if error is None:
                decisions.told(tx, notification)
                log.info("promotion %d: %s was told of %s", found.promotion, rule.kind, found.occasion)
                return
            patience = getattr(error, "retry_after", None)
            again = next_try(tries + 1, found.created_at, tx.now, patience) if error.temporary else None
            decisions.untold(tx, notification, str(error), again)
            log.warning("promotion %d: %s was not told of %s: %s", found.promotion, rule.kind, found.occasion, error)

    shift.patiently(written_down)
    shift.boundary("notified")


def _sent(shift: Shift, rule: NotifyRule, message: Message) -> LiftlockError | None:
    """Send a message; why it did not arrive."""
    from liftlock.notify.table import NOTIFIERS

    try:
        notifier = NOTIFIERS.get(rule.kind)
        options = notifier.options.model_validate(dict(rule.options))
        notifier.send(message, options, replace(shift.workplace.tools, cancelled=lambda: shift.over))
    except LiftlockError as error:
        shift.own()  # a worker that stops closes what it sends with: that is no failure of the receiver
        return error
    except Exception as error:  # noqa: BLE001 - one from outside may raise anything, and the worker goes on
        shift.own()
        # What an exception of others says may hold a secret: only its kind is told.
        log.warning("notifier %s broke: %s", rule.kind, type(error).__name__)
        return LiftlockError(f"the notifier {rule.kind!r} broke: {type(error).__name__}")
    return None


def _message(tx: Transaction, about: Notification) -> tuple[Notification, NotifyRule, Message]:
    promotion = tx.promotions.get(about.promotion)
    release = tx.releases.get(promotion.release).release
    rule = release.pipeline.stage(promotion.stage).notify[about.rule]
    waiting: tuple[str, ...] = ()
    if promotion.decision is Decision.WAITING:
        facts = decisions.facts(tx, release, promotion.stage, rollback=promotion.rollback)
        waiting = tuple(each.reason for each in conditions(facts) if not each.met)
    attempt = promotion.attempts[about.attempt - 1] if about.attempt else None
    message = Message(
        key=about.key,
        occasion=about.occasion,
        release=release,
        stage=promotion.stage,
        promotion=promotion.id,
        state=attempt.execution.value if attempt else promotion.decision.value,
        at=about.created_at,
        reason=attempt.reason if attempt else promotion.reason,
        waiting_for=waiting,
        destinations=release.destinations(promotion.stage),
    )
    return about, rule, message
