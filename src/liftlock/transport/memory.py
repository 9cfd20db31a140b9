"""What was learnt about a host, kept in the user's cache folder: a challenge, a quirk, a proof.

It saves requests and is never needed: a file that is missing, damaged, of another version or in a folder that cannot
be written behaves as an empty one. Nothing secret belongs in it.

``json`` is imported where the file is read: connections are opened before.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping

from liftlock.typed import Any

__all__ = ["JSON", "HostMemory"]

JSON = str | int | float | bool | None | list[Any] | dict[str, Any]

LIFETIME = 30 * 24 * 3600.0
"""Seconds after which a fact is forgotten: registries change."""
REFRESH = 24 * 3600.0
"""An unchanged fact is written again only when it is older than this."""
MAX_FILE = 4 * 1024 * 1024

_Facts = dict[str, dict[str, tuple[float, JSON]]]


class HostMemory:
    """Facts by host (``host[:port]``) and name. Safe to use from several threads and several processes.

    ``path`` is the JSON file; None keeps the facts in memory only.
    """

    def __init__(self, path: str | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._facts: _Facts | None = None

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> HostMemory:
        """``$XDG_CACHE_HOME/liftlock/hosts.json``, or the same under ``~/.cache``; in memory where there is no home."""
        home = env.get("HOME", "")
        folder = env.get("XDG_CACHE_HOME") or (os.path.join(home, ".cache") if home else "")
        return cls(os.path.join(folder, "liftlock", "hosts.json") if folder else None)

    def get(self, host: str, fact: str) -> Any | None:
        """What is known; None when nothing is, or it is too old."""
        with self._lock:
            if self._facts is None:
                self._facts = self._read()
            at, value = self._facts.get(host, {}).get(fact, (0.0, None))
        return value if self._is_fresh(at) else None

    def put(self, host: str, fact: str, value: JSON) -> None:
        """Remember a fact, here and (best effort) on disk; None forgets it."""
        now = self._clock()
        with self._lock:
            if self._facts is None:
                self._facts = self._read()
            at, known = self._facts.get(host, {}).get(fact, (0.0, None))
            if known == value and type(known) is type(value) and 0 <= now - at < REFRESH:
                return
            self._facts.setdefault(host, {})[fact] = (now, value)
            if self._path is not None:
                self._write(self._path, host, fact, now, value)

    def _is_fresh(self, at: float) -> bool:
        return 0 <= self._clock() - at < LIFETIME

    def _read(self) -> _Facts:
        if self._path is None:
            return {}
        import json

        try:
            with open(self._path, "rb") as file:
                document = json.loads(file.read(MAX_FILE + 1))
            return {
                host: {fact: (float(at), value) for fact, (at, value) in facts.items() if self._is_fresh(float(at))}
                for host, facts in document["hosts"].items()
                if document["version"] == 1
            }
        except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError, OverflowError):
            return {}

    def _write(self, path: str, host: str, fact: str, now: float, value: JSON) -> None:
        """Add one fact to what is on disk by now: other processes learn too."""
        import fcntl  # most commands learn nothing
        import json

        temporary = f"{path}.{os.getpid()}.{threading.get_ident()}"
        try:
            os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
            with open(f"{path}.lock", "wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                facts = self._read()
                facts.setdefault(host, {})[fact] = (now, value)
                document = {"version": 1, "hosts": {host: known for host, known in facts.items() if known}}
                with open(temporary, "wb", opener=_open_private) as file:
                    file.write(json.dumps(document, separators=(",", ":")).encode())
                os.replace(temporary, path)
        except OSError:
            try:
                os.unlink(temporary)
            except OSError:
                return


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
