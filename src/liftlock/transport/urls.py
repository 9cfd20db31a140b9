"""URLs: where a request goes, and how one may be shown.

Nearly all are plain: those are read here, so that ``urllib.parse`` (2 ms) is loaded only for what may need its care.
"""

from __future__ import annotations

from functools import lru_cache

from liftlock.errors import TransportError
from liftlock.typed import NamedTuple

__all__ = ["Origin", "is_loopback", "redact", "registry_host", "split_url"]

DEFAULT_PORTS = {"http": 80, "https": 443}

SHOWN_PARAMETERS = frozenset({"n", "last", "mount", "from", "tag", "digest", "artifactType"})
"""Query parameters whose values may be shown: the distribution spec's own. Everything else may be a signature."""

_URL_CHARACTERS = frozenset(map(chr, range(0x21, 0x7F)))
_TARGET_CHARACTERS = _URL_CHARACTERS - {"#"}
_DIGITS = frozenset("0123456789")
_PLAIN_HOST = _DIGITS.union("abcdefghijklmnopqrstuvwxyz-._")
_HOST_CHARACTERS = _PLAIN_HOST.union(":%")


class Origin(NamedTuple):
    """Scheme, host (lower case, IPv6 without brackets) and port."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """``host[:port]`` as it stands in a ``Host`` field; the scheme's own port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@lru_cache(maxsize=256)
def split_url(url: str) -> tuple[Origin, str]:
    """The origin of an absolute URL, and the target (path and query) to ask it for.

    User name, password and fragment are dropped: they are never sent. Raises `TransportError` (not temporary) when it
    is no such URL, and on control characters, which could smuggle a second request.
    """
    return _split_plain(url) or _split_any(url)


def _split_plain(url: str) -> tuple[Origin, str] | None:
    """A URL of scheme, host, perhaps a port, and a path or nothing more; None when it has anything else."""
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    host, colon, port = authority.partition(":")
    if scheme not in DEFAULT_PORTS or not _PLAIN_HOST.issuperset(host) or not host.strip("."):
        return None
    if not _DIGITS.issuperset(port) or bool(colon) != bool(port) or len(port) > 5 or int(port or 0) > 65535:
        return None
    if not _TARGET_CHARACTERS.issuperset(path) or path.endswith("?"):
        return None
    return Origin(scheme, host, int(port) if port else DEFAULT_PORTS[scheme]), f"/{path}"


def _split_any(url: str) -> tuple[Origin, str]:
    from urllib.parse import quote, urlsplit

    if not _URL_CHARACTERS.issuperset(url):
        if not url.isprintable():
            raise _unusable(url, "it has control characters")
        url = quote(url, safe="!#$%&'()*+,/:;=?@[]~")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _unusable(url, "its host or port is not well formed") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise _unusable(url, "its scheme is neither http nor https")
    if host.strip(".") == "" or not _HOST_CHARACTERS.issuperset(host):
        raise _unusable(url, "it has no usable host")
    target = parts.path or "/"
    if parts.query:
        target = f"{target}?{parts.query}"
    return Origin(parts.scheme, host, DEFAULT_PORTS[parts.scheme] if port is None else port), target


def _unusable(url: str, why: str) -> TransportError:
    return TransportError(f"cannot use the URL {redact(url)!r}: {why}", temporary=False)


def redact(url: str) -> str:
    """The URL as it may be shown: without user name and password, and only harmless query values."""
    from urllib.parse import urlsplit, urlunsplit

    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not a URL)"
    pairs = []
    for pair in parts.query.split("&") if parts.query else ():
        name, equals, _ = pair.partition("=")
        pairs.append(pair if name in SHOWN_PARAMETERS or not equals else f"{name}=***")
    shown = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "&".join(pairs), ""))
    return shown if len(shown) <= 400 else f"{shown[:400]}…"


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether this host is this machine: ``localhost``, ``127.0.0.0/8`` or ``::1`` (without port and brackets)."""
    if host.startswith("127."):
        parts = host.split(".")
        return len(parts) == 4 and all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts)
    return host in ("localhost", "::1")


def registry_host(registry: str) -> str:
    """Where a registry really answers: ``docker.io`` is served by ``registry-1.docker.io``."""
    registry = registry.lower()
    return "registry-1.docker.io" if registry in ("docker.io", "index.docker.io") else registry
