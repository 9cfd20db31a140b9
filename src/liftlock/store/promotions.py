"""Promotions and their attempts: what `liftlock.release.promotion` decides, row by row."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from liftlock.errors import Conflict, NotFound
from liftlock.oci.digest import Digest
from liftlock.release.people import Actor
from liftlock.release.promotion import (
    Arrived,
    Attempt,
    Decided,
    Decision,
    Ended,
    Event,
    Execution,
    Promotion,
    Queued,
    Started,
    apply,
)
from liftlock.release.release import Release
from liftlock.release.stage import Trigger
from liftlock.store import tables as t
from liftlock.store.turns import pipeline_turn, take_turn

__all__ = ["Promotions"]

FEW = 500
"""Promotions whose attempts are asked for by id, which costs the same however many others there are."""


class Promotions:
    """The promotions of one transaction."""

    def __init__(self, connection: Connection, now: dt.datetime) -> None:
        self._connection = connection
        self._now = now

    def request(
        self,
        release: Release,
        stage: str,
        *,
        requested_by: Sequence[Actor],
        trigger: Trigger = Trigger.MANUAL,
        rollback: bool = False,
        proven: Iterable[str] = (),
    ) -> Promotion:
        """Record that a release shall go to a stage: a promotion that waits, and is looked at right away."""
        release.pipeline.stage(stage)
        pipeline_turn(self._connection, release.pipeline.name)
        promotion_id = self._connection.scalar(
            insert(t.promotions)
            .values(
                release_id=release.id,
                pipeline=release.pipeline.name,
                stage=stage,
                requested_at=self._now,
                requested_by=json.dumps([{"person": one.person, "asserted": one.asserted} for one in requested_by]),
                trigger=trigger.value,
                rollback=rollback,
                proven=json.dumps(sorted(proven)),
                decision=Decision.WAITING.value,
                reason="",
                ready=False,
                look_at=self._now,
                looks=0,
                active=False,
            )
            .returning(t.promotions.c.id)
        )
        assert promotion_id is not None  # noqa: S101  # RETURNING gives one row for the one inserted
        return self.get(promotion_id)

    def lock(self, promotion_id: int) -> Promotion:
        """The promotion, which nobody else changes before the end of the transaction; raises `NotFound`.

        Nor do they change any other of its pipeline (`liftlock.store.store.Transaction.alone`).
        """
        self._take_turn(promotion_id)
        return self.get(promotion_id)

    def decide(
        self, promotion_id: int, decision: Decision, reason: str = "", successor: int | None = None
    ) -> Promotion:
        """The decision is made; raises `Conflict` when it was made before."""
        return self._apply(promotion_id, Decided(at=self._now, decision=decision, reason=reason, successor=successor))

    def park(self, promotion_id: int, look_at: dt.datetime | None, *, ready: bool) -> int:
        """A promotion goes on waiting until somebody does something, or until ``look_at``; how often it was weighed."""
        self._take_turn(promotion_id)
        looks: int | None = self._connection.scalar(
            update(t.promotions)
            .where(t.promotions.c.id == promotion_id)
            .values(look_at=look_at, ready=ready, looks=t.promotions.c.looks + 1)
            .returning(t.promotions.c.looks)
        )
        return looks or 0

    def put_off(self, promotion_id: int, looks: int, until: dt.datetime) -> None:
        """The look that is due after so many could not be made: it is due again then, and others get their turn."""
        self._take_turn(promotion_id)
        c = t.promotions.c
        same = (c.id == promotion_id) & (c.looks == looks) & (c.look_at <= self._now)
        self._connection.execute(update(t.promotions).where(same).values(look_at=until))

    def due(self, limit: int = 100) -> Sequence[tuple[int, int, str]]:
        """The waiting promotions that it is time to look at, what is due longest first: each id with how often it was
        weighed, and its pipeline.
        """
        c = t.promotions.c
        rows = self._connection.execute(
            select(c.id, c.looks, c.pipeline)
            .where(c.decision == Decision.WAITING.value, c.look_at <= self._now)
            .order_by(c.look_at, c.id)
            .limit(limit)
        )
        return [(row.id, row.looks, row.pipeline) for row in rows]

    def under_way(self) -> Sequence[tuple[int, int]]:
        """The attempts with something left to do, of any pipeline: promotion and number; the oldest first."""
        c = t.attempts.c
        left = c.ended_order.is_(None) & c.arrived_at.is_(None)
        rows = self._connection.execute(
            select(c.promotion_id, c.number).where(left).order_by(c.queued_at, c.promotion_id)
        )
        return [(row.promotion_id, row.number) for row in rows]

    def looks(self, promotion_id: int) -> int:
        """How often it was weighed."""
        return self._connection.scalar(select(t.promotions.c.looks).where(t.promotions.c.id == promotion_id)) or 0

    def next_look(self, promotion_id: int) -> dt.datetime | None:
        """When it is looked at again; None: when somebody does something."""
        return self._connection.scalar(select(t.promotions.c.look_at).where(t.promotions.c.id == promotion_id))

    def queue(self, promotion_id: int) -> Promotion:
        """A new attempt, which has the stage; raises `Conflict` while one has not ended, here or of another."""
        try:
            # What the index refuses must not end the whole transaction, as it would on PostgreSQL.
            with self._connection.begin_nested():
                return self._apply(promotion_id, Queued(at=self._now))
        except IntegrityError:
            raise Conflict("another promotion is under way in this stage", hint="wait until it has ended") from None

    def start(self, promotion_id: int) -> Promotion:
        """Work on the queued attempt begins; raises `Conflict` when there is none."""
        return self._apply(promotion_id, Started(at=self._now))

    def arrive(self, promotion_id: int) -> Promotion:
        """The tags of the running attempt are all there, and it goes on; raises `Conflict` when there is none."""
        return self._apply(promotion_id, Arrived(at=self._now))

    def end(self, promotion_id: int, execution: Execution, reason: str = "") -> Promotion:
        """The attempt ends so, and after everything that has ended before; raises `Conflict` when it cannot."""
        self._take_turn(promotion_id)
        take_turn(self._connection, "ended")
        last: int | None = self._connection.scalar(select(func.max(t.attempts.c.ended_order)))
        return self._apply(promotion_id, Ended(at=self._now, execution=execution, order=(last or 0) + 1, reason=reason))

    def cancel(self, promotion_id: int, by: Actor) -> None:
        """Ask whoever works on the attempt that is under way to stop."""
        self._take_turn(promotion_id)
        here = (t.attempts.c.promotion_id == promotion_id) & t.attempts.c.ended_order.is_(None)
        self._connection.execute(update(t.attempts).where(here).values(cancel_by=str(by)))

    def canceled(self, among: Iterable[int]) -> Sequence[tuple[int, int]]:
        """Which of these promotions' attempts shall stop: promotion and number."""
        c = t.attempts.c
        rows = self._connection.execute(
            select(c.promotion_id, c.number).where(
                c.promotion_id.in_(list(among)), c.ended_order.is_(None), c.cancel_by.is_not(None)
            )
        )
        return [(row.promotion_id, row.number) for row in rows]

    def canceled_by(self, promotion_id: int) -> str:
        """Who asked that the attempt that is under way stop; empty while nobody did."""
        c = t.attempts.c
        query = select(c.cancel_by).where(c.promotion_id == promotion_id, c.ended_order.is_(None))
        return self._connection.execute(query).scalar() or ""

    def get(self, promotion_id: int) -> Promotion:
        """The promotion of this id; raises `NotFound`."""
        found = self._select(t.promotions.c.id == promotion_id)
        if not found:
            raise NotFound(f"there is no promotion {promotion_id}")
        return found[0]

    def history(self, pipeline: str) -> Sequence[Promotion]:
        """Every promotion of the pipeline of this name, in the order of their decisions: what the rules read."""
        return self._select(t.promotions.c.pipeline == pipeline)

    def latest(self, release: Digest, stage: str) -> Promotion | None:
        """The newest promotion of a release to a stage."""
        found = self._select((t.promotions.c.release_id == release) & (t.promotions.c.stage == stage))
        return found[-1] if found else None

    def of_release(self, release: Digest) -> Sequence[Promotion]:
        """Every promotion of a release, in any stage."""
        return self._select(t.promotions.c.release_id == release)

    def of_releases(self, releases: Iterable[Digest]) -> Mapping[Digest, Sequence[Promotion]]:
        """Every promotion of each of some releases: with `currents`, what a page of the matrix is made of."""
        found: dict[Digest, list[Promotion]] = {release: [] for release in releases}
        for promotion in self._select(t.promotions.c.release_id.in_(list(found))):
            found[promotion.release].append(promotion)
        return found

    def open(self, pipeline: str, stage: str) -> Sequence[Promotion]:
        """What waits for a stage, or is under way there; in the order it was asked for."""
        c = t.promotions.c
        here = select(c.id).where(c.pipeline == pipeline, c.stage == stage)
        # Not one query with OR: each of the two has its index, and what is over is many.
        return self._select(c.id.in_(here.where(c.decision == Decision.WAITING.value).union(here.where(c.active))))

    def succeeded_since(self, pipeline: str, stage: str, order: int) -> Sequence[Promotion]:
        """What succeeded in a stage after the attempt with this `order` had ended."""
        c = t.promotions.c
        return self._select((c.pipeline == pipeline) & (c.stage == stage) & (c.succeeded_order > order))

    def current(self, pipeline: str, stage: str) -> Promotion | None:
        """What is in a stage now: as `liftlock.release.rules.current`."""
        c = t.promotions.c
        newest = select(func.max(c.succeeded_order)).where(c.pipeline == pipeline, c.stage == stage).scalar_subquery()
        found = self._select((c.pipeline == pipeline) & (c.stage == stage) & (c.succeeded_order == newest))
        return found[0] if found else None

    def currents(self, pipeline: str) -> Mapping[str, Promotion]:
        """What is in each stage now, for the stages that something has succeeded in."""
        c = t.promotions.c
        stages = select(c.stage).where(c.pipeline == pipeline, c.succeeded_order.is_not(None)).distinct()
        found = ((stage, self.current(pipeline, stage)) for stage in self._connection.scalars(stages).all())
        return {stage: promotion for stage, promotion in found if promotion}

    def replaced(self, current: Promotion) -> Promotion | None:
        """What was in the stage before this release came there: after a rollback, before it came the first time."""
        c = t.promotions.c
        here = (c.pipeline == current.pipeline) & (c.stage == current.stage)
        came = current.arrived.order if current.arrived else None
        if current.rollback:
            first = here & (c.release_id == current.release) & c.rollback.is_(False) & (c.succeeded_order < came)
            came = self._connection.scalar(select(func.max(c.succeeded_order)).where(first)) or came
        other = here & (c.release_id != current.release) & (c.succeeded_order < came)
        newest = select(func.max(c.succeeded_order)).where(other).scalar_subquery()
        found = self._select(here & (c.succeeded_order == newest))
        return found[0] if found else None

    def _take_turn(self, promotion_id: int) -> None:
        # To which pipeline a promotion belongs never changes, so that may be read before.
        pipeline = self._connection.scalar(select(t.promotions.c.pipeline).where(t.promotions.c.id == promotion_id))
        if pipeline is not None:
            pipeline_turn(self._connection, pipeline)

    def _apply(self, promotion_id: int, event: Event) -> Promotion:
        promotion = apply(self.lock(promotion_id), event)
        self._connection.execute(
            update(t.promotions)
            .where(t.promotions.c.id == promotion_id)
            .values(
                decision=promotion.decision.value,
                decided_at=promotion.decided_at,
                reason=promotion.reason,
                successor=promotion.successor,
                active=promotion.unfinished is not None,
                succeeded_order=promotion.arrived.order if promotion.arrived else None,
            )
        )
        if isinstance(event, Decided):
            return promotion
        attempt = promotion.attempts[-1]
        row = {
            "execution": attempt.execution.value,
            "queued_at": attempt.queued_at,
            "started_at": attempt.started_at,
            "ended_at": attempt.ended_at,
            "ended_order": attempt.order,
            "reason": attempt.reason,
            "arrived_at": attempt.arrived_at,
        }
        if isinstance(event, Queued):
            key = {"promotion_id": promotion_id, "number": attempt.number}
            self._connection.execute(insert(t.attempts).values({**key, **row}))
        else:
            here = (t.attempts.c.promotion_id == promotion_id) & (t.attempts.c.number == attempt.number)
            self._connection.execute(update(t.attempts).where(here).values(row))
        return promotion

    def _select(self, condition: ColumnElement[bool]) -> list[Promotion]:
        rows = self._connection.execute(select(t.promotions).where(condition).order_by(t.promotions.c.id)).all()
        attempts: dict[int, list[Attempt]] = {row.id: [] for row in rows}
        query = select(t.attempts).order_by(t.attempts.c.number)
        if len(rows) <= FEW:
            query = query.where(t.attempts.c.promotion_id.in_(list(attempts)))
        else:
            query = query.join(t.promotions, t.promotions.c.id == t.attempts.c.promotion_id).where(condition)
        for row in self._connection.execute(query):
            attempts[row.promotion_id].append(
                Attempt(
                    number=row.number,
                    execution=Execution(row.execution),
                    queued_at=row.queued_at,
                    started_at=row.started_at,
                    ended_at=row.ended_at,
                    order=row.ended_order,
                    reason=row.reason,
                    arrived_at=row.arrived_at,
                )
            )
        return [
            Promotion(
                id=row.id,
                release=Digest(row.release_id),
                pipeline=row.pipeline,
                stage=row.stage,
                requested_at=row.requested_at,
                requested_by=tuple(Actor(**one) for one in json.loads(row.requested_by)),
                trigger=Trigger(row.trigger),
                rollback=row.rollback,
                proven=frozenset(json.loads(row.proven)),
                decision=Decision(row.decision),
                decided_at=row.decided_at,
                reason=row.reason,
                successor=row.successor,
                attempts=tuple(attempts[row.id]),
            )
            for row in rows
        ]
