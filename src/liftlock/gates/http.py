"""The gate `http`: what a server answers has to fulfil an expression."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from liftlock.auth.secret import Secret
from liftlock.gates.base import Question
from liftlock.gates.expressions import AnswerExpression, holds, values
from liftlock.gates.options import Timeout
from liftlock.kinds.http import Answer, Call, call
from liftlock.kinds.options import WebUrl
from liftlock.kinds.tools import Tools
from liftlock.pipeline.kinds import Options, SecretText
from liftlock.release.conditions import Outcome, Verdict
from liftlock.release.durations import seconds

__all__ = ["Http", "HttpOptions"]


class HttpOptions(Options):
    """``http: https://checks.example/ready``, or a mapping."""

    model_config = ConfigDict(populate_by_name=False)
    shorthand: ClassVar[str] = "url"

    url: WebUrl = Field(description="Whom to ask, over http or https. Redirects are not followed.")
    method: Literal["GET", "POST"] = Field(default="GET", description="How to ask.")
    headers: dict[str, SecretText] = Field(default={}, description="Header fields, such as Authorization: env:TOKEN.")
    body: SecretText | None = Field(
        default=None, description="What to send with POST. Without it, the question is sent as JSON."
    )
    timeout: Timeout = Field(default="10s", description="How long the whole answer may take.")
    passes: AnswerExpression = Field(
        alias="pass",
        default="status == 200",
        description="A CEL expression about status, headers, body and json of the answer, and about the release: "
        "the gate passes while it is true.",
    )
    fail_when: AnswerExpression | None = Field(
        alias="fail-when",
        default=None,
        description="A CEL expression about the same: when it is true and pass is not, the gate fails; else it waits.",
    )
    allow_private: bool = Field(
        alias="allow-private",
        default=False,
        description="Whether the URL may lead to the worker's own network: private and loopback addresses.",
    )


class Http:
    """Asks once. A server that cannot be asked is an error, and so a wait."""

    api_version: ClassVar[int] = 1
    options = HttpOptions

    def evaluate(self, question: Question, options: HttpOptions, tools: Tools) -> Verdict:
        answer = call(_request(question, options, tools), tools)
        about = {**values(question), **_answered(answer)}
        said = f"{answer.host} answers with status {answer.status}"
        if holds(options.passes, about, tools):
            return Verdict(outcome=Outcome.PASS, reason=f"{said}: {options.passes}")
        if options.fail_when is not None and holds(options.fail_when, about, tools):
            return Verdict(outcome=Outcome.FAIL, reason=f"{said}: {options.fail_when}")
        return Verdict(outcome=Outcome.WAIT, reason=f"{said}, and it is not true that {options.passes}")


def _request(question: Question, options: HttpOptions, tools: Tools) -> Call:
    headers = {name: tools.secret(value) for name, value in options.headers.items()}
    body: bytes | None = None
    if options.body is not None:
        body = tools.secret(options.body).reveal().encode()
    elif options.method == "POST":
        body = json.dumps(question.to_json()).encode()
        headers = {"Content-Type": Secret("application/json"), **headers}
    return Call(
        method=options.method,
        url=tools.secret(options.url),
        timeout=seconds(options.timeout),
        headers=headers,
        body=body,
        allow_private=options.allow_private,
    )


def _answered(answer: Answer) -> dict[str, Any]:
    """The answer as expressions see it: ``json`` is null when the body is none."""
    headers: dict[str, str] = {}
    for name, value in answer.headers:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    try:
        parsed = json.loads(answer.body)
    except (ValueError, RecursionError):
        parsed = None
    return {
        "status": answer.status,
        "headers": headers,
        "body": answer.body.decode(errors="replace"),
        "json": parsed,
    }
