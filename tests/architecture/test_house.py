"""The house stays a house: what import-linter (its contracts are in `pyproject.toml`) cannot see."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "liftlock"
MODULES = sorted(SOURCE.rglob("*.py"))

PURE = ("oci", "release", "errors.py", "transfer/plan.py")
"""Rooms and files that are given the time, ids and the environment, and never fetch them."""

IMPURE_CALLS = {
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "datetime.date.today",
    "os.environ",
    "os.environb",
    "os.getenv",
    "os.getpid",
    "os.urandom",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.sleep",
    "time.time",
    "time.time_ns",
    "uuid.uuid1",
    "uuid.uuid4",
}
IMPURE_MODULES = {"random", "secrets", "tempfile", "shutil", "glob", "logging"}

LONGEST = 800


def pure_modules() -> list[Path]:
    return [path for path in MODULES if path.relative_to(SOURCE).as_posix().startswith(PURE)]


def name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def imported(tree: ast.Module) -> dict[str, str]:
    """Local name → the full name of what it was imported from."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.asname and alias.name
                ) or alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def full_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every name and attribute chain that begins at an import, written out in full, with its line."""
    known = imported(tree)
    for node in ast.walk(tree):
        parts: list[str] = []
        inner: ast.AST = node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id in known and isinstance(node, ast.Attribute | ast.Name):
            yield node.lineno, ".".join([known[inner.id], *reversed(parts)])


def impurities(text: str) -> list[str]:
    """What in a module's text reads clock, chance or environment."""
    tree = ast.parse(text)
    found = [f"line {line}: {full}" for line, full in full_names(tree) if full in IMPURE_CALLS]
    return found + [f"imports {full}" for full in imported(tree).values() if full.partition(".")[0] in IMPURE_MODULES]


@pytest.mark.parametrize("path", pure_modules(), ids=name)
def test_pure_modules_read_no_clock_no_chance_and_no_environment(path: Path) -> None:
    assert [] == impurities(path.read_text())


def test_impurity_is_noticed_however_it_is_imported() -> None:
    text = """
import os, time as clock, random
from datetime import datetime as dt, UTC
from os import environ
from uuid import uuid4

def f() -> object:
    return dt.now(UTC), clock.time(), os.environ.get("A"), environ["B"], uuid4(), dt.fromisoformat("2024-01-01")
"""
    assert [
        "datetime.datetime.now",
        "imports random",
        "os.environ",
        "os.environ",
        "time.time",
        "uuid.uuid4",
    ] == sorted(found.rpartition(": ")[2] for found in impurities(text))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_threads_are_the_one_colour(path: Path) -> None:
    """`async def` has a place in `web/`, and nowhere below it."""
    coloured = [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.AsyncFunctionDef)]

    assert [] == ([] if name(path).startswith("web/") else coloured)


def test_modules_are_short() -> None:
    code = [*MODULES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "bench").rglob("*.py"))]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in code}

    assert {} == {path: length for path, length in lengths.items() if length > LONGEST}


def test_the_tests_support_is_independent_of_the_product() -> None:
    """Images, registries and faults are made by other code than that which is tested with them."""
    for path in sorted((ROOT / "tests" / "support").glob("*.py")):
        roots = {full.partition(".")[0] for full in imported(ast.parse(path.read_text())).values()}
        assert "liftlock" not in roots, path
