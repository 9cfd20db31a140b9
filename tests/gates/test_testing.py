"""The contract of gates finds what it is there to find."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ConfigDict, Field

from liftlock.gates.base import Question
from liftlock.gates.testing import GateContract
from liftlock.kinds.tools import Tools
from liftlock.pipeline.kinds import Options, SecretText
from liftlock.release.conditions import Outcome, Verdict


class Given(Options):
    url: SecretText = Field(default="env:SECRET", description="Whom to ask.")


class Good:
    """A gate that keeps the contract; the others are it with one flaw."""

    api_version: ClassVar[int] = 1
    options: type[Options] = Given

    def evaluate(self, question: Question, options: Given, tools: Tools) -> Verdict:
        tools.secret(options.url)
        return self.answer(question, options, tools)

    def answer(self, question: Question, options: Given, tools: Tools) -> Verdict:
        return Verdict(outcome=Outcome.PASS, reason="fine")


class Older(Good):
    api_version = 0


class Lax(Good):
    class Anything(Given):
        model_config = ConfigDict(extra="ignore")

    options = Anything


class Undescribed(Good):
    class Bare(Given):
        more: str = ""

    options = Bare


class Misnamed(Good):
    class Short(Given):
        shorthand = "link"

    options = Short


class Silent(Good):
    def answer(self, question: Question, options: Given, tools: Tools) -> Verdict:
        return Verdict(outcome=Outcome.PASS, reason=" ")


class Noisy(Good):
    def answer(self, question: Question, options: Given, tools: Tools) -> Verdict:
        print("here I am")
        return Verdict(outcome=Outcome.PASS, reason="fine")


class Counting(Good):
    count = itertools.count()

    def answer(self, question: Question, options: Given, tools: Tools) -> Verdict:
        return Verdict(outcome=Outcome.PASS, reason=f"question {next(self.count)}")


class Telling(Good):
    """It does not ask for its secret, which would then be hidden, but takes it."""

    def evaluate(self, question: Question, options: Given, tools: Tools) -> Verdict:
        return Verdict(outcome=Outcome.PASS, reason=f"asked with {tools.environment['SECRET']}")


class Secretless(Good):
    def evaluate(self, question: Question, options: Given, tools: Tools) -> Verdict:
        return Verdict(outcome=Outcome.PASS, reason="fine")


class Trusting(Good):
    def answer(self, question: Question, options: Given, tools: Tools) -> Verdict:
        try:
            socket.getaddrinfo("127.0.0.1", 80)
        except OSError:
            return Verdict(outcome=Outcome.PASS, reason="nobody says no")
        return Verdict(outcome=Outcome.WAIT, reason="not yet")


def contract(kind: type[Any]) -> GateContract:
    class Contract(GateContract):
        gate = kind
        examples = ({}, {"url": "env:SECRET"})

    return Contract()


CHECKS: dict[type[Good], Callable[[GateContract, Path, Any, Any], None]] = {
    Older: lambda its, folder, capfd, patch: its.test_it_is_of_this_version(),
    Lax: lambda its, folder, capfd, patch: its.test_what_it_does_not_know_is_refused(),
    Undescribed: lambda its, folder, capfd, patch: its.test_its_options_have_a_schema(),
    Misnamed: lambda its, folder, capfd, patch: its.test_its_options_have_a_schema(),
    Silent: lambda its, folder, capfd, patch: its.test_it_answers_with_a_verdict(folder),
    Noisy: lambda its, folder, capfd, patch: its.test_it_prints_nothing(folder, capfd),
    Counting: lambda its, folder, capfd, patch: its.test_equal_questions_have_equal_answers(folder),
    Telling: lambda its, folder, capfd, patch: its.test_no_secret_is_in_its_reason(folder),
    Secretless: lambda its, folder, capfd, patch: its.test_without_its_secrets_it_does_not_pass(folder),
    Trusting: lambda its, folder, capfd, patch: its.test_without_a_network_it_does_not_break(folder, patch),
}


@pytest.mark.parametrize("kind", CHECKS, ids=lambda kind: kind.__name__)
def test_each_flaw_is_found(
    kind: type[Good], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    CHECKS[kind](contract(Good), tmp_path, capfd, monkeypatch)
    monkeypatch.undo()
    with pytest.raises(AssertionError):
        CHECKS[kind](contract(kind), tmp_path, capfd, monkeypatch)
