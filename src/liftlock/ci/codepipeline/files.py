"""What the given files hold together: whole templates, and pieces that were cut out of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from liftlock.ci.codepipeline.template import Listing, Node, Table, Text, read

__all__ = ["Templates", "gather"]

_HARMLESS = ("AWS::LanguageExtensions", "AWS::Serverless-2016-10-31")
"""Transforms that leave pipelines and projects as they are written."""
_TAKEN = "a template with Resources, a list of stages, or resources by name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """Parameters and resources of all files, by name, and the stages that stood alone."""

    parameters: Mapping[str, Sequence[Table]]
    """Each with its declarations: templates of several stacks may ask for the same one."""
    resources: Mapping[str, Table]
    stages: tuple[Node, ...]
    """Stages of a pipeline that is in none of the files."""
    title: str
    """A name for that pipeline: the first such file's, without its ending. Empty when there is none."""
    whole: bool
    """Whether one of them is a whole template, so that a parameter that is nowhere declared is a slip."""


def gather(files: Sequence[tuple[str, bytes]]) -> Templates:
    """Read files, each with its path for messages. Raises `ConfigError` naming file and line."""
    parameters: dict[str, list[Table]] = {}
    resources: dict[str, Table] = {}
    stages: list[Node] = []
    title, whole = "", False
    for path, data in files:
        node = read(data, path)
        if isinstance(node, Listing) and all(map(_is_stage, node.items)):
            stages += node.items
            title = title or PurePath(path).stem
        elif isinstance(node, Table) and "Resources" in node.items:
            _transforms(node)
            whole = True
            for name, declaration in _tables(_section(node, "Parameters")):
                parameters.setdefault(name, []).append(declaration)
            _add(resources, _section(node, "Resources"))
        elif isinstance(node, Table) and node.items and all(map(_is_resource, node.items.values())):
            _add(resources, node.items)
        else:
            raise node.error("this is no CloudFormation that can be read here", hint=f"a file is {_TAKEN}")
    return Templates(parameters=parameters, resources=resources, stages=tuple(stages), title=title, whole=whole)


def _is_stage(node: Node) -> bool:
    return isinstance(node, Table) and {"Name", "Actions"} <= set(node.items)


def _is_resource(node: Node) -> bool:
    kind = node.items.get("Type") if isinstance(node, Table) else None
    return isinstance(kind, Text) and "::" in kind.text


def _section(template: Table, name: str) -> Mapping[str, Node]:
    section = template.items.get(name)
    if section is None:
        return {}
    if not isinstance(section, Table):
        raise section.error(f"{name} is not a mapping")
    return section.items


def _transforms(template: Table) -> None:
    """Refuse what rewrites a template before it is read: we would run something else."""
    transform = template.items.get("Transform")
    for each in transform.items if isinstance(transform, Listing) else (transform,) if transform else ():
        if not (isinstance(each, Text) and each.text in _HARMLESS):
            name = each.text if isinstance(each, Text) else "this one"
            raise each.error(
                f"a transform rewrites the template, and {name} is not carried out here",
                hint="give the processed template: aws cloudformation get-template --template-stage Processed",
            )


def _tables(section: Mapping[str, Node]) -> Iterator[tuple[str, Table]]:
    """What a section declares. A function in its place (``Fn::ForEach``) is left out: what it makes is not known."""
    return ((name, node) for name, node in section.items() if isinstance(node, Table))


def _add(resources: dict[str, Table], found: Mapping[str, Node]) -> None:
    for name, node in _tables(found):
        if name in resources:
            where = f"{resources[name].path}:{resources[name].line}"
            raise node.error(f"the resource {name} is here a second time; the first is {where}")
        resources[name] = node
