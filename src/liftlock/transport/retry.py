"""The one retry layer: everything above makes single attempts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from liftlock.errors import Cancelled, CorruptContent, LiftlockError, Throttled
from liftlock.transport.limits import Limits
from liftlock.transport.messages import Headers
from liftlock.typed import TypeVar

__all__ = ["Retrier", "retry_after"]

T = TypeVar("T")

BASE_SECONDS = 0.25
"""The first wait is up to this long, the next up to twice as long, and so on."""
MOST_SECONDS = 20.0
"""No wait of our own choice is longer."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _random() -> float:
    import random  # only where something failed

    return random.random()  # noqa: S311 - spreads retries, protects nothing


class Retrier:
    """Repeats attempts that failed temporarily, with full jitter around a backoff that is shared per host.

    The state of a host: its *trouble*, the exponent of the backoff, which each failure raises by one and each success
    halves, so that many threads that talk to an ailing host back off together (as regclient does in
    ``internal/reghttp``). ``Retry-After`` pauses the whole host, for as long as it says, up to ``longest_pause``.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        attempts: int = 5,
        longest_pause: float = 600.0,
        wait: Callable[[float], bool],
        random: Callable[[], float] = _random,
    ) -> None:
        self._limits = limits
        self._attempts = attempts
        self._longest_pause = longest_pause
        self._wait = wait
        """Waits so many seconds; true when an abort cut it short."""
        self._random = random
        self._lock = threading.Lock()
        self._trouble: dict[str, float] = {}

    def run(self, host: str, attempt: Callable[[], T]) -> T:
        """Call ``attempt`` until it succeeds, fails for good, or has failed as often as allowed.

        `CorruptContent` gets one fresh attempt. Raises the last error; `Cancelled` when an abort cuts a wait short.
        """
        failures, corrupt = 0, False
        while True:
            try:
                result = attempt()
            except CorruptContent:
                if corrupt:
                    raise
                corrupt = True
                continue
            except LiftlockError as error:
                failures += 1
                if not error.temporary:
                    raise
                if failures >= self._attempts:
                    error.hint = error.hint or f"{failures} attempts were made"
                    raise
                delay = self._delay(host, error)
            else:
                self._succeeded(host)
                return result
            if self._wait(delay):
                raise Cancelled("cancelled")

    def _delay(self, host: str, error: LiftlockError) -> float:
        """Note a failure, and say how long to wait; raises the error when the host asks for too long a pause."""
        with self._lock:
            trouble = self._trouble.get(host, 0.0)
            self._trouble[host] = min(trouble + 1, 10.0)
        delay = self._random() * min(MOST_SECONDS, BASE_SECONDS * 2**trouble)
        if not isinstance(error, Throttled):
            return delay
        asked = error.retry_after
        if asked is None:
            self._limits.pause(host, delay)
            return delay
        if asked > self._longest_pause:
            error.hint = f"the host asks for {asked:.0f} s of patience; at most {self._longest_pause:.0f} s are waited"
            raise error
        self._limits.pause(host, asked)
        return asked + delay

    def _succeeded(self, host: str) -> None:
        if host in self._trouble:
            with self._lock:
                left = self._trouble.get(host, 0.0) / 2
                if left < 0.5:
                    self._trouble.pop(host, None)
                else:
                    self._trouble[host] = left


def retry_after(headers: Headers, clock: Callable[[], float] = time.time) -> float | None:
    """Seconds of patience that an answer asks for (RFC 9110 section 10.2.3: seconds, or a date); None without."""
    value = headers.get("retry-after").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    at = _http_date(value)
    return None if at is None else max(0.0, at - clock())


def _http_date(text: str) -> float | None:
    """``Sun, 06 Nov 1994 08:49:37 GMT`` as seconds since the epoch; None in any other form."""
    from datetime import UTC, datetime  # hosts mostly send seconds

    parts = text.replace(":", " ").split()
    if len(parts) != 8 or parts[2] not in _MONTHS or parts[7] != "GMT":
        return None
    try:
        day, year, hour, minute, second = (int(parts[index]) for index in (1, 3, 4, 5, 6))
        return datetime(year, _MONTHS.index(parts[2]) + 1, day, hour, minute, min(second, 59), tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None
