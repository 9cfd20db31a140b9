"""Secret references are looked up where they are used, and no message has what they stand for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from liftlock.errors import ConfigError
from liftlock.kinds.tools import MAX_SECRET, Tools


def tools(folder: Path, **environment: str) -> Tools:
    return Tools(folder=folder, environment=environment)


def test_a_variable(tmp_path: Path) -> None:
    secret = tools(tmp_path, TOKEN="t0k3n").secret("env:TOKEN")

    assert secret.reveal() == "t0k3n"
    assert "t0k3n" not in f"{secret} {secret!r}"


@pytest.mark.parametrize(
    ("content", "secret"), [(b"t0k3n\n", "t0k3n"), (b"t0k3n\r\n", "t0k3n"), (b" a\nb \n\n", " a\nb \n"), (b"", "")]
)
def test_a_file_without_the_end_of_its_last_line(tmp_path: Path, content: bytes, secret: str) -> None:
    (tmp_path / "token").write_bytes(content)

    assert tools(tmp_path).secret("file:token").reveal() == secret
    assert tools(Path("/")).secret(f"file:{tmp_path}/token").reveal() == secret


@pytest.mark.parametrize("text", ["plain", "env:", "file:", "ENV:TOKEN", "https://example/?a=env:TOKEN", ""])
def test_anything_else_is_itself(tmp_path: Path, text: str) -> None:
    assert tools(tmp_path, TOKEN="t0k3n").secret(text).reveal() == text


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the environment variable TOKEN is not set"):
        tools(tmp_path).secret("env:TOKEN")
    with pytest.raises(ConfigError, match="the environment variable TOKEN is not set"):
        tools(tmp_path, TOKEN="").secret("env:TOKEN")
    with pytest.raises(ConfigError, match=f"{tmp_path}/token: the secret cannot be read: No such file"):
        tools(tmp_path).secret("file:token")
    with pytest.raises(ConfigError, match="Is a directory"):
        tools(tmp_path).secret("file:.")


def test_what_is_no_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (MAX_SECRET + 1))
    (tmp_path / "binary").write_bytes(b"t0k3n\xff")

    with pytest.raises(ConfigError, match="too large"):
        tools(tmp_path).secret("file:large")
    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        tools(tmp_path).secret("file:binary")
    assert "t0k3n" not in str(caught.value)


def test_the_workers_own_environment_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "TOKEN", "t0k3n")

    with pytest.raises(ConfigError):
        tools(tmp_path).secret("env:TOKEN")
