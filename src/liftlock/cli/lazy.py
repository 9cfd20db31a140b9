"""A group of commands that knows their names and one line each, and imports only the one that runs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click

__all__ = ["Entry", "LazyGroup", "Verb"]


class Entry(NamedTuple):
    """One row of a group's table."""

    where: str
    """``module:attribute`` of the click command."""
    help: str
    """The first sentence of the command's own help; a test keeps them equal."""
    section: str = "Commands"
    """The heading it stands under."""


class Verb(click.Command):
    """A command whose help starts with examples."""

    def __init__(self, name: str | None, *, examples: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(name, **settings)
        self.examples = tuple(examples)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    # Not `write_text`: an example is copied from the page, so it is never wrapped.
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
        super().format_help_text(ctx, formatter)


class LazyGroup(click.Group):
    """Commands from a static table: adding one is one file and one row."""

    def __init__(self, name: str | None = None, *, table: Mapping[str, Entry], **settings: Any) -> None:
        super().__init__(name, **settings)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry = self.table.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.where.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.table and not name.startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(f"there is no command {name!r}{self._suggestion(name)}", ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        width = max(map(len, self.table))
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self.table.items():
            # Padded by hand, so that the second columns of all sections stand below each other.
            sections.setdefault(entry.section, []).append((name.ljust(width), entry.help))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)

    def _suggestion(self, name: str) -> str:
        from difflib import get_close_matches

        close = get_close_matches(name, self.table, n=1, cutoff=0.5)
        return f"; did you mean {close[0]!r}?" if close else ""
