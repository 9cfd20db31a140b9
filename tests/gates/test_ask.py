"""All gates of a stage are asked together, and whatever goes wrong in one is no pass."""

from __future__ import annotations

import datetime as dt
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from liftlock.errors import Cancelled, ConfigError, RefusedError
from liftlock.gates.ask import MAX_REASON, THREADS, ask
from liftlock.gates.base import Gate, Question
from liftlock.gates.testing import question
from liftlock.kinds.tools import Tools
from liftlock.pipeline.kinds import Options
from liftlock.release.conditions import Outcome, Verdict
from liftlock.release.stage import GateRule
from tests.support.waiting import until

PASSED = Verdict(outcome=Outcome.PASS, reason="fine")


class Text(Options):
    text: str = Field(default="", max_length=20)


class Made:
    """A gate that does what the test says."""

    api_version: ClassVar[int] = 1
    options = Text

    def __init__(self, does: Callable[[Question, Any, Tools], Any]) -> None:
        self._does = does

    def evaluate(self, question: Question, options: Any, tools: Tools) -> Verdict:
        return self._does(question, options, tools)  # type: ignore[no-any-return]


class Known:
    """Finds the gates of a test by name."""

    def __init__(self, **gates: Callable[[Question, Any, Tools], Any]) -> None:
        self._gates = gates

    def get(self, name: str) -> Gate:
        if name not in self._gates:
            raise ConfigError(f"there is no gate of the kind {name!r} here", hint="install it")
        return Made(self._gates[name])


def tools(environment: Mapping[str, str] | None = None, cancelled: Callable[[], bool] = lambda: False) -> Tools:
    return Tools(folder=Path(), environment=environment or {}, cancelled=cancelled)


def only(does: Callable[[Question, Any, Tools], Any], options: Mapping[str, Any] | None = None, **env: str) -> Verdict:
    return ask(question(), [GateRule(kind="it", options=options or {})], tools(env), Known(it=does))[0]


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    """Set at the test's end, so that no gate of it hangs for ever."""
    event = threading.Event()
    yield event
    event.set()


def test_answers_come_in_the_order_of_the_rules() -> None:
    gates = Known(
        echo=lambda _question, options, _tools: Verdict(outcome=Outcome.PASS, reason=options.text),
        no=lambda *_: Verdict(outcome=Outcome.FAIL, reason="no"),
    )
    rules = [GateRule(kind="echo", options={"text": str(number)}) for number in range(THREADS * 3)]

    verdicts = ask(question(), [*rules, GateRule(kind="no")], tools(), gates)

    assert [verdict.reason for verdict in verdicts] == [*map(str, range(THREADS * 3)), "no"]
    assert verdicts[-1].outcome is Outcome.FAIL
    assert ask(question(), [], tools(), gates) == ()


def test_they_are_asked_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=20)

    def meet(*_: object) -> Verdict:
        meeting.wait()
        return PASSED

    assert ask(question(), [GateRule(kind="meet")] * 3, tools(), Known(meet=meet)) == (PASSED,) * 3


def raises(error: BaseException) -> Callable[[Question, Any, Tools], Any]:
    def does(*_: object) -> Verdict:
        raise error

    return does


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RefusedError("the server says no", hint="ask it again"), "the server says no (ask it again)"),
        (ConfigError("it is not set"), "it is not set"),
        (KeyError("password=hunter2"), "it broke: KeyError"),
        (RecursionError(), "it broke: RecursionError"),
        (SystemExit(0), "it broke: SystemExit"),
        (KeyboardInterrupt(), "it broke: KeyboardInterrupt"),
    ],
)
def test_an_error_waits(error: BaseException, reason: str) -> None:
    assert only(raises(error)) == Verdict(outcome=Outcome.WAIT, reason=reason)


class Always:
    """What a careless gate may answer instead of a verdict."""

    outcome = Outcome.PASS
    reason = "fine"
    clears_at = None


