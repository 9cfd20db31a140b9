"""A real token server: the other half of a registry's `auth: token`.

It signs RS256 tokens that distribution 2.8 verifies against the test authority (`x5c`), counts what it is asked, and
can be told to refuse, to be throttled, or to be absent.
"""

from __future__ import annotations

import base64
import itertools
import json
import threading
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.support.certificates import Authority

SERVICE = "liftlock-test-registry"
ISSUER = "liftlock-test-issuer"


@dataclass(frozen=True)
class TokenRequest:
    """One request for a token, as it arrived."""

    method: str
    scopes: tuple[str, ...]
    service: str | None
    authorization: str | None
    form: Mapping[str, str]
    status: int


@dataclass(frozen=True)
class Answer:
    """What to answer instead of a token."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class TokenServer:
    """Grants any scope to `user` (to anyone when `user` is None).

    `GET` is the docker token protocol with Basic credentials, `POST` the OAuth2 form (`grant_type` password or
    refresh_token). `oauth2=False` answers 404 to POST, as many servers do. Tokens live `expires_in` seconds
    (`valid_for` when the server does not say the truth about it), and the answer to GET has them in `token_field`.
    """

    def __init__(
        self,
        authority: Authority,
        *,
        user: str | None = None,
        password: str | None = None,
        identity_token: str | None = None,
        expires_in: int = 300,
        valid_for: int | None = None,
        oauth2: bool = True,
        token_field: str = "token",
    ) -> None:
        self.authority = authority
        self.user = user
        self.password = password
        self.identity_token = identity_token
        self.expires_in = expires_in
        self.valid_for = valid_for
        self.oauth2 = oauth2
        self.token_field = token_field
        self._key, self._x5c = _load(authority)
        self._requests: list[TokenRequest] = []
        self._scripted: list[Answer] = []
        self._always: Answer | None = None
        self._lock = threading.Lock()
        self._serial = itertools.count(1)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def realm(self) -> str:
        """The URL that the registry names in its challenge."""
        return f"http://{self.host}/token"

    def requests(self) -> list[TokenRequest]:
        """What was asked since the start, or since `forget`."""
        with self._lock:
            return list(self._requests)

    def forget(self) -> None:
        """Begin counting anew."""
        with self._lock:
            self._requests.clear()

    def answer_next(
        self, status: int, *, times: int = 1, headers: Mapping[str, str] | None = None, body: bytes = b"{}"
    ) -> None:
        """Answer the next `times` requests with `status` instead of a token."""
        with self._lock:
            self._scripted += [Answer(status, headers or {}, body)] * times

    def answer_always(
        self, status: int | None, *, headers: Mapping[str, str] | None = None, body: bytes = b"{}"
    ) -> None:
        """Answer every request with `status` instead of a token; None ends that."""
        with self._lock:
            self._always = None if status is None else Answer(status, headers or {}, body)

    def sign(self, scopes: tuple[str, ...], *, expires_in: int | None = None) -> str:
        """A token for `scopes` ("repository:name:pull,push"), as the server would give."""
        now = int(time.time())
        if expires_in is None:
            expires_in = self.expires_in if self.valid_for is None else self.valid_for
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        claims = {
            "iss": ISSUER,
            "sub": self.user or "",
            "aud": SERVICE,
            # distribution tolerates a clock that is a minute off; a token has to be really over when it says so.
            "exp": now + expires_in - LEEWAY,
            "nbf": now - LEEWAY,
            "iat": now - LEEWAY,
            "jti": str(next(self._serial)),
            "access": access,
        }
        head = {"typ": "JWT", "alg": "RS256", "x5c": [self._x5c]}
        signed = _base64url(json.dumps(head).encode()) + "." + _base64url(json.dumps(claims).encode())
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return signed + "." + _base64url(signature)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(
        self, method: str, query: Mapping[str, list[str]], form: Mapping[str, list[str]], authorization: str | None
    ) -> Answer:
        """Decide about one request, and remember it."""
        fields = query if method == "GET" else form
        scopes = tuple(scope for value in fields.get("scope", []) for scope in value.split(" ") if scope)
        flat = {name: values[0] for name, values in form.items()}
        with self._lock:
            if self._scripted:
                answer = self._scripted.pop(0)
            elif self._always is not None:
                answer = self._always
            elif method == "POST" and not self.oauth2:
                answer = Answer(404, {}, b"404 page not found\n")
            elif not self._knows(method, flat, authorization):
                answer = Answer(401, {}, b'{"errors":[{"code":"UNAUTHORIZED","message":"incorrect credentials"}]}')
            else:
                token = self.sign(scopes)
                said = {self.token_field: token, "expires_in": self.expires_in}
                if method == "POST":
                    said = {"access_token": token, "expires_in": self.expires_in, "scope": " ".join(scopes)}
                answer = Answer(200, {}, json.dumps(said).encode())
            service = fields.get("service", [None])[0]
            self._requests.append(TokenRequest(method, scopes, service, authorization, flat, answer.status))
        return answer

    def _knows(self, method: str, form: Mapping[str, str], authorization: str | None) -> bool:
        if method == "POST":
            if form.get("grant_type") == "refresh_token":
                return self.identity_token is not None and form.get("refresh_token") == self.identity_token
            return form.get("grant_type") == "password" and (form.get("username"), form.get("password")) == (
                self.user,
                self.password,
            )
        if self.user is None:
            return True
        expected = base64.b64encode(f"{self.user}:{self.password or ''}".encode()).decode()
        return authorization == f"Basic {expected}"


LEEWAY = 60
"""Seconds that distribution grants to `exp` and `nbf` (registry/auth/token/token.go)."""


def _handler(server: TokenServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._respond({})

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self._respond(urllib.parse.parse_qs(data.decode()))

        def _respond(self, form: Mapping[str, list[str]]) -> None:
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            answer = server.answer(self.command, query, form, self.headers.get("Authorization"))
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer.body)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing on stderr; `requests` has it."""

    return Handler


def _load(authority: Authority) -> tuple[rsa.RSAPrivateKey, str]:
    pair = authority.signer()
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    return key, base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
