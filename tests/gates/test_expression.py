"""Expressions: what they may speak of, what is found when they are read, and the bounds of evaluating them."""

from __future__ import annotations

import contextlib
import datetime as dt
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from liftlock.errors import Cancelled, LiftlockError
from liftlock.gates import cel
from liftlock.gates.expression import Expression, ExpressionOptions
from liftlock.gates.expressions import VARIABLES
from liftlock.gates.testing import NOW, question
from liftlock.kinds.tools import Tools
from liftlock.release.conditions import Outcome, Verdict
from tests.support.processes import environment

TOOLS = Tools(folder=Path(), environment={})


def asked(text: str, *, labels: dict[str, str] | None = None, now: dt.datetime = NOW) -> Verdict:
    options = ExpressionOptions.model_validate({"pass": text})
    return Expression().evaluate(question(labels=labels, now=now), options, TOOLS)


def says(text: str, **values: Any) -> bool:
    cel.check(text, frozenset(values))
    return cel.evaluate(text, values, lambda: False)


@pytest.mark.parametrize(
    "text",
    [
        "labels['risk'] == 'low'",
        "artifact.labels.risk != 'high' && has(labels.risk)",
        "!has(labels.missing) || labels.missing == 'x'",
        "'risk' in labels && !('owner/team' in labels)",
        "artifact.build == '42' && artifact.commit.startsWith('5f2c')",
        "release.name == '42' && release.id.matches('^sha256:[0-9a-f]{64}$')",
        "size(images) == 1 && images.web == artifact.images['web']",
        "pipeline == 'demo' && stage in ['prod', 'test']",
        "artifact.author == 'ada@example.org' && artifact.publisher == ''",
        "images.all(name, images[name].startsWith('sha256:'))",
        "now < timestamp('2031-05-06T12:00:01Z') && now.getHours('Europe/Berlin') == 14",
    ],
)
def test_what_an_expression_may_speak_of(text: str) -> None:
    assert asked(text, labels={"risk": "low"}) == Verdict(outcome=Outcome.PASS, reason=f"it is true that {text}")


def test_what_is_false_of_an_artifact_stays_so() -> None:
    assert asked("labels['risk'] == 'low'", labels={"risk": "high"}) == Verdict(
        outcome=Outcome.FAIL, reason="it is not true that labels['risk'] == 'low'"
    )


def test_what_is_false_now_may_become_true() -> None:
    text = "now.getHours('Europe/Berlin') >= 15"

    assert asked(text).outcome is Outcome.WAIT
    assert asked(text, now=NOW + dt.timedelta(hours=1)).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least 1 character"),
        ("risk ==", r"cannot be read at line 1, column 6"),
        ("labels.risk == 'low'\n  && && true", r"cannot be read at line 2, column 6"),
        ("lables.risk == 'low'", r"there is no 'lables'; there are artifact, images, labels, now"),
        ("status == 200", r"there is no 'status'"),
        ("images.all(name, nmae != '')", r"there is no 'nmae'"),
        ("lower(stage) == 'prod'", r"there is no function 'lower'; there are all, bool"),
        ("stage.lower() == 'prod'", r"there is no function 'lower'"),
        ("all(stage, true)", r"there is no function 'all'"),
        ("stage{part: 1} == stage", r"it speaks of messages"),
        (".stage == 'prod'", r"it speaks of messages"),
        (f"stage == '{'x' * 2000}'", r"it has 2011 characters; an expression has at most 2000"),
    ],
)
def test_mistakes_are_found_when_the_pipeline_is_read(text: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ExpressionOptions.model_validate({"pass": text})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labels.risk == 'low'", r"there is no 'risk'; has\(…\) says whether there is"),
        ("labels['owner/team'] == 'low'", r"there is no such key; 'key' in … says whether there is"),
        ("size(stage) != '4'", r"!= is given int and string, which do not fit"),
        ("size(stage) == 4.0", r"== is given int and double"),
        ("stage + 1 == 'prod1'", r"\+ is given string and int"),
        ("!stage", r"! is given string"),
        ("stage", r"neither true nor false"),
        ("size(stage)", r"neither true nor false"),
        ("true && stage", r"neither true nor false"),
        ("labels", r"neither true nor false"),
        ("[1][3] == 1", r"an index is out of the list's range"),
        ("1 / 0 == 1", r"it divides by zero"),
        ("9223372036854775807 + 1 > 0", r"a number becomes too large"),
        ("timestamp('yesterday') < now", r"do not fit|cannot be evaluated"),
        ("stage.matches('(')", r"cannot be evaluated"),
    ],
)
def test_what_cannot_be_said_is_an_error_and_neither_true_nor_false(text: str, message: str) -> None:
    with pytest.raises(LiftlockError, match=message):
        asked(text)


