"""What every test may ask for: registries, fronts, repository names, and a clean environment."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import make_url

from liftlock.engine import setup
from liftlock.store.store import upgrade
from tests.support.aws import Moto
from tests.support.azurite import Azurite
from tests.support.certificates import Authority
from tests.support.front import Front
from tests.support.postgres import Postgres
from tests.support.registry import Registry
from tests.support.tokens import TokenServer

_REPOSITORIES = itertools.count(1)

# What would let a developer's own credentials, proxies or settings into a test.
_UNWANTED = (
    "AWS_", "AZURE_", "BUILD_", "CLOUDSDK_", "CODEBUILD_", "DOCKER_", "GCE_", "GITHUB_", "GITLAB_", "GOOGLE_",
    "LIFTLOCK_", "REGISTRY_", "SSL_CERT_", "XDG_", "CI_",
)  # fmt: skip
_UNWANTED_NAMES = {"ci", "http_proxy", "https_proxy", "no_proxy", "all_proxy", "no_color", "force_color", "columns"}

# No test asserts a time, and Hypothesis's deadline would be one: machines are slow when they are busy.
settings.register_profile("liftlock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("liftlock")


class MakeRegistry(Protocol):
    """Starts a registry with the options of `Registry`; it ends with the test."""

    def __call__(
        self,
        *,
        user: str | None = None,
        password: str | None = None,
        token: TokenServer | None = None,
        tls: Authority | None = None,
        client_certificates: bool = False,
        relative_urls: bool = True,
        delete: bool = True,
        read_only: bool = False,
    ) -> Registry: ...


class MakeTokenServer(Protocol):
    """Starts a token server with the options of `TokenServer`; it ends with the test."""

    def __call__(
        self,
        *,
        user: str | None = None,
        password: str | None = None,
        identity_token: str | None = None,
        expires_in: int = 300,
        valid_for: int | None = None,
        oauth2: bool = True,
        token_field: str = "token",
    ) -> TokenServer: ...


class MakeFront(Protocol):
    """Puts a front before a registry; it ends with the test."""

    def __call__(self, upstream: Registry | str, *, tls: Authority | None = None) -> Front: ...


class NewRepository(Protocol):
    """Names a repository that no other test uses."""

    def __call__(self, name: str = "app") -> str: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--all"):
        return
    slow = [item for item in items if item.get_closest_marker("slow") is not None]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item.get_closest_marker("slow") is None]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty home folder, and an environment without anyone's credentials, proxies or CI variables."""
    for name in os.environ:
        if name.startswith(_UNWANTED) or name.lower() in _UNWANTED_NAMES:
            monkeypatch.delenv(name)
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The certificate authority that signs the servers of this run."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """A registry that all tests share: no credentials, plain HTTP, deletes allowed."""
    with Registry() as running:
        yield running


@pytest.fixture(scope="session")
def other_registry() -> Iterator[Registry]:
    """A second shared registry, for copies across registries."""
    with Registry() as running:
        yield running


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    """Amazon's APIs, played by moto; shared: make what you need under names of your own."""
    with Moto() as running:
        yield running


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """Azure Blob Storage, played by Azurite; shared."""
    with Azurite() as running:
        yield running


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """The PostgreSQL of this run: each test has a database of its own in it. Do not stop it."""
    with Postgres() as running:
        yield running


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Postgres) -> str:
    """A database as ``liftlock db upgrade`` leaves it, to be copied."""
    name = postgres_server.create()
    upgrade(postgres_server.url(name))
    setup.upgrade(make_url(postgres_server.url(name)))
    return name


@pytest.fixture
def postgres(postgres_server: Postgres) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """What `LIFTLOCK_DATABASE_URL` is set to: a test that asks for it runs on SQLite (empty) and on PostgreSQL."""
    if request.param == "sqlite":
        yield ""
        return
    server: Postgres = request.getfixturevalue("postgres_server")
    name = server.create(request.getfixturevalue("postgres_template"))
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def make_registry() -> Iterator[MakeRegistry]:
    """A factory of registries with other options."""
    running: list[Registry] = []

    def make(**options: object) -> Registry:
        running.append(Registry(**options))  # type: ignore[arg-type]  # the protocol types them
        return running[-1]

    yield make
    for each in running:
        each.stop()


@pytest.fixture
def make_token_server(authority: Authority) -> Iterator[MakeTokenServer]:
    """A factory of token servers, signed by `authority`."""
    running: list[TokenServer] = []

    def make(**options: object) -> TokenServer:
        running.append(TokenServer(authority, **options))  # type: ignore[arg-type]  # the protocol types them
        return running[-1]

    yield make
    for each in running:
        each.stop()


@pytest.fixture
def make_front() -> Iterator[MakeFront]:
    """A factory of fault-injecting fronts before registries."""
    running: list[Front] = []

    def make(upstream: Registry | str, *, tls: Authority | None = None) -> Front:
        running.append(Front(upstream, tls=tls))
        return running[-1]

    yield make
    for each in running:
        each.stop()


@pytest.fixture
def new_repo() -> NewRepository:
    """A factory of repository names that no other test uses."""

    def name(name: str = "app") -> str:
        return f"t{next(_REPOSITORIES)}/{name}"

    return name


@pytest.fixture
def repo(new_repo: NewRepository) -> str:
    """A repository name that no other test uses, such as `t17/app`."""
    return new_repo()
