"""How a build ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from liftlock.ci.buildspec.surroundings import Identity

__all__ = ["BuildResult", "BuildStatus", "CollectedArtifact", "Failure", "PhaseResult"]


class BuildStatus(StrEnum):
    """A phase's and a build's end, in CodeBuild's words."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What failed first in a phase. Secrets in it are masked."""

    phase: str
    message: str
    """``Error while executing command: make. Reason: exit status 2``, or what was wrong with the artifacts."""
    path: str
    line: int
    command: str = ""
    """Empty when it was no command that failed."""
    exit_status: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseResult:
    """One phase that was entered."""

    name: str
    """``INSTALL``, ``PRE_BUILD``, ``BUILD``, ``POST_BUILD`` or ``UPLOAD_ARTIFACTS``."""
    status: BuildStatus
    seconds: float
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedArtifact:
    """An artifact that was collected."""

    folder: Path
    files: tuple[str, ...]
    """Paths below the folder, sorted."""
    name: str = ""
    """What ``name`` was expanded to; empty when the file has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """A build that is over. ``exported`` holds real values: show them through `masked`."""

    status: BuildStatus
    identity: Identity
    phases: tuple[PhaseResult, ...]
    exported: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The ``exported-variables`` that were set when POST_BUILD was over; none of a build that did not get there."""
    artifacts: Mapping[str, CollectedArtifact] = field(default_factory=dict)
    """By identifier; the primary one has the empty name."""
    mask: Callable[[str], str] = field(repr=False, compare=False)
    """Replaces the secrets of this build in a text by ``***``."""

    @property
    def failure(self) -> Failure | None:
        """What failed first in the build."""
        return next((phase.failure for phase in self.phases if phase.failure), None)

    def masked(self) -> Mapping[str, str]:
        """The exported variables as they may be shown."""
        return {name: self.mask(value) for name, value in self.exported.items()}

    def to_json(self) -> dict[str, Any]:
        """The result for programs, secrets masked."""
        failure = self.failure
        return {
            "status": self.status.value,
            "project": self.identity.project,
            "id": self.identity.build_id,
            "arn": self.identity.arn,
            "number": self.identity.number,
            "initiator": self.identity.initiator,
            "phases": [
                {"name": phase.name, "status": phase.status.value, "seconds": round(phase.seconds, 3)}
                for phase in self.phases
            ],
            "exportedVariables": dict(self.masked()),
            "artifacts": [
                {
                    "id": id_,
                    "name": self.mask(each.name),
                    "folder": str(each.folder),
                    "files": [self.mask(file) for file in each.files],
                }
                for id_, each in self.artifacts.items()
            ],
            "failure": failure
            and {
                "phase": failure.phase,
                "message": failure.message,
                "path": failure.path,
                "line": failure.line,
                "command": failure.command,
                "exitStatus": failure.exit_status,
            },
        }
