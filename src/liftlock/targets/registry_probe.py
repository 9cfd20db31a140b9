"""Asking a registry what it would allow, without leaving anything there."""

from __future__ import annotations

from liftlock.auth.authorizer import Authorizer
from liftlock.errors import Cancelled, LiftlockError
from liftlock.oci.distribution import Scope, uploads_path
from liftlock.targets.registry_endpoint import Endpoint, read_answer
from liftlock.targets.registry_errors import Answer, failure
from liftlock.targets.registry_home import Home
from liftlock.transport.messages import Request

__all__ = ["probe_answer", "probe_push"]


def probe_answer(authorizer: Authorizer, registry: str) -> None:
    """Return when a registry answers these credentials (``GET /v2/``); raises what says why it does not."""
    transport = authorizer.transport

    def attempt() -> Answer:
        request = Request("GET", f"{transport.base_url(registry)}/v2/")
        return read_answer(authorizer.send(registry, request, None), (), 0)

    answer = transport.retrying(registry, attempt)
    if answer.status != 200:
        raise failure(answer, registry, "be reached")


def probe_push(authorizer: Authorizer, registry: str, repository: str) -> None:
    """Return when these credentials may push to a repository; raises what a push would raise.

    An upload is opened, which needs the right, and canceled before a byte is sent (distribution spec 1.1, "Pushing
    blobs"). Registries that cannot cancel forget it by themselves.
    """
    home = Home(authorizer, registry)
    endpoint = Endpoint(home, Scope(repository, frozenset({"pull", "push"})))
    opened = endpoint.retrying(
        lambda: endpoint.once("upload to it", "POST", uploads_path(repository), expect=(202,), body=b"")
    )
    location = opened.headers.get("location")
    if not location:
        return
    try:
        _cancel(endpoint, opened.url, location)
    except Cancelled:
        raise
    except LiftlockError:
        return  # the question is answered; what could not be canceled expires


def _cancel(endpoint: Endpoint, asked: str, location: str) -> None:
    from urllib.parse import urljoin

    url = endpoint.home.own_url(urljoin(asked, location))
    endpoint.home.transport.guard(endpoint.home.base_url, url)
    endpoint.once("cancel the upload", "DELETE", url, expect=range(200, 500))
