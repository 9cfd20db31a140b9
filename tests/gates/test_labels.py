"""Labels: one value, one of several, any; and what is no way to say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from liftlock.gates.labels import Labels, LabelsOptions
from liftlock.gates.testing import question
from liftlock.kinds.tools import Tools
from liftlock.release.conditions import Outcome, Verdict

NAMES = {"approved": "yes", "team": "web", "ticket": "OPS-7"}


def asked(options: dict[str, Any], labels: dict[str, str]) -> Verdict:
    read = LabelsOptions.model_validate(options)
    return Labels().evaluate(question(labels=labels), read, Tools(folder=Path(), environment={}))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"approved": "yes"}, "the artifact has the label 'approved'"),
        ({"team": ["payments", "web"]}, "the artifact has the label 'team'"),
        (
            {"ticket": {"present": True}, "team": "web", "approved": ["yes"]},
            "the artifact has the label 'approved', 'team' and 'ticket'",
        ),
    ],
)
def test_it_passes(options: dict[str, Any], reason: str) -> None:
    assert asked(options, NAMES) == Verdict(outcome=Outcome.PASS, reason=reason)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"approved": "no"}, "the artifact's label 'approved' is 'yes', not 'no'"),
        ({"approved": "YES"}, "the artifact's label 'approved' is 'yes', not 'YES'"),
        ({"team": ["a", "b", "we"]}, "the artifact's label 'team' is 'web', not 'a', 'b' or 'we'"),
        (
            {"reviewed": {"present": True}, "approved": "no"},
            "the artifact's label 'approved' is 'yes', not 'no'; the artifact has no label 'reviewed'",
        ),
    ],
)
def test_it_fails(options: dict[str, Any], reason: str) -> None:
    assert asked(options, NAMES) == Verdict(outcome=Outcome.FAIL, reason=reason)


def test_an_empty_label_is_there() -> None:
    assert asked({"ticket": {"present": True}}, {"ticket": ""}).outcome is Outcome.PASS
    assert asked({"ticket": "OPS-7"}, {"ticket": ""}).outcome is Outcome.FAIL


@pytest.mark.parametrize("name", ["wanted", "shorthand", "model_config", "model_fields", "copy", "json", "present"])
def test_a_label_may_have_any_name(name: str) -> None:
    assert asked({name: "yes"}, {name: "yes"}).outcome is Outcome.PASS
    assert asked({name: "yes"}, {name: "no"}).outcome is Outcome.FAIL
    assert asked({name: "yes"}, {}).outcome is Outcome.FAIL


@pytest.mark.parametrize("value", [True, 1, None, [], [1], {}, {"present": False}, {"present": True, "more": "x"}])
def test_what_is_no_label_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="a label is a text in quotes"):
        LabelsOptions.model_validate({"approved": value})


def test_none_at_all_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least one label"):
        LabelsOptions.model_validate({})
