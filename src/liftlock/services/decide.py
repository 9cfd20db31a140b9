"""What people say and ask for: approvals, overrides, holds, taking back and trying again.

Each is one transaction through `liftlock.engine.decisions`. What follows from it is carried out by a worker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from liftlock.engine import decisions
from liftlock.errors import NotFound, RefusedError, UsageError
from liftlock.release.people import Actor, Hold
from liftlock.release.promotion import Decision, Execution, Promotion
from liftlock.release.release import Release
from liftlock.services.project import Project
from liftlock.services.standing import Standing, standing
from liftlock.store.store import Transaction

__all__ = ["approve", "cancel", "hold", "hold_json", "override", "retry", "unhold"]


def approve(project: Project, text: str, stage: str, by: Actor, *, approved: bool, comment: str = "") -> Standing:
    """A person's yes or no to the newest promotion of a release to a stage.

    Raises `NotFound` when nobody has asked for it, `RefusedError` when the time for approvals is over, and what
    `liftlock.engine.decisions.approve` raises.
    """
    _require_text(comment)
    with project.home.store.begin() as tx:
        release, promotion = _asked(tx, project, text, stage)
        found = standing(tx, release, decisions.approve(tx, promotion.id, by, approved=approved, comment=comment))
    if found.promotion.decision is Decision.EXPIRED:
        raise RefusedError(
            f"too late: the promotion of release {release.name} to {stage!r} has expired",
            hint=f"ask for it again: liftlock promote {release.name} --to {stage}",
        )
    return found


def override(project: Project, text: str, stage: str, by: Actor, reason: str) -> Standing:
    """A person takes it on themselves that the conditions do not hold; raises as `approve`."""
    _require_text(reason)
    with project.home.store.begin() as tx:
        release, promotion = _asked(tx, project, text, stage)
        return standing(tx, release, decisions.override(tx, promotion.id, by, reason))


def hold(project: Project, stage: str, by: Actor, reason: str) -> Hold:
    """Stop a stage (empty: every stage); raises `NotFound` for an unknown one."""
    _known(project, stage)
    _require_text(reason)
    with project.home.store.begin() as tx:
        return decisions.hold(tx, project.pipeline, stage, by, reason)


def unhold(project: Project, stage: str, by: Actor) -> Sequence[Hold]:
    """Release the holds of a stage (empty: those of every stage together); raises `NotFound` when there is none."""
    _known(project, stage)
    with project.home.store.begin() as tx:
        return decisions.unhold(tx, project.pipeline, stage, by)


def hold_json(hold: Hold) -> dict[str, Any]:
    """A hold for programs."""
    return {
        "stage": hold.stage or None,
        "by": str(hold.by),
        "reason": hold.reason,
        "since": hold.since.isoformat(),
        "byRollback": hold.by_rollback,
    }


def cancel(project: Project, text: str, stage: str | None, by: Actor) -> Standing:
    """Take back what a release waits for, or stop it where it is under way.

    ``stage`` may be left out where there is only one such promotion. Raises `NotFound`, `UsageError`, `Conflict`.
    """
    return _change(project, text, stage, by, _Deed("take back", lambda each: not each.over, decisions.cancel))


def retry(project: Project, text: str, stage: str | None, by: Actor) -> Standing:
    """Try again what was admitted and did not succeed; as `cancel`."""
    return _change(project, text, stage, by, _Deed("try again", _may_be_tried, decisions.retry))


class _Deed(NamedTuple):
    """What can be done to a promotion, and to which."""

    name: str
    suits: Callable[[Promotion], bool]
    do: Callable[[Transaction, int, Actor], Promotion]


def _may_be_tried(promotion: Promotion) -> bool:
    last = promotion.last
    return (
        promotion.decision is Decision.ADMITTED
        and last is not None
        and last.execution.ended
        and last.execution is not Execution.SUCCEEDED
    )


def _change(project: Project, text: str, stage: str | None, by: Actor, deed: _Deed) -> Standing:
    with project.home.store.begin() as tx:
        if stage is not None:
            release, promotion = _asked(tx, project, text, stage)
        else:
            release = tx.releases.find(text, project.pipeline.name).release
            promotion = _only(release, tx.promotions.of_release(release.id), deed)
        return standing(tx, release, deed.do(tx, promotion.id, by))


def _only(release: Release, mine: Sequence[Promotion], deed: _Deed) -> Promotion:
    found = [each for each in mine if deed.suits(each)]
    stages = sorted({each.stage for each in found})
    if len(stages) > 1:
        raise UsageError(
            f"release {release.name} has several promotions to {deed.name}: in {' and '.join(stages)}",
            hint="name one with --to",
        )
    if not found:
        raise NotFound(f"release {release.name} has nothing to {deed.name}", hint="see: liftlock status")
    return found[-1]


def _asked(tx: Transaction, project: Project, text: str, stage: str) -> tuple[Release, Promotion]:
    """The newest promotion of the release that a text names to a stage."""
    release = tx.releases.find(text, project.pipeline.name).release
    release.pipeline.stage(stage)
    promotion = tx.promotions.latest(release.id, stage)
    if promotion is None:
        raise NotFound(
            f"nobody has asked for release {release.name} to go to {stage!r}",
            hint=f"first: liftlock promote {release.name} --to {stage} --no-wait",
        )
    return release, promotion


def _known(project: Project, stage: str) -> None:
    if stage:
        project.pipeline.stage(stage)


def _require_text(said: str) -> None:
    # A byte of an argument that is no UTF-8 comes as half a character, which is not in any text.
    try:
        said.encode()
    except UnicodeEncodeError:
        raise UsageError("what was said is no text: it holds a byte that is no UTF-8", hint="write it anew") from None
