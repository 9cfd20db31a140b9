"""One process at a time: locks that the kernel gives back when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from liftlock.errors import Conflict, LiftlockError
from liftlock.oci.digest import Digest

__all__ = ["exclusively"]


@contextmanager
def exclusively(folder: Path, name: str, *, wait: bool | Callable[[], None] = False) -> Iterator[None]:
    """Hold the lock of this name, in a folder on a local disk, for the length of the block.

    ``wait`` says what to do while another process or thread holds it: raise `Conflict` (False), wait (True), or call
    this between tries, which may sleep, and ends the waiting by raising.
    """
    path = folder / f"{Digest.of(name.encode()).hex[:32]}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise LiftlockError(f"the lock {path} cannot be made: {error.strerror}") from None
    try:
        if wait is True:
            fcntl.flock(lock, fcntl.LOCK_EX)
        else:
            while not _try(lock):
                if not wait:
                    raise Conflict(f"another process is at work on {name}", hint="try again when it is done")
                wait()
        yield
    finally:
        os.close(lock)


def _try(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
