"""CloudFormation's YAML and JSON as nodes that know their lines; its functions stay what they are.

A function is the same node in both spellings, ``!Sub text`` and ``{"Fn::Sub": "text"}``. Nothing is evaluated here, and
nothing that CloudFormation has is refused: what a run does not need may be anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from liftlock.errors import ConfigError
from liftlock.pipeline.document import compose

__all__ = ["Call", "Listing", "Node", "Nothing", "Table", "Text", "read"]

MAX_BYTES = 1024 * 1024
"""What CloudFormation takes from S3; in a request it takes 51,200."""
MAX_VALUES = 200_000
"""Counted with every alias written out."""
MAX_DEPTH = 60

_TAG = "tag:yaml.org,2002:"
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHORT = {"!Ref": "Ref", "!Condition": "Condition"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value and where it is written: ``line`` (from 1) is its key's, or that of its dash in a list."""

    path: str
    line: int

    def error(self, message: str, hint: str = "") -> ConfigError:
        """An error that names this place."""
        return ConfigError(message, path=self.path, line=self.line, hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Node):
    """Text, a whole number or a boolean: all are text to CloudFormation."""

    text: str
    taken_for: str = ""
    """What YAML takes it for, where it would not stay what it looks like: ``1.10``, ``0123``, ``on``."""
    begins: int = 0
    """The line of its own first line, when it is a literal block (``|``), whose lines are the file's; else 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Node):
    """A mapping."""

    items: Mapping[str, Node]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Node):
    """A list."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Node):
    """One of CloudFormation's functions, by its long name: ``Ref``, ``Fn::Sub``."""

    function: str
    argument: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing(Node):
    """YAML's null."""


def read(data: bytes, path: str) -> Node:
    """The one document of a file; ``path`` is for messages. Raises `ConfigError` naming the line."""
    if path.endswith(".json"):
        data = data.replace(b"\t", b" ")  # JSON indents with tabs, which YAML forbids; in its strings they are escaped
    root = compose(data, path, MAX_BYTES)
    if root is None:
        raise ConfigError("it is empty", path=path)
    return _Reader(path).read(root, root.start_mark.line + 1, 0)


class _Reader:
    def __init__(self, path: str) -> None:
        self._path = path
        self._seen = 0

    def read(self, node: yaml.Node, line: int, depth: int) -> Node:
        self._seen += 1
        if self._seen > MAX_VALUES:
            raise self._error(node, f"it has more than {MAX_VALUES} values, aliases written out")
        if depth > MAX_DEPTH:
            raise self._error(node, "it is nested too deeply")
        tag: str = node.tag
        if tag.startswith("!") and tag != "!":
            function = _SHORT.get(tag, f"Fn::{tag[1:]}")
            return Call(path=self._path, line=line, function=function, argument=self._untagged(node, line, depth))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, line)
        return self._untagged(node, line, depth)

    def _untagged(self, node: yaml.Node, line: int, depth: int) -> Node:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, line, depth)
        if isinstance(node, yaml.SequenceNode):
            items = tuple(self.read(each, each.start_mark.line + 1, depth + 1) for each in node.value)
            return Listing(path=self._path, line=line, items=items)
        assert isinstance(node, yaml.ScalarNode)  # noqa: S101 - there are no other nodes
        return self._text(node, line)

    def _mapping(self, node: yaml.MappingNode, line: int, depth: int) -> Node:
        found: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag.startswith("!"):
                raise self._error(key, "this key is not text")
            if key.tag == f"{_TAG}merge":
                raise self._error(key, "merge keys (<<) are not taken here", hint="CloudFormation takes none either")
            name = self._characters(key)
            if name in found:
                raise self._error(key, f"the key {name!r} is here twice", hint="YAML would keep only the last one")
            found[name] = self.read(value, key.start_mark.line + 1, depth + 1)
        if len(found) == 1:
            (only, argument), *_ = found.items()
            if only == "Ref" or only.startswith("Fn::"):
                return Call(path=self._path, line=line, function=only, argument=argument)
        return Table(path=self._path, line=line, items=found)

    def _scalar(self, node: yaml.ScalarNode, line: int) -> Node:
        text: str = node.value
        match node.tag.removeprefix(_TAG):
            case "str" | "value" | "!":
                return self._text(node, line)
            case "null":
                return Nothing(path=self._path, line=line)
            case "bool" if text.lower() in {"true", "false"}:
                return Text(path=self._path, line=line, text=text.lower())
            case "int" if _WHOLE.fullmatch(text):
                return Text(path=self._path, line=line, text=text)
            case "bool" | "int" | "float" | "timestamp" as kind:
                meant = {"bool": "a boolean", "timestamp": "a date"}.get(kind, "a number")
                return Text(path=self._path, line=line, text=text, taken_for=meant)
        raise self._error(node, f"a value of the kind {node.tag.removeprefix(_TAG)!r} is not taken here")

    def _text(self, node: yaml.ScalarNode, line: int) -> Text:
        begins = node.start_mark.line + 2 if node.style == "|" else 0
        return Text(path=self._path, line=line, text=self._characters(node), begins=begins)

    def _characters(self, node: yaml.ScalarNode) -> str:
        text: str = node.value
        if _SURROGATE.search(text):
            # JSON writes a character beyond U+FFFF as two escapes.
            try:
                return text.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError:
                raise self._error(node, "it has half a character: an escape from U+D800 to U+DFFF") from None
        return text

    def _error(self, node: yaml.Node, message: str, hint: str = "") -> ConfigError:
        return ConfigError(message, path=self._path, line=node.start_mark.line + 1, hint=hint)
