"""What the tests of credentials and signed requests share."""

from __future__ import annotations

from liftlock.auth.authorizer import Authorizer
from liftlock.auth.secret import Credential, Secret
from liftlock.oci.distribution import Scope
from liftlock.transport.messages import Request

PASSWORD = "correct horse"
CI = Credential("ci", Secret(PASSWORD))


def pull(repository: str) -> Scope:
    return Scope(repository, frozenset({"pull"}))


def push(repository: str) -> Scope:
    return Scope(repository, frozenset({"pull", "push"}))


class Keys:
    """Credentials by repository; all others have `other`."""

    def __init__(
        self, other: Credential | None = None, by_repository: dict[str, Credential | None] | None = None
    ) -> None:
        self.other = other
        self.by_repository = by_repository or {}

    def find(self, registry: str, repository: str) -> Credential | None:
        return self.by_repository.get(repository, self.other)

    def trouble(self, registry: str) -> None:
        return None


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ask(authorizer: Authorizer, host: str, target: str, scope: Scope | None, *, method: str = "GET") -> int:
    """Send one request, read its answer to the end, and say the status; `target` may be a whole URL."""
    url = target if "://" in target else authorizer.transport.base_url(host) + target
    response = authorizer.send(host, Request(method, url, body=None if method == "GET" else b""), scope)
    try:
        response.read(1 << 20)
    finally:
        response.close()
    return response.status


def tags(repository: str) -> str:
    return f"/v2/{repository}/tags/list"


def uploads(repository: str, query: str = "") -> str:
    return f"/v2/{repository}/blobs/uploads/{query}"
