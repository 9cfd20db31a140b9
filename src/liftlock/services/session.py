"""The composition root of the images wing: what one command works with, built from flags and environment.

Nothing is opened before it is used, and nothing is imported before that either.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from threading import Lock
from types import TracebackType

from liftlock.services.folders import Folders
from liftlock.typed import TYPE_CHECKING, Literal, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from liftlock.auth.access import RegistryAccess
    from liftlock.auth.authorizer import Authorizer
    from liftlock.auth.keychain import Keychain
    from liftlock.targets.locate import Targets
    from liftlock.transport.client import Transport

__all__ = ["Session", "transport"]


def transport(
    env: Mapping[str, str],
    *,
    plain_http: Sequence[str] = (),
    tls: tuple[str, str, str] = ("", "", ""),
    registries: Mapping[str, RegistryAccess] = {},
    on_request: Callable[[str], None] | None = None,
) -> Transport:
    """The transport for an environment and what was asked for beside it; raises `ConfigError`.

    ``tls`` are the files of `TlsFiles` for every host, ``registries`` the options of single ones.
    """
    from liftlock.transport.client import Transport
    from liftlock.transport.memory import HostMemory
    from liftlock.transport.settings import Settings, TlsFiles
    from liftlock.transport.urls import split_url

    settings = Settings.from_environment(env)
    default = TlsFiles(*(flag or known for flag, known in zip(tls, settings.default_tls, strict=True)))
    # What the environment says comes first: it is how a test, or one machine, stands in for a registry.
    given = {host: access.endpoint for host, access in registries.items() if access.endpoint}
    endpoints = given | dict(settings.endpoints)
    own = {}
    for registry, access in registries.items():
        if access.ca_file:
            host = split_url(endpoints[registry])[0].authority if registry in endpoints else registry
            # A host's own authority leaves it the client certificate that it would have had.
            own[host] = (settings.tls_files(host) or default)._replace(ca_file=access.ca_file)
    settings = settings._replace(
        endpoints=endpoints,
        plain_http=settings.plain_http.union(plain_http, (host for host in registries if registries[host].plain_http)),
        tls={**settings.tls, **own},
        default_tls=default,
    )
    cache = Folders.from_environment(env).cache
    memory = HostMemory(os.path.join(cache, "hosts.json") if cache else None)
    return Transport(settings, memory=memory, on_request=on_request)


class _Closable(Protocol):
    def abort(self) -> None: ...

    def close(self) -> None: ...


Opened = TypeVar("Opened", bound=_Closable)


class Session:
    """Registries, layouts and archives as one user sees them. One per operation; close it.

    ``env`` is the environment, given explicitly; ``registries`` the options of single ones. ``on_request`` is told
    of each request, in one line without secrets. ``begun`` is a transport that was made earlier for the
    same environment: it is used where nothing else was asked for.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        plain_http: Sequence[str] = (),
        ca_file: str = "",
        registries: Mapping[str, RegistryAccess] | None = None,
        client_cert: str = "",
        client_key: str = "",
        verify: Literal["auto", "destination", "client"] = "auto",
        on_request: Callable[[str], None] | None = None,
        begun: Transport | None = None,
    ) -> None:
        self.env = env
        self.verify = verify
        self._plain_http = plain_http
        self._tls = (ca_file, client_cert, client_key)
        self.registries = registries or {}
        self._on_request = on_request
        self._begun = begun
        self._lock = Lock()
        self._opened: list[_Closable] = []
        self._aborted = False

    @cached_property
    def folders(self) -> Folders:
        return Folders.from_environment(self.env)

    @cached_property
    def transport(self) -> Transport:
        flags = (*self._tls, *self.registries, *self._plain_http)
        if self._begun is not None and not any(flags) and self._on_request is None:
            return self._kept(self._begun)
        return self._kept(
            transport(
                self.env,
                plain_http=self._plain_http,
                tls=self._tls,
                registries=self.registries,
                on_request=self._on_request,
            )
        )

    @cached_property
    def keychain(self) -> Keychain:
        from liftlock.auth.keychain import Keychain

        return Keychain(self._told, self.registries)

    @cached_property
    def _told(self) -> Mapping[str, str]:
        """The environment for those who have a transport of their own, and shall reach what this one reaches."""
        from liftlock.auth.access import told

        return told(self.env, plain_http=self._plain_http, tls=self._tls)

    @cached_property
    def authorizer(self) -> Authorizer:
        from liftlock.auth.authorizer import Authorizer

        return Authorizer(self.transport, self.keychain)

    @cached_property
    def targets(self) -> Targets:
        from liftlock.targets.locate import Targets

        return self._kept(Targets(self.authorizer, verify=self.verify, registries=self.registries, env=self._told))

    @property
    def requests(self) -> int:
        """Requests made so far."""
        return self.transport.traffic.total().requests if "transport" in self.__dict__ else 0

    def abort(self) -> None:
        """From any thread: stalled calls end in `Cancelled`, and so does everything later."""
        with self._lock:
            self._aborted = True
            opened = tuple(self._opened)
        for each in opened:
            each.abort()

    def close(self) -> None:
        """Give back files and sockets."""
        while self._opened:
            self._opened.pop().close()

    def _kept(self, opened: Opened) -> Opened:
        with self._lock:
            self._opened.append(opened)
            aborted = self._aborted
        if aborted:
            opened.abort()
        return opened

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.abort()  # so that closing finishes nothing: an archive is written whole or not at all
        self.close()
