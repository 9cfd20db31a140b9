"""Changes a credentials file that other tools own too: whole or not at all, and nothing but what was meant."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable

from liftlock.auth.files import AuthFile
from liftlock.errors import ConfigError
from liftlock.typed import Any

__all__ = ["rewrite"]

_INDENT = re.compile(r"\s*\{[ \t]*\r?\n([ \t]+)\"")


def rewrite(path: str, change: Callable[[AuthFile], None]) -> None:
    """Let ``change`` alter the ``content`` of the file at ``path`` (an empty one when there is none), and write it.

    Every other field, their order and the indentation stay. The file is replaced in one step, readable by its owner
    only; a symbolic link stays one, and its target is replaced. Two of these at the same time wait for each other.
    Raises `ConfigError` when the file is malformed, or cannot be written.
    """
    import fcntl  # only a login needs these
    import tempfile

    real = os.path.realpath(path)
    folder = os.path.dirname(real)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            file = AuthFile.read(real) or AuthFile(real, "")
            change(file)
            # mkstemp gives a new file of mode 0600 that no link can lead elsewhere.
            handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(real)}.", dir=folder)
            try:
                _fill(handle, _formatted(file.content, file.text))
                _keep_owner(temporary, real)
                os.replace(temporary, real)
            except BaseException:
                os.unlink(temporary)
                raise
        finally:
            os.close(lock)
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", path=path) from None


def _fill(handle: int, text: str) -> None:
    with open(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _keep_owner(temporary: str, real: str) -> None:
    """Under sudo the file still belongs to the user."""
    try:
        before = os.stat(real)
        if before.st_uid != os.geteuid():
            os.chown(temporary, before.st_uid, before.st_gid)
    except (FileNotFoundError, PermissionError):
        return


def _formatted(content: dict[str, Any], like: str) -> str:
    """The content as JSON in the style of the text it came from; like Docker's when there was none."""
    indent = _INDENT.match(like)
    compact = bool(like.strip()) and "\n" not in like.strip()
    text = json.dumps(
        content,
        indent=None if compact else indent[1] if indent else "\t",
        separators=(",", ":") if compact and '": ' not in like else None,
        ensure_ascii=like.isascii(),
    )
    return text if like and not like.endswith("\n") else f"{text}\n"
