"""The gate `command`: a program of the user's own decides."""

from __future__ import annotations

import json
from typing import Annotated, ClassVar

from pydantic import Field

from liftlock.gates.base import Question
from liftlock.gates.options import Timeout
from liftlock.kinds.options import Variables
from liftlock.kinds.process import run, surroundings
from liftlock.kinds.tools import Tools
from liftlock.pipeline.kinds import Options
from liftlock.release.conditions import Outcome, Verdict
from liftlock.release.durations import seconds

__all__ = ["Command", "CommandOptions"]

WAIT = 8
"""The exit status for "not yet", as Liftlock's own commands have it."""


class CommandOptions(Options):
    """``command: [./check.sh, --strict]``, or a mapping."""

    shorthand: ClassVar[str] = "run"

    run: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] = Field(
        description="The program and its arguments; there is no shell. A relative path starts from this file's folder.",
        examples=[["./check.sh", "--strict"]],
    )
    env: Variables = Field(default={}, description="Variables that the program gets beside PATH, HOME and LIFTLOCK_*.")
    timeout: Timeout = Field(default="1m", description="How long it may run; then it is ended with all it started.")


class Command:
    """Exit status 0 passes, 8 waits, any other fails. The last line of what the program says is the reason."""

    api_version: ClassVar[int] = 1
    options = CommandOptions

    def evaluate(self, question: Question, options: CommandOptions, tools: Tools) -> Verdict:
        done = run(
            options.run,
            tools,
            timeout=seconds(options.timeout),
            stdin=json.dumps(question.to_json()).encode(),
            environment=surroundings(tools, options.env, _variables(question)),
        )
        outcome = {0: Outcome.PASS, WAIT: Outcome.WAIT}.get(done.status, Outcome.FAIL)
        said = _last_line(done.output) or ("" if outcome is Outcome.PASS else _last_line(done.errors))
        return Verdict(outcome=outcome, reason=said or f"{options.run[0]} {_ended(done.status)}")


def _variables(question: Question) -> dict[str, str]:
    artifact = question.release.artifact
    return {
        "LIFTLOCK_PIPELINE": question.release.pipeline.name,
        "LIFTLOCK_STAGE": question.stage,
        "LIFTLOCK_RELEASE": str(question.release.id),
        "LIFTLOCK_ARTIFACT": str(artifact.id),
        "LIFTLOCK_BUILD": artifact.build,
        "LIFTLOCK_COMMIT": artifact.commit,
    }


def _last_line(output: bytes) -> str:
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def _ended(status: int) -> str:
    return f"ended with status {status}" if status >= 0 else f"was ended by signal {-status}"
