"""A build as tests run it: text in, result and log out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from liftlock.auth.secret import Secret
from liftlock.ci.buildspec.read import read
from liftlock.ci.buildspec.result import BuildResult
from liftlock.ci.buildspec.run import run
from liftlock.ci.buildspec.surroundings import Stream, Surroundings
from liftlock.errors import NotFound

NOW = datetime(2026, 11, 22, 13, 0, 0, tzinfo=UTC)


@dataclass
class Shelf:
    """Parameters and secrets by name; what was asked for is in `asked`."""

    values: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def parameter(self, name: str) -> Secret:
        return self._find(name)

    def secret(self, id: str, key: str, stage: str, version: str) -> Secret:  # noqa: A002 - as the protocol has it
        return self._find("|".join((id, key, stage, version)).rstrip("|"))

    def _find(self, name: str) -> Secret:
        self.asked.append(name)
        if name not in self.values:
            raise NotFound(f"{name}: none")
        return Secret(self.values[name])


@dataclass
class Ran:
    """A build that is over."""

    result: BuildResult
    log: list[tuple[Stream, str]]

    @property
    def printed(self) -> list[str]:
        """What commands wrote."""
        return [line for stream, line in self.log if stream == "command"]

    @property
    def said(self) -> str:
        """What the runner wrote, without times."""
        prefix = f"[Container] {NOW:%Y/%m/%d %H:%M:%S} "
        return "\n".join(line.removeprefix(prefix) for stream, line in self.log if stream == "container")

    @property
    def phases(self) -> dict[str, str]:
        return {phase.name: phase.status.value for phase in self.result.phases}


Build = Callable[..., Ran]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def surroundings(source: Path) -> Surroundings:
    """With nothing but a PATH, and no secrets to be had."""
    return Surroundings(
        source=source,
        output=lambda line, stream: None,
        lookups=Shelf(),
        clock=lambda: NOW,
        environment={"PATH": os.environ["PATH"]},
    )


@pytest.fixture
def build(surroundings: Surroundings) -> Build:
    """Runs a buildspec's text; keywords replace what `Surroundings` has."""

    def run_it(text: str, **changes: Any) -> Ran:
        log: list[tuple[Stream, str]] = []
        changes.setdefault("output", lambda line, stream: log.append((stream, line)))
        return Ran(run(read(text.encode(), "buildspec.yml"), replace(surroundings, **changes)), log)

    return run_it


@pytest.fixture
def commands(build: Build) -> Build:
    """Runs commands as one phase ``build``, in this shell."""

    def run_them(*texts: str, shell: str = "bash", **changes: Any) -> Ran:
        items = "".join(f"      - {_quoted(text)}\n" for text in texts)
        head = f"version: 0.2\nenv: {{shell: {shell}}}\n"
        return build(f"{head}phases:\n  build:\n    commands:\n{items}", **changes)

    return run_them


def _quoted(text: str) -> str:
    import json

    return json.dumps(text)
