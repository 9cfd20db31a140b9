"""Connections are opened before the command line is understood: to the registries it names, and to nobody else."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from liftlock.cli.ahead import connect
from liftlock.services.session import Session


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield server


def _host(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    "before",
    [("copy",), ("copy", "--no-referrers", "oci:a/b"), ("digest",), ("tag",), ("copy", "-o", "json", "oci:a/b")],
)
def test_a_registry_that_is_named_is_connected_to(listener: socket.socket, before: tuple[str, ...]) -> None:
    begun = connect([*before, f"{_host(listener)}/app:1", "stable"], {})

    assert begun is not None
    listener.accept()[0].close()
    begun.close()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("copy",),
        ("ls", "{host}/app"),
        ("artifact", "publish", "{host}/app"),
        ("copy", "--from", "{host}/list", "oci:a/b"),
        ("copy", "-o", "{host}/app"),
        ("copy", "team/app:1", "oci:build/app"),
        ("copy", "oci:127.0.0.1:5000/app", "oci-archive:./app.tar"),
        ("copy", "./here/app", "../there/app"),
        ("copy", "https://{host}/app", "http://{host}/app"),
        ("copy", "[not-a-host/app", "user@{host}:x/app"),
    ],
)
def test_nothing_else_is_connected_to(listener: socket.socket, arguments: tuple[str, ...]) -> None:
    assert connect([word.format(host=_host(listener)) for word in arguments], {}) is None


def test_broken_settings_are_left_to_the_command_to_tell(listener: socket.socket) -> None:
    assert connect(["digest", f"{_host(listener)}/app"], {"LIFTLOCK_ATTEMPTS": "many"}) is None


def test_what_was_begun_is_used_unless_options_want_other_settings(listener: socket.socket) -> None:
    begun = connect(["digest", f"{_host(listener)}/app"], {})
    assert begun is not None

    with Session({}, begun=begun) as plain, Session({}, begun=begun, plain_http=["registry.example"]) as other:
        assert plain.transport is begun
        assert other.transport is not begun
        assert other.transport.settings.speaks_plain("registry.example")
