"""The last phase: tags are checked, set and read back; and put back when not all of them could be moved.

Nothing here is atomic, and nothing says it is: a registry offers no such thing. What holds is that all content was
there and verified before the first tag moved, that a crash in between is rolled forward by the next run, and that
giving up restores every tag that held something before, and names the new ones it could not remove.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from liftlock.errors import Cancelled, Conflict, CorruptContent, LiftlockError
from liftlock.transfer.events import Cancel, Event, OnEvent
from liftlock.transfer.journal import Journal
from liftlock.transfer.locks import hold
from liftlock.transfer.model import Opener, Plan, TagMove, TagStep
from liftlock.transfer.pool import gather
from liftlock.transfer.sides import at

__all__ = ["move_tags"]


def move_tags(
    plan: Plan,
    targets: Opener,
    put: Callable[[TagStep], None],
    *,
    locks: str,
    patience: float | None,
    journal: Journal,
    on_event: OnEvent,
    cancel: Cancel,
) -> Sequence[TagMove]:
    """Move the plan's tags; ``put`` stores one. Returns the moves, with what each tag held before.

    Raises `Conflict` when a tag does not hold what was expected just before it moves, or holds something else right
    after; then, and after any other failure, the tags that had moved were put back, or are named in the error.
    """
    steps = plan.tags
    with hold((f"{step.move.destination}:{step.move.tag}" for step in steps), locks, cancel, patience):
        for step in steps:
            if plan.no_clobber or step.expect is not None:
                _check(step, targets, plan.no_clobber)
        moves = journal.begin(plan.moves) if steps else ()
        failed: list[tuple[TagMove, LiftlockError]] = []

        def move(step: TagStep) -> None:
            if failed:
                return
            try:
                put(step)
                _read_back(step, targets)
            except LiftlockError as error:
                failed.append((step.move, error))
            else:
                on_event(Event("tag", f"{step.move.destination}:{step.move.tag}", detail=step.move.new))

        gather(move, steps, cancel=cancel)
        if failed:
            _give_up(failed, moves, targets, on_event)
        journal.finish()
        if failed:
            raise failed[0][1]
    return moves


def _check(step: TagStep, targets: Opener, no_clobber: bool) -> None:
    move = step.move
    with at("destination"):
        found = targets.open_writable(move.destination).resolve(move.tag)
    held = found.digest if found else None
    if held == move.new:
        return
    if (no_clobber and held is not None) or (step.expect is not None and held != step.expect):
        raise Conflict(
            f"{move.destination}:{move.tag} holds {held or 'nothing'}, expected {step.expect or 'nothing'}",
            hint="somebody moved it while this copy ran; no tag has moved",
            side="destination",
        )


def _read_back(step: TagStep, targets: Opener) -> None:
    move = step.move
    with at("destination"):
        found = targets.open_writable(move.destination).resolve(move.tag)
    if found is None or found.digest != move.new:
        raise Conflict(
            f"{move.destination}:{move.tag} was set to {move.new}, but holds {found.digest if found else 'nothing'}",
            hint="another writer moves this tag at the same time",
            side="destination",
        )


def _give_up(
    failed: Sequence[tuple[TagMove, LiftlockError]], moves: Sequence[TagMove], targets: Opener, on_event: OnEvent
) -> None:
    """Put every tag back that we have set. Raises when one cannot be; otherwise the caller raises the first failure."""
    cause = failed[0][1]
    if isinstance(cause, Cancelled):
        # Every socket is closed: the journal stays, and the next run rolls forward.
        raise cause
    # Where something was stored that was not sent, that is ours to undo as well.
    mangled = {(move.destination, move.tag) for move, error in failed if isinstance(error, CorruptContent)}
    # Tags move at the same time: each that ended up holding something unexpected is to be told of.
    unexpected = (error.message for _, error in failed[1:] if isinstance(error, (Conflict, CorruptContent)))
    cause.message = "; ".join(dict.fromkeys((cause.message, *unexpected)))
    left: list[str] = []
    for move in moves:
        name, holds = f"{move.destination}:{move.tag}", f"may hold {move.new}"
        try:
            destination = targets.open_writable(move.destination)
            found = destination.resolve(move.tag)
            held = found.digest if found else None
            ours = held == move.new or (move.destination, move.tag) in mangled
            if held in (None, move.old) or not ours:
                continue
            holds = f"still holds {held}"
            if move.old is None:
                destination.delete_tag(move.tag)
            else:
                destination.put_manifest(destination.manifest(move.old), move.tag)
            on_event(Event("tag", name, detail=f"put back: {move.old or 'removed'}"))
        except LiftlockError as error:
            left.append(f"{name} {holds} (before: {move.old or 'nothing'}): {error.message}")
    if left:
        raise LiftlockError(
            f"{cause.message}; and not every tag could be put back: " + "; ".join(left),
            hint="run the same command again to move all of them, or put back the named ones by hand",
            side=cause.side or "destination",
        ) from cause
    cause.hint = "; ".join(filter(None, (cause.hint, "tags that had moved were put back")))
