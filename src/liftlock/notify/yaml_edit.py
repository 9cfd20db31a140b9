"""Changing one value in YAML text, and not one character besides.

The text is parsed only to find where the value stands; then it is cut and pasted. So comments, quotes, indentation,
line ends and the order of keys stay as people wrote them. What the cut did is parsed again and compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.tokens import ScalarToken, Token

from liftlock.errors import ConfigError
from liftlock.notify.yaml_path import Match, Path, Step, written

__all__ = ["has_key", "set_value"]

_PLAIN = re.compile(r"(?![yYnN]$)[A-Za-z0-9][A-Za-z0-9._/@:-]*(?<!:)")
"""What may stand without quotes, once it is seen to be text; ``y`` and ``n`` are none to some readers."""

_STRING = "tag:yaml.org,2002:str"


def set_value(text: str, path: Path, value: str, where: Mapping[Path, str] | None = None) -> str:
    """The text with this value at the path; a last key that its mapping does not have is added to it.

    Of several documents it is the one that has the path and, by ``where``, the given values under other paths. Raises
    `ConfigError`, with a line where there is one, when the path leads nowhere or to several places, or to what is no
    single value on one line.
    """
    spot = _find(text, path, where or {})
    if isinstance(spot.node, ScalarNode) and spot.node.tag == _STRING and spot.node.value == value:
        return text
    changed = _inserted(text, spot, path, value) if spot.node is None else _replaced(text, spot.node, path, value)
    _check(text, changed, path, value, where or {})
    return changed


def has_key(text: str, path: Path, key: str, where: Mapping[Path, str] | None = None) -> bool:
    """Whether the mapping at the path has this key; raises as `set_value` does."""
    return _find(text, (*path, key), where or {}).node is not None


class _Spot(NamedTuple):
    """Where a path leads: a node, or a mapping that lacks the last key (``node`` is None)."""

    parent: Node
    node: Node | None


def _find(text: str, path: Path, where: Mapping[Path, str]) -> _Spot:
    try:
        documents: list[Node | None] = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigError(f"it is not YAML: {error.problem}", line=line) from None
    except (yaml.YAMLError, RecursionError):
        raise ConfigError("it is not YAML that can be read") from None
    chosen = [node for node in documents if node is not None and all(_holds(node, *each) for each in where.items())]
    spots = [spot for node in chosen if (spot := _follow(node, path)) is not None]
    found = [spot for spot in spots if spot.node is not None] or spots
    if not found:
        hint = "its mapping has to be there" if chosen else "no document of it is as where says"
        raise ConfigError(f"there is no {written(path)}", hint=hint)
    if len(found) > 1:
        raise ConfigError(
            f"there are several {written(path)}",
            line=_line(found[1].node or found[1].parent),
            hint="say in which document: where: {kind: Deployment, metadata.name: web}",
        )
    return found[0]


def _holds(document: Node, path: Path, value: str) -> bool:
    spot = _follow(document, path)
    return spot is not None and isinstance(spot.node, ScalarNode) and spot.node.value == value


def _follow(node: Node, path: Path) -> _Spot | None:
    """Where a path leads in one document; None when it leads nowhere."""
    parent = node
    for number, step in enumerate(path):
        below = list(_children(node, step))
        if len(below) > 1:
            raise ConfigError(f"there are several {written(path[: number + 1])}", line=_line(below[1][0]))
        if not below:
            addable = isinstance(node, MappingNode) and isinstance(step, str) and number == len(path) - 1
            return _Spot(node, None) if addable else None
        parent, (node, aliased) = node, below[0]
        if aliased:
            raise ConfigError(
                f"{written(path[: number + 1])} is an alias: changing it would change others, too",
                line=_line(node),
                hint="name the path of what it is an alias of, if that is meant",
            )
    return _Spot(parent, node)


def _children(node: Node, step: Step) -> Iterator[tuple[Node, bool]]:
    """What a step leads to, and whether only an alias stands there: then the node itself stands further up."""
    if isinstance(node, MappingNode) and isinstance(step, str):
        for key, value in node.value:
            if isinstance(key, ScalarNode) and key.value == step:
                yield value, value.start_mark.index < key.end_mark.index
    elif isinstance(node, SequenceNode) and not isinstance(step, str):
        reached = node.start_mark.index
        for number, item in enumerate(node.value):
            aliased = item.start_mark.index < reached
            reached = reached if aliased else item.end_mark.index
            if number == step or (isinstance(step, Match) and _holds(item, (step.key,), step.value)):
                yield item, aliased


def _replaced(text: str, node: Node, path: Path, value: str) -> str:
    if not isinstance(node, ScalarNode):
        raise ConfigError(
            f"{written(path)} is no single value", line=_line(node), hint="name the key inside it, or one item"
        )
    if node.style in ("|", ">"):
        raise ConfigError(f"{written(path)} is a block of several lines", line=_line(node))
    # The node begins at its anchor or tag, the token at the value itself; an empty value has no token.
    end = node.end_mark.index
    for token in _tokens(text):
        if isinstance(token, ScalarToken) and token.end_mark.index == end:
            return text[: token.start_mark.index] + _rendered(value, node.style) + text[end:]
    return f"{text[:end]} {_rendered(value, None)}{text[end:]}"


def _inserted(text: str, spot: _Spot, path: Path, value: str) -> str:
    mapping, key = spot.parent, path[-1]
    assert isinstance(mapping, MappingNode) and isinstance(key, str)  # noqa: S101, PT018 - of a spot without node
    entry = f"{_rendered(key, None)}: {_rendered(value, None)}"
    if mapping.flow_style:
        end = len(text[: mapping.end_mark.index - 1].rstrip())
        comma = "" if text[end - 1] in "{," else ","
        return f"{text[:end]}{comma}{'' if text[end - 1] == '{' else ' '}{entry}{text[end:]}"
    for before, last in reversed(mapping.value):
        aliased = last.start_mark.index < before.end_mark.index
        if isinstance(last, ScalarNode) and not aliased and last.start_mark.line == last.end_mark.line:
            newline = "\r\n" if "\r\n" in text else "\n"
            line_end = text.find(newline, last.end_mark.index)
            line_end = len(text) if line_end < 0 else line_end
            indent = " " * before.start_mark.column
            return f"{text[:line_end]}{newline}{indent}{entry}{text[line_end:]}"
    raise ConfigError(f"there is no place for {written(path)}", line=_line(mapping), hint="write the key once by hand")


def _rendered(value: str, style: str | None) -> str:
    """The value as YAML, in the quotes that were there; plain only what every reader takes for text."""
    if style == "'":
        return "'" + value.replace("'", "''") + "'"
    if style is None and _PLAIN.fullmatch(value) and (value[0].isalpha() or "/" in value):
        node = yaml.compose(value, Loader=yaml.SafeLoader)
        if isinstance(node, ScalarNode) and (node.tag, node.value) == (_STRING, value):
            return value
    return json.dumps(value, ensure_ascii=False)


def _check(before: str, after: str, path: Path, value: str, where: Mapping[Path, str]) -> None:
    """Raise unless the value is now there, and every other token is what it was."""
    node = _find(after, path, where).node
    old, new = ([_content(token) for token in _tokens(text)] for text in (before, after))
    same = _same(old, new)
    left = len(old) - same - _same(old[same:][::-1], new[same:][::-1])
    if not isinstance(node, ScalarNode) or (node.tag, node.value) != (_STRING, value) or left > 1:
        raise ConfigError(f"{written(path)} cannot be set without changing something else", line=_line(node))


def _content(token: Token) -> tuple[type[Token], object]:
    return type(token), getattr(token, "value", None)


def _same(one: Sequence[object], other: Sequence[object]) -> int:
    """How many first items are the same."""
    count = 0
    for each, its in zip(one, other, strict=False):
        if each != its:
            break
        count += 1
    return count


def _tokens(text: str) -> Iterator[Token]:
    return iter(yaml.scan(text, Loader=yaml.SafeLoader))


def _line(node: Node | None) -> int:
    return node.start_mark.line + 1 if node is not None else 0
