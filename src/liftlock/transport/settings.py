"""What can be set about the network, with its defaults, and how it is read from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

from liftlock.errors import ConfigError
from liftlock.transport.proxies import Proxies
from liftlock.typed import Any, NamedTuple

__all__ = ["Settings", "TlsFiles"]


class TlsFiles(NamedTuple):
    """Files for TLS with one host; empty where not set.

    ``ca_file`` is a PEM file, or a folder whose ``*.crt`` files are taken; it is trusted *beside* the system's
    authorities. ``client_key`` may be empty when ``client_cert`` holds the key too.
    """

    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""


class Settings(NamedTuple):
    """How to reach hosts. A host is written as in a reference: ``host`` or ``host:port``."""

    endpoints: Mapping[str, str] = {}
    """The URL, ``http[s]://host[:port]``, at which a registry is spoken to instead of at its own host: a private
    address of it, or a stand-in. References, credentials and results keep the registry's name."""
    plain_http: frozenset[str] = frozenset()
    """Hosts to speak to without TLS; ``*`` means all. Loopback hosts need not be named."""
    tls: Mapping[str, TlsFiles] = {}
    """TLS files by host; they come before ``default_tls`` and the folders."""
    default_tls: TlsFiles = TlsFiles()
    """TLS files of every other host."""
    system_ca: str = ""
    """A PEM file that stands for the system's certificate authorities (``SSL_CERT_FILE``)."""
    certificate_folders: tuple[str, ...] = ()
    """Folders with one folder per host, as docker and containers have them: ``certs.d``."""
    proxies: Proxies = Proxies()
    connect_timeout: float = 15.0
    """Seconds for name, connection and TLS handshake together."""
    read_timeout: float = 60.0
    """Seconds without one byte, in either direction, after which a connection counts as stalled."""
    connections: int = 32
    """Requests under way per host; it adapts downwards when a host answers 429."""
    requests_per_second: float = 0.0
    """Requests per second and host; 0 is unlimited."""
    attempts: int = 5
    """How often a request is made in all when it fails temporarily."""
    longest_pause: float = 600.0
    """Seconds of ``Retry-After`` that are waited; a host that asks for more makes the request fail at once."""

    @classmethod
    def from_environment(cls, env: Mapping[str, str], **overrides: Any) -> Settings:
        """Read proxies, ``SSL_CERT_FILE``, ``LIFTLOCK_*`` and the places of ``certs.d``; overrides win.

        ``LIFTLOCK_ENDPOINTS`` (``registry=url``, by comma), ``LIFTLOCK_PLAIN_HTTP`` (hosts, by comma),
        ``LIFTLOCK_CA_FILE``, ``LIFTLOCK_CLIENT_CERT``, ``LIFTLOCK_CLIENT_KEY``, ``LIFTLOCK_CONNECT_TIMEOUT``,
        ``LIFTLOCK_READ_TIMEOUT``, ``LIFTLOCK_CONNECTIONS``,
        ``LIFTLOCK_REQUESTS_PER_SECOND``, ``LIFTLOCK_ATTEMPTS``. Raises `ConfigError` naming the variable.
        """
        default = cls()
        settings = cls(
            endpoints=_endpoints(env.get("LIFTLOCK_ENDPOINTS", "")),
            plain_http=frozenset(
                host.strip() for host in env.get("LIFTLOCK_PLAIN_HTTP", "").split(",") if host.strip()
            ),
            default_tls=TlsFiles(
                env.get("LIFTLOCK_CA_FILE", ""), env.get("LIFTLOCK_CLIENT_CERT", ""), env.get("LIFTLOCK_CLIENT_KEY", "")
            ),
            system_ca=env.get("SSL_CERT_FILE", ""),
            certificate_folders=_certificate_folders(env),
            proxies=Proxies.from_environment(env),
            connect_timeout=_number(env, "LIFTLOCK_CONNECT_TIMEOUT", default.connect_timeout, least=0.001),
            read_timeout=_number(env, "LIFTLOCK_READ_TIMEOUT", default.read_timeout, least=0.001),
            connections=int(_number(env, "LIFTLOCK_CONNECTIONS", default.connections, least=1)),
            requests_per_second=_number(env, "LIFTLOCK_REQUESTS_PER_SECOND", default.requests_per_second, least=0),
            attempts=int(_number(env, "LIFTLOCK_ATTEMPTS", default.attempts, least=1)),
        )
        return settings._replace(**overrides)

    def tls_files(self, host: str) -> TlsFiles | None:
        """The TLS files that are meant for this very host (``host[:port]``); None when there are none."""
        bare = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        for name in (host, bare):
            if name in self.tls:
                return self.tls[name]
        for folder in self.certificate_folders:
            files = _folder_files(os.path.join(folder, host))
            if files is not None:
                return files
        return None

    def speaks_plain(self, host: str) -> bool:
        """Whether the user asked for plain HTTP with this host (``host[:port]``)."""
        bare = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        return not self.plain_http.isdisjoint((host, bare, "*"))


def _endpoints(text: str) -> Mapping[str, str]:
    found = {}
    for item in filter(None, map(str.strip, text.split(","))):
        registry, equals, url = item.partition("=")
        if not equals or not registry:
            raise ConfigError(f"LIFTLOCK_ENDPOINTS: {item!r} is not registry=url")
        found[registry.strip()] = url.strip()
    return found


def _certificate_folders(env: Mapping[str, str]) -> tuple[str, ...]:
    """Where docker and containers/image look (containers-certs.d(5)), the user's own first."""
    home = env.get("HOME", "")
    configuration = env.get("XDG_CONFIG_HOME") or (os.path.join(home, ".config") if home else "")
    own = (os.path.join(configuration, tool, "certs.d") for tool in ("containers", "docker") if configuration)
    return (*own, "/etc/containers/certs.d", "/etc/docker/certs.d")


def _folder_files(folder: str) -> TlsFiles | None:
    """One host's folder: ``*.crt`` are authorities, the first ``*.cert`` with its ``*.key`` is the client's pair."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return None
    ca = folder if any(name.endswith(".crt") for name in names) else ""
    for name in names:
        key = f"{name.removesuffix('.cert')}.key"
        if name.endswith(".cert") and key in names:
            return TlsFiles(ca, os.path.join(folder, name), os.path.join(folder, key))
    return TlsFiles(ca) if ca else None


def _number(env: Mapping[str, str], name: str, default: float, *, least: float) -> float:
    text = env.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value < 1e9:
        raise ConfigError(f"{name}={text!r} is not a number of at least {least:g}")
    return value
