"""What pydantic finds wrong with the keys of a file or the options of a kind, as a sentence with its line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from liftlock.errors import ConfigError
from liftlock.pipeline.document import Document, Unquoted
from liftlock.pipeline.kinds import DURATION, SECRET
from liftlock.pipeline.model import (
    NOT_YET,
    AnyKeys,
    ApprovalKeys,
    OverrideKeys,
    PipelineFile,
    RegistryKeys,
    RollbackKeys,
    RuleKeys,
    SamplingKeys,
    ScheduleKeys,
    StageKeys,
)
from liftlock.release.check import Place
from liftlock.release.names import IMAGE_NAME, NAME, VARIABLE_NAME, suggestion

__all__ = ["explained", "keys_of"]


def explained(document: Document, found: ValidationError, base: Place = (), owner: str = "") -> ConfigError:
    """The first finding of a validation, in the order of lines.

    ``base`` is the place of what was validated, and ``owner`` what it is the options of, for one of the kinds.
    """
    # A mistyped key is also a missing one: what is there and wrong says more than what is not there.
    there = [one for one in found.errors() if one["type"] != "missing"] or found.errors()
    placed = [(_place(document, one, base), one) for one in there]
    # Of the choices of a union, that which came furthest is the one that was meant.
    placed.sort(key=lambda each: (-len(each[0]), -len(each[1]["loc"])))
    return min((_one(document, *each, base, owner) for each in placed), key=lambda error: error.line)


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of a model as they are written."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _place(document: Document, error: Any, base: Place) -> Place:
    """Where a finding is: pydantic's way to it, without the names of the choices that it made on this way."""
    place = base
    final = len(error["loc"]) - 1 if error["type"] in ("missing", "extra_forbidden") else -1
    for position, part in enumerate(error["loc"]):
        # The first is always a key, though it may be one that a lone value stands for.
        if (*place, part) in document.lines or position in (0, final):
            place = (*place, part)
    return place


def _one(document: Document, place: Place, error: Any, base: Place, owner: str) -> ConfigError:
    """One of pydantic's findings (its ``type`` says which kind)."""
    key = str(place[-1])
    name = key if isinstance(place[-1], str) else f"an item of {place[-2]}"
    given = error["input"]
    known: list[str] = []
    if not owner:
        owner, known = _owner(place)
    match error["type"]:
        case "extra_forbidden" if not base and key in NOT_YET:
            message = f"{key} is not supported by this version"
            return document.error(place, message, "take it out: nothing in a pipeline file is ignored")
        case "extra_forbidden":
            return document.error(place, f"{key!r} is not a key of {owner}", suggestion(key, known, "its keys are "))
        case "missing":
            return document.error(place, f"{key} is missing", f"{owner} needs it")
        case "string_pattern_mismatch" | "string_too_long":
            return document.error(place, *_unfit(name, str(given), error["ctx"].get("pattern", "")))
        case "string_too_short" | "too_short":
            return document.error(place, f"{key} is empty" if isinstance(place[-1], str) else "this is empty")
    wanted = _wanted(error)
    if wanted:
        # Where one of a few words or a number was expected, what is there is no secret. Options may be one elsewhere.
        public = error["type"] in _OPEN or not base
        shown = isinstance(given, str) if error["type"] == "literal_error" else public and type(given) is int
        said = str(given)[:80] if shown else _kind(given)
        return document.error(place, f"{name} is {said}, and should be {wanted}", _quoting(error, shown=not base))
    said = str(error.get("ctx", {}).get("error") or error["msg"])
    return document.error(place, f"{name}: {said}")


def _owner(place: Place) -> tuple[str, list[str]]:
    """What the last part of a place is a key of, and the keys that this has."""
    above = [part for part in place[:-1] if isinstance(part, str)]
    name = "registries" if above[:1] == ["registries"] else above[-1] if above else ""
    noun, model = _OWNERS.get(name, _OWNERS[""])
    return noun, keys_of(model)


def _unfit(name: str, given: str, pattern: str) -> tuple[str, str]:
    """A text of a wrong form. What should have been a secret reference may be a secret, and is not shown."""
    if pattern == SECRET:
        return f"{name} is a secret, written out: it would be part of every release", "write env:NAME or file:PATH"
    if pattern == DURATION:
        return f"{name}: {given[:80]!r} is no duration", "write 90s, 15m, 2h or 7d"
    return f"{given[:80]!r} is not a name that can be used here", _NAMES.get(pattern, "use a shorter one")


def _wanted(error: Any) -> str:
    """What should have been there, as far as pydantic's type of error says it; empty when it does not."""
    context: Mapping[str, Any] = error.get("ctx", {})
    match error["type"]:
        case "literal_error":
            return str(context["expected"]).replace("'", "")
        case "greater_than_equal":
            return f"at least {context['ge']}"
        case "less_than_equal":
            return f"at most {context['le']}"
    return _KINDS.get(error["type"], "")


def _quoting(error: Any, *, shown: bool) -> str:
    given = error["input"]
    if error["type"] == "string_type" and isinstance(given, bool):
        return 'write it in quotes: "yes", "no", "on", "off", "true" or "false"'
    if isinstance(given, Unquoted) or (error["type"] == "string_type" and isinstance(given, int)):
        if error["type"] == "int_type":
            return ""
        return f'write it in quotes: "{given}"' if shown else "write it in quotes"
    if error["type"] == "list_type" and isinstance(given, str):
        return f"write [{given}]"
    if error["type"] == "list_type" and isinstance(given, dict):
        return "begin each item with a dash: - KEY: …"
    if error["type"] == "dict_type" and isinstance(given, str):
        return f"write {{{given}: …}}"
    if error["type"] == "literal_error" and isinstance(given, str):
        return suggestion(given, str(error["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", "))
    return ""


def _kind(value: object) -> str:
    return next((name for kind, name in _KINDS_OF.items() if isinstance(value, kind)), "empty")


_OWNERS: dict[str, tuple[str, type[BaseModel]]] = {
    "": ("a pipeline file", PipelineFile),
    "stages": ("a stage", StageKeys),
    "defaults": ("the defaults", RuleKeys),
    "registries": ("a registry", RegistryKeys),
    "after": ("a mapping of after", AnyKeys),
    "trigger": ("a trigger", ScheduleKeys),
    "sampling": ("a sampling rule", SamplingKeys),
    "approvals": ("an approval rule", ApprovalKeys),
    "override": ("an override rule", OverrideKeys),
    "rollback": ("a rollback rule", RollbackKeys),
}
_KINDS_OF: dict[type, str] = {
    bool: "true or false",
    str: "text",
    list: "a list",
    dict: "a mapping",
    int: "a number",
    Unquoted: "a number or a date to YAML",
}
_NAMES = {
    NAME: "letters, digits, '.', '_' and '-', a letter or digit first, at most 63",
    IMAGE_NAME: "lower-case letters and digits, joined by '.', '_', '__' or '-'",
    VARIABLE_NAME: "letters, digits, '_' and '-', a letter or '_' first, at most 63",
}
_OPEN = ("literal_error", "greater_than_equal", "less_than_equal", "bool_type")
_KINDS = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
