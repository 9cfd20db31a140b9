"""Authorization without I/O: which challenge to take, where its token comes from, what the answer means.

Sources: RFC 7617 (Basic); distribution's token specification, ``docs/spec/auth/token.md`` and ``oauth.md`` (Bearer).

Nothing here decides that something is absent: a token endpoint that answers 404 says nothing about the repository
(an immutable tag was once overwritten that way: matrixorigin/Astra#722).
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Sequence

from liftlock.auth.secret import Credential, Secret
from liftlock.errors import AccessDenied, LiftlockError, RefusedError, RegistryError, Throttled, TransportError
from liftlock.oci.distribution import Challenge, Scope, error_codes
from liftlock.transport.messages import Headers, Request
from liftlock.transport.retry import retry_after
from liftlock.transport.urls import is_loopback, redact, split_url
from liftlock.typed import NamedTuple

__all__ = [
    "Answer",
    "Grant",
    "Offer",
    "basic",
    "choose",
    "failure",
    "parse_scopes",
    "realm_url",
    "same_origin",
    "token_flow",
    "united",
]

CLIENT_ID = "liftlock"
DEFAULT_LIFETIME = 60.0
"""Seconds a token lives when its answer does not say (token specification, ``expires_in``)."""


class Offer(NamedTuple):
    """A challenge that can be answered."""

    scheme: str
    """``basic`` or ``bearer``."""
    realm: str = ""
    """Where Bearer tokens come from, as the registry wrote it."""
    service: str = ""


class Answer(NamedTuple):
    """What a token endpoint said, read to its end."""

    status: int
    headers: Headers
    body: bytes


class Grant(NamedTuple):
    """A token, and how many seconds it lives from the moment it was asked for."""

    token: Secret
    lifetime: float


def choose(challenges: Iterable[Challenge]) -> Offer | None:
    """The challenge to answer: Bearer with a realm before Basic; None when none is known (Negotiate, Digest, …)."""
    basic_offered = False
    for challenge in challenges:
        if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
            return Offer("bearer", challenge.parameters["realm"], challenge.parameters.get("service", ""))
        basic_offered = basic_offered or challenge.scheme == "basic"
    return Offer("basic") if basic_offered else None


def basic(credential: Credential) -> str:
    """The value of ``Authorization`` for Basic (RFC 7617, in UTF-8)."""
    from binascii import b2a_base64

    pair = f"{credential.username}:{credential.secret.reveal()}"
    return "Basic " + b2a_base64(pair.encode(), newline=False).decode("ascii")


def same_origin(url: str, other: str) -> bool:
    """Whether two URLs have the same scheme, host and port; what is no URL has the origin of nothing.

    The scheme of a loopback host does not count: the transport itself finds out whether it speaks TLS.
    """
    try:
        here, there = split_url(url)[0], split_url(other)[0]
    except TransportError:
        return False
    return here == there or (is_loopback(here.host) and (here.host, here.port) == (there.host, there.port))


def realm_url(realm: str, base_url: str) -> str:
    """The URL of the token endpoint that a registry at ``base_url`` names as its realm.

    Raises `RefusedError` when credentials cannot or must not go there: plain HTTP although the registry speaks HTTPS,
    no HTTP at all, no URL at all (Nexus behind a proxy doubles the port: sonatype/nexus-public#611). Nexus 3.77 writes
    ``null://`` and means its own scheme (sonatype/nexus-public#580).
    """
    from urllib.parse import urljoin

    base = split_url(base_url)[0]
    if realm.startswith("null://"):
        realm = base.scheme + realm.removeprefix("null")
    try:
        url = urljoin(base_url, realm)
        origin, target = split_url(url)
    except (ValueError, TransportError):
        raise RefusedError(
            f"{base_url} names {realm[:160]!r} as the place to get tokens, which is no usable URL",
            hint="the registry, or the proxy before it, is not configured well",
        ) from None
    if base.scheme == "https" and origin.scheme != "https":
        raise RefusedError(
            f"{base_url} wants credentials to be sent to {redact(url)} without encryption",
            hint="the registry, or the proxy before it, has to name an https realm",
        )
    return f"{origin}{target}"


def united(scopes: Iterable[Scope]) -> list[Scope]:
    """One scope per repository with all its actions; those with ``push`` first, since some servers read only one."""
    merged: dict[tuple[str, str], Scope] = {}
    for scope in scopes:
        key = (scope.kind, scope.repository)
        known = merged.get(key)
        merged[key] = scope if known is None else known._replace(actions=known.actions | scope.actions)
    return sorted(merged.values(), key=lambda scope: "push" not in scope.actions)


def parse_scopes(text: str) -> list[Scope]:
    """The scopes of a challenge, ``repository:name:pull,push`` separated by spaces; others are left out."""
    found = []
    for item in text.split():
        kind, _, rest = item.partition(":")
        name, _, actions = rest.rpartition(":")
        if kind and name and actions:
            found.append(Scope(name, frozenset(filter(None, actions.split(","))), kind))
    return found


def token_flow(
    url: str, service: str, scopes: Sequence[Scope], credential: Credential | None
) -> Generator[Request, Answer, Grant]:
    """Get a token: yields each request to make, takes its answer, returns the grant.

    A password (or nobody's name) asks by ``GET``. An identity token asks by the OAuth2 ``POST``, and where that
    does not exist by ``GET`` with Basic. Raises `AccessDenied` (401, 403), `Throttled` (429, or 503 that says when)
    or `RegistryError` (everything else).
    """
    if credential is not None and credential.kind == "identity-token":
        answer = yield _refresh(url, service, scopes, credential)
        if answer.status not in (404, 405):
            return _grant(url, answer, scopes, credential)
    answer = yield _ask(url, service, scopes, credential)
    return _grant(url, answer, scopes, credential)


def _ask(url: str, service: str, scopes: Sequence[Scope], credential: Credential | None) -> Request:
    from urllib.parse import urlencode

    fields = [("scope", str(scope)) for scope in scopes]
    if service:
        fields.insert(0, ("service", service))
    headers = {"Accept": "application/json"}
    if credential is not None:
        headers["Authorization"] = basic(credential)
    if fields:
        url = f"{url}{'&' if '?' in url else '?'}{urlencode(fields, safe=':/,')}"
    return Request("GET", url, headers)


def _refresh(url: str, service: str, scopes: Sequence[Scope], credential: Credential) -> Request:
    from urllib.parse import urlencode

    fields = {
        "grant_type": "refresh_token",
        "service": service,
        "client_id": CLIENT_ID,
        "refresh_token": credential.secret.reveal(),
        "scope": " ".join(str(scope) for scope in scopes),
    }
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    return Request("POST", url, headers, urlencode(fields).encode())


def _grant(url: str, answer: Answer, scopes: Sequence[Scope], credential: Credential | None) -> Grant:
    if answer.status in (401, 403):
        who = repr(credential.username) if credential is not None else "anonymous access"
        what = " and ".join(str(scope) for scope in scopes) or "a token"
        raise AccessDenied(f"{redact(url)} refuses {who} {what} ({_said(answer)})")
    if answer.status != 200:
        raise failure(url, answer)
    try:
        said = json.loads(answer.body)
        token = said.get("token") or said.get("access_token")
        lifetime = float(said.get("expires_in") or DEFAULT_LIFETIME)
    except (ValueError, TypeError, AttributeError, RecursionError):
        token, lifetime = None, 0.0
    # Visible ASCII only: what follows goes into a header field.
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable() or " " in token:
        raise RegistryError(f"{redact(url)} answered 200, but without a token", status=200)
    return Grant(Secret(token), lifetime)


def failure(url: str, answer: Answer) -> LiftlockError:
    """What an answer means that is neither what was asked for nor a refusal: `Throttled` or `RegistryError`."""
    message = f"{redact(url)} answers {_said(answer)}"
    codes, _ = error_codes(answer.body)
    if answer.status == 429 or (answer.status == 503 and "Retry-After" in answer.headers):
        return Throttled(message, status=answer.status, codes=codes, retry_after=retry_after(answer.headers))
    return RegistryError(message, status=answer.status, codes=codes)


def _said(answer: Answer) -> str:
    return " ".join((str(answer.status), *error_codes(answer.body)[0]))
