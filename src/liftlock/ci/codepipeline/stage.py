"""A stage as it can be run: its actions in their order, each with all that it needs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from liftlock.ci.buildspec.surroundings import Variable
from liftlock.ci.codepipeline.files import Templates
from liftlock.ci.codepipeline.pipeline import choose, find_stage
from liftlock.ci.codepipeline.project import (
    Buildspec,
    Note,
    Project,
    buildspec_of,
    keys,
    listed_variables,
    note,
    project_of,
)
from liftlock.ci.codepipeline.template import Node, Table
from liftlock.ci.codepipeline.values import Values
from liftlock.errors import ConfigError, UsageError

__all__ = ["Action", "Stage", "fill", "read_stage"]

_ARTIFACT = re.compile(r"[A-Za-z0-9_-]{1,100}")
_ACTION = re.compile(r"[A-Za-z0-9.@_-]{1,100}")
_NAMESPACE = re.compile(r"[A-Za-z0-9@_-]{1,100}")
_HOLE = re.compile(r"#\{([^}]*)\}?")
_VARIABLE = re.compile(r"[A-Za-z0-9@_-]+\.[A-Za-z0-9@_-]+")

_USED = (
    "Name", "ActionTypeId", "Configuration", "InputArtifacts", "OutputArtifacts", "RunOrder", "Region", "Namespace",
    "TimeoutInMinutes",
)  # fmt: skip
_CONFIGURATION = (
    "ProjectName", "PrimarySource", "EnvironmentVariables", "BuildspecOverride", "BatchEnabled", "CombineArtifacts",
)  # fmt: skip
_CONDITIONS = ("BeforeEntry", "OnSuccess")


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action: a build of a project."""

    name: str
    order: int
    """Its ``RunOrder``."""
    node: Table
    project: Project
    buildspec: Buildspec
    inputs: tuple[str, ...]
    primary: str
    """The input artifact that has the buildspec, and in which the commands begin."""
    outputs: tuple[str, ...]
    variables: tuple[Variable, ...]
    """Those of its configuration. Their values may hold ``#{namespace.NAME}``."""
    namespace: str
    """Under which later actions find the variables that it exports; empty for none."""
    region: str
    """Of an action of another region; else empty."""
    timeout: float
    """Seconds after which its build is ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage of a pipeline, with every value that a run needs."""

    pipeline: str
    name: str
    groups: tuple[tuple[Action, ...], ...]
    """Actions of one ``RunOrder`` run side by side; a group begins when the one before it has succeeded."""
    variables: Mapping[str, str]
    """What is known ahead of ``#{namespace.NAME}``, by ``namespace.NAME``."""
    notes: tuple[Note, ...]

    @property
    def actions(self) -> Iterator[Action]:
        return (action for group in self.groups for action in group)


def read_stage(
    templates: Templates,
    values: Values,
    *,
    pipeline: str,
    stage: str,
    given: Mapping[str, str],
    inputs: Collection[str],
) -> Stage:
    """Read a stage of the pipeline with this name, which may be empty when there is only one.

    ``given`` are variables by ``namespace.NAME``, ``inputs`` the artifacts that come from outside. Raises
    `ConfigError` with the line of whatever is wrong or cannot be run here, `NotFound` for a name that is not there, and
    `UsageError` for what has to be given besides.
    """
    chosen = choose(templates, values, pipeline)
    node = find_stage(chosen, values, stage)
    keys(node, "stage", ("Name", "Actions"), ("Blockers", "OnFailure", *_CONDITIONS))
    for key in _CONDITIONS:
        condition = values.get(node, key)
        if condition is not None:
            raise condition.error(f"{key} has conditions, which cannot be asked here")
    listed = values.items(values.required(node, "Actions"))
    actions = sorted((_action(values.table(each), templates, values) for each in listed), key=lambda each: each.order)
    if not actions:
        raise node.error(f"the stage {stage} has no actions")
    defaults = {f"variables.{key}": default for key, default in chosen.variables.items()}
    found = Stage(
        pipeline=chosen.name,
        name=stage,
        groups=tuple(tuple(group) for _, group in groupby(actions, key=lambda each: each.order)),
        variables={**defaults, **given},
        notes=tuple(sorted(set(_notes(node, actions)), key=lambda note: (note.path, note.line))),
    )
    _names_differ(found)
    _artifacts(found, inputs)
    _namespaces(found)
    return found


def fill(text: str, variables: Mapping[str, str]) -> str:
    """A text with each ``#{namespace.NAME}`` replaced. Raises KeyError for one that is not there."""
    return _HOLE.sub(lambda found: variables[found[1]], text)


def _action(node: Table, templates: Templates, values: Values) -> Action:
    name = values.text(values.required(node, "Name"))
    if not _ACTION.fullmatch(name):
        raise node.error(f"{name!r} is no name of an action")
    _runnable(node, name, values)
    keys(node, "action", _USED, ("RoleArn",))
    settings = values.table(values.required(node, "Configuration"))
    keys(settings, "CodeBuild action", _CONFIGURATION, ())
    for flag in ("BatchEnabled", "CombineArtifacts"):
        if values.flag(settings, flag):
            raise settings.items[flag].error(f"{flag}: batches of builds are not run here")
    called = values.required(settings, "ProjectName")
    _constant(called, values)
    project = project_of(called, templates.resources, values)
    inputs = _names(values, node, "InputArtifacts")
    override = values.get(settings, "BuildspecOverride")
    variables = values.get(settings, "EnvironmentVariables")
    return Action(
        name=name,
        order=values.whole(node, "RunOrder", 1, most=999),
        node=node,
        project=project,
        buildspec=buildspec_of(override, settings, values) if override is not None else project.buildspec,
        inputs=inputs,
        primary=_primary(node, settings, inputs, values),
        outputs=_names(values, node, "OutputArtifacts"),
        variables=listed_variables(variables, values) if variables is not None else (),
        namespace=_namespace(node, values),
        region=values.optional(node, "Region"),
        timeout=60.0 * values.whole(node, "TimeoutInMinutes", project.minutes, most=86400),
    )


