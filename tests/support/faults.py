"""What a rule of `tests.support.front` can do to a request: each function here makes an action.

`error` and `respond` answer without the registry; `cut_*`, `truncate`, `stall_*` and `dribble` break or slow the line;
`corrupt_*` and `set_header` change what passes; the rest imitates what some registries do.
"""

from __future__ import annotations

import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping

from tests.support.front import Action, Answer, Exchange


def respond(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Action:
    """Answer with this; the registry is not asked."""
    return lambda exchange: exchange.reply(status, body, headers)


def error(status: int, code: str = "UNKNOWN", message: str = "by a rule", *, retry_after: str | None = None) -> Action:
    """Answer with a registry's error document: `TOOMANYREQUESTS`, `DENIED`, `TAG_INVALID`, …"""
    headers = {"Content-Type": "application/json"}
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    return respond(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode(), headers)


def unauthorized(challenge: str | None = None) -> Action:
    """Answer 401; without `challenge` with the one that the registry itself gives to a stranger (or none)."""

    def act(exchange: Exchange) -> None:
        said = challenge
        if said is None:
            upstream = exchange.front.connect()
            try:
                upstream.request("GET", exchange.request.target if exchange.request.method == "GET" else "/v2/")
                answer = upstream.getresponse()
                answer.read()
                said = answer.getheader("WWW-Authenticate")
            finally:
                upstream.close()
        headers = {} if said is None else {"WWW-Authenticate": said}
        exchange.reply(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"by a rule"}]}', headers)

    return act


# --- the line ---------------------------------------------------------------------------------------------------------


def cut(*, reset: bool = True) -> Action:
    """Cut the connection before the registry sees the request."""
    return lambda exchange: exchange.cut(reset=reset)


def cut_request(after: int) -> Action:
    """Cut both connections after `after` bytes of the request's body have passed."""

    def act(exchange: Exchange) -> None:
        exchange.forward(limit=after)
        exchange.cut()

    return act


def cut_before_response(*, reset: bool = True) -> Action:
    """Let the registry do it, then cut the connection without an answer."""

    def act(exchange: Exchange) -> None:
        exchange.forward().read(1)
        exchange.cut(reset=reset)

    return act


def cut_response(after: int = 0) -> Action:
    """Reset the connection after `after` bytes of the response's body."""
    return lambda exchange: exchange.relay(exchange.forward(), limit=after)


def truncate(after: int, *, lie: bool = True) -> Action:
    """End the response after `after` bytes of its body, in an orderly way.

    With `lie` its `Content-Length` promises more; otherwise it agrees with what is sent.
    """

    def act(exchange: Exchange) -> None:
        answer = exchange.forward()
        whole = answer.read
        left = after

        def read(size: int) -> bytes:
            nonlocal left
            part = whole(min(size, left)) if left else b""
            left -= len(part)
            return part

        answer.read = read
        if not lie:
            answer.length = after
        exchange.relay(answer)
        while whole(1 << 16):
            pass

    return act


def dribble(wait: Callable[[], None]) -> Action:
    """Send the response's body in small parts, calling `wait` before each."""
    return lambda exchange: exchange.relay(exchange.forward(), pause=wait)


class Stall:
    """Holds requests until `release`: before the registry is asked, or after `after` bytes of the response's body.

    Give it to a rule as its action; the rule's `wait` says when a request has come.
    """

    def __init__(self, after: int | None = None) -> None:
        self._after = after
        self._released = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        if self._after is None:
            self._hold(exchange)
            exchange.relay(exchange.forward())
            return
        answer = exchange.forward()
        whole, left, held = answer.read, self._after, False

        def read(size: int) -> bytes:
            nonlocal left, held
            if left:
                part = whole(min(size, left))
                left -= len(part)
                return part
            if not held:
                held = True
                self._hold(exchange)
            return whole(size)

        answer.read = read
        exchange.relay(answer)

    def release(self) -> None:
        """Let what is held, and what comes later, go on."""
        self._released.set()

    def _hold(self, exchange: Exchange) -> None:
        while not self._released.wait(0.02):
            if exchange.front.ending.is_set():
                exchange.cut()


# --- the content ------------------------------------------------------------------------------------------------------


def corrupt_response(offset: int = 0) -> Action:
    """Flip the bits of one byte of the response's body; everything else is as it was."""

    def act(exchange: Exchange) -> None:
        answer = exchange.forward()
        whole, position = answer.read, 0

        def read(size: int) -> bytes:
            nonlocal position
            part = bytearray(whole(size))
            if position <= offset < position + len(part):
                part[offset - position] ^= 0xFF
            position += len(part)
            return bytes(part)

        answer.read = read
        exchange.relay(answer)

    return act


