"""Finding a stage: the pipeline among the templates, and the stage in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from liftlock.ci.codepipeline.files import Templates
from liftlock.ci.codepipeline.template import Call, Node, Table, Text
from liftlock.ci.codepipeline.values import PIPELINE, Values
from liftlock.errors import ConfigError, NotFound, UsageError

__all__ = ["Pipeline", "choose", "find_stage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A pipeline of the templates."""

    name: str
    """Its ``Name``; else what it is called in the template, or the file of its stages."""
    stages: tuple[Node, ...]
    variables: Mapping[str, str | None]
    """Its own variables (``#{variables.NAME}``) with their defaults; None for one without."""


def choose(templates: Templates, values: Values, wanted: str) -> Pipeline:
    """The pipeline of this name, or the only one. Raises `NotFound`, `UsageError`, `ConfigError`."""
    found = dict(_resources(templates))
    names = {logical: _name(values, logical, resource) for logical, resource in found.items()}
    shown = [*names.values(), *([templates.title] if templates.stages else [])]
    if wanted:
        chosen = [logical for logical, name in names.items() if wanted in (logical, name)]
        if not chosen and not (templates.stages and wanted == templates.title):
            raise NotFound(f"there is no pipeline {wanted!r}", hint=f"pipelines: {', '.join(shown) or 'none'}")
    elif len(shown) == 1:
        chosen = list(found)
    elif shown:
        raise UsageError("there are several pipelines", hint=f"say --pipeline with one of: {', '.join(shown)}")
    else:
        raise NotFound("there is no pipeline in these files", hint=f"a pipeline is a resource of the type {PIPELINE}")
    if not chosen:
        return Pipeline(name=templates.title, stages=templates.stages, variables={})
    return _pipeline(values, chosen[0], found[chosen[0]])


def find_stage(pipeline: Pipeline, values: Values, name: str) -> Table:
    """The stage of this name. Raises `NotFound` with the names there are, or `ConfigError` for a hidden one."""
    names = []
    hidden: Call | None = None
    for node in pipeline.stages:
        if isinstance(node, Call):
            hidden = hidden or node
            continue
        stage = values.table(node)
        text = values.text(values.required(stage, "Name"))
        if text == name:
            return stage
        names.append(text)
    if hidden is not None:
        raise hidden.error(f"the stage {name!r} is not there, and {hidden.function} is not evaluated to look for it")
    raise NotFound(f"the pipeline {pipeline.name} has no stage {name!r}", hint=f"stages: {', '.join(names) or 'none'}")


def _resources(templates: Templates) -> Iterator[tuple[str, Table]]:
    for logical, resource in templates.resources.items():
        kind = resource.items.get("Type")
        if isinstance(kind, Text) and kind.text == PIPELINE:
            yield logical, resource


def _name(values: Values, logical: str, resource: Table) -> str:
    """The name as far as it is known: another pipeline's is no reason to fail."""
    try:
        return values.optional(values.table(values.required(resource, "Properties")), "Name", logical)
    except ConfigError:
        return logical


def _pipeline(values: Values, logical: str, resource: Table) -> Pipeline:
    properties = values.table(values.required(resource, "Properties"))
    variables: dict[str, str | None] = {}
    for each in values.items(values.get(properties, "Variables")):
        entry = values.table(each)
        default = values.get(entry, "DefaultValue")
        name = values.text(values.required(entry, "Name"))
        variables[name] = None if default is None else values.text(default)
    return Pipeline(
        name=values.optional(properties, "Name", logical),
        stages=tuple(values.items(values.required(properties, "Stages"))),
        variables=variables,
    )
