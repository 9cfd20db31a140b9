"""What a worker lends to gates and notifiers: secrets at the moment of use, a folder, an environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from liftlock.auth.secret import Secret
from liftlock.errors import ConfigError

__all__ = ["MAX_SECRET", "Tools"]

MAX_SECRET = 64 * 1024
"""Bytes of a file that may be a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The worker's own environment; nothing of it is part of a release."""

    folder: Path
    """The pipeline file's: what relative paths mean."""
    environment: Mapping[str, str]
    cancelled: Callable[[], bool] = lambda: False
    """Whether somebody asked to stop; what takes long looks now and then."""

    def secret(self, text: str) -> Secret:
        """What a secret reference (``env:NAME``, ``file:PATH``) stands for; any other text is itself.

        Raises `ConfigError` when there is no such variable or file: the message names it, and never its content.
        """
        kind, _, name = text.partition(":")
        if kind == "env" and name:
            if not self.environment.get(name):
                raise ConfigError(f"the environment variable {name} is not set", hint=f"it stands for {text}")
            return Secret(self.environment[name])
        if kind == "file" and name:
            path = self.folder / name
            try:
                with path.open("rb") as file:
                    content = file.read(MAX_SECRET + 1)
                if len(content) > MAX_SECRET:
                    raise ConfigError("it is too large to be a secret", path=str(path))
                return Secret(content.decode().removesuffix("\n").removesuffix("\r"))
            except OSError as error:
                raise ConfigError(f"the secret cannot be read: {error.strerror}", path=str(path)) from None
            except UnicodeDecodeError:
                raise ConfigError("the secret is not UTF-8 text", path=str(path)) from None
        return Secret(text)
