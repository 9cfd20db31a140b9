"""One registry, as one operation knows it: how its repositories are asked, and what was learnt of it.

All targets of a registry share one `Home`. Facts that stay true are kept in the transport's `HostMemory`, so that the
next run does not learn them again; what may change with the registry's version is known for this operation only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from liftlock.auth.authorizer import Authorizer
from liftlock.errors import Cancelled
from liftlock.targets.registry_profile import Profile, profile_of
from liftlock.transport.urls import split_url
from liftlock.typed import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from liftlock.auth.access import RegistryAccess

__all__ = ["PUT_TAKES_BYTES", "SELF_MOUNT", "SINGLE_POST", "VERIFIES_DIGESTS", "Home", "Pace"]

SELF_MOUNT: Final = "self_mount"
"""Fact: mounting a repository's blob onto itself says whether it is there."""
PUT_TAKES_BYTES: Final = "put_takes_bytes"
"""Fact: False where an upload's PUT takes no bytes, so that they come with a PATCH before it."""
SINGLE_POST: Final = "single_post"
"""Fact: one POST with the blob as its body stores it."""
VERIFIES_DIGESTS: Final = "verifies_digests"
"""Fact: the registry refuses a blob that does not have the digest it is sent under."""


class Home:
    """A registry's facts, pace and locks. Safe to use from several threads."""

    def __init__(
        self,
        authorizer: Authorizer,
        registry: str,
        profile: Profile | None = None,
        *,
        access: RegistryAccess | None = None,
        env: Mapping[str, str] = {},
    ) -> None:
        self.authorizer = authorizer
        self.transport = authorizer.transport
        self.registry = registry
        self.profile = profile or profile_of(registry)
        self.access = access
        """What a pipeline file says of it; None when nothing."""
        self.env = env
        """The environment, for asking the registry's cloud."""
        self.made: set[str] = set()
        """The repositories that this operation has made, see `Endpoint.once`."""
        self.referrers_api: bool | None = None
        """Not kept between runs: a registry that learns it would seem to have lost its signatures until forgotten."""
        self.manifest_pace = Pace(self.profile.manifest_puts_per_second)
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    @property
    def base_url(self) -> str:
        """Scheme, host and port: asked each time, since a loopback registry may turn out to speak TLS."""
        return self.transport.base_url(self.registry)

    def fact(self, name: str) -> bool | None:
        """What was learnt, by this run or an earlier one; None when it is not known."""
        value = self.transport.memory.get(self.transport.memory_key(self.registry), name)
        return value if isinstance(value, bool) else None

    def learn(self, name: str, value: bool | None) -> None:
        """Remember; None withdraws what was learnt."""
        if self.fact(name) is not value:
            self.transport.memory.put(self.transport.memory_key(self.registry), name, value)

    def lock(self, key: str) -> threading.Lock:
        """The lock of this name: writers of one thing wait for each other."""
        with self._lock:
            return self._locks.setdefault(key, threading.Lock())

    def abort(self) -> None:
        self.manifest_pace.stop()
        self.transport.abort()

    def own_url(self, url: str) -> str:
        """A URL that the registry gave, with the scheme and port by which it is reached.

        Behind a proxy that ends TLS, registries write ``http://`` into ``Location``; following it would send the
        content, and the token, in the clear.
        """
        (origin, target), (base, _) = split_url(url), split_url(self.base_url)
        if origin.host == base.host and (origin.scheme, base.scheme) == ("http", "https"):
            return f"{base}{target}"
        return url


class Pace:
    """Lets callers through at most ``rate`` times a second (0: always)."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._clock = clock
        self._next = 0.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def wait(self) -> None:
        """Return when it is the caller's turn; raises `Cancelled` after `stop`."""
        if not self._interval:
            return
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + self._interval
        if self._stopped.wait(turn - now):
            raise Cancelled("stopped while waiting for the registry's rate of manifests")

    def stop(self) -> None:
        self._stopped.set()