def test_a_side_that_cannot_be_said_does_not_matter_where_the_other_decides() -> None:
    assert asked("labels.risk == 'low' || stage == 'prod'").outcome is Outcome.PASS
    assert asked("labels.risk == 'low' && stage == 'test'").outcome is Outcome.FAIL


TEN = "[1,2,3,4,5,6,7,8,9,10]"


def nested(inner: str, depth: int) -> str:
    for level in range(depth):
        inner = f"{TEN}.all(v{level}, {inner})"
    return inner


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (nested("true", 6), "takes more than 3000 steps"),
        (f"{nested('true', 6)} || true", "takes more than 3000 steps"),
        (f"true || {nested('true', 6)}", "takes more than 3000 steps"),
        (f"[1].exists(x, {nested('true', 6)})", "takes more than 3000 steps"),
        (f"['x']{'.map(x, x + x)' * 60} == []", "puts together more than 1048576"),
        (f"[[1]]{'.map(x, x + x)' * 60} == []", "puts together more than 1048576"),
        ("[" * 400 + "]" * 400 + " == []", "nested too deeply"),
    ],
)
def test_no_expression_goes_on_for_ever(text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cel, "MAX_STEPS", 3000)
    with pytest.raises(LiftlockError, match=message):
        says(text)


def test_evaluation_stops_when_somebody_asks_to() -> None:
    text = nested("true", 6)
    cel.check(text, frozenset())

    with pytest.raises(Cancelled):
        cel.evaluate(text, {}, lambda: True)


def test_errors_tell_nothing_of_the_values(caplog: pytest.LogCaptureFixture) -> None:
    for text in (
        "body + 1 == ''",
        "body.nope == 1",
        "{'k': 1}[body] == 1",
        "body < 1",
        "timestamp(body) < now",
        "int(body) > 1",
    ):
        with pytest.raises(LiftlockError) as caught:
            says(text, body="hunter2", now=NOW)
        assert "hunter2" not in f"{caught.value}{caught.value.hint}"
    assert "hunter2" not in caplog.text


@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        cel.check(text, VARIABLES)


PARTS = [
    "labels",
    ".risk",
    "['risk']",
    "stage",
    " == ",
    " && ",
    "!",
    "'low'",
    "1",
    "(",
    ")",
    "has(",
    "size(",
    "null",
    "now",
]


@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=8).map("".join))
def test_what_is_read_is_true_false_or_an_error_of_ours(text: str) -> None:
    values = {"labels": {"risk": "low"}, "stage": "prod", "now": NOW}
    try:
        cel.check(text, frozenset(values))
    except ValueError:
        return
    with contextlib.suppress(LiftlockError):
        assert cel.evaluate(text, values, lambda: False) in (True, False)


def test_the_library_is_loaded_for_expressions_only() -> None:
    script = (
        "import sys\n"
        "from liftlock.gates.table import GATES\n"
        "for name in GATES.names(): GATES.get(name)\n"
        "GATES.get('soak').options.model_validate({'for': '2h'})\n"
        "assert not {'celpy', 'lark', 'pendulum'} & sys.modules.keys()\n"
        "GATES.get('expression').options.model_validate({'pass': 'true'})\n"
        "assert 'celpy' in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
