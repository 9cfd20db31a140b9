"""Registry targets for tests: on one transport that waits for nothing between its attempts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import pytest

from liftlock.auth.authorizer import Authorizer
from liftlock.auth.keychain import Keychain
from liftlock.targets.registry import RegistryTarget, Verify
from liftlock.targets.registry_home import Home
from liftlock.targets.registry_profile import Profile
from liftlock.transport.client import Transport


class OpenRegistry(Protocol):
    """Opens a repository; targets of one host share their `Home`, as in one operation."""

    def __call__(
        self, host: str, repository: str, *, profile: Profile | None = None, verify: Verify = "auto"
    ) -> RegistryTarget: ...


@pytest.fixture
def transport() -> Iterator[Transport]:
    transport = Transport()
    transport._retrier._random = lambda: 0.0
    yield transport
    transport.close()


@pytest.fixture
def authorizer(transport: Transport) -> Authorizer:
    return Authorizer(transport, Keychain({}))


@pytest.fixture
def open_registry(authorizer: Authorizer) -> OpenRegistry:
    homes: dict[str, Home] = {}

    def open_one(
        host: str, repository: str, *, profile: Profile | None = None, verify: Verify = "auto"
    ) -> RegistryTarget:
        home = homes.get(host)
        if home is None or profile is not None:
            home = homes[host] = Home(authorizer, host, profile)
        return RegistryTarget(authorizer, host, repository, verify=verify, home=home)

    return open_one
