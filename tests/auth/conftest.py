"""A transport that forgets everything with the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from liftlock.transport.client import Transport


@pytest.fixture
def transport() -> Iterator[Transport]:
    transport = Transport()
    yield transport
    transport.close()
