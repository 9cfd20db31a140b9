"""Serialises our own writers of one tag, in this process and in others on this machine.

Registries offer no conditional tag PUT (Debian's ignores ``If-Match``), so two of our copies to one tag must not
interleave their check, set and read-back. Others' writers are caught by the read-back only.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from liftlock.errors import LiftlockError
from liftlock.oci.digest import Digest
from liftlock.transfer.events import Cancel

__all__ = ["hold"]

POLL = 0.05
"""Seconds between tries: ``flock`` cannot be woken by a cancel."""


@contextmanager
def hold(names: Iterable[str], folder: str, cancel: Cancel, patience: float | None = None) -> Iterator[None]:
    """Hold the locks of all these names, waiting for whoever has them; always in one order, so never in a deadlock.

    After ``patience`` seconds it goes on without those it did not get: whoever has them may be stopped, for ever.
    """
    deadline = None if patience is None else time.monotonic() + patience
    with ExitStack() as stack:
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            for name in sorted(set(names)):
                path = os.path.join(folder, f"{Digest.of(name.encode()).hex[:32]}.lock")
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                stack.callback(os.close, descriptor)
                while not _try(descriptor) and (deadline is None or time.monotonic() < deadline):
                    cancel.wait(POLL)
        except OSError as error:
            raise LiftlockError(f"cannot lock tags in {folder}: {error.strerror}") from None
        yield


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
