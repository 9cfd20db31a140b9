"""Threads that need a token at the same time wait for one request, and share its failure."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

import pytest

from liftlock.auth.authorizer import Authorizer
from liftlock.errors import LiftlockError, RegistryError
from liftlock.transport.client import Transport
from tests.auth.support import CI, PASSWORD, Keys, ask, pull, tags
from tests.conftest import MakeFront, MakeRegistry, MakeTokenServer
from tests.support import faults
from tests.support.registry import Registry
from tests.support.tokens import TokenServer
from tests.support.waiting import until

THREADS = 8


class WatchedLock:
    """A lock that counts who has come to it."""

    def __init__(self) -> None:
        self.came = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self.came += 1
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


@pytest.fixture
def tokens(make_token_server: MakeTokenServer) -> TokenServer:
    return make_token_server(user="ci", password=PASSWORD)


@pytest.fixture
def guarded(make_registry: MakeRegistry, tokens: TokenServer) -> Registry:
    return make_registry(token=tokens)


def together(work: Callable[[], int]) -> list[int | LiftlockError]:
    results: list[int | LiftlockError] = []

    def run() -> None:
        try:
            results.append(work())
        except LiftlockError as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_threads_that_start_together_use_one_token(
    transport: Transport, guarded: Registry, tokens: TokenServer
) -> None:
    authorizer = Authorizer(transport, Keys(CI))

    results = together(lambda: ask(authorizer, guarded.host, tags("one"), pull("one")))

    assert results == [404] * THREADS
    assert len(tokens.requests()) == 1


@pytest.mark.parametrize("scripted", [0, 1])
def test_threads_that_wait_for_a_token_share_what_comes(
    transport: Transport, guarded: Registry, tokens: TokenServer, make_front: MakeFront, scripted: int
) -> None:
    before_tokens = make_front(tokens.host)
    stall = faults.Stall()
    held = before_tokens.rule("GET", "/token", stall)
    service = "liftlock-test-registry"
    transport.memory.put(
        guarded.host, "challenge", {"scheme": "bearer", "realm": f"{before_tokens.url}/token", "service": service}
    )
    authorizer = Authorizer(transport, Keys(CI))
    session = authorizer._session(guarded.host)
    session._confirmed = True  # so that a failing realm is not taken for an outdated one
    lock = WatchedLock()
    session._lock = lock  # type: ignore[assignment]  # it is only entered
    tokens.answer_next(503, times=scripted) if scripted else None
    results: list[list[int | LiftlockError]] = []
    starter = threading.Thread(
        target=lambda: results.append(together(lambda: ask(authorizer, guarded.host, tags("one"), pull("one"))))
    )

    starter.start()
    held.wait()
    until(lambda: lock.came == THREADS, "all threads to wait for the token")
    stall.release()
    starter.join()

    assert len(tokens.requests()) == 1
    if scripted:
        errors = [error for error in results[0] if isinstance(error, RegistryError)]
        assert [error.status for error in errors] == [503] * THREADS
        assert len({id(error) for error in errors}) == THREADS
    else:
        assert results == [[404] * THREADS]
