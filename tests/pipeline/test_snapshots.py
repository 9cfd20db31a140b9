"""A snapshot is read back as long as there are releases of it, whatever version wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from liftlock.errors import CorruptContent
from liftlock.oci.digest import Digest
from liftlock.pipeline.load import load
from liftlock.release.pipeline import Pipeline

FIRST = Path(__file__).parent / "snapshots" / "first.json"
"""Written by the first version that made releases, of the file below."""

FILE = """\
pipeline: demo-app
images: [web, worker]
store: ./artifacts
source: registry.example/staging-{image}:{tag}
registries:
  registry.internal:5000: {plain-http: true}
  registry.example: {ca-file: certs/ca.pem}
variables: {team: blue}
stages:
  - name: dev
    to: registry.internal:5000/{team}-{image}
    tags: ["{build}", latest]
  - name: test
    after: [dev]
    to: oci:stages/test
    tags: ["{image}-{build}"]
"""


def test_the_first_versions_snapshot_is_read_and_stays_as_it_is() -> None:
    document = FIRST.read_bytes()
    pipeline = Pipeline.parse(document, Digest.of(document))

    assert pipeline.document == document
    assert [stage.name for stage in pipeline.stages] == ["dev", "test"]


def test_the_same_file_still_gives_the_same_snapshot() -> None:
    assert load(FILE).document == FIRST.read_bytes()


def test_a_newer_versions_snapshot_is_refused_by_that_name() -> None:
    newer = FIRST.read_bytes().replace(b'"name":"dev"', b'"moon":"full","name":"dev"')

    with pytest.raises(CorruptContent) as caught:
        Pipeline.parse(newer, Digest.of(newer))
    assert "newer Liftlock" in caught.value.hint
