"""A receiver of webhooks on loopback: what the demo's production host would be."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from liftlock.errors import CorruptContent

__all__ = ["Receiver", "Told"]

TOLERANCE = 300
"""Seconds by which a message's time may differ from the clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One request, as it arrived."""

    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        """The message."""
        found: dict[str, Any] = json.loads(self.body)
        return found


class Receiver:
    """Listens while the block lasts, and keeps what it is told in order of arrival."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._told: dict[str, Told] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._told))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/deployed"

    @property
    def told(self) -> list[Told]:
        """Each message once, however often it was sent."""
        return list(self._told.values())

    @property
    def secret(self) -> str:
        """What the sender signs with."""
        return f"whsec_{base64.b64encode(self._key).decode()}"

    def verify(self, told: Told) -> None:
        """Raise `CorruptContent` unless who has the secret sent exactly this, and lately.

        Not with the sender's own code, but as its documentation tells receivers to do. Source:
        https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
        """
        at, given = told.headers["webhook-timestamp"], told.headers["webhook-signature"]
        signed = f"{told.headers['webhook-id']}.{at}.".encode() + told.body
        wanted = "v1," + base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest()).decode()
        if not any(hmac.compare_digest(wanted, each) for each in given.split()):
            raise CorruptContent("a webhook arrived whose signature is wrong")
        if abs(time.time() - int(at)) > TOLERANCE:
            raise CorruptContent(f"a webhook arrived that was signed at {at}, which is not now")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(told: dict[str, Told]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            told[headers.get("webhook-id", "")] = Told(headers=headers, body=body)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing on stderr."""

    return Handler
