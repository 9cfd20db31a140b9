"""What was really sent and received, by host: for reports, progress and request budgets."""

from __future__ import annotations

import threading

from liftlock.typed import NamedTuple

__all__ = ["HostTraffic", "Traffic"]


class HostTraffic(NamedTuple):
    """Requests that went out, and the bytes of bodies in either direction (of answers: once they are read)."""

    requests: int = 0
    sent: int = 0
    received: int = 0


class Traffic:
    """Counts by host (``host[:port]``). Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hosts: dict[str, HostTraffic] = {}

    def add(self, host: str, *, requests: int = 0, sent: int = 0, received: int = 0) -> None:
        with self._lock:
            old = self._hosts.get(host, HostTraffic())
            self._hosts[host] = HostTraffic(old.requests + requests, old.sent + sent, old.received + received)

    def by_host(self) -> dict[str, HostTraffic]:
        """The counts so far."""
        with self._lock:
            return dict(self._hosts)

    def total(self) -> HostTraffic:
        """The counts of all hosts together."""
        counts = self.by_host().values()
        return HostTraffic(*(sum(column) for column in zip(*counts, strict=True))) if counts else HostTraffic()
