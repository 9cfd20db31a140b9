"""What went wrong below HTTP, in a sentence with a hint, and whether trying again may help."""

from __future__ import annotations

import _socket as socket  # see `transport`
import errno

from liftlock.errors import Cancelled, LiftlockError, TransportError
from liftlock.transport.http1 import Dropped, Malformed
from liftlock.transport.urls import redact, split_url

__all__ = ["TRANSPORT_FAILURES", "describe", "speaks_no_tls"]

TRANSPORT_FAILURES = (OSError, EOFError, Dropped, Malformed)
"""What may come out of a connection."""

_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL})
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def describe(error: BaseException, url: str, *, aborted: bool = False) -> LiftlockError:
    """The error to raise for what a connection said while ``url`` was asked; `Cancelled` after an abort."""
    if aborted:
        return Cancelled("cancelled")
    if isinstance(error, LiftlockError):
        return error
    what, hint, temporary = _explain(error, url)
    return TransportError(f"{redact(url)}: {what}", hint=hint, temporary=temporary)


_PLAIN_HINT = "if the registry speaks plain HTTP: --plain-http"


def _explain(error: BaseException, url: str) -> tuple[str, str, bool]:
    """Sentence, hint, temporary."""
    origin, _ = split_url(url)
    if isinstance(error, Dropped):
        if error.cause is not None and not isinstance(error.cause, ConnectionError):
            return _explain(error.cause, url)
        return "the server hung up without an answer", "", True
    if isinstance(error, Malformed):
        return f"the answer is not valid HTTP: {error}", "is this the registry's address and port?", False
    if isinstance(error, EOFError):
        return f"the answer was cut: {error}", "", True
    if isinstance(error, socket.gaierror):
        # Only "no such name" is final; a resolver that cannot be asked may answer the next time.
        final = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
        return f"the host {origin.host} cannot be found: {error.strerror}", "check its name, and DNS", not final
    if isinstance(error, (TimeoutError, BlockingIOError)):
        return "timed out", "the network or the registry is slow, or a firewall drops the packets", True
    if isinstance(error, ConnectionRefusedError):
        return f"{origin.authority} refuses connections", _PLAIN_HINT if origin.scheme == "https" else "", True
    if isinstance(error, ConnectionError):
        return "the connection broke", "", True
    if isinstance(error, OSError):
        return _explain_os_error(error)
    return str(error), "", False


def _explain_os_error(error: OSError) -> tuple[str, str, bool]:
    if type(error).__module__ == "ssl":
        return _explain_tls(error)
    if error.errno in _NO_ROOM:
        return f"no connection can be opened: {error.strerror}", "raise the limit of open files (ulimit -n)", False
    if error.errno in _UNREACHABLE:
        return f"the host cannot be reached: {error.strerror}", "check the network, and whether a proxy is needed", True
    return f"the connection failed: {error.strerror or error}", "", True


def _explain_tls(error: OSError) -> tuple[str, str, bool]:
    import ssl  # loaded already, or there would be no such error

    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the server's certificate is not accepted: {error.verify_message}",
            "if it is signed by an authority of your own: --ca-file, or certs.d",
            False,
        )
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "the connection broke inside TLS", "", True
    reason = _reason(error)
    if speaks_no_tls(error):
        return "the server does not speak TLS on this port", _PLAIN_HINT, False
    if "certificate" in reason or "unknown ca" in reason or "handshake failure" in reason:
        return f"TLS failed: {reason}", "the server may want a client certificate, or refuse ours: certs.d", False
    return f"TLS failed: {reason}", "", True


def speaks_no_tls(error: BaseException | None) -> bool:
    """Whether a TLS handshake failed because the other side speaks something else."""
    reason = _reason(error)
    return "wrong version number" in reason or "http request" in reason or "record layer failure" in reason


def _reason(error: BaseException | None) -> str:
    """OpenSSL's reason for a TLS error, in words; empty for any other error."""
    return str(getattr(error, "reason", "") or "").replace("_", " ").lower()
