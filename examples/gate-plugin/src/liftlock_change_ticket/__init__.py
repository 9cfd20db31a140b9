"""A gate for Liftlock: the ticket that a build names has to be approved.

The artifact says which ticket it belongs to by a label; the ticket system is asked for it with
``GET {url}/{ticket}``, and answers with JSON that has a ``state``.
"""

from __future__ import annotations

import json
from typing import Annotated, ClassVar
from urllib.parse import quote

from liftlock.auth.secret import Secret
from liftlock.errors import LiftlockError
from liftlock.gates.base import Question
from liftlock.kinds.http import Call, call
from liftlock.kinds.tools import Tools
from liftlock.pipeline.kinds import Duration, Options, SecretReference, SecretText
from liftlock.release.conditions import Outcome, Verdict
from liftlock.release.durations import seconds
from pydantic import Field

__all__ = ["ChangeTicket", "ChangeTicketOptions"]

States = Annotated[list[str], Field(min_length=1)]


class ChangeTicketOptions(Options):
    """What a pipeline file may say: ``change-ticket: https://tickets.example/api``, or a mapping."""

    shorthand: ClassVar[str] = "url"

    url: SecretText = Field(description="Where tickets are: the ticket's name is put behind it.")
    token: SecretReference | None = Field(default=None, description="What is sent as a bearer token.")
    label: str = Field(default="ticket", description="The artifact's label that names the ticket.")
    approved: States = Field(default=["approved"], description="The states that pass.")
    rejected: States = Field(default=["rejected"], description="The states that fail; with any other it waits.")
    timeout: Duration = Field(default="10s", description="How long the answer may take.")
    allow_private: bool = Field(
        default=False, alias="allow-private", description="Whether the URL may lead to the worker's own network."
    )


class ChangeTicket:
    """The gate. Errors need no handling here: whatever is raised is a wait, with the error's sentence."""

    api_version: ClassVar[int] = 1
    options = ChangeTicketOptions

    def evaluate(self, question: Question, options: ChangeTicketOptions, tools: Tools) -> Verdict:
        ticket = question.release.artifact.labels.get(options.label, "")
        if not ticket:
            # An artifact never changes: waiting does not help.
            return Verdict(
                outcome=Outcome.FAIL, reason=f"the artifact has no label {options.label!r} to name its ticket"
            )
        state = _state(ticket, options, tools)
        if state in options.approved:
            return Verdict(outcome=Outcome.PASS, reason=f"{ticket} is {state}")
        if state in options.rejected:
            return Verdict(outcome=Outcome.FAIL, reason=f"{ticket} is {state}")
        return Verdict(
            outcome=Outcome.WAIT, reason=f"{ticket} is {state}, and has to be {' or '.join(options.approved)}"
        )


def _state(ticket: str, options: ChangeTicketOptions, tools: Tools) -> str:
    """What the ticket system says of a ticket."""
    base = tools.secret(options.url).reveal().rstrip("/")
    headers = {}
    if options.token is not None:
        headers["Authorization"] = Secret(f"Bearer {tools.secret(options.token).reveal()}")
    answer = call(
        Call(
            method="GET",
            url=Secret(f"{base}/{quote(ticket, safe='')}"),
            timeout=seconds(options.timeout),
            headers=headers,
            allow_private=options.allow_private,
        ),
        tools,
    )
    if answer.status == 404:
        raise LiftlockError(f"{answer.host} knows no ticket {ticket}")
    answer.require_success()
    try:
        state = json.loads(answer.body)["state"]
    except (ValueError, LookupError, TypeError):
        raise LiftlockError(f"{answer.host} does not say the state of {ticket}") from None
    return str(state)
