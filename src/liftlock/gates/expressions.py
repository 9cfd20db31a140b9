"""What the expressions of gates are about, and how an option that is one is checked when a pipeline is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from liftlock.gates.base import Question
from liftlock.kinds.tools import Tools

__all__ = ["ANSWER_VARIABLES", "VARIABLES", "AnswerExpression", "Expression", "holds", "values"]

VARIABLES = frozenset({"artifact", "images", "labels", "now", "pipeline", "release", "stage"})
"""What every expression may speak of: `Question.to_json`, and the artifact's images and labels by short names."""

ANSWER_VARIABLES = VARIABLES | {"body", "headers", "json", "status"}
"""The same, and an HTTP answer."""


def _checked(variables: frozenset[str]) -> Callable[[str], str]:
    def check(text: str) -> str:
        from liftlock.gates import cel

        cel.check(text, variables)
        return text

    return check


Expression = Annotated[str, Field(min_length=1), AfterValidator(_checked(VARIABLES))]
"""An option that is an expression about the release; what is wrong with it is found when the pipeline is read."""

AnswerExpression = Annotated[str, Field(min_length=1), AfterValidator(_checked(ANSWER_VARIABLES))]
"""The same about the release and an HTTP answer."""


def values(question: Question) -> Mapping[str, Any]:
    """What the `VARIABLES` stand for."""
    document = question.to_json()
    artifact = document["artifact"]
    return {**document, "now": question.now, "images": artifact["images"], "labels": artifact["labels"]}


def holds(text: str, about: Mapping[str, Any], tools: Tools) -> bool:
    """Whether the expression is true of these values; raises as `liftlock.gates.cel.evaluate`."""
    from liftlock.gates import cel

    return cel.evaluate(text, about, tools.cancelled)
