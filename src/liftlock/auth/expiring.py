"""What clouds give out for a while: asked for once, for all threads, and again shortly before its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from threading import Lock

from liftlock.errors import LiftlockError
from liftlock.typed import Any, NamedTuple, TypeVar, cast

__all__ = ["Expiring", "claims"]

T = TypeVar("T")

LONGEST_MARGIN = 300.0
"""Seconds before its end at which something is no longer used; of what lives shortly a quarter of its life."""


class _Kept(NamedTuple):
    value: object
    good_until: float


class _Place:
    """One key's value, its lock, and how its last try failed."""

    __slots__ = ("failure", "failures", "kept", "lock")

    def __init__(self) -> None:
        self.lock = Lock()
        self.kept: _Kept | None = None
        self.failure: LiftlockError | None = None
        self.failures = 0


class Expiring:
    """Values by key, each with its end. Keys may hold secrets: they are compared, never shown.

    ``clock`` gives seconds since the epoch, as the ends of tokens do.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._places: dict[Hashable, _Place] = {}
        self._lock = Lock()

    def get(self, key: Hashable, ask: Callable[[], tuple[T, float]]) -> T:
        """The value of a key; ``ask`` gives a new one and its end, in seconds since the epoch.

        One thread asks, the others wait for it, and share its error when it fails: a secret that was refused is not
        offered again and again.
        """
        with self._lock:
            place = self._places.setdefault(key, _Place())
        kept, failures = place.kept, place.failures
        if kept is None or kept.good_until <= self._clock():
            with place.lock:
                kept = place.kept
                if kept is None or kept.good_until <= self._clock():
                    if place.failures != failures and place.failure is not None:
                        raise _twin(place.failure)
                    kept = place.kept = self._ask(place, ask)
        return cast(T, kept.value)

    def forget(self) -> None:
        """Ask anew for everything."""
        with self._lock:
            self._places.clear()

    def _ask(self, place: _Place, ask: Callable[[], tuple[object, float]]) -> _Kept:
        now = self._clock()
        try:
            value, end = ask()
        except LiftlockError as error:
            place.failure = _twin(error)
            place.failures += 1
            raise
        return _Kept(value, end - min(LONGEST_MARGIN, max(0.0, end - now) / 4))


def _twin(error: LiftlockError) -> LiftlockError:
    """The same error once more, for another thread: it adds its own side and traceback."""
    twin = type(error).__new__(type(error), *error.args)
    twin.__dict__.update(error.__dict__)
    return twin


def claims(token: str) -> Mapping[str, Any]:
    """What a JWT says, unverified; nothing when it is none."""
    import json
    from base64 import urlsafe_b64decode

    parts = token.split(".")
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
