"""What the APIs of hosts have in common: JSON behind a bearer token, errors with a reason, things that take a while."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from liftlock.auth.secret import Secret
from liftlock.errors import AccessDenied, Cancelled, ConfigError, NotFound, TransportError
from liftlock.kinds.http import Answer, Call, call
from liftlock.kinds.tools import Tools
from liftlock.transport.settings import TlsFiles
from liftlock.transport.urls import is_loopback, split_url

__all__ = ["Api", "is_open", "parsed"]

_LOOK = 0.1
"""Seconds between two looks at whether somebody asked to stop."""

_REASON = re.compile(r"[A-Za-z]{1,64}\Z")
"""How a reason may look that is shown: a word, and nothing that was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One API, for as long as one message takes."""

    base: Secret
    """Its URL, without a slash at the end."""
    token: Callable[[], Secret | None]
    """Asked for with every request: it may end before all is done."""
    tools: Tools
    timeout: float
    """Seconds for each request."""
    allow_private: bool
    tls: TlsFiles | None = None
    hints: Mapping[int, str] = field(default_factory=dict)
    """What to do about a status."""

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        tolerated: tuple[int, ...] = (),
    ) -> Answer:
        """The answer to one request, of a status from 200 to 299 or one that is tolerated. ``path`` may be a whole URL.

        Raises `AccessDenied` (401, 403), `NotFound`, and `TransportError`: temporary for 408, 409, 425, 429 and 5xx.
        """
        url = path if "://" in path else f"{self.base.reveal()}{path}"
        if is_open(url):
            raise ConfigError(f"{split_url(url)[0].authority}: a token is not sent without TLS", hint="write https://")
        headers = {"accept": Secret("application/json")}
        token = self.token()
        if token is not None:
            headers["authorization"] = Secret(f"Bearer {token.reveal()}")
        if body is not None:
            headers["content-type"] = Secret(content_type)
        answer = call(
            Call(
                method=method,
                url=Secret(url),
                headers=headers,
                body=None if body is None else json.dumps(body, separators=(",", ":")).encode(),
                timeout=self.timeout,
                allow_private=self.allow_private,
                tls=self.tls,
            ),
            self.tools,
        )
        if answer.status not in tolerated:
            _require_success(answer, self.hints.get(answer.status, ""))
        return answer

    def get(self, path: str) -> Any:
        """A resource: a mapping. Raises as `send` does."""
        return parsed(self.send("GET", path))

    def pause(self, length: float) -> None:
        """Wait so many seconds; raises `Cancelled` when somebody asks to stop."""
        until = time.monotonic() + length
        while not self.tools.cancelled():
            left = until - time.monotonic()
            if left <= 0:
                return
            threading.Event().wait(min(left, _LOOK))
        raise Cancelled("cancelled")


def is_open(url: str) -> bool:
    """Whether others could read what is sent to a URL: no TLS, and not this machine."""
    try:
        origin, _ = split_url(url)
    except TransportError:
        return False  # `call` says what is wrong, without showing it
    return origin.scheme == "http" and not is_loopback(origin.host)


def parsed(answer: Answer) -> Any:
    """An answer's JSON, a mapping; raises `TransportError` for anything else."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise TransportError(f"{answer.host} answers with something else than a JSON object")
    return found


def _require_success(answer: Answer, hint: str) -> None:
    """Raise what a refusing answer means, with its reason where that is a word."""
    reason = _reason(answer.body)
    said = f"{answer.host} answers with status {answer.status}{f' ({reason})' if reason else ''}"
    if answer.status in (401, 403):
        raise AccessDenied(said, hint=hint)
    if answer.status == 404:
        raise NotFound(said, hint=hint)
    if answer.status == 409:
        raise TransportError(said, hint=hint)  # something else is being done to it, which will be over
    answer.require_success(reason, hint)


def _reason(body: bytes) -> str:
    """``error.code``, as Azure says it, or ``reason``, as Kubernetes does; what they say in sentences may name more."""
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    error = found.get("error")
    reason = error.get("code") if isinstance(error, dict) else found.get("reason")
    return reason if isinstance(reason, str) and _REASON.match(reason) else ""
