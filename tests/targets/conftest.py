"""Targets for tests: registries on one transport that waits for nothing between its attempts, archives that close."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest

from liftlock.auth.authorizer import Authorizer
from liftlock.auth.keychain import Keychain
from liftlock.targets.docker_archive import DockerArchive
from liftlock.targets.registry import RegistryTarget, Verify
from liftlock.targets.registry_home import Home
from liftlock.targets.registry_profile import Profile
from liftlock.transport.client import Transport

OpenDocker = Callable[..., DockerArchive]
"""Opens a docker archive with the options of `DockerArchive`; it is closed with the test."""


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


@pytest.fixture
def open_docker() -> Iterator[OpenDocker]:
    opened: list[DockerArchive] = []

    def open_one(path: object, **options: Any) -> DockerArchive:
        opened.append(DockerArchive(str(path), **options))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()
