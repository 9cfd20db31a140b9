"""Reading a pipeline file, and saying what is wrong with it where it is wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from liftlock.errors import ConfigError, NotFound
from liftlock.pipeline.document import MAX_BYTES, Document, Unquoted, parse
from liftlock.pipeline.model import NOT_YET, PipelineFile, RegistryKeys, StageKeys
from liftlock.release.check import Place, flaws
from liftlock.release.names import IMAGE_NAME, NAME, VARIABLE_NAME, suggestion
from liftlock.release.pipeline import Pipeline, RegistryOptions
from liftlock.release.stage import Stage
from liftlock.release.template import Template

__all__ = ["DEFAULT_FILE", "load", "read"]

DEFAULT_FILE = "liftlock.yaml"


def read(path: str | os.PathLike[str] = DEFAULT_FILE) -> Pipeline:
    """The pipeline of a file; raises `NotFound` when there is none, `ConfigError` for what is wrong with it."""
    name = os.fspath(path)
    try:
        with Path(name).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no pipeline file {name}", hint="name it with --file, or make one") from None
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}", path=name) from None
    return load(data, name)


def load(data: bytes | str, path: str = DEFAULT_FILE) -> Pipeline:
    """The pipeline that a text describes; ``path`` is for messages.

    Raises `ConfigError` naming file and line for the first thing that is no YAML, that this version does not know or
    support, that is missing, or that does not fit together. What it returns has no flaws.
    """
    document = parse(data.encode() if isinstance(data, str) else data, path)
    if not isinstance(document.value, dict):
        raise document.error((), "it is not a pipeline file", "it begins with pipeline: NAME")
    try:
        keys = PipelineFile.model_validate(document.value)
    except ValidationError as error:
        # A mistyped key is also a missing one: what is there and wrong says more than what is not there.
        there = [one for one in error.errors() if one["type"] != "missing"] or error.errors()
        raise min((_explained(document, one) for one in there), key=_line) from None
    pipeline = _pipeline(keys, document)
    found = [document.error(*flaw) for flaw in flaws(pipeline)]
    if found:
        raise min(found, key=_line)
    return pipeline


def _line(error: ConfigError) -> int:
    return error.line


def _pipeline(keys: PipelineFile, document: Document) -> Pipeline:
    def template(text: str, *place: str | int) -> Template:
        return Template(text=text, path=document.path, line=document.lines[place])

    return Pipeline(
        name=keys.pipeline,
        images=tuple(keys.images),
        store=keys.store,
        source=template(keys.source, "source") if keys.source else None,
        registries={
            host: RegistryOptions(plain_http=options.plain_http, ca_file=options.ca_file)
            for host, options in keys.registries.items()
        },
        variables=keys.variables,
        stages=tuple(
            Stage(
                name=stage.name,
                after=tuple(stage.after),
                to=(template(stage.to, "stages", at, "to"),),
                tags=tuple(template(tag, "stages", at, "tags", number) for number, tag in enumerate(stage.tags)),
            )
            for at, stage in enumerate(keys.stages)
        ),
    )


def _explained(document: Document, error: Any) -> ConfigError:
    """One of pydantic's findings (its ``type`` says which kind) as a sentence."""
    place: Place = tuple(part for part in error["loc"] if part != "[key]")
    key = str(place[-1])
    match error["type"]:
        case "extra_forbidden":
            return document.error(place, *_unknown(place, key))
        case "missing":
            return document.error(place, f"{key} is missing", f"every {_owner(place)} has it")
        case "literal_error":
            return document.error(place, f"{key}: {error['input']} is not supported by this version", "leave it out")
        case "string_pattern_mismatch" | "string_too_long":
            hint = _NAMES.get(error["ctx"].get("pattern"), "use a shorter one")
            return document.error(place, f"{error['input'][:80]!r} is not a name that can be used here", hint)
        case "string_too_short" | "too_short":
            return document.error(place, f"{key} is empty" if isinstance(place[-1], str) else "this is empty")
    if key == "to" and isinstance(error["input"], list):
        return document.error(place, "a list of targets is not supported by this version", "name one target")
    wanted = _KINDS.get(error["type"], "something else")
    name = key if isinstance(place[-1], str) else f"an item of {place[-2]}"
    return document.error(place, f"{name} is {_kind(error['input'])}, and should be {wanted}", _quoting(error))


def _unknown(place: Place, key: str) -> tuple[str, str]:
    owner = _owner(place)
    known = [field.alias or name for name, field in _OWNERS[owner].model_fields.items()]
    if key in NOT_YET:
        return f"{key} is not supported by this version", "take it out: nothing in a pipeline file is ignored"
    return f"{key!r} is not a key of a {owner}", suggestion(key, known, "its keys are ")


def _owner(place: Place) -> str:
    """What the last part of a place is a key of."""
    if len(place) == 1:
        return "pipeline file"
    return "stage" if place[0] == "stages" else "registry"


def _quoting(error: Any) -> str:
    if isinstance(error["input"], Unquoted):
        return f'write it in quotes: "{error["input"]}"'
    if error["type"] == "string_type" and isinstance(error["input"], bool):
        return 'write it in quotes: "yes", "no", "on", "off", "true" or "false"'
    if error["type"] == "list_type" and isinstance(error["input"], str):
        return f"write [{error['input']}]"
    return ""


def _kind(value: object) -> str:
    return next((name for kind, name in _KINDS_OF.items() if isinstance(value, kind)), "empty")


_OWNERS: dict[str, type[BaseModel]] = {"pipeline file": PipelineFile, "stage": StageKeys, "registry": RegistryKeys}
_KINDS_OF: dict[type, str] = {
    bool: "true or false",
    str: "text",
    list: "a list",
    dict: "a mapping",
    Unquoted: "a number or a date to YAML",
}
_NAMES = {
    NAME: "letters, digits, '.', '_' and '-', a letter or digit first, at most 63",
    IMAGE_NAME: "lower-case letters and digits, joined by '.', '_', '__' or '-'",
    VARIABLE_NAME: "letters, digits, '_' and '-', a letter or '_' first, at most 63",
}
_KINDS = {
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