def corrupt_request(offset: int = 0) -> Action:
    """Flip the bits of one byte of the request's body on its way to the registry."""

    def flip(parts: Iterator[bytes]) -> Iterable[bytes]:
        position = 0
        for part in parts:
            changed = bytearray(part)
            if position <= offset < position + len(part):
                changed[offset - position] ^= 0xFF
            position += len(part)
            yield bytes(changed)

    return lambda exchange: exchange.relay(exchange.forward(change=flip))


def set_header(name: str, value: str | None, *, status: int | None = None) -> Action:
    """Pass the request on, and change a header of the answer (None removes it), or its status too."""

    def act(exchange: Exchange) -> None:
        answer = exchange.forward()
        answer.set(name, value)
        answer.status = answer.status if status is None else status
        exchange.relay(answer)

    return act


def huge(size: int, content_type: str = "application/vnd.oci.image.manifest.v1+json", *, sized: bool = True) -> Action:
    """Answer with a document of `size` bytes that never makes sense; without `sized` its length is not said."""

    def act(exchange: Exchange) -> None:
        exchange.drain()
        left = size

        def read(wanted: int) -> bytes:
            nonlocal left
            part = b" " * min(wanted, left)
            left -= len(part)
            return part

        exchange.relay(Answer(200, [("Content-Type", content_type)], read, size if sized else None))

    return act


# --- what some registries do ------------------------------------------------------------------------------------------


def redirect(to: str | Callable[[Exchange], str], status: int = 307) -> Action:
    """Send the client to another URL."""

    def act(exchange: Exchange) -> None:
        location = to if isinstance(to, str) else to(exchange)
        exchange.reply(status, b"", {"Location": location})

    return act


def redirect_elsewhere(status: int = 307) -> Action:
    """Send the client to the front's second address, as registries do whose blobs lie in object storage."""
    return redirect(lambda exchange: exchange.front.elsewhere_url + exchange.request.target, status)


def redirect_to_itself() -> Action:
    """Send the client to where it is: with `times=None`, without an end."""
    return redirect(lambda exchange: exchange.front.url + exchange.request.target)


def upload_elsewhere() -> Action:
    """Open an upload whose `Location` is at the front's second address."""

    def act(exchange: Exchange) -> None:
        answer = exchange.forward()
        location = urllib.parse.urlsplit(answer.header("Location") or "")
        answer.set("Location", f"{exchange.front.elsewhere_url}{location.path}?{location.query}")
        exchange.relay(answer)

    return act


def refuse_mount() -> Action:
    """Answer a mount with 202 and an open upload, as registries may for whatever reason."""
    return _forward_without("mount", "from", body=True)


def refuse_single_post() -> Action:
    """Answer `POST ?digest=` with 202 and an open upload; the body is lost."""
    return _forward_without("digest", body=False)


def false_mount() -> Action:
    """Say 201 to a mount that never happened (goharbor/harbor#18541)."""

    def act(exchange: Exchange) -> None:
        query = urllib.parse.parse_qs(exchange.request.query)
        digest = query["mount"][0]
        repository = re.sub(r"/blobs/uploads/$", "", exchange.request.path)
        exchange.reply(201, b"", {"Location": f"{repository}/blobs/{digest}", "Docker-Content-Digest": digest})

    return act


def immutable_tag(status: int = 400, code: str = "TAG_INVALID") -> Action:
    """Refuse a manifest under a tag: ECR answers 400, Harbor 412."""
    return error(status, code, "The image tag already exists and cannot be overwritten because the tag is immutable.")


def missing_blob(digest: str) -> Action:
    """Refuse a manifest because the registry does not know one of its blobs."""
    document = {"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown", "detail": {"Digest": digest}}]}
    return respond(404, json.dumps(document).encode(), {"Content-Type": "application/json"})


def endless_pages(tags_per_page: int = 2, *, advance: bool = True) -> Action:
    """A tag list that always has a next page (use `times=None`); without `advance` it is the same page again."""
    pages = 0

    def act(exchange: Exchange) -> None:
        nonlocal pages
        pages += advance
        path = exchange.request.path
        names = [f"p{pages}-{number}" for number in range(tags_per_page)]
        document = {"name": path.removeprefix("/v2/").removesuffix("/tags/list"), "tags": names}
        headers = {
            "Content-Type": "application/json",
            "Link": f'<{path}?n={tags_per_page}&last={names[-1]}>; rel="next"',
        }
        exchange.reply(200, json.dumps(document).encode(), headers)

    return act


def _forward_without(*names: str, body: bool) -> Action:
    def act(exchange: Exchange) -> None:
        kept = [
            (name, value)
            for name, value in urllib.parse.parse_qsl(exchange.request.query, keep_blank_values=True)
            if name not in names
        ]
        target = exchange.request.path + ("?" + urllib.parse.urlencode(kept) if kept else "")
        exchange.relay(exchange.forward(target=target, body=body))

    return act
