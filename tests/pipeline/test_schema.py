"""The published JSON Schema and the reader agree, and every example that is published is an example of both."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from liftlock.errors import ConfigError
from liftlock.gates.table import GATES
from liftlock.notify.table import NOTIFIERS
from liftlock.pipeline.document import Unquoted, parse
from liftlock.pipeline.load import load
from liftlock.pipeline.model import (
    NOT_YET,
    AnyKeys,
    ApprovalKeys,
    NotifyKeys,
    OverrideKeys,
    PipelineFile,
    RegistryKeys,
    RollbackKeys,
    SamplingKeys,
    ScheduleKeys,
    StageKeys,
)
from liftlock.pipeline.schema import schema
from tests.pipeline import kinds

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference" / "pipeline-file.md"
MODELS = (PipelineFile, StageKeys, RegistryKeys, SamplingKeys, ApprovalKeys, NotifyKeys, OverrideKeys, RollbackKeys)


def examples() -> list[Any]:
    """Every YAML block in the docs and the README that begins with the key `pipeline`, and every file in examples."""
    found: list[Any] = []
    for page in [*sorted(ROOT.glob("docs/**/*.md")), *ROOT.glob("README.md"), *sorted(ROOT.glob("examples/**/*.md"))]:
        for block in re.findall(r"^```ya?ml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            if re.search(r"^pipeline:", block, re.MULTILINE):
                found.append(pytest.param(block, id=f"{page.name}-{len(found)}"))
    files = sorted(ROOT.glob("examples/pipelines/*.yaml"))
    return [*found, *(pytest.param(file.read_text(), id=file.name) for file in files)]


def as_json(value: Any) -> Any:
    """What an editor's YAML reader makes of a file: numbers are numbers."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return 1.5 if isinstance(value, Unquoted) else value


@cache
def published() -> Draft202012Validator:
    return Draft202012Validator(schema(GATES, NOTIFIERS))


KNOWN = Draft202012Validator(schema(kinds.GATES, kinds.NOTIFIERS))


def is_valid(text: str, validator: Draft202012Validator) -> bool:
    return validator.is_valid(as_json(parse(text.encode(), "liftlock.yaml").value))


def test_the_schema_is_one() -> None:
    for made in (schema(), schema(GATES, NOTIFIERS), schema(kinds.GATES, kinds.NOTIFIERS)):
        Draft202012Validator.check_schema(made)
        references = set(re.findall(r"'\$ref': '#/\$defs/([^']+)'", str(made)))
        assert references <= set(made["$defs"])


def test_there_are_examples() -> None:
    assert sum(str(each.id).endswith(".yaml") for each in examples()) >= 5


@pytest.mark.parametrize("text", examples())
def test_every_published_example_is_a_good_file(text: str) -> None:
    load(text, "liftlock.yaml", GATES, NOTIFIERS)
    assert is_valid(text, published())


FIRST = "name: early, to: 'x/early-{image}', tags: [t]"
STAGE = "name: dev, to: 'x/{image}', tags: [t]"
MINIMAL = f"pipeline: a\nimages: [web]\ngroups: {{ops: [ann, bob]}}\nstages: [{{{FIRST}}}, {{{STAGE}}}]\n"


def stage(keys: str) -> str:
    return MINIMAL.replace("name: dev", f"name: dev, {keys}")


@pytest.mark.parametrize(
    "keys",
    [
        "trigger: on-publish",
        "trigger: {schedule: '0 6 * * * UTC'}",
        "queue: supersede",
        "after: []",
        "gates: []",
        "after: [early], gates: [{soak: 2h}, {soak: {for: 2h}}]",
        "gates: [{labels: }, {labels: {labels: {a: 1}}}]",
        "gates: [{http: {url: 'env:U', headers: {A: 'file:a'}, status: [200], retry: {times: 3}}}]",
        "gates: [{team: {any: 'yes', key: 'no'}}]",
        "sampling: {delay: 1m}",
        "approvals: {from: [ops], count: 2, requester-may-approve: true, expires: 1h}",
        "approvals: none, override: none",
        "override: {from: [ops]}",
        "rollback: {without: []}",
        "rollback: {without: [freeze]}",
        "freeze: ['fri 16:00 - mon 08:00 UTC']",
        "notify: [{webhook: {url: x}}]",
        "notify: [{webhook: {url: x, secret: 'env:S'}, on: [success, approval-needed], required: true}]",
    ],
)
def test_what_the_reader_takes_the_schema_takes(keys: str) -> None:
    load(stage(keys), "liftlock.yaml", kinds.GATES, kinds.NOTIFIERS)

    assert is_valid(stage(keys), KNOWN)


