"""Where a user's own files are: what may be forgotten, what must be found again, what was configured."""

from __future__ import annotations

import os
from collections.abc import Mapping

from liftlock.errors import ConfigError
from liftlock.typed import NamedTuple

__all__ = ["Folders"]


class Folders(NamedTuple):
    """Paths, not made yet. Source: XDG Base Directory Specification 0.8."""

    cache: str | None
    """What was learnt of hosts; None where there is no safe place for it, and then it is kept in memory."""
    state: str
    """Tag locks and journals."""
    config: str
    """Settings of the user; never written to."""

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Folders:
        """``$XDG_…_HOME/liftlock``, else below ``$HOME``, else (no home, or one that cannot be written) a folder of
        this user's own among the temporary files. Raises `ConfigError` when somebody else owns that one.
        """
        home = env.get("HOME", "")
        config = _base(env, "XDG_CONFIG_HOME", home, ".config")
        state = _base(env, "XDG_STATE_HOME", home, ".local/state")
        cache = _base(env, "XDG_CACHE_HOME", home, ".cache")
        return cls(
            cache=os.path.join(cache, "liftlock") if cache and _writable(cache) else None,
            state=os.path.join(state, "liftlock") if state and _writable(state) else _temporary(env),
            config=os.path.join(config or "/etc", "liftlock"),
        )


def _base(env: Mapping[str, str], variable: str, home: str, below: str) -> str:
    path = env.get(variable, "")
    if os.path.isabs(path):  # "All paths must be absolute; if relative, the path should be ignored."
        return path
    return os.path.join(home, below) if os.path.isabs(home) else ""


def _writable(path: str) -> bool:
    """Whether this folder is there and can be written, or could be made."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.access(path, os.W_OK | os.X_OK) and os.path.isdir(path)


def _temporary(env: Mapping[str, str]) -> str:
    """A folder that only this user can write, at a place that the next run finds again."""
    path = os.path.join(env.get("TMPDIR") or "/tmp", f"liftlock-{os.getuid()}")  # noqa: S108 - owner and mode are checked
    hint = "set XDG_STATE_HOME to a folder of your own"
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        found = os.lstat(path)
        # Another user may have put a link or a folder of theirs at this well-known place.
        if found.st_uid != os.getuid() or found.st_mode & 0o170077 != 0o040000:
            raise ConfigError(f"{path} is not a folder of this user alone", hint=hint) from None
    except OSError as error:
        raise ConfigError(f"there is no folder for state: {path}: {error.strerror}", hint=hint) from None
    return path
