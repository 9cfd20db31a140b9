"""The published JSON Schema and the parser agree, and the reference's examples are examples of both."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from liftlock.errors import ConfigError
from liftlock.pipeline.load import load
from liftlock.pipeline.model import NOT_YET, PipelineFile, RegistryKeys, StageKeys, schema

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference" / "pipeline-file.md"


def examples() -> list[Any]:
    """Every YAML block in the docs and the README that begins with the key `pipeline`."""
    found: list[Any] = []
    for page in [*sorted(ROOT.glob("docs/**/*.md")), *ROOT.glob("README.md")]:
        for block in re.findall(r"^```ya?ml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            if block.startswith("pipeline:"):
                found.append(pytest.param(block, id=f"{page.name}-{len(found)}"))
    return found


def is_valid(text: str) -> bool:
    validator = Draft202012Validator(schema())
    return validator.is_valid(json.loads(json.dumps(yaml.safe_load(text), default=str)))


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("text", examples())
def test_every_example_in_the_docs_is_a_good_file(text: str) -> None:
    load(text)
    assert is_valid(text)


MINIMAL = "pipeline: a\nimages: [web]\nstages: [{name: dev, to: 'x/{image}', tags: [t]}]\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
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
        ("tags: [t]", "tags: []"),
        ("tags: [t]", "tags: [1.0]"),
        ("tags: [t]", "tags: ['']"),
        ("tags: [t]", "tags: t"),
        (", tags: [t]", ""),
        ("'x/{image}'", "[x, y]"),
        ("name: dev", "name: dev, trigger: on-success"),
        ("name: dev", "name: dev, after: dev"),
        ("name: dev", "name: 'd v'"),
        ("name: dev", "name: dev, gates: [{soak: 2h}]"),
    ],
)
def test_what_the_schema_refuses_the_parser_refuses(old: str, new: str) -> None:
    text = MINIMAL.replace(old, new, 1)

    assert text != MINIMAL
    assert is_valid(MINIMAL)
    assert not is_valid(text)
    with pytest.raises(ConfigError):
        load(text)


def test_every_key_is_in_the_reference_and_every_key_there_exists() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|", REFERENCE.read_text(), re.MULTILINE)
    keys = [
        field.alias or name
        for model in (PipelineFile, StageKeys, RegistryKeys)
        for name, field in model.model_fields.items()
    ]

    assert sorted(rows) == sorted(keys)


def test_no_key_is_both_known_and_refused() -> None:
    for model in (PipelineFile, StageKeys, RegistryKeys):
        assert not NOT_YET & set(model.model_fields)
