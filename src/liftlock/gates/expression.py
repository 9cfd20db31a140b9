"""The gate `expression`: what is known of a release has to fulfil an expression."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict, Field

from liftlock.gates.base import Question
from liftlock.gates.expressions import Expression as ExpressionText
from liftlock.gates.expressions import holds, values
from liftlock.kinds.tools import Tools
from liftlock.pipeline.kinds import Options
from liftlock.release.conditions import Outcome, Verdict

__all__ = ["Expression", "ExpressionOptions"]


class ExpressionOptions(Options):
    """``expression: "labels['risk'] != 'high'"``."""

    model_config = ConfigDict(populate_by_name=False)
    shorthand: ClassVar[str] = "pass"

    passes: ExpressionText = Field(
        alias="pass",
        description="A CEL expression about release, artifact, images, labels, pipeline, stage and now: "
        "the gate passes while it is true.",
        examples=["labels['risk'] != 'high'"],
    )


class Expression:
    """Passes while the expression is true.

    What is false for a release stays false, unless the expression speaks of ``now``: then it waits.
    """

    api_version: ClassVar[int] = 1
    options = ExpressionOptions

    def evaluate(self, question: Question, options: ExpressionOptions, tools: Tools) -> Verdict:
        from liftlock.gates import cel

        if holds(options.passes, values(question), tools):
            return Verdict(outcome=Outcome.PASS, reason=f"it is true that {options.passes}")
        if cel.uses(options.passes, "now"):
            return Verdict(outcome=Outcome.WAIT, reason=f"it is not true yet that {options.passes}")
        return Verdict(outcome=Outcome.FAIL, reason=f"it is not true that {options.passes}")
