"""Names the side of a copy that an error came from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from liftlock.errors import LiftlockError
from liftlock.typed import Literal

__all__ = ["at"]


@contextmanager
def at(side: Literal["source", "destination"]) -> Iterator[None]:
    """Errors raised inside came from this side, unless they say otherwise already."""
    try:
        yield
    except LiftlockError as error:
        error.side = error.side or side
        raise