@pytest.mark.parametrize(
    "text",
    [
        *(
            MINIMAL.replace(old, new, 1)
            for old, new in (
                ("pipeline: a", "pipeline: 1"),
                ("pipeline: a", "pipeline: -a"),
                ("pipeline: a\n", ""),
                ("images: [web]", "images: []"),
                ("images: [web]", "images: [We]"),
                ("images: [web]", "images: web"),
                ("images: [web]", "images: [web]\nstore:"),
                ("images: [web]", "images: [web]\nstore: ''"),
                ("images: [web]", "images: [web]\nvariables: {1a: b}"),
                ("images: [web]", "images: [web]\nvariables: {a: 1}"),
                ("images: [web]", "images: [web]\nregistries: {r: {plain-http: 'no'}}"),
                ("images: [web]", "images: [web]\nregistries: {r: {ca-file: ''}}"),
                ("images: [web]", "images: [web]\nregistries: {r: {role: x}}"),
                ("images: [web]", "images: [web]\nregistries: [r]"),
                ("images: [web]", "images: [web]\ndefaults: {name: x}"),
                ("images: [web]", "images: [web]\ndefaults: {to: x}"),
                ("images: [web]", "images: [web]\ndefaults: {gates: [{soak: x}]}"),
                ("[ann, bob]", "[]"),
                ("[ann, bob]", "ann"),
                ("{ops:", "{o ps:"),
                ("tags: [t]", "tags: []"),
                ("tags: [t]", "tags: [1.0]"),
                ("tags: [t]", "tags: ['']"),
                ("tags: [t]", "tags: t"),
                (", tags: [t]", ""),
                ("'x/{image}'", "[]"),
                ("'x/{image}'", "{a: b}"),
                ("name: dev", "name: 'd v'"),
            )
        ),
        *map(
            stage,
            (
                "after: dev",
                "after: {all: [x]}",
                "after: {any: []}",
                "trigger: later",
                "trigger: {schedule: [x]}",
                "trigger: {cron: '* * * * * UTC'}",
                "queue: last",
                "gates: soak",
                "gates: [soak]",
                "gates: [{}]",
                "gates: [{soak: 2h, http: {url: x}}]",
                "gates: [{soka: 2h}]",
                "gates: [{soak: }]",
                "gates: [{soak: 2.5}]",
                "gates: [{soak: {for: 2h, since: x}}]",
                "gates: [{soak: 2 hours}]",
                "gates: [{http: {url: x, retry: {times: 10}}}]",
                "gates: [{http: x}]",
                "gates: [{team: {any: 1}}]",
                "sampling: {every: 5}",
                "sampling: 5m",
                "approvals: {count: 2}",
                "approvals: {from: [ops], count: 0}",
                "approvals: {from: [ops], count: '1'}",
                "approvals: {from: []}",
                "approvals: nobody",
                "approvals: [ops]",
                "override: [ops]",
                "rollback: [freeze]",
                "freeze: 'fri 16:00 - mon 08:00 UTC'",
                "notify: [{on: [success]}]",
                "notify: [{webhook: {url: x}, on: [failed]}]",
                "notify: [{webhook: {url: x}, on: []}]",
                "notify: [{webhook: {url: x}, required: 'yes'}]",
                "notify: [{webhook: {url: x, secret: swordfish}}]",
                "notify: [{soak: 2h}]",
                "verify: x",
            ),
        ),
    ],
)
def test_what_the_schema_refuses_the_reader_refuses(text: str) -> None:
    assert text != MINIMAL
    assert is_valid(MINIMAL, KNOWN)
    assert not is_valid(text, KNOWN)
    with pytest.raises(ConfigError):
        load(text, "liftlock.yaml", kinds.GATES, kinds.NOTIFIERS)


def test_every_key_is_in_the_reference_and_every_key_there_exists() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|", REFERENCE.read_text(), re.MULTILINE)
    keys = {field.alias or name for model in MODELS for name, field in model.model_fields.items()}

    assert set(rows) == keys


def test_no_key_is_both_known_and_refused() -> None:
    for model in (*MODELS, AnyKeys, ScheduleKeys):
        assert not NOT_YET & set(model.model_fields)
