"""Looking for a digest by how it begins."""

from __future__ import annotations

import re

from sqlalchemy import Column, ColumnElement, false

__all__ = ["begins_with"]

_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{4,64})\Z")


def begins_with(column: Column[str], text: str) -> ColumnElement[bool]:
    """Whether a column's sha256 digest begins with these four or more hexadecimal digits; never, for other texts."""
    match = _PREFIX.match(text)
    return column.startswith(f"sha256:{match[1]}") if match else false()
