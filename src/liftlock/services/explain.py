"""Why a release may or may not enter a stage: every condition, met or not, who or what clears it, and when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from liftlock.engine import decisions
from liftlock.release.conditions import Condition, Facts, Outcome, Sample, conditions
from liftlock.release.promotion import Promotion
from liftlock.release.release import Release
from liftlock.release.ruling import refusal
from liftlock.services.project import Project

__all__ = ["Explanation", "explain", "explained"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What stands between a release and a stage, as of one moment."""

    release: Release
    stage: str
    promotion: Promotion | None
    """The one that waits, is under way, or would be tried again; None when a request would make a new one."""
    conditions: tuple[Condition, ...]

    @property
    def outcome(self) -> Outcome:
        """``pass`` when every condition is met, ``fail`` when waiting does not help, else ``wait``."""
        unmet = [each for each in self.conditions if not each.met]
        if not unmet:
            return Outcome.PASS
        # A request is refused at once while the stages before lack it.
        lost = any(each.outcome is Outcome.FAIL or each.kind == "after" for each in unmet)
        return Outcome.FAIL if lost else Outcome.WAIT

    def to_json(self) -> dict[str, Any]:
        return {
            "release": self.release.id,
            "name": self.release.name,
            "stage": self.stage,
            "promotion": self.promotion.id if self.promotion else None,
            "state": self.promotion.state if self.promotion else None,
            "outcome": self.outcome.value,
            "conditions": [each.to_json() for each in self.conditions],
        }


def explain(project: Project, text: str, stage: str) -> Explanation:
    """Every condition for the release that a text names. Nothing is changed, and nothing is asked for.

    Gates answer as they last did for the promotion that waits or is under way; else they are asked now. Raises
    `NotFound`.
    """
    with project.home.store.read() as tx:
        release = tx.releases.find(text, project.pipeline.name).release
        release.pipeline.stage(stage)
    return explained(project, release, stage)


def explained(project: Project, release: Release, stage: str) -> Explanation:
    """As `explain`, for a release at hand."""
    with project.home.store.read() as tx:
        facts = decisions.facts(tx, release, stage)
        published = tx.artifacts.get(release.artifact.id)
    over = facts.promotion is not None and facts.promotion.over
    if release.pipeline.stage(stage).gates and (facts.sample is None or over):
        facts = replace(facts, sample=_asked_now(project, facts, published.author, published.published_by))
    found = conditions(facts)
    refused = refusal(facts) if facts.promotion is None else None
    if refused is not None:
        found = tuple(refused if each.kind == refused.kind else each for each in found)
    return Explanation(release=release, stage=stage, promotion=facts.promotion, conditions=found)


def _asked_now(project: Project, facts: Facts, author: str, publisher: str) -> Sample:
    from liftlock.gates.ask import ask
    from liftlock.gates.base import Question

    question = Question(
        release=facts.release,
        stage=facts.stage,
        now=facts.now,
        promotion=facts.promotion,
        mine=facts.mine,
        later=facts.later,
        author=author,
        publisher=publisher,
    )
    rules = facts.release.pipeline.stage(facts.stage).gates
    return Sample(at=facts.now, verdicts=ask(question, rules, project.tools))
