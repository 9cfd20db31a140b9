"""A line with a round trip: forwards TCP to a server and holds every byte back for a while, in both directions.

    with Delay("127.0.0.1:5000", round_trip=0.020) as line:
        … talk to line.host …

It delays, and does not narrow: what is on its way is not limited. It runs as a process of its own, so that it takes no
time from the tool that is measured. This file needs nothing but the standard library, since it is also that process's
program. Opening a connection costs its round trip too: a client's first bytes leave one round trip after it began to
connect, or when they are sent, whichever is later.

Event loops count in whole milliseconds, so a round trip is up to 2 ms longer than asked for; it is the same for all.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

_ON_THE_WAY = 64 << 20


class Delay:
    """A delaying line to `upstream` ("host:port"), on a free port of 127.0.0.1; `round_trip` in seconds."""

    def __init__(self, upstream: str, *, round_trip: float) -> None:
        self.round_trip = round_trip
        self._process = subprocess.Popen(
            [sys.executable, __file__, upstream, str(round_trip)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.host = self._process.stdout.readline().strip()
        """Where to connect: `127.0.0.1:PORT`."""
        if not self.host:
            self._process.communicate()
            raise RuntimeError("the delaying line did not start")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process; it also ends when this one does."""
        self._process.communicate()


class _End(asyncio.Protocol):
    """One end of a connection; what it receives goes to `other` after `delay` seconds."""

    def __init__(self, delay: float, opening: float = 0.0) -> None:
        self.delay = delay
        self.opening = opening
        self.other: _End | None = None
        self.transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._waiting = 0
        self._last = 0.0
        self._queue: deque[Callable[[], None]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._last = self._loop.time() + self.opening + self.delay
        transport.set_write_buffer_limits(high=_ON_THE_WAY)

    def data_received(self, data: bytes) -> None:
        self._waiting += len(data)
        if self._waiting > _ON_THE_WAY and self.transport is not None:
            self.transport.pause_reading()
        self._later(partial(self._pass_on, data))

    def eof_received(self) -> bool:
        self._later(self._pass_end)
        return True

    def connection_lost(self, exception: Exception | None) -> None:
        self._later(self._pass_loss)

    def _later(self, deed: Callable[[], None]) -> None:
        # The loop does not keep the order of what is due at the same moment; the queue does.
        self._queue.append(deed)
        self._loop.call_at(self._due(), self._next)

    def _next(self) -> None:
        self._queue.popleft()()

    def _due(self) -> float:
        # Never before what came earlier, nor before an opened connection could have brought anything.
        self._last = max(self._loop.time() + self.delay, self._last)
        return self._last

    def _pass_on(self, data: bytes) -> None:
        self._waiting -= len(data)
        if self._waiting <= _ON_THE_WAY and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()
        other = None if self.other is None else self.other.transport
        if other is not None and not other.is_closing():
            other.write(data)

    def _pass_end(self) -> None:
        other = None if self.other is None else self.other.transport
        if other is not None and not other.is_closing() and other.can_write_eof():
            other.write_eof()

    def _pass_loss(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class _Client(_End):
    """The end at which a client connects; it opens the other one."""

    def __init__(self, host: str, port: int, delay: float) -> None:
        super().__init__(delay, opening=2 * delay)
        self._address = (host, port)
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        assert self.transport is not None
        try:
            _, other = await self._loop.create_connection(lambda: _End(self.delay), *self._address)
        except OSError:
            self.transport.abort()
            return
        self.other, other.other = other, self
        if not self.transport.is_closing():
            self.transport.resume_reading()


async def _serve(upstream: str, delay: float) -> None:
    host, _, port = upstream.rpartition(":")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Client(host, int(port), delay), "127.0.0.1", 0, backlog=512)
    print(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    # The pipe's end is the end of the process that started this one.
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def _main() -> None:
    parser = argparse.ArgumentParser(description="Forward TCP with a delay; ends when stdin does.")
    parser.add_argument("upstream")
    parser.add_argument("round_trip", type=float)
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.upstream, arguments.round_trip / 2))


if __name__ == "__main__":
    _main()
