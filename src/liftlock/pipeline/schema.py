"""The JSON Schema of a pipeline file, for editors: that of the keys, with the options of each kind in its place."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema

from liftlock.pipeline.kinds import Kinds, NoKinds, Options
from liftlock.pipeline.model import NotifyKeys, PipelineFile

__all__ = ["schema"]


class _Schema(GenerateJsonSchema):
    """Leaves out the titles that would only repeat the keys."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002  # pydantic's signature
        return False


def schema(gates: Kinds | None = None, notifiers: Kinds | None = None) -> dict[str, Any]:
    """JSON Schema, draft 2020-12; with the kinds of gates and notifiers that are handed in.

    What it refuses the reader refuses; the reader refuses more, since a schema cannot tell whether parts fit together.
    """
    made = PipelineFile.model_json_schema(by_alias=True, schema_generator=_Schema)
    definitions = made["$defs"]
    for name in ("RuleKeys", "StageKeys"):
        keys = definitions[name]["properties"]
        keys["gates"]["items"] = {"$ref": "#/$defs/gate"}
        keys["notify"]["items"] = {"$ref": "#/$defs/notifier"}
    definitions["gate"] = _item(definitions, "gate", gates or NoKinds(), {})
    beside = NotifyKeys.model_json_schema(by_alias=True, schema_generator=_Schema)["properties"]
    definitions["notifier"] = _item(definitions, "notifier", notifiers or NoKinds(), beside)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **made,
        "title": "Liftlock pipeline",
    }


def _item(definitions: dict[str, Any], what: str, kinds: Kinds, beside: dict[str, Any]) -> dict[str, Any]:
    """One item of a list of gates or notifiers: exactly one key that is a kind, and the keys beside it."""
    properties = dict(beside)
    names = list(kinds.names())
    for name in names:
        kind = kinds.find(name)
        if kind is not None:
            properties[name] = _options(definitions, f"{what}.{name}", kind.options)
    chosen = [{"required": [name]} for name in names if name in properties]
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        **({"oneOf": chosen} if chosen else {"not": {}}),
    }


def _options(definitions: dict[str, Any], prefix: str, options: type[Options]) -> dict[str, Any]:
    """The options of one kind; a lone value that stands for one of them is taken too."""
    made = options.model_json_schema(
        by_alias=True, schema_generator=_Schema, ref_template=f"#/$defs/{prefix}.{{model}}"
    )
    for name, part in made.pop("$defs", {}).items():
        definitions[f"{prefix}.{name}"] = part
    definitions[prefix] = made
    written: dict[str, Any] = {"$ref": f"#/$defs/{prefix}"}
    choices = [written]
    if options.shorthand:
        choices.append(made["properties"][options.shorthand])
    if _needs_none(options):
        choices.append({"type": "null"})
    return {"anyOf": choices} if len(choices) > 1 else written


def _needs_none(options: type[Options]) -> bool:
    """Whether the kind's name alone is enough."""
    try:
        options.model_validate({})
    except ValidationError:
        return False
    return True
