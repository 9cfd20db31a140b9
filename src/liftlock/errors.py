"""Every error a user can meet, as one tree.

    LiftlockError                 exit 1
    ├── UsageError                exit 2   the command line or a reference is not well formed
    ├── ConfigError               exit 2   a file is wrong; names the file and the line
    ├── RefusedError              exit 3   our own rules say no
    ├── AccessDenied              exit 4   a registry refuses these credentials
    ├── NotFound                  exit 5   what was named does not exist
    ├── Conflict                  exit 6   the world is not as expected: immutable tag, stale plan, reused build id
    ├── WaitRanOut                exit 7   the time that --wait allowed is over
    ├── TransportError            exit 1   no usable answer: connection, TLS, time-out
    ├── RegistryError             exit 1   an answer that is an error
    │   └── Throttled             exit 1   429, or 503 with Retry-After
    ├── StateUnavailable          exit 1   the database of our state does not do its work now
    ├── CorruptContent            exit 1   bytes are not what their digest, size or format promises
    └── Cancelled                 exit 130 somebody asked to stop

Each has a stable ``code`` for programs, a sentence for people, and where it helps a ``hint`` (what to do) and a
``side`` (``source`` or ``destination``, for copies). Nothing here does I/O, and no message ever holds a secret.
"""

from __future__ import annotations

from liftlock.typed import ClassVar

__all__ = [
    "AccessDenied",
    "Cancelled",
    "ConfigError",
    "Conflict",
    "CorruptContent",
    "LiftlockError",
    "NotFound",
    "RefusedError",
    "RegistryError",
    "StateUnavailable",
    "Throttled",
    "TransportError",
    "UsageError",
    "WaitRanOut",
]


class LiftlockError(Exception):
    """The root. Raise a leaf where one fits; the root itself means "failed" (exit 1)."""

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", side: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.side = side

    @property
    def temporary(self) -> bool:
        """Whether the same request may succeed when it is made again."""
        return False

    def __str__(self) -> str:
        return f"{self.side}: {self.message}" if self.side else self.message


class UsageError(LiftlockError):
    """What was typed cannot be understood."""

    code = "usage"
    exit_code = 2


class ConfigError(LiftlockError):
    """A file's content is wrong; ``path`` and ``line`` (from 1; 0 when unknown) say where."""

    code = "config"
    exit_code = 2

    def __init__(self, message: str, *, path: str = "", line: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.line = line

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.message}" if where else self.message


class RefusedError(LiftlockError):
    """Our own rules refuse it: a decision, not a fault."""

    code = "refused"
    exit_code = 3


class AccessDenied(LiftlockError):
    """A registry refuses these credentials, or they lack the right."""

    code = "denied"
    exit_code = 4


class NotFound(LiftlockError):
    """What was named does not exist."""

    code = "not-found"
    exit_code = 5


class Conflict(LiftlockError):
    """What is there is not what was expected, and stays as it is."""

    code = "conflict"
    exit_code = 6


class WaitRanOut(LiftlockError):
    """The time that ``--wait`` allowed is over; what was done stays done."""

    code = "wait-ran-out"
    exit_code = 7


class TransportError(LiftlockError):
    """No usable answer came: connection refused or cut, TLS, time-out, malformed HTTP."""

    code = "transport"

    def __init__(self, message: str, *, hint: str = "", side: str = "", temporary: bool = True) -> None:
        super().__init__(message, hint=hint, side=side)
        self._temporary = temporary

    @property
    def temporary(self) -> bool:
        return self._temporary


class RegistryError(LiftlockError):
    """A registry answered with an error: HTTP ``status``, and the distribution spec's ``codes``."""

    code = "registry"

    def __init__(
        self, message: str, *, status: int, codes: tuple[str, ...] = (), hint: str = "", side: str = ""
    ) -> None:
        super().__init__(message, hint=hint, side=side)
        self.status = status
        self.codes = codes

    @property
    def temporary(self) -> bool:
        # An upload that the registry lost or cannot go on with is begun anew (distribution/distribution#2225).
        lost = "BLOB_UPLOAD_UNKNOWN" in self.codes or "BLOB_UPLOAD_INVALID" in self.codes
        return lost or self.status == 408 or self.status >= 500


class Throttled(RegistryError):
    """The registry asks for patience; ``retry_after`` in seconds when it said how much."""

    code = "throttled"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        codes: tuple[str, ...] = (),
        retry_after: float | None = None,
        hint: str = "",
        side: str = "",
    ) -> None:
        super().__init__(message, status=status, codes=codes, hint=hint, side=side)
        self.retry_after = retry_after

    @property
    def temporary(self) -> bool:
        return True


class StateUnavailable(LiftlockError):
    """The database of our state is gone, full or busy for too long; what was begun there is undone."""

    code = "state-unavailable"

    @property
    def temporary(self) -> bool:
        return True


class CorruptContent(LiftlockError):
    """Bytes are not what their digest, size or format promises. One fresh attempt may help; then it is final."""

    code = "corrupt"


class Cancelled(LiftlockError):
    """Somebody asked to stop; what was done stays done and is found again by the next run."""

    code = "cancelled"
    exit_code = 130