def _runnable(node: Table, name: str, values: Values) -> None:
    kind = values.table(values.required(node, "ActionTypeId"))
    category, owner, provider = (values.text(values.required(kind, key)) for key in ("Category", "Owner", "Provider"))
    if provider == "CodeBuild" and owner == "AWS" and category in ("Build", "Test"):
        return
    what = "a manual approval" if category == "Approval" else f"of the provider {provider} ({owner}, {category})"
    hint = "only builds of CodeBuild are run here; give the stage without this action"
    raise kind.error(f"the action {name} is {what}, which is not imitated here", hint=hint)


def _constant(node: Node, values: Values) -> None:
    if "#{" in values.text(node):
        raise node.error("which project it is has to be known before the run, so no #{…} is taken here")


def _primary(node: Table, settings: Table, inputs: tuple[str, ...], values: Values) -> str:
    if not inputs:
        raise node.error("an action of CodeBuild has at least one of InputArtifacts")
    said = values.get(settings, "PrimarySource")
    if said is None:
        if len(inputs) > 1:
            raise settings.error("PrimarySource is missing: which of the input artifacts has the buildspec?")
        return inputs[0]
    name = values.text(said)
    if name not in inputs:
        raise said.error(f"{name!r} is no input artifact of this action", hint=f"one of: {', '.join(inputs)}")
    return name


def _names(values: Values, node: Table, key: str) -> tuple[str, ...]:
    found = []
    for each in values.items(values.get(node, key)):
        entry = values.table(each)
        keys(entry, "CodeBuild action's artifact", ("Name",), ())
        name = values.text(values.required(entry, "Name"))
        if not _ARTIFACT.fullmatch(name):
            raise entry.error(f"{name!r} is no name of an artifact", hint="letters, digits, - and _, at most 100")
        if name in found:
            raise entry.error(f"the artifact {name} is here twice")
        found.append(name)
    return tuple(found)


def _namespace(node: Table, values: Values) -> str:
    said = values.get(node, "Namespace")
    name = "" if said is None else values.text(said)
    if said is not None and (not _NAMESPACE.fullmatch(name) or name in ("codepipeline", "variables")):
        raise said.error(f"{name!r} is no namespace that an action can have")
    return name


def _names_differ(stage: Stage) -> None:
    names = [action.name for action in stage.actions]
    for action in stage.actions:
        if names.count(action.name) > 1:
            raise action.node.error(f"two actions of the stage have the name {action.name}")


def _artifacts(stage: Stage, inputs: Collection[str]) -> None:
    """Whether each input is there when it is needed, and needed when it is there; and each output is one action's."""
    needed = {name for action in stage.actions for name in action.inputs}
    for name in inputs:
        if name not in needed | {each for action in stage.actions for each in action.outputs}:
            hint = f"input artifacts: {', '.join(sorted(needed))}"
            raise UsageError(f"no action of the stage {stage.name} has the input artifact {name!r}", hint=hint)
    makers: dict[str, Action] = {}
    for group in stage.groups:
        for action in group:
            for name in action.inputs:
                if name not in makers and name not in inputs:
                    raise UsageError(
                        f"the action {action.name} needs the artifact {name}", hint=f"say --input {name}=FOLDER"
                    )
        for action in group:
            for name in action.outputs:
                if name in makers:
                    raise action.node.error(f"{name} is an output artifact of the action {makers[name].name}, too")
                if name in inputs:
                    raise UsageError(
                        f"the artifact {name} is made by the action {action.name} of this stage",
                        hint=f"leave out --input {name}",
                    )
                makers[name] = action


def _namespaces(stage: Stage) -> None:
    """Whether each ``#{…}`` can be known when it is needed, and each namespace is one action's."""
    known: set[str] = set()
    for group in stage.groups:
        for variable in (variable for action in group for variable in action.variables):
            for found in _HOLE.finditer(variable.value):
                _fillable(found, variable, stage.variables, known)
        for action in group:
            if action.namespace in known:
                raise action.node.error(f"another action has the namespace {action.namespace}, too")
            known |= {action.namespace} - {""}


def _fillable(found: re.Match[str], variable: Variable, given: Mapping[str, str], known: set[str]) -> None:
    hole, name = found.group(0, 1)
    if not (hole.endswith("}") and _VARIABLE.fullmatch(name)):
        raise ConfigError(f"{hole} is no variable of a pipeline", path=variable.path, line=variable.line)
    if name in given or name == "codepipeline.PipelineExecutionId" or name.partition(".")[0] in known:
        return
    raise ConfigError(
        f"{hole} comes from no earlier action of this stage",
        path=variable.path,
        line=variable.line,
        hint=f"say --variable {name}=VALUE",
    )


def _notes(stage: Table, actions: list[Action]) -> Iterator[Note]:
    for key in ("Blockers", "OnFailure"):
        if key in stage.items:
            yield note(stage.items[key], key)
    for action in actions:
        if "RoleArn" in action.node.items:
            yield note(action.node.items["RoleArn"], "RoleArn")
        yield from action.project.notes
