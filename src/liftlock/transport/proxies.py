"""Proxies: which one a request goes through, by the rules of ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY``.

The rules are those of Go's ``httpproxy`` package, which docker, crane and skopeo follow: an entry of ``NO_PROXY`` is
``*``, a host (with its subdomains), a ``.suffix`` (subdomains only), an address, or a network in CIDR form, each with
an optional ``:port``; loopback hosts are never sent through a proxy.
"""

from __future__ import annotations

from collections.abc import Mapping

from liftlock.errors import ConfigError
from liftlock.transport.urls import Origin, is_loopback
from liftlock.typed import NamedTuple

__all__ = ["Proxies", "Proxy"]


class Proxy:
    """One HTTP proxy. Its credentials appear in nothing but `authorization`."""

    __slots__ = ("authorization", "host", "port")

    def __init__(self, host: str, port: int, authorization: str = "") -> None:
        self.host = host
        self.port = port
        self.authorization = authorization
        """The value of ``Proxy-Authorization``; empty without credentials. Secret."""

    @classmethod
    def parse(cls, text: str, variable: str) -> Proxy:
        """Read ``[http://][user:password@]host[:port]``; raises `ConfigError` naming the variable, not the value."""
        from urllib.parse import unquote, urlsplit

        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            host, port = parts.hostname or "", parts.port or 80
        except ValueError:
            raise ConfigError(f"{variable} is not a proxy's URL", hint="write http://host:port") from None
        if parts.scheme != "http" or not host or not host.isascii():
            raise ConfigError(
                f"{variable} names a proxy that cannot be used: scheme {parts.scheme!r}", hint="write http://host:port"
            )
        authorization = ""
        if parts.username is not None:
            import base64  # few proxies ask for credentials

            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = "Basic " + base64.b64encode(pair.encode()).decode()
        return cls(host, port, authorization)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Proxy(http://{self})"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def _key(self) -> tuple[str, int, str]:
        return self.host, self.port, self.authorization


class Proxies(NamedTuple):
    """The proxies for plain and for TLS requests, and the hosts that are reached without."""

    http: Proxy | None = None
    https: Proxy | None = None
    exceptions: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Proxies:
        """Read the variables, lower case first. Raises `ConfigError` on a proxy that cannot be used."""
        found: dict[str, Proxy | None] = {}
        for scheme in ("http", "https"):
            for variable in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
                # A CGI server puts the request's own "Proxy" header there (CVE-2016-5385).
                if env.get(variable) and not (variable == "HTTP_PROXY" and "REQUEST_METHOD" in env):
                    found[scheme] = Proxy.parse(env[variable], variable)
                    break
        exceptions = env.get("no_proxy") or env.get("NO_PROXY") or ""
        entries = tuple(entry.strip().lower() for entry in exceptions.split(",") if entry.strip())
        return cls(found.get("http"), found.get("https"), entries)

    def choose(self, origin: Origin) -> Proxy | None:
        """The proxy for this origin; None to go there directly."""
        proxy = self.https if origin.scheme == "https" else self.http
        if proxy is None or is_loopback(origin.host):
            return None
        return None if any(_covers(entry, origin) for entry in self.exceptions) else proxy


def _covers(entry: str, origin: Origin) -> bool:
    if entry == "*":
        return True
    name, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and (":" not in name or name.endswith("]")):
        if int(port) != origin.port:
            return False
        entry = name
    entry = entry.strip("[]")
    if "/" in entry:
        return _in_network(origin.host, entry)
    if entry.startswith("*."):
        entry = entry[1:]
    if entry.startswith("."):
        return origin.host.endswith(entry)
    return origin.host == entry or origin.host.endswith(f".{entry}")


def _in_network(host: str, network: str) -> bool:
    import ipaddress  # few have networks in NO_PROXY

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
