"""What has to be kept up by hand names everything there is: pins, the table of dependencies, the engine's files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ]", each, maxsplit=1)[0].lower() for each in requirements}


def test_every_dependency_is_pinned() -> None:
    pins = re.findall(r"^([^#=\s]+)==\S+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)

    extras = [each for extra in PROJECT["optional-dependencies"].values() for each in extra]
    assert _names([*PROJECT["dependencies"], *extras]) <= {pin.lower() for pin in pins}


def test_the_constraints_say_how_they_are_renewed_with_every_extra() -> None:
    named = re.search(r"\.\[([a-z,]+)\]' in a fresh environment", (ROOT / "constraints.txt").read_text())

    assert named
    assert set(named[1].split(",")) == set(PROJECT["optional-dependencies"])


def test_the_architecture_says_why_each_dependency_is_there() -> None:
    told = {
        name.lower() for row in re.findall(r"^\| ([\w, -]+) \|", ARCHITECTURE, re.MULTILINE) for name in row.split(", ")
    }

    assert _names(PROJECT["dependencies"]) <= told
    assert {extra for extra in PROJECT["optional-dependencies"] if f"`[{extra}]`" not in ARCHITECTURE} == {"dev"}


def test_the_architecture_tells_what_each_file_of_the_engine_holds() -> None:
    told = {
        name
        for row in re.findall(r"^\| (`\w+\.py`.*?) \|", ARCHITECTURE, re.MULTILINE)
        for name in re.findall(r"\w+\.py", row)
    }

    assert told == {path.name for path in (ROOT / "src" / "liftlock" / "engine").glob("[a-z]*.py")}
