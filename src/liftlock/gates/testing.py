"""What every kind of gate has to keep, as tests: those that come with Liftlock pass them, and so should yours.

    class TestMyGate(GateContract):
        gate = MyGate
        examples = ({"url": "env:CHECK_URL"},)

pytest runs the class; nothing else is needed. `question` makes something to ask a gate about in tests of your own.
"""

# ruff: noqa: S101 - these are tests
from __future__ import annotations

import datetime as dt
import errno
import json
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ValidationError

from liftlock.gates.ask import ask
from liftlock.gates.base import Gate, Question
from liftlock.kinds.table import API_VERSION
from liftlock.kinds.tools import Tools
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.pipeline.kinds import Options
from liftlock.release.artifact import Artifact
from liftlock.release.conditions import Outcome, Verdict
from liftlock.release.pipeline import Pipeline
from liftlock.release.promotion import Attempt, Decision, Execution, Promotion
from liftlock.release.release import Release
from liftlock.release.stage import GateRule, Stage, Trigger
from liftlock.release.template import Template

__all__ = ["NOW", "GateContract", "question"]

NOW = dt.datetime(2031, 5, 6, 12, tzinfo=dt.UTC)
"""When `question` is asked, unless told otherwise."""

_SECRET = "correct-horse-battery-staple"


def question(*, labels: Mapping[str, str] | None = None, now: dt.datetime = NOW) -> Question:
    """May build 42, which has been in ``dev`` for a day, enter ``prod``?"""
    image = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(b"web"), 3)
    pipeline = Pipeline(name="demo", images=("web",), stages=(_stage("dev"), _stage("prod", "dev")))
    release = Release.create(
        Artifact(images={"web": image}, build="42", commit="5f2c1e0", labels=labels or {}), pipeline, created=NOW
    )
    then = NOW - dt.timedelta(days=1)
    success = Attempt(number=1, execution=Execution.SUCCEEDED, queued_at=then, started_at=then, ended_at=then, order=1)
    promotion = Promotion(
        id=1,
        release=release.id,
        pipeline=pipeline.name,
        stage="dev",
        requested_at=then,
        requested_by=(),
        trigger=Trigger.MANUAL,
        decision=Decision.ADMITTED,
        decided_at=then,
        attempts=(success,),
    )
    return Question(release=release, stage="prod", now=now, mine=(promotion,), author="ada@example.org")


def _stage(name: str, *after: str) -> Stage:
    return Stage(
        name=name,
        after=after,
        to=(Template(text=f"registry.example/{name}"),),
        tags=(Template(text="{build}"),),
    )


class _Only:
    """A table with one gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def get(self, name: str) -> Gate:  # noqa: ARG002 - whatever it is called
        return self._gate


class GateContract:
    """The tests of one kind. Subclass it with ``gate`` and ``examples``; fixtures are pytest's own."""

    gate: ClassVar[type[Any]]
    """The kind's class."""
    examples: ClassVar[Sequence[Mapping[str, Any]]]
    """Options as a pipeline file may have them, at least one. Secrets in them are ``env:SECRET``."""
    labels: ClassVar[Mapping[str, str]] = {}
    """Those of the artifact that is asked about, where the kind asks nobody without them."""
    online: ClassVar[bool] = False
    """Whether the kind asks somebody over a network: it must not pass when there is none."""

    def asked(self, options: Mapping[str, Any], folder: Path, *, secret: str = _SECRET) -> Verdict:
        """What the gate answers when a worker asks it, whose environment has ``SECRET``."""
        tools = Tools(folder=folder, environment={"SECRET": secret, "PATH": "/usr/bin:/bin"})
        rule = GateRule(kind="tested", options=options)
        return ask(question(labels=self.labels), [rule], tools, _Only(self.gate()))[0]

    def test_it_is_of_this_version(self) -> None:
        """It is made without arguments, and is written for this interface."""
        gate = self.gate()
        assert gate.api_version == API_VERSION
        assert issubclass(gate.options, Options)

    def test_examples_are_understood(self) -> None:
        """Options are read as they are written, and come through the snapshot of a release unchanged."""
        assert self.examples
        for example in self.examples:
            read = self.gate.options.model_validate(example)
            assert self.gate.options.model_validate(json.loads(json.dumps(example))) == read

    def test_what_it_does_not_know_is_refused(self) -> None:
        """A mistyped key is an error, and never ignored."""
        for example in self.examples:
            try:
                self.gate.options.model_validate({**example, "no-such-option": None})
            except ValidationError:
                continue
            raise AssertionError(f"{self.gate.__name__} takes a key that it does not know")

    def test_its_options_have_a_schema(self) -> None:
        """Editors are told which options there are."""
        schema = self.gate.options.model_json_schema()
        assert schema["type"] == "object"
        for name, option in schema.get("properties", {}).items():
            assert "description" in option, f"{name} has no description"
        shorthand = self.gate.options.shorthand
        assert not shorthand or shorthand in schema["properties"], "the shorthand is no option"

    def test_it_answers_with_a_verdict(self, tmp_path: Path) -> None:
        """There is a reason, also for a pass."""
        for example in self.examples:
            assert self.asked(example, tmp_path).reason.strip()

    def test_it_prints_nothing(self, tmp_path: Path, capfd: Any) -> None:
        """What a worker prints is its own."""
        for example in self.examples:
            self.asked(example, tmp_path)
        assert capfd.readouterr() == ("", "")

    def test_equal_questions_have_equal_answers(self, tmp_path: Path) -> None:
        """Nothing is kept between two questions, nor shared between threads."""
        for example in self.examples:
            with ThreadPoolExecutor(4) as threads:
                answers = list(threads.map(partial(self.asked, example), [tmp_path] * 8))
            assert len(set(answers)) == 1, answers

    def test_no_secret_is_in_its_reason(self, tmp_path: Path) -> None:
        """Reasons are kept and shown: they hold none of what `Tools.secret` gave."""
        for example in self.examples:
            assert _SECRET not in self.asked(example, tmp_path).reason

    def test_without_its_secrets_it_does_not_pass(self, tmp_path: Path) -> None:
        """A missing secret is an error that names it."""
        for example in self.examples:
            if "env:SECRET" not in json.dumps(example):
                continue
            verdict = self.asked(example, tmp_path, secret="")
            assert verdict.outcome is not Outcome.PASS
            assert "SECRET" in verdict.reason

    def test_without_a_network_it_does_not_break(self, tmp_path: Path, monkeypatch: Any) -> None:
        """A kind that asks nobody answers as ever; one that does says what is wrong, and does not pass."""
        answers = [None if self.online else self.asked(example, tmp_path) for example in self.examples]
        monkeypatch.setattr(socket, "socket", _Unconnected)
        monkeypatch.setattr(socket, "getaddrinfo", _find_nobody)
        for example, before in zip(self.examples, answers, strict=True):
            now = self.asked(example, tmp_path)
            assert now == before if before else now.outcome is not Outcome.PASS


class _Unconnected(socket.socket):
    """A socket of a machine without a network."""

    def connect(self, address: Any, /) -> None:
        raise OSError(self.connect_ex(address), "Network is unreachable")

    def connect_ex(self, address: Any, /) -> int:  # noqa: ARG002 - as the base class has it
        return errno.ENETUNREACH


def _find_nobody(*_: Any, **__: Any) -> Any:
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
