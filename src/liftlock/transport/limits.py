"""How many requests a host gets at once and per second, and when it gets none.

A *slot* is held from before a request is sent until its answer's body has been read. A thread that already holds a
slot, of any host, never waits for another: a copier reads from one registry while it writes to another, and threads
that each hold what the next one needs would wait for ever.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from liftlock.errors import Cancelled
from liftlock.typed import NamedTuple

__all__ = ["Limits", "Slot"]

CALM_SECONDS = 1.0
"""Answers 429 within this time of each other come from one burst, and slow us down once."""


class Slot(NamedTuple):
    """The right to one request."""

    host: str
    large: bool
    thread: threading.Thread


class _Host:
    """What one host is being asked, and may be asked."""

    __slots__ = ("active", "large", "limit", "pause_until", "slowed_at", "tokens", "tokens_at")

    def __init__(self, limit: float, tokens: float, now: float) -> None:
        self.active = 0
        self.large = 0
        self.limit = limit
        self.pause_until = 0.0
        self.slowed_at = -CALM_SECONDS
        self.tokens = tokens
        self.tokens_at = now


def _wait(condition: threading.Condition, seconds: float | None) -> None:
    condition.wait(seconds)


class Limits:
    """Limits per host. Safe to use from several threads.

    ``concurrency`` requests at once; large ones (bodies of blobs) leave one of these to small ones. It is halved by a
    429 and grows back with successes. ``rate``: requests per second, 0 for no limit; bursts of one second.
    """

    def __init__(
        self,
        concurrency: int,
        rate: float = 0.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Condition, float | None], None] = _wait,
    ) -> None:
        self._concurrency = concurrency
        self._rate = rate
        self._burst = max(rate, 1.0)
        self._clock = clock
        self._wait = wait
        self._changed = threading.Condition()
        self._hosts: dict[str, _Host] = {}
        self._held: dict[threading.Thread, int] = {}
        self._aborted = False

    def enter(self, host: str, *, large: bool = False) -> Slot:
        """Wait until this host may be asked. Raises `Cancelled` after `abort`."""
        thread = threading.current_thread()
        with self._changed:
            state = self._host(host)
            while True:
                if self._aborted:
                    raise Cancelled("cancelled")
                seconds = self._seconds_to_wait(state, large, holds_one=thread in self._held)
                if seconds == 0:
                    break
                self._wait(self._changed, seconds)
            if self._rate:
                state.tokens -= 1
            state.active += 1
            state.large += large
            self._held[thread] = self._held.get(thread, 0) + 1
        return Slot(host, large, thread)

    def leave(self, slot: Slot) -> None:
        """Give a slot back; from any thread."""
        with self._changed:
            state = self._hosts[slot.host]
            state.active -= 1
            state.large -= slot.large
            held = self._held[slot.thread] - 1
            if held:
                self._held[slot.thread] = held
            else:
                del self._held[slot.thread]
            self._changed.notify_all()

    def _host(self, host: str) -> _Host:
        state = self._hosts.get(host)
        if state is None:
            state = self._hosts[host] = _Host(self._concurrency, self._burst, self._clock())
        return state

    def _seconds_to_wait(self, state: _Host, large: bool, *, holds_one: bool) -> float | None:
        """0 to go on; None to wait for a slot."""
        if state.pause_until:
            left = state.pause_until - self._clock()
            if left > 0:
                return left
            state.pause_until = 0.0
        limit = int(state.limit)
        if not holds_one and (state.active >= limit or (large and state.large >= max(1, limit - 1))):
            return None
        if self._rate:
            now = self._clock()
            state.tokens = min(self._burst, state.tokens + (now - state.tokens_at) * self._rate)
            state.tokens_at = now
            # A hair less than one token is one: a wait of exactly the missing time may round to it.
            if state.tokens < 1 - 1e-9:
                return (1 - state.tokens) / self._rate
        return 0

    def pause(self, host: str, seconds: float) -> None:
        """Ask this host nothing for so long; a pause that already lasts longer stays."""
        with self._changed:
            state = self._host(host)
            state.pause_until = max(state.pause_until, self._clock() + seconds)

    def slow_down(self, host: str) -> None:
        """The host said that it is asked too much: half as many requests at once."""
        with self._changed:
            state = self._host(host)
            now = self._clock()
            if now - state.slowed_at >= CALM_SECONDS:
                state.slowed_at = now
                state.limit = max(1.0, state.limit / 2)

    def speed_up(self, host: str) -> None:
        """A request succeeded: one more at once after as many successes as there are requests at once."""
        state = self._hosts.get(host)
        if state is None or state.limit >= self._concurrency:
            return
        with self._changed:
            state.limit = min(self._concurrency, state.limit + 1 / state.limit)
            self._changed.notify_all()

    def at_once(self, host: str) -> int:
        """How many requests this host gets at once, now."""
        with self._changed:
            return int(self._host(host).limit)

    def abort(self) -> None:
        """Wake everybody with `Cancelled`."""
        with self._changed:
            self._aborted = True
            self._changed.notify_all()
