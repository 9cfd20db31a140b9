"""Asking all gates of a stage together.

Whatever goes wrong in a gate is a ``wait`` that says so: only a gate that answers with a pass passes. What a gate is
lent is watched, so that no secret it was given shows in what it says, and it is told to stop when its time is over.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

from pydantic import ValidationError

from liftlock.auth.secret import Secret
from liftlock.errors import Cancelled, LiftlockError
from liftlock.gates.base import Gate, Question
from liftlock.gates.options import MAX_TIMEOUT
from liftlock.gates.table import GATES
from liftlock.kinds.tools import Tools
from liftlock.release.conditions import Outcome, Verdict
from liftlock.release.durations import written
from liftlock.release.stage import GateRule

__all__ = ["LIMIT", "MAX_REASON", "Gates", "ask"]

LIMIT = MAX_TIMEOUT + 30.0
"""Seconds in which all gates of a stage have to answer: more than any of ours takes, so that it says itself why."""
MAX_REASON = 500
"""Characters of a reason."""
THREADS = 8
"""Gates of one stage that are asked at the same time."""

SHORTEST = 4
"""Characters of a secret's line that is hidden where it stands alone."""

_LOOK = 0.1
"""Seconds between two looks at whether somebody asked to stop."""


class Gates(Protocol):
    """Where gates are found: `liftlock.gates.table.GATES`."""

    def get(self, name: str) -> Gate:
        """The gate of this kind; raises `ConfigError` when there is none."""
        ...


def ask(
    question: Question, rules: Sequence[GateRule], tools: Tools, gates: Gates = GATES, *, limit: float = LIMIT
) -> tuple[Verdict, ...]:
    """What each gate answers, in the order of the rules; those that take longer than ``limit`` seconds wait.

    Raises `Cancelled` when ``tools.cancelled`` says that nobody wants to know any more.
    """
    if not rules:
        return ()
    sitting = _Sitting(question, rules, tools, gates)
    deadline = time.monotonic() + limit
    while not sitting.answered.wait(max(0.0, min(_LOOK, deadline - time.monotonic()))):
        if tools.cancelled():
            sitting.over.set()
            raise Cancelled("cancelled")
        if time.monotonic() >= deadline:
            break
    sitting.over.set()
    late = _wait(f"it did not answer within {written(limit)}")
    return tuple(verdict or late for verdict in list(sitting.verdicts))


class _Sitting:
    """One question to several gates. Threads that hang are left behind: they are daemons, and nobody waits for them."""

    def __init__(self, question: Question, rules: Sequence[GateRule], tools: Tools, gates: Gates) -> None:
        self._question = question
        self._gates = gates
        self._tools = tools
        self._lock = threading.Lock()
        self._left = deque(enumerate(rules))
        self._open = len(rules)
        self.verdicts: list[Verdict | None] = [None] * len(rules)
        self.answered = threading.Event()
        self.over = threading.Event()
        for _ in range(min(THREADS, len(rules))):
            threading.Thread(target=self._work, name="liftlock-gate", daemon=True).start()

    def _work(self) -> None:
        while not self._cancelled():
            try:
                at, rule = self._left.popleft()
            except IndexError:
                return
            verdict = self._answer(rule)
            with self._lock:
                self.verdicts[at] = verdict
                self._open -= 1
                if not self._open:
                    self.answered.set()

    def _cancelled(self) -> bool:
        return self.over.is_set() or self._tools.cancelled()

    def _answer(self, rule: GateRule) -> Verdict:
        tools = _Watched(folder=self._tools.folder, environment=self._tools.environment, cancelled=self._cancelled)
        try:
            verdict = _evaluated(self._question, rule, tools, self._gates)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the gate has not passed
            verdict = _wait(_sentence(error))
        return replace(verdict, reason=_shown(verdict.reason, tools.lent))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watched(Tools):
    """Tools that remember which secrets they gave away."""

    lent: set[str] = field(default_factory=set)

    def secret(self, text: str) -> Secret:
        secret = Tools.secret(self, text)
        if secret.reveal() != text:
            self.lent.add(secret.reveal())
            self.lent.update(line for line in secret.reveal().splitlines() if len(line) >= SHORTEST)
        return secret


def _evaluated(question: Question, rule: GateRule, tools: Tools, gates: Gates) -> Verdict:
    gate = gates.get(rule.kind)
    # What types promise, a gate from outside may not keep.
    verdict: object = gate.evaluate(question, gate.options.model_validate(dict(rule.options)), tools)
    if not isinstance(verdict, Verdict):
        return _wait("it answered with something that is no verdict")
    outcome, reason, clears_at = cast(tuple[object, ...], (verdict.outcome, verdict.reason, verdict.clears_at))
    timed = clears_at is None or (isinstance(clears_at, dt.datetime) and clears_at.utcoffset() is not None)
    if not (isinstance(outcome, Outcome) and isinstance(reason, str) and timed):
        return _wait("it answered with a verdict that is not well formed")
    return verdict


def _wait(reason: str) -> Verdict:
    return Verdict(outcome=Outcome.WAIT, reason=reason)


def _sentence(error: BaseException) -> str:
    """An error for people. Of one that is not ours, only the kind: what it says is not made for them."""
    if isinstance(error, LiftlockError):
        return f"{error} ({error.hint})" if error.hint else str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"its options are not understood: {where + ': ' if where else ''}{first['msg']}"
    return f"it broke: {type(error).__name__}"


def _shown(reason: str, secrets: set[str]) -> str:
    """One printable line, within bounds, without any of the secrets."""
    for secret in sorted(secrets, key=len, reverse=True):
        reason = reason.replace(secret, "***")
    line = " ".join("".join(each if each.isprintable() else " " for each in reason).split())
    return line if len(line) <= MAX_REASON else f"{line[: MAX_REASON - 1]}…"
