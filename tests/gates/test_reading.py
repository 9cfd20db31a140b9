"""What a pipeline file says about gates becomes a stage's rules; what is wrong is named with its line."""

from __future__ import annotations

from typing import Any

import pytest

from liftlock.errors import ConfigError
from liftlock.gates.table import GATES
from liftlock.pipeline.load import load

FILE = """\
pipeline: demo
images: [web]
stages:
  - name: dev
    to: dev.example/{image}
    tags: ["{build}"]
  - name: prod
    after: [dev]
    to: prod.example/{image}
    tags: ["{build}"]
    gates:
      - """


def read(gate: str) -> tuple[str, Any]:
    [rule] = load(FILE + gate, "liftlock.yaml", GATES).stage("prod").gates
    GATES.get(rule.kind).options.model_validate(dict(rule.options))
    return rule.kind, dict(rule.options)


@pytest.mark.parametrize(
    ("gate", "kind", "options"),
    [
        ("soak: 2h", "soak", {"for": "2h"}),
        ("soak: {for: 2h, while-current: true}", "soak", {"for": "2h", "while-current": True}),
        ("http: https://checks.example/", "http", {"url": "https://checks.example/"}),
        (
            "http: {url: env:URL, headers: {X-Token: env:TOKEN}, pass: json.ok, fail-when: status > 500}",
            "http",
            {"url": "env:URL", "headers": {"X-Token": "env:TOKEN"}, "pass": "json.ok", "fail-when": "status > 500"},
        ),
        ("labels: {approved: 'yes', team: [a, b]}", "labels", {"approved": "yes", "team": ["a", "b"]}),
        ("labels: {ticket: {present: true}}", "labels", {"ticket": {"present": True}}),
        ("command: [./check.sh, --strict]", "command", {"run": ["./check.sh", "--strict"]}),
        (
            "command: {run: [./check.sh], env: {TOKEN: file:token}, timeout: 2m}",
            "command",
            {"run": ["./check.sh"], "env": {"TOKEN": "file:token"}, "timeout": "2m"},
        ),
        ("expression: labels.risk != 'high'", "expression", {"pass": "labels.risk != 'high'"}),
    ],
)
def test_what_is_written_is_kept(gate: str, kind: str, options: Any) -> None:
    assert read(gate) == (kind, options)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("soak: 2", "and should be text"),
        ("soak: 2 hours", "'2 hours' is no duration"),
        ("soak: {while-current: true}", "for is missing"),
        ("soak: {for: 2h, whilecurrent: true}", "'whilecurrent' is not a key of a gate of the kind soak"),
        ("soak: {for: 2h, while_current: true}", "'while_current' is not a key of a gate of the kind soak"),
        ("http: {url: https://checks.example/, pass: 'stauts == 200'}", "pass: there is no 'stauts'"),
        ("http: {url: https://checks.example/, timeout: 1h}", "timeout: 1h is not between 1s and 5m"),
        ("labels: {approved: yes}", "approved: a label is a text in quotes"),
        ("labels: {}", "name at least one label"),
        ("labels: {approved: env:APPROVED}", "is a secret reference, and those are not taken here"),
        ("labels: approved", "labels takes a mapping of options"),
        ("command: ./check.sh --strict", "run is text, and should be a list"),
        ("expression: labels.risk ==", "pass: it is not an expression: it cannot be read at line 1, column 13"),
        ("expresion: 'true'", "there is no gate of the kind 'expresion'"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(gate: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(gate)

    assert message in str(caught.value)
    assert str(caught.value).startswith("liftlock.yaml:12: ")