@pytest.mark.parametrize(
    "answer",
    [
        None,
        True,
        Outcome.PASS,
        pytest.param(Always(), id="a gate"),
        Verdict(outcome="pass", reason="fine"),  # type: ignore[arg-type]
        Verdict(outcome=Outcome.PASS, reason=None),  # type: ignore[arg-type]
        Verdict(outcome=Outcome.PASS, reason="fine", clears_at=dt.datetime(2031, 5, 6)),  # noqa: DTZ001
        Verdict(outcome=Outcome.PASS, reason="fine", clears_at="soon"),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_what_is_no_verdict_waits(answer: object) -> None:
    verdict = only(lambda *_: answer)

    assert (verdict.outcome, verdict.clears_at) == (Outcome.WAIT, None)
    assert "it answered with" in verdict.reason


def test_a_kind_that_is_not_installed_waits() -> None:
    assert ask(question(), [GateRule(kind="other")], tools(), Known())[0] == Verdict(
        outcome=Outcome.WAIT, reason="there is no gate of the kind 'other' here (install it)"
    )


def test_options_that_this_version_does_not_understand_wait() -> None:
    unknown = only(lambda *_: PASSED, {"strange": "value-of-it"})
    wrong = only(lambda *_: PASSED, {"text": "value-of-it-which-is-too-long"})

    assert (unknown.outcome, wrong.outcome) == (Outcome.WAIT, Outcome.WAIT)
    assert "strange" in unknown.reason
    assert "text" in wrong.reason
    assert "value-of-it" not in unknown.reason + wrong.reason


def test_a_gate_that_hangs_waits_and_the_others_count(let_go: threading.Event) -> None:
    told = threading.Event()

    def hang(_question: Question, _options: Text, lent: Tools) -> Verdict:
        while not let_go.wait(0.01):
            if lent.cancelled():
                told.set()
        return PASSED

    gates = Known(hang=hang, fine=lambda *_: PASSED)
    verdicts = ask(question(), [GateRule(kind="hang"), GateRule(kind="fine")], tools(), gates, limit=1)

    assert verdicts == (Verdict(outcome=Outcome.WAIT, reason="it did not answer within 1 s"), PASSED)
    assert told.wait(20), "the gate was not told to stop"


def test_gates_that_hang_keep_others_from_a_pass_not_from_an_end(let_go: threading.Event) -> None:
    def hang(*_: object) -> Verdict:
        let_go.wait()
        return PASSED

    rules = [GateRule(kind="hang")] * THREADS + [GateRule(kind="fine")]
    verdicts = ask(question(), rules, tools(), Known(hang=hang, fine=lambda *_: PASSED), limit=0.2)

    assert {verdict.outcome for verdict in verdicts} == {Outcome.WAIT}


def test_who_asks_to_stop_gets_no_verdict(let_go: threading.Event) -> None:
    began = threading.Event()

    def hang(*_: object) -> Verdict:
        began.set()
        let_go.wait()
        return PASSED

    with pytest.raises(Cancelled):
        ask(question(), [GateRule(kind="hang")], tools(cancelled=began.is_set), Known(hang=hang))


def test_what_hangs_does_not_keep_the_process() -> None:
    from tests.support.processes import TIMEOUT, environment

    script = (
        "import time\n"
        "from tests.gates.test_ask import *\n"
        "print(ask(question(), [GateRule(kind='hang')], tools(), Known(hang=lambda *_: time.sleep(1000)), limit=0.2))"
    )
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, timeout=TIMEOUT, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "it did not answer within 0 s" in done.stdout


def test_secrets_that_were_lent_do_not_show() -> None:
    def tell(_question: Question, _options: Text, lent: Tools) -> Verdict:
        shown = [lent.secret(text).reveal() for text in ("env:TOKEN", "env:KEY", "plain")]
        return Verdict(outcome=Outcome.PASS, reason=f"used {' and '.join(shown)}; {shown[1].splitlines()[1]}")

    assert only(tell, TOKEN="tok/en+1", KEY="BEGIN\nabcdef\nEND").reason == "used *** and *** and plain; ***"


def test_nor_in_an_error() -> None:
    def fail(_question: Question, _options: Text, lent: Tools) -> Verdict:
        raise RefusedError(f"{lent.secret('env:TOKEN').reveal()} was refused", hint=lent.secret("env:TOKEN").reveal())

    assert only(fail, TOKEN="tok/en+1").reason == "*** was refused (***)"


def test_a_reason_is_one_printable_line_within_bounds() -> None:
    tidy = only(lambda *_: Verdict(outcome=Outcome.PASS, reason="a\n\tb\x1b[31m\u202ec  d "))
    long = only(lambda *_: Verdict(outcome=Outcome.PASS, reason="x" * 10_000))

    assert tidy.reason == "a b [31m c d"
    assert (len(long.reason), long.reason[-1]) == (MAX_REASON, "…")


def test_a_time_is_passed_on() -> None:
    clears = dt.datetime(2031, 5, 6, 14, tzinfo=dt.timezone(dt.timedelta(hours=2)))

    assert only(lambda *_: Verdict(outcome=Outcome.WAIT, reason="later", clears_at=clears)).clears_at == clears


def test_no_thread_stays() -> None:
    before = threading.active_count()
    ask(question(), [GateRule(kind="fine")] * 20, tools(), Known(fine=lambda *_: PASSED))

    until(lambda: threading.active_count() <= before, "the threads' end")
