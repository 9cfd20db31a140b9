"""What a run of a stage would do, for people and programs, without its secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from liftlock.ci.buildspec.surroundings import Variable
from liftlock.ci.codepipeline.stage import Action, Stage

__all__ = ["describe"]


def describe(stage: Stage, mask: Callable[[str], str]) -> dict[str, Any]:
    """The stage as JSON: its actions in their order, with projects, artifacts and variables.

    A variable that is a secret has the name of it, and no value.
    """
    return {
        "pipeline": stage.pipeline,
        "stage": stage.name,
        "actions": [_action(action, mask) for action in stage.actions],
        "notImitated": [note.to_json() for note in stage.notes],
    }


def _action(action: Action, mask: Callable[[str], str]) -> dict[str, Any]:
    said = action.buildspec
    return {
        "name": action.name,
        "order": action.order,
        "project": action.project.name,
        "buildspec": said.file or f"{said.node.path}:{said.begins}",
        "inputs": list(action.inputs),
        "primary": action.primary,
        "outputs": list(action.outputs),
        "namespace": action.namespace,
        "timeoutMinutes": action.timeout / 60,
        "environment": [_variable(each, mask) for each in _effective(action).values()],
    }


def _effective(action: Action) -> Mapping[str, Variable]:
    """Of variables with one name, the action's own wins."""
    return {each.name: each for each in (*action.project.variables, *action.variables)}


def _variable(variable: Variable, mask: Callable[[str], str]) -> dict[str, Any]:
    return {"name": variable.name, "type": variable.type.value, "value": mask(variable.value)}
