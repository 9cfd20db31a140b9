"""The gate `labels`: the artifact has to have labels."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from liftlock.gates.base import Question
from liftlock.kinds.tools import Tools
from liftlock.pipeline.kinds import Options
from liftlock.release.conditions import Outcome, Verdict

__all__ = ["Labels", "LabelsOptions", "Present"]


class Present(BaseModel):
    """``{present: true}``: any value will do."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    present: Literal[True]


def _in_one_sentence(value: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
    try:
        return handler(value)
    except ValidationError:
        raise ValueError('a label is a text in quotes ("yes"), a list of them, or {present: true}') from None


Wanted = Annotated[
    str | Annotated[list[str], Field(min_length=1)] | Present,
    WrapValidator(_in_one_sentence),
    Field(description="The value that the label has to have, a list of values, or {present: true} for any."),
]


class LabelsOptions(Options):
    """``labels: {approved: "yes", team: [payments, web], ticket: {present: true}}``: each key is a label's."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"minProperties": 1})
    __pydantic_extra__: dict[str, Wanted]

    @model_validator(mode="after")
    def _some(self) -> LabelsOptions:
        if not self.wanted:
            raise ValueError('name at least one label: {approved: "yes"}')
        return self

    @property
    def wanted(self) -> dict[str, str | list[str] | Present]:
        """What each label has to be, by its key."""
        return self.__pydantic_extra__


class Labels:
    """Passes when the artifact has every label; fails otherwise, since an artifact never changes."""

    api_version: ClassVar[int] = 1
    options = LabelsOptions

    def evaluate(self, question: Question, options: LabelsOptions, tools: Tools) -> Verdict:  # noqa: ARG002 - a gate's
        has = question.release.artifact.labels
        flaws = [flaw for key, wanted in sorted(options.wanted.items()) if (flaw := _flaw(key, has.get(key), wanted))]
        if flaws:
            return Verdict(outcome=Outcome.FAIL, reason="; ".join(flaws))
        return Verdict(outcome=Outcome.PASS, reason=f"the artifact has the label {_listed(sorted(options.wanted))}")


def _flaw(key: str, value: str | None, wanted: str | list[str] | Present) -> str:
    """What is wrong with one label; empty when it is right."""
    if value is None:
        return f"the artifact has no label {key!r}"
    allowed = [wanted] if isinstance(wanted, str) else wanted
    if isinstance(allowed, Present) or value in allowed:
        return ""
    return f"the artifact's label {key!r} is {value!r}, not {_listed(allowed, ' or ')}"


def _listed(texts: list[str], last: str = " and ") -> str:
    shown = [repr(text) for text in texts]
    return last.join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
