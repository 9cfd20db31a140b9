"""One HTTP request on behalf of a pipeline file: with a deadline, a bounded answer, and a guard on where it may lead.

Pipeline files may be written by others than those whose worker carries them out. So a URL does not reach addresses
inside the worker's own network unless its options say so, and the addresses by which clouds hand out a machine's
credentials never. Redirects are not followed. Of a URL no message shows more than the host: the rest may be a secret.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from liftlock.auth.secret import Secret
from liftlock.errors import Cancelled, ConfigError, LiftlockError, Throttled, TransportError
from liftlock.kinds.tools import Tools
from liftlock.transport.client import Transport
from liftlock.transport.messages import Headers, Request
from liftlock.transport.retry import retry_after
from liftlock.transport.settings import Settings, TlsFiles
from liftlock.transport.urls import Origin, redact, split_url

__all__ = ["MAX_ANSWER", "Answer", "Call", "call"]

MAX_ANSWER = 1024 * 1024
"""Bytes of an answer that are read; a longer one is an error."""

_LOOK = 0.1
"""Seconds between two looks at whether somebody asked to stop."""

_AGAIN = frozenset({408, 425, 429})
"""Refusals that may be over the next time; so may every 5xx."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. ``url`` may hold a user name and a password: they are sent as Basic authorization."""

    method: str
    url: Secret
    timeout: float
    """Seconds for everything, from the name's look-up to the answer's last byte."""
    headers: Mapping[str, Secret] = field(default_factory=dict)
    body: bytes | None = None
    allow_private: bool = False
    """Whether it may lead to loopback and private addresses."""
    tls: TlsFiles | None = None
    """Files for this host alone; None for what the environment says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; any status is an answer."""

    status: int
    headers: Headers
    body: bytes
    host: str
    """Whose answer it is, as it may be shown."""

    def require_success(self, reason: str = "", hint: str = "") -> None:
        """Raise unless the status is 2xx: temporary for 408, 425, 429 and 5xx, final for everything else.

        ``reason`` is what the answer says itself, as far as it may be shown.
        """
        if 200 <= self.status < 300:
            return
        what = f"{self.host} answers with status {self.status}{f' ({reason})' if reason else ''}"
        if self.status == 429 or (self.status == 503 and "retry-after" in self.headers):
            raise Throttled(what, status=self.status, retry_after=retry_after(self.headers))
        if 300 <= self.status < 400:
            hint = "redirects are not followed: name the URL that it leads to"
        raise TransportError(what, hint=hint, temporary=self.status in _AGAIN or self.status >= 500)


def call(request: Call, tools: Tools) -> Answer:
    """Send it, once, and read the answer.

    Raises `ConfigError` for what is no ``http`` or ``https`` URL, `TransportError` when no whole answer came in time
    (temporary) or where it leads is not allowed (final), `Cancelled` when somebody asked to stop.
    """
    origin, target = _split(request.url)
    url = f"{origin}{target}"
    settings = Settings.from_environment(
        tools.environment, connect_timeout=request.timeout, read_timeout=request.timeout, attempts=1
    )
    if request.tls is not None:
        settings = settings._replace(tls={origin.authority: request.tls})
    transport = Transport(settings)
    watch = _Watch(transport, tools, request.timeout)
    try:
        _check_address(transport.reaches(url), origin, allow_private=request.allow_private)
        headers = {**_authorization(request.url), **{name: value.reveal() for name, value in request.headers.items()}}
        response = transport.send(Request(request.method, url, headers, request.body), redirects=False)
        try:
            body = response.read(MAX_ANSWER)
        finally:
            response.close()
        return Answer(status=response.status, headers=response.headers, body=body, host=origin.authority)
    except LiftlockError as error:
        # A new error, without the old one as its cause: that one may name the whole URL.
        failure = watch.failure(origin) or _told(error, url, origin)
    finally:
        watch.over()
        transport.close()
    raise failure


def _split(url: Secret) -> tuple[Origin, str]:
    try:
        urlsplit(url.reveal())
        return split_url(url.reveal())
    except (TransportError, ValueError):
        pass  # whose message would show the URL
    raise ConfigError("the url is no http or https URL", hint="write https://host/path, or env:NAME of one")


def _check_address(kind: str, origin: Origin, *, allow_private: bool) -> None:
    if kind == "unknown":
        raise TransportError(f"{origin.authority}: the host cannot be found", hint="check its name, and DNS")
    if kind == "metadata":
        raise TransportError(
            f"{origin.authority} is where a cloud hands out this machine's credentials: refused", temporary=False
        )
    if kind == "private" and not allow_private:
        raise TransportError(
            f"{origin.authority} is a private address: refused",
            hint="if that is meant, say allow-private: true",
            temporary=False,
        )


def _authorization(url: Secret) -> dict[str, str]:
    user, found, _ = urlsplit(url.reveal()).netloc.rpartition("@")
    if not found:
        return {}
    name, _, password = user.partition(":")
    pair = f"{unquote(name)}:{unquote(password)}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _told(error: LiftlockError, url: str, origin: Origin) -> LiftlockError:
    """The same error with nothing of the URL but its host."""
    if not isinstance(error, TransportError):
        return error
    return TransportError(
        error.message.replace(redact(url), origin.authority), hint=error.hint, temporary=error.temporary
    )


class _Watch:
    """Ends a request that takes too long, or that somebody asked to stop: it cannot end itself while it waits."""

    def __init__(self, transport: Transport, tools: Tools, timeout: float) -> None:
        self._transport = transport
        self._tools = tools
        self._timeout = timeout
        self._over = threading.Event()
        self._late = False
        self._thread = threading.Thread(target=self._run, name="liftlock-call", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        deadline = time.monotonic() + self._timeout
        while not self._over.wait(max(0.0, min(_LOOK, deadline - time.monotonic()))):
            self._late = time.monotonic() >= deadline
            if self._late or self._tools.cancelled():
                self._transport.abort()
                return

    def failure(self, origin: Origin) -> LiftlockError | None:
        """The error to raise when it was this watch that ended the request."""
        if self._late:
            return TransportError(f"{origin.authority} does not answer within {self._timeout:g} s")
        return Cancelled("cancelled") if self._tools.cancelled() else None

    def over(self) -> None:
        """The request has ended."""
        self._over.set()
        self._thread.join()
