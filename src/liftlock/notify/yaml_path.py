"""Paths into YAML documents: ``spec.containers[name=web].image``, ``args[0]``, ``labels."app.kubernetes.io/name"``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from liftlock.errors import UsageError

__all__ = ["Match", "Path", "Step", "parse_path", "written"]


@dataclass(frozen=True, slots=True)
class Match:
    """The item of a list, a mapping, that has this value under this key."""

    key: str
    value: str


Step = str | int | Match
"""A key of a mapping, a position in a list (from 0), or an item of a list by one of its values."""

Path = tuple[Step, ...]

_KEY = re.compile(r'"([^"]+)"|([^\s."\[\]=]+)')
_ITEM = re.compile(r'\[(?:([0-9]{1,6})|([^\s."\[\]=]+)=(?:"([^"]+)"|([^\s"\[\]=]+)))\]')


def parse_path(text: str) -> Path:
    """The steps of a path; raises `UsageError` when it is not well formed."""
    steps: list[Step] = []
    at = 0
    while 0 <= at < len(text):
        item = _ITEM.match(text, at)
        if item:
            steps.append(int(item[1]) if item[1] else Match(item[2], item[3] or item[4]))
            at = item.end()
            continue
        dotted = bool(steps) and text[at] == "."
        key = _KEY.match(text, at + dotted) if dotted or not steps else None
        if key:
            steps.append(key[1] or key[2])
        at = key.end() if key else -1
    if at != len(text) or not steps:
        raise UsageError(f"{text[:200]!r} is no path", hint="write key.key, key[0] or key[name=web].key")
    return tuple(steps)


def written(path: Path) -> str:
    """The path as text."""
    parts: list[str] = []
    for step in path:
        if isinstance(step, str):
            parts.append(("." if parts else "") + (step if _KEY.fullmatch(step) else f'"{step}"'))
        elif isinstance(step, int):
            parts.append(f"[{step}]")
        else:
            value = step.value if re.fullmatch(r'[^\s"\[\]=]+', step.value) else f'"{step.value}"'
            parts.append(f"[{step.key}={value}]")
    return "".join(parts)
