"""A plain HTTP client for tests: what it sends is what the caller wrote, plus credentials.

It knows one thing about registries: a `401` with a Bearer challenge is answered by fetching a token once. It follows
no redirects and retries nothing, so that a test sees what the server said.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

Body = bytes | IO[bytes] | None
"""Bytes, or an open file (then with `Content-Length` among the headers)."""


@dataclass(frozen=True)
class Response:
    """An answer, read to its end. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """One connection to one host; `user` and `password` are sent as Basic, or to the token server when challenged."""

    def __init__(
        self,
        host: str,
        *,
        user: str | None = None,
        password: str | None = None,
        ca: Path | None = None,
        client: tuple[Path, Path] | None = None,
        timeout: float = 30.0,
    ) -> None:
        self.host = host
        self.tls = ca is not None
        self._basic = None
        if user is not None:
            self._basic = "Basic " + base64.b64encode(f"{user}:{password or ''}".encode()).decode()
        self._authorization = self._basic
        if ca is not None:
            context = ssl.create_default_context(cafile=str(ca))
            if client is not None:
                context.load_cert_chain(str(client[0]), str(client[1]))
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, timeout=timeout, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(host, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def request(
        self, method: str, target: str, body: Body = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send one request; `target` is a path with its query, or an absolute URL of the same host."""
        if "://" in target:
            parts = urllib.parse.urlsplit(target)
            target = parts.path + ("?" + parts.query if parts.query else "")
        answer = self.once(method, target, body, headers or {})
        challenge = answer.headers.get("www-authenticate", "")
        if answer.status == 401 and challenge.lower().startswith("bearer "):
            self._authorization = "Bearer " + self._token(challenge)
            if body is not None and not isinstance(body, bytes):
                body.seek(0)
            answer = self.once(method, target, body, headers or {})
        return answer

    def once(self, method: str, target: str, body: Body, headers: Mapping[str, str]) -> Response:
        """Send one request, and take the answer as it is, challenge or not."""
        sent = dict(headers)
        if self._authorization is not None:
            sent.setdefault("Authorization", self._authorization)
        self._connection.request(method, target, body=body, headers=sent)
        answer = self._connection.getresponse()
        data = answer.read()
        return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, data)

    def _token(self, challenge: str) -> str:
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = urllib.parse.urlsplit(fields.pop("realm"))
        query = urllib.parse.urlencode(fields)
        headers = {} if self._basic is None else {"Authorization": self._basic}
        connection = http.client.HTTPConnection(realm.netloc, timeout=30)
        try:
            connection.request("GET", f"{realm.path}?{query}", headers=headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"the token server answered {answer.status}: {data[:200]!r}")
        return str(json.loads(data)["token"])
