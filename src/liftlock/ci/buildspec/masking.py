"""Replaces secrets in what is shown.

A secret is known in several forms: as it is, line by line when it has many, as JSON and URLs write it, and within
base64 at any of the three positions it can have there (so that ``user:password`` of a Docker configuration shows
nothing of the password). Output comes in pieces, and a secret may be cut anywhere: what could be the beginning of one
is held back until more is known. What comes out does not depend on where the pieces were cut.
"""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Iterable, Iterator

__all__ = ["MASK", "Mask", "Stream"]

MASK = "***"

_ANY = ("utf-8", "surrogateescape")
"""How text becomes bytes that may be none of UTF-8: environments hold such."""
_FOR_URLS = bytes.maketrans(b"+/", b"-_")
"""The other alphabet of base64."""

_TELLING = 8
"""Bytes that a secret, or a line of one, has at least to be looked for in other forms: shorter ones are everywhere."""


class Mask:
    """The secrets of one build."""

    def __init__(self, secrets: Iterable[str]) -> None:
        found = {form for secret in secrets for form in _forms(secret)}
        self._forms = tuple(sorted(found, key=len, reverse=True))

    def text(self, text: str) -> str:
        """The text without secrets."""
        return self.data(text.encode(*_ANY)).decode(*_ANY)

    def data(self, data: bytes) -> bytes:
        """The same for bytes."""
        stream = self.stream()
        return stream.feed(data) + stream.end()

    def stream(self) -> Stream:
        """For bytes that come in pieces."""
        return Stream(self._forms)


class Stream:
    """Masks one stream of bytes."""

    def __init__(self, forms: tuple[bytes, ...]) -> None:
        self._forms = forms
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """What can be shown by now."""
        data = self._held + piece
        spans = list(_overlapping(data, self._forms))
        cut = min((_begun(data, form) for form in self._forms), default=len(data))
        for start, end in spans:
            if start < cut < end:
                cut = start  # it may go on as a longer one
        self._held = data[cut:]
        return _replaced(data[:cut], spans)

    def end(self) -> bytes:
        """What was held back: nothing comes after it."""
        data, self._held = self._held, b""
        return _replaced(data, _overlapping(data, self._forms))


def _forms(secret: str) -> Iterator[bytes]:
    data = secret.encode(*_ANY)
    if data.strip():
        yield from (data, data.strip())
    for line in data.splitlines():
        if len(line.strip()) >= _TELLING:
            yield line.strip()
    if len(data) >= _TELLING:
        yield from (json.dumps(secret)[1:-1].encode(), json.dumps(secret, ensure_ascii=False)[1:-1].encode(*_ANY))
        yield urllib.parse.quote(data, safe="").encode()
        for before in range(3):
            # Of the characters at both ends, bits belong to the neighbours.
            encoded = base64.b64encode(b"\0" * before + data)
            whole = (before + len(data)) // 3 * 4
            start = (0, 2, 3)[before]
            for part in (encoded[start:whole], encoded[start:]):  # with something after it, and at the end
                yield from (part, part.translate(_FOR_URLS))


def _overlapping(data: bytes, forms: tuple[bytes, ...]) -> Iterator[tuple[int, int]]:
    """Where forms are found: overlapping ones as one span, in order."""
    found: list[tuple[int, int]] = []
    for form in forms:
        at = data.find(form)
        while at >= 0:
            found.append((at, at + len(form)))
            at = data.find(form, at + 1)
    if not found:
        return
    found.sort()
    start, end = found[0]
    for each in found[1:]:
        if each[0] < end:
            end = max(end, each[1])
        else:
            yield start, end
            start, end = each
    yield start, end


def _begun(data: bytes, form: bytes) -> int:
    """From where on the data's end may be the beginning of this form; the data's length when nowhere."""
    at = data.find(form[:1], max(0, len(data) - len(form) + 1))
    while at >= 0:
        if form.startswith(data[at:]):
            return at
        at = data.find(form[:1], at + 1)
    return len(data)


def _replaced(data: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
    parts, done = [], 0
    for start, end in spans:
        if start >= len(data):
            break
        parts += [data[done:start], MASK.encode()]
        done = end
    return b"".join([*parts, data[done:]])
