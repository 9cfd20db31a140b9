"""The kind and the options of one gate or notifier, as a file writes them: checked by the kind, and kept as written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from liftlock.errors import ConfigError
from liftlock.pipeline.document import Document, Unquoted
from liftlock.pipeline.findings import explained, keys_of
from liftlock.pipeline.kinds import Kind, Kinds, Options
from liftlock.release.check import Place
from liftlock.release.names import suggestion

__all__ = ["Chosen", "chosen"]

_REFERENCE = re.compile(r"(?:env|file):")
_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/@\s]*:[^/@\s]+@", re.IGNORECASE)

Schema = Mapping[str, Any]


class Chosen(NamedTuple):
    """A kind and its options, as they become part of the snapshot: plain JSON without floats, nothing filled in."""

    kind: str
    options: Mapping[str, Any]
    line: int


def chosen(
    document: Document, place: Place, item: Mapping[str, Any], kinds: Kinds, *, noun: str, beside: Sequence[str] = ()
) -> Chosen:
    """What one item of a list says, ``{kind: options}``. ``noun`` is what it is; it may have the keys ``beside``, too.

    Raises `ConfigError` with the line: no kind or several, one that nobody knows or that does not load, options that
    the kind does not take, secrets where they would be kept.
    """
    named = [key for key in item if key not in beside]
    if len(named) != 1:
        said = f"a {noun} has one kind, and here are {', '.join(named)}" if named else f"a {noun} has no kind here"
        raise document.error((*place, named[1]) if named else place, said, f"write - {{KIND: options}} for each {noun}")
    name = named[0]
    here = (*place, name)
    kind = _kind(document, here, name, kinds, noun)
    options = _written(document, here, item[name], kind.options)
    known = keys_of(kind.options)
    for key in options if kind.options.model_config.get("extra") != "allow" else ():
        if key not in known:  # pydantic would take the Python name of a field, too
            hint = suggestion(key, known, "its keys are ")
            raise document.error((*here, key), f"{key!r} is not a key of a {noun} of the kind {name}", hint)
    try:
        kind.options.model_validate(options)
    except ValidationError as error:
        raise explained(document, error, here, f"a {noun} of the kind {name}") from None
    _secrets(document, here, options, kind.options)
    return Chosen(name, options, document.lines[here])


def _kind(document: Document, place: Place, name: str, kinds: Kinds, noun: str) -> Kind:
    try:
        kind = kinds.find(name)
    except ConfigError as error:
        raise document.error(place, error.message, error.hint) from None
    if kind is None:
        hint = suggestion(name, kinds.names(), "there are ")
        raise document.error(place, f"there is no {noun} of the kind {name!r}", hint)
    return kind


def _written(document: Document, place: Place, value: Any, options: type[Options]) -> dict[str, Any]:
    """The options as a mapping of plain values; a lone value stands for the kind's ``shorthand``."""
    if value is None:
        return {}
    plain = _plain(document, place, value)
    if isinstance(plain, dict):
        return plain
    if not options.shorthand:
        hint = f"its keys are {', '.join(keys_of(options))}"
        raise document.error(place, f"{place[-1]} takes a mapping of options", hint)
    return {options.shorthand: plain}


def _plain(document: Document, place: Place, value: Any) -> Any:
    """The value without what has no one form in JSON: options are kept to the byte, and some take any value."""
    if isinstance(value, Unquoted):
        # It may be a secret, and is not repeated.
        raise document.error(place, f"{_key(place)} is a number or a date to YAML", "write it in quotes")
    if isinstance(value, dict):
        return {key: _plain(document, (*place, key), item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(document, (*place, position), item) for position, item in enumerate(value)]
    return value


def _secrets(document: Document, place: Place, written: Mapping[str, Any], options: type[Options]) -> None:
    """Refuse a secret reference where it would be taken for plain text, and a password where it would be kept."""
    schema: Schema | None = None
    for steps, text in _texts(written, ()):
        where = (*place, *steps)
        if _PASSWORD.match(text):
            raise document.error(
                where,
                f"{_key(where)} has a password in it, which would be part of every release",
                "write env:NAME or file:PATH, and keep the whole URL there",
            )
        if _REFERENCE.match(text):
            schema = schema or options.model_json_schema(by_alias=True)
            if not any(each.get("x-secret") for each in _at(schema, steps)):
                raise document.error(
                    where,
                    f"{_key(where)}: {text!r} is a secret reference, and those are not taken here",
                    _takers(schema),
                )


def _texts(value: Any, steps: Place) -> Iterator[tuple[Place, str]]:
    """Every text in some options, with the way to it."""
    if isinstance(value, str):
        yield steps, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, (*steps, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _texts(item, (*steps, position))


def _at(schema: Schema, steps: Place) -> list[Schema]:
    """The parts of a JSON Schema that speak of the value at the end of a way."""
    found = list(_alternatives(schema, schema))
    for step in steps:
        below = [each.get("items") if isinstance(step, int) else _property(each, step) for each in found]
        found = [part for each in below if isinstance(each, Mapping) for part in _alternatives(schema, each)]
    return found


def _property(schema: Schema, name: str) -> Any:
    return schema.get("properties", {}).get(name, schema.get("additionalProperties"))


def _alternatives(root: Schema, schema: Schema) -> Iterator[Schema]:
    """A part of a schema, what it refers to, and what it offers to choose from."""
    yield schema
    reference = schema.get("$ref")
    if reference:
        yield from _alternatives(root, root["$defs"][reference.rpartition("/")[2]])
    for choices in ("anyOf", "oneOf", "allOf"):
        for choice in schema.get(choices, ()):
            yield from _alternatives(root, choice)


def _takers(schema: Schema) -> str:
    """Which keys would take a secret reference."""
    names = [
        name
        for name, part in schema.get("properties", {}).items()
        if any(each.get("x-secret") for inner in _inside(schema, part) for each in _alternatives(schema, inner))
    ]
    return f"here {' and '.join(names)} may be one" if names else "write the value itself"


def _inside(root: Schema, part: Schema) -> Iterator[Schema]:
    for each in _alternatives(root, part):
        yield each
        for inner in ("items", "additionalProperties"):
            if isinstance(each.get(inner), Mapping):
                yield each[inner]


def _key(place: Place) -> str:
    """The last key of a way, for an item of a list the list's."""
    return next(str(part) for part in reversed(place) if isinstance(part, str))
