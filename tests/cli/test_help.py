"""Help, version, completion, the reference pages, and what a command loads."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import pytest

import liftlock
from liftlock.cli import reference
from liftlock.cli.commands import TABLE
from liftlock.cli.commands import liftlock as root
from tests.support import peers
from tests.support.images import Image
from tests.support.processes import liftlock as run
from tests.support.processes import loaded_modules
from tests.support.registry import Registry

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "reference"
HEAVY = {"alembic", "dbos", "logging", "pydantic", "rich", "sqlalchemy", "sqlite3", "yaml", "ssl", "dataclasses"}


def commands(group: click.Group = root, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    """Every command by the words that run it, those of groups too."""
    context = click.Context(group)
    found: dict[tuple[str, ...], click.Command] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found[*path, name] = command
        if isinstance(command, click.Group):
            found |= commands(command, (*path, name))
    return found


def test_version_is_the_packages() -> None:
    assert run("--version").out == f"liftlock {liftlock.__version__}\n"
    assert "click" not in loaded_modules("--version")


def test_help_needs_no_command() -> None:
    modules = loaded_modules("--help")

    assert not {module for module in modules if module.startswith("liftlock.cli.copy")}
    assert HEAVY.isdisjoint(modules)


def test_the_table_says_what_the_commands_say() -> None:
    found = commands()
    for name, entry in TABLE.items():
        command = found[name,]
        assert command.name == name
        assert (command.help or "").startswith(entry.help)


def test_every_help_begins_with_examples_of_the_command() -> None:
    page = reference.page()
    for path, command in commands().items():
        if isinstance(command, click.Group):
            continue
        words = " ".join(("liftlock", *path))
        text = page.partition(f"## {words}\n")[2].partition("\n## ")[0]
        usage, _, rest = text.partition("Examples:")
        examples = getattr(command, "examples", ())
        assert examples, f"{words} has no example"
        assert all(words in example and example in rest for example in examples)
        assert usage.strip().removeprefix("```text\n").startswith(f"Usage: {words} ")
        assert "Options:" in rest


def test_the_reference_page_is_the_commands_own_help() -> None:
    """When this fails: python -m liftlock.cli.reference > docs/reference/cli.md."""
    assert (DOCS / "cli.md").read_text() == reference.page()


def test_every_variable_that_is_read_is_documented() -> None:
    page = (DOCS / "environment.md").read_text()
    documented = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", page))
    code = _code_of("cli", "services", "transport", "auth")

    own = set(re.findall(r"\"(LIFTLOCK_[A-Z_]+)\"", code))
    asked = set(re.findall(r"env(?:\.get\(|\[|, )\"([A-Z][A-Z0-9_]+)\"", code))
    assert own | asked <= documented
    known = own | set(re.findall(r"\bLIFTLOCK_[A-Z_]+", _code_of("ci")))  # which names what it hands on, too
    assert {name for name in documented if name.startswith("LIFTLOCK_")} <= known


def _code_of(*rooms: str) -> str:
    return "\n".join(path.read_text() for room in rooms for path in (ROOT / "src" / "liftlock" / room).rglob("*.py"))


def test_a_copy_loads_nothing_heavy(registry: Registry, repo: str, image: Image) -> None:
    assert image.digest
    modules = loaded_modules("copy", f"{registry.host}/{repo}:v1", f"{registry.host}/{repo}:v2", "--progress", "none")

    assert HEAVY.isdisjoint(modules), HEAVY & modules


def test_the_completion_script_is_valid_bash() -> None:
    script = run("completion", "bash").out

    checked = subprocess.run([peers.require("bash"), "-n"], input=script, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "_LIFTLOCK_COMPLETE" in script


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_too(shell: str) -> None:
    assert "_LIFTLOCK_COMPLETE" in run("completion", shell).out


def test_completion_knows_commands_and_options() -> None:
    env = {"_LIFTLOCK_COMPLETE": "bash_complete"}

    names = run(env={**env, "COMP_WORDS": "liftlock in", "COMP_CWORD": "1"}).out
    options = run(env={**env, "COMP_WORDS": "liftlock copy --no-", "COMP_CWORD": "2"}).out

    assert names == "plain,inspect\nplain,init\n"
    assert options.split() == ["plain,--no-referrers", "plain,--no-clobber"]
