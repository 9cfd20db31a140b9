"""What things may be called, and how a mistyped name is answered."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

__all__ = ["IMAGE_NAME", "NAME", "VARIABLE_NAME", "is_clean", "suggestion"]

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
"""Pipelines and stages. The patterns are written so that JSON Schema, pydantic and Python read them alike."""

IMAGE_NAME = r"^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$"
"""Images: one part of a repository's name (distribution spec, "Pulling manifests"), since ``{image}`` becomes one."""

VARIABLE_NAME = r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$"
"""A pipeline's own variables."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]")


def is_clean(text: str, limit: int) -> bool:
    """Whether a text is one line of at most ``limit`` characters that every JSON reader and terminal takes."""
    return len(text) <= limit and not _CONTROL.search(text)


def suggestion(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint for a name that is not known: the nearest one, else all of them after ``otherwise``."""
    names = list(known)
    nearest = difflib.get_close_matches(word, names, n=1)
    if nearest:
        return f"did you mean {nearest[0]!r}?"
    return f"{otherwise}{', '.join(names)}" if otherwise and names else ""
