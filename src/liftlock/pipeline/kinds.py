"""What gates and notifiers have in common for who reads a pipeline file: a name, and typed options.

A kind is found by its name: those that come with Liftlock in a table of their room, others through Python's entry
points. This room only needs to know which options a kind takes; the rooms of the kinds hand in where to look.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from liftlock.errors import UsageError
from liftlock.release.durations import seconds

__all__ = ["DURATION", "SECRET", "Duration", "Kind", "Kinds", "NoKinds", "Options", "SecretReference", "SecretText"]


class Options(BaseModel):
    """The options of a kind: subclass it with one field per key. Unknown keys are refused, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)

    shorthand: ClassVar[str] = ""
    """The key that a lone value stands for: ``soak: 2h`` for ``soak: {for: 2h}``."""


class Kind(Protocol):
    """One kind of gate or notifier, as far as the pipeline file is concerned."""

    @property
    def options(self) -> type[Options]:
        """What it takes."""
        ...


class Kinds(Protocol):
    """Where kinds are found."""

    def find(self, name: str) -> Kind | None:
        """The kind of this name; None when there is none. Outside kinds are looked for only then."""
        ...

    def names(self) -> Iterable[str]:
        """Every kind there is, for hints and for the JSON Schema."""
        ...


class NoKinds:
    """There are none."""

    def find(self, name: str) -> Kind | None:  # noqa: ARG002
        return None

    def names(self) -> Iterable[str]:
        return ()


DURATION = r"^[0-9]{1,9}(s|m|h|d|w)$"
SECRET = r"^(env|file):.+$"


def _a_duration(text: str) -> str:
    try:
        seconds(text)
    except UsageError as error:
        raise ValueError(f"{error.message}: {error.hint}") from None
    return text


Duration = Annotated[
    str,
    Field(pattern=DURATION, examples=["90s", "15m", "2h", "7d"]),
    AfterValidator(_a_duration),
]
"""A length of time, as written; `liftlock.release.durations.seconds` reads it."""

SecretText = Annotated[str, Field(min_length=1, json_schema_extra={"x-secret": True})]
"""A text that may be a secret reference (``env:NAME``, ``file:PATH``): resolved where it is used, never before.

A URL, say, which is a secret with some services and public with others. What is always a secret is a
`SecretReference`."""

SecretReference = Annotated[str, Field(pattern=SECRET, json_schema_extra={"x-secret": True})]
"""A text that has to be a secret reference: the secret itself would become part of every release."""
