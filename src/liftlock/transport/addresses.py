"""Names to addresses, remembered, and which addresses may be reached from where.

The guard against server-side request forgery: a public host must not be able to send us, by a redirect, an upload
``Location`` or a token realm, to an address of our own network. What was checked is what is connected to, since both
use the same remembered addresses; a name that answers differently the second time gains nothing.
"""

from __future__ import annotations

import _socket as socket  # see `transport`
import threading

from liftlock.errors import TransportError
from liftlock.transport.urls import Origin, is_loopback
from liftlock.typed import Any

__all__ = ["Addresses", "Endpoint"]

Endpoint = tuple[int, Any]
"""An address family and a socket address, as `socket` takes them."""

METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"})
"""Names by which clouds offer a machine's own credentials."""

METADATA_ADDRESSES = frozenset(
    {"169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254", "168.63.129.16"}
)
"""Where AWS, ECS tasks, Alibaba, AWS on IPv6 and Azure do so."""


class Addresses:
    """The addresses of hosts, looked up once per process and host."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int], list[Endpoint]] = {}

    def find(self, host: str, port: int) -> list[Endpoint]:
        """Where this host listens, the best address first. Raises `socket.gaierror`."""
        with self._lock:
            known = self._known.get((host, port))
        if known is None:
            # As bytes: a str would load the IDNA codec, which costs milliseconds.
            answers = socket.getaddrinfo(host.encode(), port, type=socket.SOCK_STREAM)
            known = [(family, address) for family, _, _, _, address in answers]
            with self._lock:
                known = self._known.setdefault((host, port), known)
        return list(known)

    def prefer(self, host: str, port: int, endpoint: Endpoint) -> None:
        """This address answered: the next connection begins with it."""
        with self._lock:
            known = self._known.get((host, port), [])
            if endpoint in known and known[0] != endpoint:
                known.remove(endpoint)
                known.insert(0, endpoint)

    def forget(self, host: str, port: int) -> None:
        """None of them answered: look the name up again next time."""
        with self._lock:
            self._known.pop((host, port), None)

    def guard(self, origin: Origin, target: Origin, *, resolve: bool = True) -> None:
        """Raise `TransportError` when ``origin`` has no business in sending us to ``target``.

        ``resolve=False`` looks at the names only (behind a proxy, which resolves them itself).
        """
        if (origin.host, origin.port) == (target.host, target.port):
            return
        theirs = self.kind(target, resolve=resolve)
        if theirs in ("public", "unknown"):
            return  # of an unknown one the connection will say that there is no such host
        if theirs == "private" and self.kind(origin, resolve=resolve) not in ("public", "unknown"):
            return
        raise TransportError(
            f"{origin.authority} sends us to {target.authority}, which is a {theirs} address: refused",
            hint="a registry must not point clients at addresses inside their own network",
            temporary=False,
        )

    def kind(self, origin: Origin, *, resolve: bool = True) -> str:
        """``public``, ``private`` (loopback too), ``metadata`` (link-local too), or ``unknown``: it has no address.

        ``resolve=False`` takes a name for public that is not known as another.
        """
        if is_loopback(origin.host) or origin.host.endswith(".localhost"):
            return "private"
        if origin.host.rstrip(".") in METADATA_NAMES:
            return "metadata"
        kinds = {_address_kind(origin.host)}
        if kinds == {""}:
            if not resolve:
                return "public"
            try:
                kinds = {_address_kind(address[0]) for _, address in self.find(origin.host, origin.port)}
            except OSError:
                return "unknown"
        return next((kind for kind in ("metadata", "private") if kind in kinds), "public")


def _address_kind(text: str) -> str:
    """The kind of an address; empty when it is a name."""
    import ipaddress  # only asked when a host points to another

    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return _odd_address_kind(text)
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address.sixtofour or address
    if str(address) in METADATA_ADDRESSES or address.is_link_local:
        return "metadata"
    return "public" if address.is_global and not address.is_multicast else "private"


def _odd_address_kind(text: str) -> str:
    """Spellings such as ``0x7f.1`` and ``2130706433``, which the C library takes for addresses."""
    try:
        return _address_kind(socket.inet_ntoa(socket.inet_aton(text)))
    except (OSError, UnicodeError):
        return ""
