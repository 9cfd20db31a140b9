"""Writes the reference page of the command line from the commands' own help.

`python -m liftlock.cli.reference > docs/reference/cli.md`; a test compares the two.
"""

from __future__ import annotations

import sys

import click

from liftlock.cli.commands import liftlock

__all__ = ["page"]

WIDTH = 100
HEAD = """\
# Commands

Written by `python -m liftlock.cli.reference` from each command's `--help`. What the codes mean that commands end with
is in [exit-codes.md](exit-codes.md), and which variables they read in [environment.md](environment.md).
"""


def page() -> str:
    """The whole page, as Markdown."""
    sections = [HEAD]
    _describe(liftlock, liftlock.make_context("liftlock", [], resilient_parsing=True, terminal_width=WIDTH), sections)
    return "\n".join(sections)


def _describe(command: click.Command, context: click.Context, sections: list[str]) -> None:
    sections.append(f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                _describe(child, child.make_context(name, [], parent=context, resilient_parsing=True), sections)


if __name__ == "__main__":
    sys.stdout.write(page())
