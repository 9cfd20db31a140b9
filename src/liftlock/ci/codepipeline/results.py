"""How a stage ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from liftlock.ci.buildspec.result import BuildResult
from liftlock.ci.codepipeline.stage import Action, Stage
from liftlock.errors import LiftlockError

__all__ = ["ActionResult", "StageResult", "Status"]


class Status(StrEnum):
    """An action's end, and a stage's."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    STOPPED = "Stopped"
    NOT_RUN = "NotRun"


def _as_it_is(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """An action that is over, or that was not come to."""

    action: Action
    status: Status
    build: BuildResult | None = None
    """None when no build was begun."""
    error: LiftlockError | None = None
    """Why it could not begin."""
    outputs: Mapping[str, Path] = field(default_factory=dict)
    mask: Callable[[str], str] = field(default=_as_it_is, repr=False, compare=False)
    """Hides the templates' secrets."""

    @property
    def reason(self) -> str:
        """What was wrong, in a sentence with file and line; empty when nothing was."""
        if self.error is not None:
            return self.mask(str(self.error))
        if self.status is Status.TIMED_OUT:
            node = self.action.project.node
            return f"{node.path}:{node.line}: it was ended after {self.action.timeout / 60:g} minutes"
        failure = self.build.failure if self.build is not None else None
        if failure is None or self.status is Status.STOPPED:
            return ""
        return self.mask(f"{failure.path}:{failure.line}: {failure.phase}: {failure.message}")

    def to_json(self, *, kept: bool) -> dict[str, Any]:
        """The result for programs, secrets masked; ``kept``: whether the folders of outputs are still there."""
        build = self.build.to_json() if self.build is not None else None
        if build is not None and not kept:
            del build["artifacts"]
        return {
            "name": self.action.name,
            "order": self.action.order,
            "project": self.action.project.name,
            "status": self.status.value,
            "reason": self.reason,
            "outputs": {name: str(path) for name, path in self.outputs.items()} if kept else {},
            "build": _masked(build, self.mask),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """A stage that is over."""

    stage: Stage
    execution: str
    """What ``#{codepipeline.PipelineExecutionId}`` was."""
    actions: tuple[ActionResult, ...]
    stopped: bool
    """Whether somebody asked to stop."""

    @property
    def status(self) -> Status:
        """The stage's own: failed, when one of its actions has failed or was too slow."""
        if self.failed is not None:
            return Status.FAILED
        if self.stopped or any(each.status is not Status.SUCCEEDED for each in self.actions):
            return Status.STOPPED
        return Status.SUCCEEDED

    @property
    def failed(self) -> ActionResult | None:
        """The first action that failed."""
        return next((each for each in self.actions if each.status in (Status.FAILED, Status.TIMED_OUT)), None)

    def to_json(self, *, kept: bool) -> dict[str, Any]:
        """The result for programs, secrets masked."""
        return {
            "pipeline": self.stage.pipeline,
            "stage": self.stage.name,
            "execution": self.execution,
            "status": self.status.value,
            "actions": [each.to_json(kept=kept) for each in self.actions],
            "notImitated": [note.to_json() for note in self.stage.notes],
        }


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    match value:
        case str():
            return mask(value)
        case dict():
            return {key: _masked(each, mask) for key, each in value.items()}
        case list():
            return [_masked(each, mask) for each in value]
    return value
