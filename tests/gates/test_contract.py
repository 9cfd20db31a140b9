"""Every kind of gate that comes with Liftlock keeps what is asked of kinds from outside."""

from __future__ import annotations

from liftlock.gates.command import Command
from liftlock.gates.expression import Expression
from liftlock.gates.http import Http
from liftlock.gates.labels import Labels
from liftlock.gates.soak import Soak
from liftlock.gates.table import GATES
from liftlock.gates.testing import GateContract

NOBODY = "http://127.0.0.1:9/"
"""Where nothing listens."""


class TestSoak(GateContract):
    gate = Soak
    examples = ({"for": "2h"}, {"for": "7d", "while-current": True})


class TestLabels(GateContract):
    gate = Labels
    examples = ({"approved": "yes"}, {"team": ["a", "b"], "ticket": {"present": True}})


class TestExpression(GateContract):
    gate = Expression
    examples = (
        {"pass": "artifact.build == '42'"},
        {"pass": "labels['risk'] == 'low'"},
        {"pass": "now.getHours() < 8"},
    )


class TestCommand(GateContract):
    gate = Command
    examples = (
        {"run": ["sh", "-c", "echo fine"]},
        {"run": ["sh", "-c", "echo $TOKEN; exit 8"], "env": {"TOKEN": "env:SECRET"}, "timeout": "30s"},
        {"run": ["sh", "-c", "echo noise >&2; exit 1"]},
        {"run": ["./not-there"]},
    )


class TestHttp(GateContract):
    gate = Http
    online = True
    examples = (
        {"url": NOBODY},
        {
            "url": f"{NOBODY}hook",
            "method": "POST",
            "headers": {"Authorization": "env:SECRET"},
            "body": "env:SECRET",
            "timeout": "5s",
            "pass": "json.ready == true",
            "fail-when": "status >= 500",
            "allow-private": True,
        },
    )


def test_every_kind_is_tested() -> None:
    tested: set[type[object]] = {each.gate for each in (TestSoak, TestLabels, TestExpression, TestCommand, TestHttp)}

    assert {type(GATES.get(name)) for name in GATES.names()} == tested
