"""Transports that are closed when their test is over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import pytest

from liftlock.transport.client import Transport
from liftlock.transport.memory import HostMemory
from liftlock.transport.settings import Settings


class MakeTransport(Protocol):
    def __call__(self, settings: Settings | None = None, *, memory: HostMemory | None = None) -> Transport: ...


@pytest.fixture
def make_transport() -> Iterator[MakeTransport]:
    """A factory of transports."""
    made: list[Transport] = []

    def make(settings: Settings | None = None, *, memory: HostMemory | None = None) -> Transport:
        made.append(Transport(settings, memory=memory))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


@pytest.fixture
def transport(make_transport: MakeTransport) -> Transport:
    """A transport that is not patient enough for a hanging test."""
    return make_transport(Settings(read_timeout=10))
