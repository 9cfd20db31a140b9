"""Texts with places to fill, and files that are never overwritten by mistake."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from textwrap import indent, wrap

from liftlock.errors import Conflict, LiftlockError

__all__ = ["fill", "listed", "write"]

_PLACE = re.compile(r"^(?P<before>[ #]*)<<(?P<block>[a-z_]+)>>\n|<<(?P<word>[a-z_]+)>>", re.MULTILINE)


def fill(name: str, /, **values: str) -> str:
    """The template of this name with ``<<word>>`` replaced. Alone on a line, a text of several lines gets the line's
    indentation, and an empty one takes the line away."""
    text = files("liftlock.ci.recipes").joinpath("templates", name).read_text("utf-8")

    def filled(match: re.Match[str]) -> str:
        if match["word"]:
            return values[match["word"]]
        value = values[match["block"]].rstrip("\n")
        return indent(value, match["before"], lambda line: bool(line.strip())) + "\n" if value else ""

    return _PLACE.sub(filled, text)


def listed(items: Sequence[str]) -> str:
    """What is to be filled in, an item a line."""
    ends = [";"] * (len(items) - 1) + ["."]
    lines = (f"{item}{end}" for item, end in zip(items, ends, strict=True))
    return "\n".join(part for line in lines for part in wrap(f"- {line}", 110, subsequent_indent="  "))


def write(folder: Path, texts: Mapping[str, str], *, force: bool) -> None:
    """Write files below a folder. Unless ``force``: raises `Conflict` when one is there, before anything is written."""
    there = [name for name in texts if (folder / name).exists()]
    if there and not force:
        raise Conflict(
            f"{' and '.join(str(folder / name) for name in there)} {'are' if there[1:] else 'is'} there already",
            hint="look at what would be written with --dry-run; --force overwrites, --folder writes elsewhere",
        )
    written: list[Path] = []
    try:
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            written.append(path)
            path.write_text(text, "utf-8")
    except OSError as error:
        if not force:
            for path in written:
                with suppress(OSError):
                    path.unlink()
        raise LiftlockError(f"{error.filename} cannot be written: {error.strerror}") from None
