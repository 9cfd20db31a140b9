"""One process at a time: a lock that the kernel gives back when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from liftlock.errors import LiftlockError
from liftlock.oci.digest import Digest

__all__ = ["exclusively"]


@contextmanager
def exclusively(folder: Path, name: str) -> Iterator[None]:
    """Wait for the lock of this name, in a folder on a local disk, and hold it for the length of the block."""
    path = folder / f"{Digest.of(name.encode()).hex[:32]}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise LiftlockError(f"the lock {path} cannot be made: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
