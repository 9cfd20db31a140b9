"""The few forms of Go templates that scripts give to ``--format``; every other one is refused, by name.

``{{.Id}}``, ``{{.Config.User}}``, ``{{index .RepoDigests 0}}``, ``{{index .Config.Labels "org.example"}}``,
``{{json .Config}}``, with text between, and with a tab or a line feed written as a backslash and a letter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from liftlock.ci.docker.texts import table
from liftlock.ci.docker.words import Said
from liftlock.typed import Any

__all__ = ["fields", "listing", "render"]

_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_FIELD = re.compile(r"\.(?:\w+(?:\.\w+)*)?\Z")
_PATH = re.compile(r"(?:^|\s)(\.[\w.]*)")
_INDEX = re.compile(r'index\s+(\.\w+(?:\.\w+)*)\s+(?:(\d+)|"([^"]*)"|`([^`]*)`)\Z')
_FORMS = 'these are served: {{.Field}}, {{.Field.Field}}, {{index .List 0}}, {{index .Map "key"}}, {{json .Field}}'


def render(template: str, value: object) -> str:
    """The template with ``value`` (of dicts, lists and scalars) filled in. Raises `Said` naming what is not served."""
    if template == "json":
        return _json(value)
    text = template.replace("\\t", "\t").replace("\\n", "\n")
    return _ACTION.sub(lambda found: _evaluate(found[1], value), text)


def listing(
    template: str, rows: Sequence[Mapping[str, str]], headings: Mapping[str, str], columns: Sequence[str]
) -> list[str]:
    """The lines of a list: a table of ``columns``, or what the template says; after ``table`` it says the columns."""
    if template in ("", "table"):
        template = "table " + "\t".join(f"{{{{.{column}}}}}" for column in columns)
    if not template.startswith("table "):
        return [render(template, row) for row in rows]
    cells = template.removeprefix("table ").strip(" ")
    return table([render(cells, row).split("\t") for row in (headings, *rows)])


def fields(template: str) -> set[str]:
    """The names of the outermost fields that a template uses; an empty one for the whole value."""
    if template == "json":
        return {""}
    paths = (found for action in _ACTION.findall(template) for found in _PATH.findall(action))
    return {path.split(".")[1] for path in paths}


def _evaluate(action: str, value: object) -> str:
    if action.startswith("json "):
        return _json(_field(action.removeprefix("json ").strip(), value, action))
    found = _INDEX.match(action)
    if found:
        return _text(_item(_field(found[1], value, action), found), action)
    return _text(_field(action, value, action), action)


def _field(path: str, value: object, action: str) -> object:
    if not _FIELD.match(path):
        raise Said(f"template parsing error: {{{{{action}}}}} is not served by liftlock-docker", hint=_FORMS)
    for name in filter(None, path.split(".")):
        if not isinstance(value, dict) or name not in value:
            raise Said(
                f'template parsing error: template: :1: executing "" at <{path}>: map has no entry for key "{name}"'
            )
        value = value[name]
    return value


def _item(value: object, found: re.Match[str]) -> object:
    if isinstance(value, dict):
        # As in Go: a key that is not there is an empty value, not an error.
        return value.get(found[3] if found[3] is not None else found[4], "")
    if isinstance(value, list) and found[2] is not None and int(found[2]) < len(value):
        return value[int(found[2])]
    raise Said(
        f'template parsing error: template: :1: executing "" at <{found[0]}>: '
        "error calling index: reflect: slice index out of range"
    )


def _text(value: Any, action: str) -> str:
    if isinstance(value, dict):
        raise Said(f"template parsing error: {{{{{action}}}}} is an object", hint=f"write {{{{json {action}}}}}")
    if isinstance(value, list):
        return "[" + " ".join(_text(item, action) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return "<no value>" if value is None else str(value)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
