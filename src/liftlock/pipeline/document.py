"""YAML as plain values that remember their lines.

Only what a pipeline file needs: mappings with text keys, lists, text, whole numbers, ``true`` and ``false``. What YAML
would read as any other number or as a date comes as `Unquoted`, since ``1.10`` and ``2024-05-01`` are meant as text and
would not stay what they look like. A key is what is written, ``on`` too. Objects and keys that are named twice are
refused; anchors and aliases are fine, within bounds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import yaml

from liftlock.errors import ConfigError
from liftlock.release.check import Place

__all__ = ["Document", "Unquoted", "Value", "compose", "parse"]

MAX_BYTES = 128 * 1024
"""A pipeline of a hundred stages has less than a tenth of it."""
MAX_VALUES = 20_000
"""Counted with every alias written out, which is what a YAML bomb multiplies."""
MAX_DEPTH = 20

_TAG = "tag:yaml.org,2002:"
_BOOLEANS = yaml.SafeLoader.bool_values
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")
"""Numbers that stay what they look like, and that every reader of JSON keeps."""
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Unquoted:
    """A scalar that YAML takes for a date, or for a number that is not a plain whole one."""

    text: str

    def __str__(self) -> str:
        return self.text


Value = dict[str, "Value"] | list["Value"] | str | bool | int | Unquoted | None


class Document(NamedTuple):
    """A file's content. ``lines`` gives the line (from 1) of every key and list item, by its place."""

    path: str
    value: Value
    lines: dict[Place, int]

    def error(self, place: Place, message: str, hint: str = "") -> ConfigError:
        """An error that names the line of a place, or of the nearest one around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return ConfigError(message, path=self.path, line=self.lines.get(place, 1), hint=hint)


def parse(data: bytes, path: str) -> Document:
    """Read one YAML document; ``path`` is for messages. Raises `ConfigError` naming the line."""
    root = compose(data, path, MAX_BYTES)
    reader = _Reader(path)
    value = reader.read(root, ()) if root is not None else None
    return Document(path, value, reader.lines)


def compose(data: bytes, path: str, most: int) -> yaml.Node | None:
    """The nodes of one YAML document of at most ``most`` bytes; None when it is empty.

    An alias is the node that it means, so that a few lines may stand for billions: whoever walks them has to count.
    Raises `ConfigError` naming the line.
    """
    if len(data) > most:
        raise ConfigError(f"it has {len(data)} bytes; the limit is {most}", path=path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("it is not UTF-8", path=path, line=data.count(b"\n", 0, error.start) + 1) from None
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        # The commonest slip: in a list or mapping on one line, braces and colons begin something of their own.
        hint = "text with braces or a colon at its end goes in quotes there" if "flow" in said else ""
        raise ConfigError(f"it is not YAML: {said}", path=path, line=mark.line + 1 if mark else 0, hint=hint) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"it is not YAML: {error.reason}", path=path, line=line) from None
    except RecursionError:
        raise ConfigError("it is nested too deeply", path=path) from None


class _Reader:
    """Walks the nodes of one document."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen = 0
        self.lines: dict[Place, int] = {}

    def read(self, node: yaml.Node, place: Place) -> Value:
        self._seen += 1
        if self._seen > MAX_VALUES:
            raise self._error(node, f"it has more than {MAX_VALUES} values, aliases written out")
        if len(place) > MAX_DEPTH:
            raise self._error(node, "it is nested too deeply")
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            found: list[Value] = []
            for position, item in enumerate(node.value):
                here = (*place, position)
                self.lines[here] = item.start_mark.line + 1
                found.append(self.read(item, here))
            return found
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> Value:
        found: dict[str, Value] = {}
        for key, item in node.value:
            if key.tag == f"{_TAG}merge":
                raise self._error(
                    key, "merge keys (<<) are not taken here", hint="write the keys out, or alias a value"
                )
            # To YAML 1.1, the word "on" is true.
            name = key.value if key.tag == f"{_TAG}bool" else self._scalar(key)
            if not isinstance(name, str):
                raise self._error(key, "this key is not text", hint="write it in quotes")
            if name in found:
                raise self._error(key, f"the key {name!r} is here twice", hint="YAML would keep only the last one")
            here = (*place, name)
            self.lines[here] = key.start_mark.line + 1
            found[name] = self.read(item, here)
        return found

    def _scalar(self, node: yaml.Node) -> Value:
        if isinstance(node, yaml.ScalarNode):
            text: str = node.value
            match node.tag.removeprefix(_TAG):
                case "str" if _SURROGATE.search(text):
                    raise self._error(node, "it has half a character: an escape from U+D800 to U+DFFF")
                case "str":
                    return text
                case "bool":
                    return _BOOLEANS[text.lower()]
                case "null":
                    return None
                case "int" | "float" | "timestamp":
                    return int(text) if _WHOLE.fullmatch(text) else Unquoted(text)
        raise self._error(node, f"a value of the kind {node.tag.removeprefix(_TAG)!r} is not taken here")

    def _error(self, node: yaml.Node, message: str, hint: str = "") -> ConfigError:
        return ConfigError(message, path=self._path, line=node.start_mark.line + 1, hint=hint)
