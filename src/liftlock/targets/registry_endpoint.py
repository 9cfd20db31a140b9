"""One repository of a registry on the wire: requests with retries, answers classified, listings page by page."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

from liftlock.auth.authorizer import Authorizer
from liftlock.errors import AccessDenied, Cancelled, CorruptContent, LiftlockError, RegistryError
from liftlock.oci.distribution import Scope, next_link
from liftlock.oci.manifest import MAX_MANIFEST
from liftlock.targets.registry_errors import Answer, failure, is_absent, lacks_repository
from liftlock.targets.registry_home import Home
from liftlock.targets.registry_profile import recognised
from liftlock.transport.messages import Body, Request, Response
from liftlock.transport.urls import split_url
from liftlock.typed import TypeVar

__all__ = ["Endpoint", "catalog"]

T = TypeVar("T")

MAX_LISTING = 16 * 1024 * 1024
"""Bytes of one page of tags or repositories: old Container Registry answers with all of them at once."""
MAX_PAGES = 1000
"""Pages of one listing, that is a million tags: more is an endless list."""
MAX_ERROR = 64 * 1024
"""Bytes of an error's body that are looked at."""


class Endpoint:
    """One repository of a registry (or its catalog): asks, and turns unexpected answers into errors.

    `once` and `head` are single attempts; whoever calls them wraps what belongs together in `retrying`.
    """

    def __init__(self, home: Home, scope: Scope) -> None:
        self.home = home
        self.scope = scope
        self.repository = scope.repository
        self.place = f"{home.registry}/{scope.repository}" if scope.kind == "repository" else home.registry
        home.authorizer.want(home.registry, scope)

    def allow(self, *actions: str) -> None:
        """Declare further actions on the repository, before the first request that needs them."""
        if not self.scope.actions.issuperset(actions):
            self.scope = self.scope._replace(actions=self.scope.actions.union(actions))
            self.home.authorizer.want(self.home.registry, self.scope)

    @contextmanager
    def doing(self, action: str) -> Iterator[None]:
        """Errors raised inside name this repository, and what could not be done there.

        Those that do so already stay as they are; those of a redirect's target, of the token endpoint and of a body
        that is too long know nothing of it.
        """
        try:
            yield
        except Cancelled:
            raise
        except LiftlockError as error:
            own = f"{self.home.base_url}/v2/{self.repository}/"
            if not error.side and self.place not in error.message and own not in error.message:
                error.message = f"{self.place}: cannot {action}: {error.message}"
            raise

    def retrying(self, attempt: Callable[[], T]) -> T:
        return self.home.transport.retrying(self.home.registry, attempt)

    def send(self, method: str, path: str, headers: Mapping[str, str] = {}, body: Body | None = None) -> Response:
        """One attempt, any answer; ``path`` may be a whole URL that the registry gave."""
        url = path if "://" in path else self.home.base_url + path
        return self.home.authorizer.send(self.home.registry, Request(method, url, headers, body), self.scope)

    def once(
        self,
        action: str,
        method: str,
        path: str,
        *,
        expect: Collection[int],
        headers: Mapping[str, str] = {},
        body: Body | None = None,
        limit: int = MAX_MANIFEST,
    ) -> Answer:
        """One attempt, read to its end. ``action`` continues "cannot" in errors; other statuses are raised.

        Where a write finds no repository, and the registry has to be asked for one, it is made and written to.
        """
        with self.doing(action):
            answer = read_answer(self.send(method, path, headers, body), expect, limit)
            if method in ("POST", "PUT") and lacks_repository(answer) and self._make_repository():
                answer = read_answer(self.send(method, path, headers, body), expect, limit)
        if answer.status not in expect:
            raise failure(answer, self.place, action)
        return answer

    def _make_repository(self) -> bool:
        """Make the repository, where the pipeline file says so; whether there is one now that was not."""
        access = self.home.access
        if access is None or access.create is None or self.scope.kind != "repository":
            return False
        with self.home.lock(f"make {self.repository}"):
            if self.repository not in self.home.made:
                from liftlock.targets.ecr import create_repository

                create_repository(self.home.registry, self.repository, access.create, self.home.env, access.role)
                self.home.made.add(self.repository)
        return True

    def head(self, action: str, path: str, headers: Mapping[str, str] = {}) -> Answer | None:
        """One attempt to learn whether something exists; None when not.

        A HEAD has no body, so 404 alone counts as absent here. 403 does too, where the registry is known to answer
        so for what does not exist; the request that follows shows which of both it was.
        """
        try:
            with self.doing(action):
                answer = read_answer(self.send("HEAD", path, headers), (), 0)
        except AccessDenied:
            if self.home.profile.denied_means_absent:
                return None
            raise
        if answer.status == 200:
            return answer
        if is_absent(answer, head=True):
            return None
        if answer.status == 403 and (recognised(answer.headers) or self.home.profile).denied_means_absent:
            return None
        raise failure(answer, self.place, action)

    def pages(self, action: str, path: str, field: str) -> Iterator[str]:
        """The strings of a paginated listing; nothing when the repository does not exist.

        Raises `RegistryError` when the pages go round in a circle or do not end.
        """
        seen: set[str] = set()
        url: str | None = self.home.base_url + path
        while url is not None:
            if url in seen or len(seen) == MAX_PAGES:
                what = "the same page twice" if url in seen else f"more than {MAX_PAGES} pages"
                raise RegistryError(f"{self.place}: cannot {action}: the registry gives {what}", status=200)
            seen.add(url)
            page = url
            answer = self.retrying(
                lambda page=page: self.once(action, "GET", page, expect=(200, 404), limit=MAX_LISTING)  # type: ignore[misc]
            )
            if answer.status == 404:
                if is_absent(answer):
                    return
                raise failure(answer, self.place, action)
            yield from _strings(answer.body, field, f"{self.place}: cannot {action}")
            url = self.next_page(answer)

    def next_page(self, answer: Answer) -> str | None:
        """The URL of the page after this one. Only path and query of a link count: registries behind proxies write
        hosts that nobody else can reach."""
        link = next_link(answer.headers.all("link"), answer.url)
        if link is None:
            return None
        return f"{self.home.base_url}{split_url(link)[1]}"


def read_answer(response: Response, expect: Collection[int], limit: int) -> Answer:
    """Read a response to its end: an expected one up to ``limit`` bytes, of an error what can be had."""
    content = b""
    try:
        content = response.read(limit if response.status in expect else MAX_ERROR)
    except Cancelled:
        raise
    except LiftlockError:
        if response.status in expect:
            raise
    finally:
        response.close()
    return Answer(response.status, response.headers, content, response.url)


def _strings(body: bytes, field: str, what: str) -> list[str]:
    try:
        items = json.loads(body)[field]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise CorruptContent(f"{what}: the answer has no list of {field}") from None
    if items is None:
        return []  # distribution, once all tags are deleted
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise CorruptContent(f"{what}: {field} is not a list of strings")
    return items


def catalog(authorizer: Authorizer, registry: str) -> Iterator[str]:
    """Every repository of a registry, where it offers that (distribution's ``_catalog``; many registries do not).

    Raises `AccessDenied`, or `RegistryError` where there is no catalog.
    """
    endpoint = Endpoint(Home(authorizer, registry), Scope("catalog", frozenset({"*"}), "registry"))
    return endpoint.pages("list repositories", "/v2/_catalog?n=1000", "repositories")
