"""Where everything is: releases by stages, from what is recorded here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from liftlock.oci.digest import Digest
from liftlock.release import freeze
from liftlock.release.conditions import Condition, Outcome
from liftlock.release.durations import written
from liftlock.release.people import Hold
from liftlock.release.promotion import Attempt, Decision, Promotion
from liftlock.release.release import Release
from liftlock.release.rules import next_stages
from liftlock.release.stage import Stage
from liftlock.services.decide import hold_json
from liftlock.services.project import Project
from liftlock.services.standing import standing
from liftlock.store.releases import Created
from liftlock.store.store import Transaction

__all__ = ["NEWEST", "Cell", "Column", "Row", "Status", "status"]

NEWEST = 20
"""How many releases are looked at, beside those that a stage holds, where nobody asks for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One release in one stage."""

    stage: str
    state: str
    """``here``: what the stage holds now; ``was here``; ``ready``: may be asked for; ``waiting``; else the last
    promotion's state; empty when its turn has not come."""
    at: dt.datetime | None = None
    """When that became so."""
    reason: str = ""
    """Why it waits, or did not happen, in a few words."""
    untold: tuple[str, ...] = ()
    """What could not be told to whom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One release in every stage of its own snapshot."""

    created: Created
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One stage: what keeps everything out of it now."""

    stage: str
    holds: tuple[Hold, ...] = ()
    frozen: str = ""
    """Until when, for people; empty while it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The matrix, the newest release first."""

    pipeline: str
    columns: tuple[Column, ...]
    """As the pipeline file has the stages now."""
    rows: tuple[Row, ...]
    releases: int
    """How many there are, shown or not."""

    def to_json(self) -> dict[str, Any]:
        return {
            "pipeline": self.pipeline,
            "stages": [column.stage for column in self.columns],
            "holds": [hold_json(hold) for hold in dict.fromkeys(hold for each in self.columns for hold in each.holds)],
            "frozen": {column.stage: column.frozen for column in self.columns if column.frozen},
            "total": self.releases,
            "releases": [
                {
                    "id": row.created.release.id,
                    "name": row.created.release.name,
                    "createdAt": row.created.created_at.isoformat(),
                    "stages": {
                        cell.stage: {
                            "state": cell.state,
                            "at": cell.at.isoformat() if cell.at else None,
                            "reason": cell.reason,
                            "untold": list(cell.untold),
                        }
                        for cell in row.cells
                    },
                }
                for row in self.rows
            ],
        }


def status(project: Project, limit: int = NEWEST) -> Status:
    """What is where: the newest releases, at most ``limit``, and those that a stage holds now.

    What a stage holds is what arrived there last, whatever came before or is newer.
    """
    pipeline = project.pipeline
    with project.home.store.read() as tx:
        currents = tx.promotions.currents(pipeline.name)
        shown = {each.release.id: each for each in tx.releases.page(pipeline.name, limit)}
        for here in currents.values():
            if here.release not in shown:
                shown[here.release] = tx.releases.get(here.release)
        history = tx.promotions.of_releases(shown)
        holds = tx.people.holds(pipeline.name)
        rows = [_row(tx, created, pipeline.stages, history[created.release.id], currents) for created in shown.values()]
        return Status(
            pipeline=pipeline.name,
            columns=tuple(_column(stage, holds, tx.now) for stage in pipeline.stages),
            # Those that were added are older than the page.
            rows=tuple(sorted(rows, key=lambda row: row.created.created_at, reverse=True)),
            releases=tx.releases.count(pipeline.name),
        )


def _column(stage: Stage, holds: Sequence[Hold], now: dt.datetime) -> Column:
    closed = freeze.closed([freeze.parse(text) for text in stage.freeze], now)
    until = ""
    if closed is not None:
        until = closed.window.written(closed.until) if closed.until else "for ever"
    return Column(stage=stage.name, holds=tuple(hold for hold in holds if hold.stage in ("", stage.name)), frozen=until)


def _row(
    tx: Transaction,
    created: Created,
    stages: Sequence[Stage],
    mine: Sequence[Promotion],
    currents: Mapping[str, Promotion],
) -> Row:
    release = created.release
    known = {stage.name for stage in release.pipeline.stages}
    following = next_stages(release, mine)
    return Row(
        created=created,
        cells=tuple(
            _cell(
                tx,
                release,
                stage.name,
                [each for each in mine if each.stage == stage.name],
                here=currents[stage.name].release if stage.name in currents else None,
                ready=stage.name in following,
            )
            if stage.name in known
            else Cell(stage=stage.name, state="")
            for stage in stages
        ),
    )


def _cell(
    tx: Transaction, release: Release, stage: str, mine: Sequence[Promotion], *, here: Digest | None, ready: bool
) -> Cell:
    under_way = next((each for each in mine if not each.over), None)
    if under_way is not None:
        return _open(tx, release, under_way)
    last = mine[-1] if mine else None
    arrived = [(each.arrived, each) for each in mine if each.arrived]
    tried = max(
        (each for each in mine if each.last), key=lambda each: (each.last and each.last.order) or 0, default=None
    )
    if arrived and tried is not None and tried.last is not None and tried.last.arrived:
        return Cell(
            stage=stage,
            state="here" if here == release.id else "was here",
            at=tried.last.ended_at,
            reason=tried.last.reason,
            untold=_untold(tx, release, tried),
        )
    if tried is not None and tried.last is not None and last is tried:
        return _ended(stage, tried.last)
    if last is not None and last.attempts == () and not (ready and _at_once(last)):
        return Cell(stage=stage, state=last.state, at=last.decided_at, reason=last.reason)
    return Cell(stage=stage, state="ready" if ready else "")


def _ended(stage: str, attempt: Attempt) -> Cell:
    return Cell(stage=stage, state=attempt.execution.value, at=attempt.ended_at, reason=attempt.reason)


def _at_once(promotion: Promotion) -> bool:
    """Whether it was refused when it was asked for: that says nothing of now."""
    return promotion.decision is Decision.REFUSED and promotion.decided_at == promotion.requested_at


def _open(tx: Transaction, release: Release, promotion: Promotion) -> Cell:
    attempt = promotion.last
    if attempt is not None:
        at = attempt.started_at or attempt.queued_at
        return Cell(stage=promotion.stage, state=attempt.execution.value, at=at)
    unmet = standing(tx, release, promotion).unmet
    reason = " · ".join(_short(each, tx.now) for each in unmet)
    return Cell(stage=promotion.stage, state=promotion.state, at=promotion.requested_at, reason=reason)


def _short(condition: Condition, now: dt.datetime) -> str:
    """A condition that is not met, in a few words: ``soak 3 h 12 m``."""
    if condition.kind == "approvals":
        return condition.reason.partition(";")[0]
    name = condition.name if condition.kind == "gate" else condition.kind
    if condition.outcome is Outcome.FAIL:
        return f"{name}: {condition.reason}"
    if condition.clears_at is not None and condition.clears_at > now:
        return f"{name} {written((condition.clears_at - now).total_seconds())}"
    return name


def _untold(tx: Transaction, release: Release, promotion: Promotion) -> tuple[str, ...]:
    rules = release.pipeline.stage(promotion.stage).notify
    if not rules:
        return ()
    return tuple(
        f"{rules[each.rule].kind}: {each.reason}"
        for each in tx.notifications.of(promotion.id)
        if each.state == "failed" and each.rule < len(rules)
    )
