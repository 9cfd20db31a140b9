"""What the pages about gates show is what gates do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from liftlock.gates.ask import ask
from liftlock.gates.expressions import VARIABLES
from liftlock.gates.table import GATES
from liftlock.gates.testing import question
from liftlock.kinds.tools import Tools
from liftlock.pipeline.load import load
from liftlock.release.conditions import Outcome, Verdict
from liftlock.release.stage import GateRule
from tests.support.processes import TIMEOUT, environment

PAGES = Path(__file__).parent.parent.parent / "docs/how-to"
BUILT_IN = ("command", "expression", "http", "labels", "soak")


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", (PAGES / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("kind", BUILT_IN)
def test_there_is_a_page_with_every_option(kind: str) -> None:
    text = (PAGES / f"gate-{kind}.md").read_text()
    used = [
        rule.kind
        for block in blocks(f"gate-{kind}.md", "yaml")
        for stage in load(block, "page", GATES).stages
        for rule in stage.gates
    ]

    assert set(used) == {kind}
    for name, field in GATES.get(kind).options.model_fields.items():
        key = field.alias or name
        assert f"`{key}`" in text or f"{{{key}:" in text, key


def test_no_kind_is_without_a_page() -> None:
    assert sorted(GATES.names()) == sorted(BUILT_IN)


def test_the_expressions_of_the_page_are_understood() -> None:
    page = (PAGES / "gate-expression.md").read_text()
    assert all(f"`{name}`" in page for name in VARIABLES)

    rules = [
        rule for block in blocks("gate-expression.md", "yaml") for rule in load(block, "page", GATES).stages[0].gates
    ]
    about = question(labels={"risk": "low", "count": "4"})
    tools = Tools(folder=Path(), environment={})

    assert [each.outcome for each in ask(about, rules, tools)] == [Outcome.PASS] * 3  # 14 o'clock in Berlin
    for text, outcome in (
        ("labels.count != 5", Outcome.WAIT),
        ("int(labels.count) != 5", Outcome.PASS),
        ("'owner/team' in labels", Outcome.FAIL),
        ("now.getDayOfWeek('Europe/Berlin') == 2", Outcome.PASS),  # a Tuesday
        ("now + duration('2h') > timestamp('2031-05-06T12:00:00Z')", Outcome.PASS),
        ("stage == 'prod' ? labels.risk == 'low' : false", Outcome.PASS),
        ("images.all(name, images[name] != '')", Outcome.PASS),
        ("double(labels.count) == 4.0 && string(4) == labels.count", Outcome.PASS),
    ):
        [verdict] = ask(about, [GateRule(kind="expression", options={"pass": text})], tools)
        assert verdict.outcome is outcome, f"{text}: {verdict.reason}"


def test_the_document_of_the_page_is_what_programs_get() -> None:
    [shown] = blocks("gate-command.md", "json")

    def shape(value: object, depth: int = 0) -> object:
        return (
            {key: shape(each, depth + 1) for key, each in value.items()}
            if isinstance(value, dict) and depth < 2
            else None
        )

    given = question().to_json()

    assert shape(json.loads(shown)) == shape(given)


def test_the_program_of_the_page_runs(tmp_path: Path) -> None:
    [script] = blocks("gate-command.md", "sh")
    (tmp_path / "check.sh").write_text(script)
    (tmp_path / "check.sh").chmod(0o755)
    tools = Tools(folder=tmp_path, environment={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    rule = GateRule(kind="command", options={"run": ["./check.sh", "--strict"]})
    answers: list[Verdict] = []
    for hour in ("09", "18"):
        (tmp_path / "date").write_text(f"#!/bin/sh\necho {hour}\n")
        (tmp_path / "date").chmod(0o755)
        answers += ask(question(), [rule], tools)

    assert [(each.outcome, each.reason) for each in answers] == [
        (Outcome.PASS, "it is before six"),
        (Outcome.WAIT, "it is after six"),
    ]


def test_the_gate_that_the_page_writes_keeps_the_contract(tmp_path: Path) -> None:
    gate, tests = blocks("write-a-gate.md", "python")
    (tmp_path / "my_gates.py").write_text(gate)
    (tmp_path / "test_my_gates.py").write_text(tests)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
        env=environment(more={"PYTHONPATH": str(tmp_path)}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
