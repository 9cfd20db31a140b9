"""Where a redirect leads, and what may travel there.

Registries answer a blob's GET with a redirect to their storage. It is followed for GET and HEAD; credentials stay
behind when scheme, host or port changes (S3 refuses a request with two kinds of them, and other hosts have no business
with them); from TLS to plain HTTP it is never followed.
"""

from __future__ import annotations

from liftlock.errors import TransportError
from liftlock.transport.messages import Request, Response
from liftlock.transport.urls import redact, split_url

__all__ = ["MAX_HOPS", "next_request"]

MAX_HOPS = 5
"""Redirects that are followed for one request."""

_STATUSES = frozenset({301, 302, 303, 307, 308})
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})


def next_request(request: Request, response: Response, seen: list[str]) -> Request | None:
    """The request that a redirect asks for; None when the answer is none that is followed.

    ``seen`` are the URLs asked so far, this one included. Raises `TransportError` (not temporary) on a loop, too many
    hops, a way out of TLS, or a ``Location`` that is no usable URL.
    """
    location = response.headers.get("location")
    if response.status not in _STATUSES or not location or request.method not in ("GET", "HEAD"):
        return None
    from urllib.parse import urljoin

    try:
        url = urljoin(response.url, location)
    except ValueError:
        raise _refused(response.url, "a Location that is not a URL") from None
    url = url.partition("#")[0]
    here, _ = split_url(response.url)
    there, _ = split_url(url)
    if url in seen:
        raise _refused(response.url, f"a loop: {' → '.join(redact(each) for each in (*seen, url))}")
    if len(seen) > MAX_HOPS:
        raise _refused(response.url, f"more than {MAX_HOPS} of them, the last to {redact(url)}")
    if here.scheme == "https" and there.scheme != "https":
        raise _refused(response.url, f"from TLS to plain HTTP, {redact(url)}")
    if here == there:
        return request._replace(url=url)
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _CREDENTIALS}
    return request._replace(url=url, headers=headers)


def _refused(url: str, why: str) -> TransportError:
    return TransportError(f"{redact(url)}: redirect not followed: {why}", temporary=False)
