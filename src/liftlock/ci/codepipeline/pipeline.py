"""Finding a stage: the pipeline among the templates, and the stage in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from liftlock.ci.codepipeline.files import Templates
from liftlock.ci.codepipeline.template import Node, Table, Text
from liftlock.ci.codepipeline.values import PIPELINE, Values
from liftlock.errors import ConfigError, NotFound, UsageError

__all__ = ["Pipeline", "choose", "find_stage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A pipeline of the templates."""

    name: str
    """Its ``Name``; else what it is called in the template, or the file of its stages."""
    stages: tuple[Node, ...]
    variables: Mapping[str, str]
    """The defaults of its own variables, ``#{variables.NAME}``, as far as there are any."""


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
    """The stage of this name. Raises `NotFound`, or `ConfigError` for one whose name is not known."""
    names = []
    hidden: ConfigError | None = None
    for node in pipeline.stages:
        try:
            stage = values.table(node)
            names.append(values.text(values.required(stage, "Name")))
        except ConfigError as error:
            hidden = hidden or error
            continue
        if names[-1] == name:
            return stage
    if hidden is not None:
        hidden.message = f"there is no stage {name!r}, unless it is this one: {hidden.message}"
        raise hidden
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
    variables: dict[str, str] = {}
    for each in values.items(values.get(properties, "Variables")):
        entry = values.table(each)
        with suppress(ConfigError):  # a default that cannot be known is none: it may not be needed
            if "DefaultValue" in entry.items:
                variables[values.text(values.required(entry, "Name"))] = values.optional(entry, "DefaultValue")
    return Pipeline(
        name=values.optional(properties, "Name", logical),
        stages=tuple(values.items(values.required(properties, "Stages"))),
        variables=variables,
    )
