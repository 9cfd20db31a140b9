"""Reads a buildspec."""

from __future__ import annotations

from liftlock.ci.buildspec.model import Buildspec
from liftlock.errors import ConfigError

__all__ = ["read"]


def read(data: bytes, path: str) -> Buildspec:
    """The buildspec in a file's bytes; ``path`` is for messages.

    Raises `ConfigError` naming file and line for whatever is not understood or not honoured: nothing is skipped.
    """
    raise ConfigError(f"buildspecs are not read yet ({len(data)} bytes)", path=path)
