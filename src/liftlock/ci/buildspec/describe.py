"""What a run would do, without doing it: no command runs, and nothing is looked up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from liftlock.ci.buildspec.environment import chosen
from liftlock.ci.buildspec.model import ArtifactsSection, Buildspec, Command, OnFailure, PhaseName
from liftlock.ci.buildspec.surroundings import Surroundings

__all__ = ["describe"]


def describe(spec: Buildspec, surroundings: Surroundings) -> dict[str, Any]:
    """For programs. Of a secret it has the name, not the value. Raises `ConfigError` as a run would."""
    variables = [
        {
            "name": name,
            "type": each.variable.type.value,
            "value": each.variable.value,
            "from": each.origin,
        }
        for name, each in chosen(spec, surroundings).items()
    ]
    sections = {"": spec.artifacts} if spec.artifacts else {}
    return {
        "path": spec.path,
        "source": str(surroundings.source.absolute()),
        "shell": spec.env.shell.value,
        "variables": variables,
        "exportedVariables": [each.text for each in spec.env.exported_variables],
        "phases": [
            {
                "name": phase.name.name,
                "onFailure": (phase.on_failure or _default(phase.name)).value,
                "commands": _commands(phase.commands),
                "finally": _commands(phase.finally_),
            }
            for phase in spec.phases.values()
        ],
        "artifacts": [_artifact(name, each) for name, each in {**sections, **spec.secondary_artifacts}.items()],
    }


def _default(name: PhaseName) -> OnFailure:
    """What follows a failure where the file does not say it."""
    return OnFailure.CONTINUE if name is PhaseName.BUILD else OnFailure.ABORT


def _commands(commands: Iterable[Command]) -> list[dict[str, Any]]:
    return [{"line": each.line, "command": each.text.rstrip("\n")} for each in commands]


def _artifact(identifier: str, section: ArtifactsSection) -> dict[str, Any]:
    return {
        "id": identifier,
        "name": section.name.text if section.name else "",
        "baseDirectory": section.base_directory.text if section.base_directory else "",
        "files": [each.text for each in section.files],
        "excludePaths": [each.text for each in section.exclude_paths],
        "discardPaths": section.discard_paths,
    }
