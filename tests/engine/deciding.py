"""A pipeline, a database and a clock to decide with: no worker, no effects, and gates that say what the test says."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from liftlock.engine import decisions
from liftlock.gates.table import GATES
from liftlock.notify.table import NOTIFIERS
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.pipeline.load import load
from liftlock.release.artifact import Artifact
from liftlock.release.conditions import Condition, Facts, Outcome, Verdict, conditions
from liftlock.release.people import Actor
from liftlock.release.promotion import Decision, Execution, Promotion
from liftlock.release.release import Release
from liftlock.release.ruling import decide
from liftlock.store.artifacts import Origin
from liftlock.store.store import Store, Transaction

__all__ = ["FAIL", "NOON", "PASS", "WAIT", "World", "actor"]

NOON = dt.datetime(2031, 5, 6, 12, tzinfo=dt.UTC)  # a Tuesday
PASS = Verdict(outcome=Outcome.PASS, reason="fine")
WAIT = Verdict(outcome=Outcome.WAIT, reason="not yet")
FAIL = Verdict(outcome=Outcome.FAIL, reason="broken")

T = TypeVar("T")
P = ParamSpec("P")


def actor(person: str) -> Actor:
    return Actor(person=person)


class World:
    """One home. Time passes when the test says so."""

    def __init__(self, where: Path | str, text: str) -> None:
        self.now = NOON
        self.store = Store(where, lambda: self.now)
        self.pipeline = load(text, gates=GATES, notifiers=NOTIFIERS)
        self.answers: Callable[[Facts], Sequence[Verdict]] = lambda facts: [
            PASS for _ in facts.release.pipeline.stage(facts.stage).gates
        ]
        self.asked = 0
        """How often gates were asked."""

    def do(self, change: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One transaction."""
        with self.store.begin() as tx:
            return change(tx, *args, **kwargs)

    def later(self, **time: float) -> None:
        self.now += dt.timedelta(**time)

    def released(self, build: str, *, publisher: str = "", author: str = "") -> tuple[Release, list[Promotion]]:
        """A release of a new artifact, and what its publication asked for."""
        self.later(seconds=1)
        with self.store.begin() as tx:
            release = self._add(tx, build, published_by=publisher, author=author)
            return release, decisions.published(tx, release, tx.artifacts.get(release.artifact.id))

    def releases(self, *builds: str) -> list[Release]:
        """Releases of artifacts that were published at once; nothing is asked for."""
        with self.store.begin() as tx:
            return [self._add(tx, build) for build in builds]

    def release(self, build: str, **makers: str) -> Release:
        return self.released(build, **makers)[0]

    def _add(self, tx: Transaction, build: str, *, published_by: str = "", author: str = "") -> Release:
        image = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(build.encode()), 7)
        artifact = Artifact(images={"web": image}, build=build)
        tx.artifacts.publish(artifact, self.pipeline.name, {"web": Origin()}, published_by=published_by, author=author)
        return tx.releases.add(Release.create(artifact, self.pipeline, created=tx.now)).release

    def ask(self, release: Release, stage: str, by: str = "dev", **more: Any) -> Promotion:
        return self.do(decisions.request, release, stage, by=[actor(by)], **more)

    def approve(self, promotion: Promotion, person: str, *, approved: bool = True) -> Promotion:
        return self.do(decisions.approve, promotion.id, actor(person), approved=approved, comment="so be it")

    def carry_out(
        self, promotion: Promotion, execution: Execution = Execution.SUCCEEDED, reason: str = ""
    ) -> Promotion:
        """What a worker does with a queued attempt."""
        self.do(decisions.started, promotion.id)
        return self.do(decisions.ended, promotion.id, execution, reason)

    def bring(self, release: Release, stage: str) -> Promotion:
        """A promotion from its request to its success."""
        return self.carry_out(self.ask(release, stage))

    def look(self) -> None:
        """What a worker does with promotions that are due, until none is."""
        due: Sequence[tuple[int, int, str]] = ()
        for _ in range(100):
            due = self.do(lambda tx: tx.promotions.due())
            if not due:
                return
            for promotion, _, _ in due:
                self.look_at(promotion)
        raise AssertionError(f"these are looked at again and again: {due}")

    def look_at(self, promotion: int) -> Promotion:
        with self.store.read() as tx:
            found = tx.promotions.get(promotion)
            facts = decisions.facts(tx, tx.releases.get(found.release).release, found.stage)
        verdicts = None
        if not found.decision.made and decide(facts).sample:
            self.asked += 1
            verdicts = self.answers(facts)
        return self.do(decisions.weigh, promotion, verdicts)

    def get(self, promotion: Promotion) -> Promotion:
        with self.store.read() as tx:
            return tx.promotions.get(promotion.id)

    def state(self, promotion: Promotion) -> str:
        return self.get(promotion).state

    def next_look(self, promotion: Promotion) -> dt.datetime | None:
        with self.store.read() as tx:
            return tx.promotions.next_look(promotion.id)

    def unmet(self, promotion: Promotion) -> dict[str, str]:
        """The reasons of what is not met, by kind."""
        return {each.kind: each.reason for each in self.conditions(promotion) if not each.met}

    def conditions(self, promotion: Promotion) -> tuple[Condition, ...]:
        with self.store.read() as tx:
            release = tx.releases.get(promotion.release).release
            return conditions(decisions.facts(tx, release, promotion.stage))

    def newest(self, release: Release, stage: str) -> Promotion | None:
        with self.store.read() as tx:
            return tx.promotions.latest(release.id, stage)

    def waiting(self, stage: str) -> list[int]:
        with self.store.read() as tx:
            opened = tx.promotions.open(self.pipeline.name, stage)
            return [each.id for each in opened if each.decision is Decision.WAITING]

    def told(self, promotion: Promotion) -> list[tuple[str, int, str]]:
        """Occasion, rule and state of what there was to tell."""
        with self.store.read() as tx:
            return [(each.occasion, each.rule, each.state) for each in tx.notifications.of(promotion.id)]

    def ledger(self, after: int = 0) -> list[dict[str, Any]]:
        """Its entries, those after a number."""
        with self.store.read() as tx:
            return [json.loads(str(row.text)) for row in tx.ledger.entries(self.pipeline.name, after)]

    def kinds(self) -> list[str]:
        return [entry["kind"] for entry in self.ledger()]

    def close(self) -> None:
        self.store.close()
