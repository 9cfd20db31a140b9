"""What `ls` takes for a registry, and what for a repository."""

from __future__ import annotations

import pytest

from liftlock.errors import UsageError
from liftlock.services.images import registry_of


@pytest.mark.parametrize(
    ("text", "registry"),
    [
        ("localhost", "localhost"),
        ("localhost:5000", "localhost:5000"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("[::1]:5000", "[::1]:5000"),
        ("registry.example", "registry.example"),
        ("registry.example/", "registry.example"),
        ("registry:5000", "registry:5000"),
        ("registry/", "registry"),
        ("oci:5000/", "oci:5000"),
        ("docker.io", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("alpine", ""),
        ("library/alpine", ""),
        ("registry.example/app", ""),
        ("localhost:5000/app", ""),
        ("oci:build", ""),
        ("oci:5000", ""),
        ("docker-archive:app.tar", ""),
    ],
)
def test_a_registry_is_recognised_without_doubt(text: str, registry: str) -> None:
    assert registry_of(text) == registry


@pytest.mark.parametrize("text", ["reg istry.example", "registry.example:port", "-x.example/", ".../"])
def test_what_is_no_host_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        registry_of(text)
