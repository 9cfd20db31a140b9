"""Kinds of gates and notifiers that are there only as far as a pipeline file is concerned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from liftlock.errors import ConfigError
from liftlock.pipeline.kinds import Duration, Kind, Options, SecretReference, SecretText


class Soak(Options):
    shorthand: ClassVar[str] = "for"

    length: Duration = Field(alias="for")
    while_current: bool = Field(default=False, alias="while-current")


class Retry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    times: int = Field(default=0, ge=0, le=9)


class Http(Options):
    url: SecretText
    headers: dict[str, SecretText] = Field(default={})
    status: list[int] = Field(default=[200])
    method: Literal["GET", "POST"] = "GET"
    passes: str = ""
    retry: Retry | None = None

    @field_validator("passes")
    @classmethod
    def _balanced(cls, text: str) -> str:
        if text.count("(") != text.count(")"):
            raise ValueError("the expression has an open bracket")
        return text


class Labels(Options):
    labels: dict[str, Any] = Field(default={})


class Team(Options):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str]


class Webhook(Options):
    url: SecretText
    secret: SecretReference | list[SecretReference] | None = None


class Known:
    """A table of kinds."""

    def __init__(self, **kinds: type[Options]) -> None:
        self._kinds: Mapping[str, type[Options]] = kinds

    def find(self, name: str) -> Kind | None:
        if name == "broken":
            raise ConfigError("'broken' does not load", hint="reinstall it")
        return Found(self._kinds[name]) if name in self._kinds else None

    def names(self) -> Iterable[str]:
        return self._kinds


class Found:
    def __init__(self, options: type[Options]) -> None:
        self.options = options


GATES = Known(soak=Soak, http=Http, labels=Labels, team=Team)
NOTIFIERS = Known(webhook=Webhook)
