"""Connections that are kept between requests, opened ahead of need, and shut down by an abort."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from liftlock.errors import Cancelled, LiftlockError
from liftlock.transport.connection import Connection, Sockets
from liftlock.transport.dial import Dialer, Route
from liftlock.transport.failures import TRANSPORT_FAILURES

__all__ = ["Pool"]

IDLE_SECONDS = 50.0
"""A connection that was idle longer is not used again: load balancers forget them after a minute, without a word."""


class _Opening:
    """A connection on its way, begun ahead of need."""

    __slots__ = ("claimed", "connection", "over", "route")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.claimed = False
        """Whether somebody waits for exactly this one."""
        self.connection: Connection | None = None
        self.over = threading.Event()


class Pool:
    """Keeps idle connections by route. Safe to use from several threads."""

    def __init__(
        self, dialer: Dialer, sockets: Sockets, most_idle: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._dialer = dialer
        self._sockets = sockets
        self._most_idle = most_idle
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: dict[Route, list[Connection]] = {}
        self._openings: set[_Opening] = set()
        self._closed = False

    def take(self, route: Route, *, fresh: bool = False) -> Connection:
        """A connection to use: an idle one unless a ``fresh`` one is wanted, one that is on its way, or a new one.

        Raises what `Dialer.open` raises.
        """
        while not fresh:
            connection = self._take_idle(route)
            if connection is None:
                break
            if self._clock() - connection.idle_since < IDLE_SECONDS and connection.is_idle():
                return connection
            self.drop(connection)
        return self._dialer.open(route)

    def _take_idle(self, route: Route) -> Connection | None:
        with self._lock:
            idle = self._idle.get(route)
            if idle:
                return idle.pop()
            opening = next((each for each in self._openings if each.route == route and not each.claimed), None)
            if opening is None:
                return None
            opening.claimed = True
        # What was begun earlier is ready earlier than what we would begin now.
        opening.over.wait()
        if self._sockets.aborted.is_set():
            raise Cancelled("cancelled")
        return opening.connection

    def give(self, route: Route, connection: Connection) -> None:
        """Keep a connection for the next request."""
        connection.idle_since = self._clock()
        connection.kept = True
        with self._lock:
            idle = self._idle.setdefault(route, [])
            if len(idle) < self._most_idle and not self._closed:
                idle.append(connection)
                return
        self.drop(connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection."""
        self._sockets.close(connection.sock)

    def warm(self, route: Route, connections: int) -> None:
        """Begin to open connections until there are so many; a failure is left to whoever needs the connection."""
        with self._lock:
            have = len(self._idle.get(route, ())) + sum(each.route == route for each in self._openings)
            openings = [_Opening(route) for _ in range(min(connections, self._most_idle) - have)]
            if self._closed:
                return
            self._openings.update(openings)
        for opening in openings:
            threading.Thread(target=self._carry_out, args=(opening,), name="liftlock-warm", daemon=True).start()

    def _carry_out(self, opening: _Opening) -> None:
        connection = None
        try:
            connection = self._dialer.open(opening.route)
        except (*TRANSPORT_FAILURES, LiftlockError):
            pass  # whoever needs a connection opens its own, and meets the error
        with self._lock:
            self._openings.discard(opening)
            if opening.claimed:
                opening.connection, connection = connection, None
            if opening.connection is not None:
                opening.connection.idle_since = self._clock()
        if connection is not None:
            self.give(opening.route, connection)
        opening.over.set()

    def close(self) -> None:
        """Close the idle connections; those in use are closed when they come back."""
        with self._lock:
            self._closed = True
            idle = [connection for each in self._idle.values() for connection in each]
            self._idle.clear()
            openings = list(self._openings)
        for connection in idle:
            self.drop(connection)
        if self._sockets.aborted.is_set():
            for opening in openings:
                opening.over.set()
