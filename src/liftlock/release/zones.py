"""Time zones, by the names that people write."""

from __future__ import annotations

from contextlib import suppress
from zoneinfo import ZoneInfo

from liftlock.errors import UsageError

__all__ = ["zone"]

_LOCAL = ("localtime", "posixrules", "Factory")
"""Names that a machine's zone data may have, and that mean something else on each."""


def zone(name: str) -> ZoneInfo:
    """The zone of this name (``Europe/Berlin``, ``UTC``); raises `UsageError`."""
    # A folder of zones is an OSError, an unknown name a KeyError, a path a ValueError.
    with suppress(ValueError, OSError, KeyError):
        if name not in _LOCAL:
            return ZoneInfo(name)
    raise UsageError(
        f"{name[:80]!r} is no time zone", hint="write it as in the tz database: Europe/Berlin, America/New_York, UTC"
    )
