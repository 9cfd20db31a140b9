"""How the difference between two releases is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from liftlock.cli.output import line, table

if TYPE_CHECKING:
    from liftlock.release.difference import Change, Difference

__all__ = ["show_difference"]

SHORT = 60
"""Characters of a value that are shown; programs get all of it."""


def show_difference(found: Difference) -> None:
    """Each part that differs under its heading; before and after in columns."""
    if found.is_empty:
        line("they are the same release")
        return
    parts = [
        ("images", found.images),
        ("artifact", found.facts),
        ("variables", found.variables),
        ("definition", found.definition),
        *((f"tags in {stage}", changes) for stage, changes in found.destinations.items()),
    ]
    shown = [(title, changes) for title, changes in parts if changes]
    for number, (title, changes) in enumerate(shown):
        if number:
            line("")
        line(f"{title}:")
        table([_row(change) for change in changes], indent="  ")
    for stage, why in found.unknown.items():
        line("")
        line(f"tags in {stage} are not known: {why}")


def _row(change: Change) -> list[str]:
    return [change.name, _short(change.before), "→", _short(change.after)]


def _short(value: str) -> str:
    if value.startswith("sha256:"):
        return value.removeprefix("sha256:")[:12]
    return (value if len(value) <= SHORT else f"{value[: SHORT - 1]}…") or "nothing"
