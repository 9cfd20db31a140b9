"""A YAML document as a reader of buildspecs wants it: tables, lists and texts that know their lines.

A scalar is the text that is written there, whatever YAML takes it for: ``0.2``, ``yes`` and ``2026-11-22`` are text to
CodeBuild too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from liftlock.errors import ConfigError
from liftlock.pipeline.document import compose

__all__ = ["Place", "open_document"]

MAX_BYTES = 128 * 1024
"""More than CodeBuild takes in a project; a file of a thousand commands has less."""

_TAG = "tag:yaml.org,2002:"
_WRITTEN = frozenset(f"{_TAG}{kind}" for kind in ("str", "int", "float", "bool", "timestamp", "value"))
_UNUSABLE = re.compile("[\0\ud800-\udfff]")
_BOOLEANS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


@dataclass(frozen=True, slots=True)
class Place:
    """A value in the file: its node, the line of its key or dash (from 1), and what it is called in messages."""

    node: yaml.Node
    line: int
    name: str
    path: str
    shift: int
    """How many lines of another file stand before the first one."""

    def error(self, message: str, hint: str = "") -> ConfigError:
        """An error that names this place."""
        return ConfigError(message, path=self.path, line=self.line, hint=hint)

    @property
    def is_table(self) -> bool:
        """Whether it is a mapping."""
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is written there."""
        return isinstance(self.node, yaml.ScalarNode) and self.node.tag == f"{_TAG}null"

    def table(self) -> Mapping[str, Place]:
        """The values of a mapping, by key. Raises `ConfigError` when it is none, and for keys that are there twice."""
        if not isinstance(self.node, yaml.MappingNode) or self.node.tag != f"{_TAG}map":
            raise self._wrong("a mapping of keys and values")
        found: dict[str, Place] = {}
        for key, value in self.node.value:
            line = key.start_mark.line + 1 + self.shift
            here = Place(key, line, self.name, self.path, self.shift)
            if key.tag == f"{_TAG}merge":
                raise here.error("merge keys (<<) are not taken here", hint="write the keys out")
            name = here.text()
            if name in found:
                raise here.error(f"the key {name!r} is here twice", hint="only one of the two would count")
            found[name] = Place(value, line, f"{self.name}.{name}".lstrip("."), self.path, self.shift)
        return found

    def items(self) -> Iterator[Place]:
        """The entries of a list. Raises `ConfigError` when it is none."""
        if not isinstance(self.node, yaml.SequenceNode) or self.node.tag != f"{_TAG}seq":
            raise self._wrong("a list", hint="begin each entry on a line of its own, with a dash")
        for each in self.node.value:
            yield Place(each, each.start_mark.line + 1 + self.shift, self.name, self.path, self.shift)

    def text(self) -> str:
        """Text as it is written, not empty of meaning: null is none. Raises `ConfigError`."""
        if not isinstance(self.node, yaml.ScalarNode) or self.node.tag not in _WRITTEN:
            raise self._wrong("text", hint='write "" for text that is empty' if self.is_empty else "")
        text: str = self.node.value
        if _UNUSABLE.search(text):
            raise self.error(f"{self._called} has a character that no shell takes: \\0, or half a character")
        return text

    def flag(self) -> bool:
        """``yes`` or ``no``. Raises `ConfigError`."""
        text = self.text()
        if text.lower() not in _BOOLEANS:
            raise self.error(f"{self._called} is {text!r}", hint="say yes or no")
        return _BOOLEANS[text.lower()]

    @property
    def _called(self) -> str:
        return self.name or "the file"

    def _wrong(self, wanted: str, hint: str = "") -> ConfigError:
        if isinstance(self.node, yaml.MappingNode):
            found = "a mapping"
        elif isinstance(self.node, yaml.SequenceNode):
            found = "a list"
        elif self.is_empty:
            found = "nothing"
        elif self.node.tag in _WRITTEN:
            found = "text"
        else:
            found = f"a value of the kind {self.node.tag.removeprefix(_TAG)!r}"
        return self.error(f"{self._called} has to be {wanted}, and is {found}", hint=hint)


def open_document(data: bytes, path: str, first_line: int) -> Place:
    """The whole document. Raises `ConfigError` naming the line when it is empty, or not YAML."""
    shift = first_line - 1
    try:
        root = compose(data, path, MAX_BYTES)
    except ConfigError as error:
        raise ConfigError(
            error.message, path=path, line=error.line + shift if error.line else first_line, hint=error.hint
        ) from None
    if root is None:
        raise ConfigError("it is empty", path=path, line=first_line, hint="a buildspec begins with version: 0.2")
    return Place(root, root.start_mark.line + 1 + shift, "", path, shift)
