"""The record of a promotion: admitted or refused, queued, begun when its turn has come, ended however it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Self

from liftlock.errors import Cancelled, Conflict, LiftlockError, RefusedError, WaitRanOut
from liftlock.release.promotion import Decision, Execution, Promotion
from liftlock.release.release import Release
from liftlock.release.rules import admit
from liftlock.services.project import Project
from liftlock.store.store import Transaction
from liftlock.transfer.events import Cancel

__all__ = ["Deadline", "admitted", "bury", "working"]

TURN = 0.1
"""Seconds between two looks whether it is our turn on a stage."""

GONE = "the process that worked on it was gone"


class Deadline:
    """The time that may pass, in seconds (None: any): when it is over, it asks to stop."""

    def __init__(self, seconds: float | None, cancel: Cancel) -> None:
        self._seconds = seconds
        self._cancel = cancel
        self._over = threading.Event()
        self._timer = threading.Timer(min(seconds or 0, threading.TIMEOUT_MAX), self._stop)
        self._timer.daemon = True

    def told(self, error: BaseException) -> BaseException:
        """What to tell of an error: that the time ran out, where that is why it was stopped."""
        if not isinstance(error, Cancelled) or not self._over.is_set():
            return error
        return WaitRanOut(
            f"not done within {self._seconds:g} s; it was stopped", hint="the same command goes on where it stopped"
        )

    def _stop(self) -> None:
        self._over.set()
        self._cancel.request()

    def __enter__(self) -> Self:
        if self._seconds is not None:
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()


def admitted(project: Project, release: Release, stage: str) -> Promotion:
    """The promotion of a release to a stage, with a queued attempt, or the one that is under way.

    Raises `RefusedError` when the rules say no; that is recorded first.
    """
    with project.home.store.begin() as tx:
        try:
            admit(release, stage, tx.promotions.history(release.pipeline.name))
        except RefusedError as error:
            tx.promotions.refuse(release, stage, error.message)
            refusal = error
        else:
            promotion = tx.promotions.latest(release.id, stage)
            if promotion is None or promotion.decision is not Decision.ADMITTED:
                promotion = tx.promotions.admit(release, stage)
            return promotion if promotion.unfinished else tx.promotions.queue(promotion.id)
    raise refusal


@contextmanager
def working(
    project: Project, release: Release, promotion: Promotion, deadline: Deadline, cancel: Cancel
) -> Iterator[Promotion]:
    """Waits for the turn on the stage; inside, the attempt is running and nobody else works there.

    The attempt has succeeded when the block is left, and ended otherwise with the reason when an error leaves it.
    Raises `WaitRanOut` in place of `Cancelled` when the deadline has come; `RefusedError` when the rules, asked again
    now that the turn has come, say no.
    """
    name, stage = release.pipeline.name, promotion.stage
    with ExitStack() as turn:
        with _ending(project, promotion, Execution.QUEUED, deadline):
            turn.enter_context(project.home.alone(name, stage, wait=lambda: cancel.wait(TURN)))
        with project.home.store.begin() as tx:
            _bury(tx, name, stage)
            if tx.promotions.get(promotion.id).unfinished is None:
                tx.promotions.queue(promotion.id)
            promotion = tx.promotions.start(promotion.id)
        with _ending(project, promotion, Execution.RUNNING, deadline):
            with project.home.store.read() as tx:
                admit(release, stage, tx.promotions.history(name))
            yield promotion
        with project.home.store.begin() as tx:
            tx.promotions.end(promotion.id, Execution.SUCCEEDED)


@contextmanager
def _ending(project: Project, promotion: Promotion, state: Execution, deadline: Deadline) -> Iterator[None]:
    """An error that passes ends the attempt, if it is still in this state: else another process goes on with it."""
    try:
        yield
    except BaseException as error:
        told = deadline.told(error)
        # That it could not be written down must not hide what happened; a later command buries the attempt.
        with suppress(LiftlockError), project.home.store.begin() as tx:
            left = tx.promotions.get(promotion.id).unfinished
            if left is not None and left.execution is state:
                tx.promotions.end(promotion.id, _execution(told, state), _reason(told))
        if told is error:
            raise
        raise told from None


def _execution(error: BaseException, state: Execution) -> Execution:
    if state is Execution.QUEUED or isinstance(error, (Cancelled, WaitRanOut, KeyboardInterrupt)):
        return Execution.CANCELED
    return Execution.FAILED if isinstance(error, RefusedError) else Execution.ERRORED


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, LiftlockError) else type(error).__name__


def bury(project: Project, pipeline: str) -> None:
    """End, as errored, the attempts that processes left running when they died. Those at work are left alone."""
    with project.home.store.read() as tx:
        history = tx.promotions.history(pipeline)
    for stage in sorted({each.stage for each in history if _is_running(each)}):
        # Whoever has the stage to itself, and finds it running, has found what the dead left behind.
        with suppress(Conflict), project.home.alone(pipeline, stage), project.home.store.begin() as tx:
            _bury(tx, pipeline, stage)


def _bury(tx: Transaction, pipeline: str, stage: str) -> None:
    for left in tx.promotions.unfinished(pipeline, stage):
        if _is_running(left):
            tx.promotions.end(left.id, Execution.ERRORED, GONE)


def _is_running(promotion: Promotion) -> bool:
    return promotion.unfinished is not None and promotion.unfinished.execution is Execution.RUNNING
