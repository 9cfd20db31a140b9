"""Requests to registries, signed: the challenge is learnt once, one token serves all that an operation needs.

What is sent where: Basic credentials and tokens go to the registry's own origin (scheme, host and port), credentials
for a token go to the realm that the registry names; any other URL (an upload ``Location``, a storage redirect) gets
no ``Authorization``. There is no ping: a remembered challenge is answered at once, an unknown one is learnt from the
first 401.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from liftlock.auth.bearer import same_origin
from liftlock.auth.secret import Credential
from liftlock.auth.session import Credentials, Session, twin
from liftlock.errors import AccessDenied, LiftlockError
from liftlock.oci.distribution import Scope
from liftlock.transport.client import Transport
from liftlock.transport.messages import Request, Response

__all__ = ["Authorizer"]


class Authorizer:
    """Signs and sends requests. One per operation; safe to call from several threads.

    ``clock`` gives seconds that only move forward.
    """

    def __init__(
        self, transport: Transport, keychain: Credentials, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.transport = transport
        self._keychain = keychain
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._lock = Lock()

    def want(self, registry: str, scope: Scope) -> None:
        """Declare what this operation is going to need, so that its first token covers it."""
        self._session(registry).want(scope)

    def credential(self, registry: str, repository: str) -> Credential | None:
        """Who one is at a repository, for somebody else who shall read from it; None for nobody."""
        return self._keychain.find(registry, repository)

    def send(self, registry: str, request: Request, scope: Scope | None, *, redirects: bool = True) -> Response:
        """Send a request to ``registry`` with what ``scope`` needs (None: no more than being somebody).

        A 401 is answered once: the challenge is learnt, or the token refreshed, and the request is sent again. Every
        other status is the caller's, 403 included. Raises `AccessDenied` when the registry still says 401, and what
        the transport, the credential stores and the token endpoint raise (`Throttled`, `RegistryError`, …; never
        `NotFound`). A mount needs more than its scope says; when that is refused it is `AccessDenied` too, and the
        same upload without the mount may still be allowed. Who was refused as a stranger because an identity could not
        be had is told why: `AccessDenied` or `ConfigError`.
        """
        if not same_origin(request.url, self.transport.base_url(registry)):
            return self.transport.send(request, redirects=redirects)
        try:
            response = self._session(registry).send(request, scope, redirects=redirects)
        except AccessDenied:
            self._raise_trouble(registry, scope)
            raise
        if response.status == 403:
            try:
                self._raise_trouble(registry, scope)
            except LiftlockError:
                response.close()
                raise
        return response

    def _raise_trouble(self, registry: str, scope: Scope | None) -> None:
        """Raise why one is a stranger at a repository, when that is not for want of an identity."""
        trouble = self._keychain.trouble(registry)
        repository = scope.repository if scope is not None and scope.kind == "repository" else ""
        if trouble is not None and self._keychain.find(registry, repository) is None:
            raise twin(trouble) from None

    def _session(self, registry: str) -> Session:
        with self._lock:
            session = self._sessions.get(registry)
            if session is None:
                session = Session(registry, self.transport, self._keychain, self._clock)
                self._sessions[registry] = session
            return session
