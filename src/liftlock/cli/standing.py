"""How a promotion's standing and its conditions are written for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from liftlock.cli.invocation import Invocation
from liftlock.cli.output import document, fields, line, table

if TYPE_CHECKING:
    from liftlock.release.conditions import Condition
    from liftlock.release.release import Release
    from liftlock.services.project import Project
    from liftlock.services.standing import Standing

__all__ = ["condition_rows", "named", "next_step", "show"]

WHEN = "%Y-%m-%d %H:%M UTC"


def show(invocation: Invocation, project: Project, standing: Standing) -> None:
    """What became of a promotion, and what is next."""
    if invocation.output != "text":
        document("Promotion", standing.to_json(), compact=invocation.output == "ndjson")
        return
    promotion = standing.promotion
    reason = (promotion.last and promotion.last.reason) or promotion.reason
    fields(
        [
            ("release", named(standing.release)),
            ("stage", promotion.stage),
            ("state", promotion.state),
            ("reason", reason),
            ("next", next_step(project, standing)),
        ]
    )
    if standing.conditions:
        line("")
        table(condition_rows(standing.conditions), indent="  ")


def named(release: Release) -> str:
    """What people call it, with how its id begins."""
    return f"{release.name} ({release.id.short})" if release.artifact.build else release.id.short


def next_step(project: Project, standing: Standing) -> str:
    """Who carries on; empty when it is over."""
    if standing.promotion.over:
        return ""
    doing = "it goes on by itself once all conditions are met" if standing.conditions else "carried out by a worker"
    if not project.embedded:
        return doing
    by = "with a worker, or with" if standing.conditions else "or by"
    return f"{doing}, {by}: liftlock release watch {standing.release.name}"


def condition_rows(conditions: Iterable[Condition]) -> list[list[str]]:
    """A row for each: met or not, which, why, who or what clears it and when. Words, not only signs or colours."""
    return [
        [
            _word(each),
            each.kind if each.name in ("", each.kind) else f"{each.kind} {each.name}",
            each.reason,
            _cleared(each),
        ]
        for each in conditions
    ]


def _word(condition: Condition) -> str:
    if condition.skipped:
        return "○ skipped"
    return {"pass": "✓ met", "wait": "… waits", "fail": "✖ fails"}[condition.outcome.value]


def _cleared(condition: Condition) -> str:
    if condition.met:
        return ""
    parts = [f"by {condition.clears_by}"] if condition.clears_by else []
    if condition.clears_at:
        parts.append(f"at {condition.clears_at:{WHEN}}")
    return "clears " + ", ".join(parts) if parts else ""
