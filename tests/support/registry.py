"""Debian's docker-registry (distribution 2.8) as a process of its own: the peer that most tests talk to.

Each registry has a folder in memory (`/dev/shm`) where there is room, else in the temporary folder. A small shell
stands between: when the test process ends in whatever way, the registry ends and its folder goes too.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import peers
from tests.support.certificates import Authority, KeyPair
from tests.support.tokens import ISSUER, SERVICE, TokenServer
from tests.support.waiting import until
from tests.support.wire import Wire

_LINE = re.compile(r'^\S+ \S+ \S+ \[[^]]*\] "(?P<method>[A-Z]+) (?P<target>\S+) [^"]*" (?P<status>\d+) (?P<size>\d+)')
_MARK = "liftlock-tests-mark"
_ROOM = 2 << 30

# Runs the registry, says its process id, and waits for a line on stdin: "keep" ends the server and leaves the folder,
# anything else (the pipe's end above all) removes the folder too.
_GUARD = """
docker-registry serve "$0/config.yml" >>"$0/access.log" 2>>"$0/error.log" </dev/null &
echo $!
exec >/dev/null
read -r word
kill -9 $! 2>/dev/null
wait 2>/dev/null
[ "$word" = keep ] || rm -rf "$0"
"""


@dataclass(frozen=True)
class Seen:
    """One line of the registry's access log."""

    method: str
    path: str
    """Without the query, as it was sent (percent-encoded)."""
    query: str
    status: int
    size: int
    """Bytes of the response's body."""

    @property
    def parameters(self) -> dict[str, str]:
        """The query's parameters (the first value of each)."""
        return {name: values[0] for name, values in urllib.parse.parse_qs(self.query).items()}

    def __str__(self) -> str:
        return f"{self.method} {self.path}{'?' + self.query if self.query else ''} → {self.status}"


class Registry:
    """A running registry on a free port of 127.0.0.1.

    `user` and `password` ask for Basic (htpasswd), `token` for Bearer tokens of that server, `tls` for HTTPS with a
    certificate of that authority, `client_certificates` for mutual TLS. `relative_urls` says how `Location` is
    written. `delete=False` refuses deletes. `read_only` refuses all writes.
    """

    def __init__(
        self,
        *,
        user: str | None = None,
        password: str | None = None,
        token: TokenServer | None = None,
        tls: Authority | None = None,
        client_certificates: bool = False,
        relative_urls: bool = True,
        delete: bool = True,
        read_only: bool = False,
    ) -> None:
        peers.require("docker-registry")
        self.user = user if token is None else token.user
        self.password = password if token is None else token.password
        self.token = token
        self.authority = tls
        self.folder = Path(tempfile.mkdtemp(prefix="liftlock-registry-", dir=roomy_folder()))
        self.port = 0
        self._marks = itertools.count(1)
        self._start_of_log = 0
        self._pid = 0
        self._guard: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._client: KeyPair | None = tls.client() if tls is not None and client_certificates else None
        self._settings = self._configure(
            token=token, relative_urls=relative_urls, delete=delete, read_only=read_only, htpasswd=user is not None
        )
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def host(self) -> str:
        """As it is written in a reference: `127.0.0.1:PORT`."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{'http' if self.authority is None else 'https'}://{self.host}"

    @property
    def ca(self) -> Path | None:
        """The file a client has to trust, when the registry speaks TLS."""
        return None if self.authority is None else self.authority.ca

    def wire(self) -> Wire:
        """A plain client with this registry's credentials. Close it."""
        client = None if self._client is None else (self._client.certificate, self._client.key)
        return Wire(self.host, user=self.user, password=self.password, ca=self.ca, client=client)

    def requests(self) -> list[Seen]:
        """What the registry answered since the start, or since `forget`; complete when this returns."""
        return [seen for seen in self._log() if _MARK not in seen.query]

    def count(self, method: str | None = None, path: str = "", status: int | None = None) -> int:
        """How many of `requests` have this method, a path that the pattern `path` finds, and this status."""
        return sum(
            method in (None, seen.method) and status in (None, seen.status) and re.search(path, seen.path) is not None
            for seen in self.requests()
        )

    def forget(self) -> None:
        """Begin counting anew."""
        self._log()
        with self._lock:
            self._start_of_log = (self.folder / "access.log").stat().st_size

    def wipe(self) -> None:
        """Empty the storage of a running registry."""
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        (self.folder / "data").mkdir(exist_ok=True)

    def blob_path(self, digest: str) -> Path:
        """The file in which the registry keeps a blob, for tests that damage or remove it."""
        algorithm, _, encoded = digest.partition(":")
        root = self.folder / "data" / "docker" / "registry" / "v2" / "blobs"
        return root / algorithm / encoded[:2] / encoded / "data"

    def start(self) -> None:
        """Start, or start again after `kill`, on the same port with the same storage."""
        for attempt in range(5):
            if self.port == 0 or attempt:
                self.port = free_port()
            self._write_configuration()
            self._spawn()
            if until(self._ready_or_over, f"the registry at {self.host}") == "ready":
                return
            self._end("keep")
        raise RuntimeError(f"docker-registry does not start:\n{(self.folder / 'error.log').read_text()}")

    def kill(self) -> None:
        """End the process at once, as `kill -9` does; the storage stays, and `start` goes on with it."""
        self._end("keep")

    def pause(self) -> None:
        """Stop answering without closing anything (SIGSTOP), until `resume`."""
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def stop(self) -> None:
        """End the process and remove its storage."""
        self._end("")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _spawn(self) -> None:
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._guard.stdout is not None
        self._pid = int(self._guard.stdout.readline())

    def _end(self, word: str) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.communicate(f"{word}\n")

    def _ready_or_over(self) -> str | None:
        try:
            with self.wire() as wire:
                # A 401 is readiness too; the token server is not asked, since nothing answers the challenge here.
                wire.once("GET", f"/v2/?{_MARK}=start", None, {})
        except OSError:
            if not Path(f"/proc/{self._pid}").exists() or "address already in use" in self._errors():
                return "over"
            return None
        return "ready" if self._owns_port() else "over"

    def _owns_port(self) -> bool:
        """Whether it was this registry that answered, and not another that took the port first."""
        return "address already in use" not in self._errors()

    def _errors(self) -> str:
        return (self.folder / "error.log").read_text()

    def _log(self) -> list[Seen]:
        if self._guard is not None:
            # Lines are written in the order in which answers end: once ours is there, those before it are there.
            mark = f"{_MARK}={next(self._marks)}"
            with self.wire() as wire:
                wire.once("GET", f"/v2/?{mark}", None, {})
            until(lambda: f"?{mark} " in self._text(), "the registry's access log")
        matches = (_LINE.match(line) for line in self._text().splitlines())
        return [_seen(match) for match in matches if match is not None]

    def _text(self) -> str:
        with (self.folder / "access.log").open("rb") as log:
            log.seek(self._start_of_log)
            return log.read().decode()

    def _configure(
        self, *, token: TokenServer | None, relative_urls: bool, delete: bool, read_only: bool, htpasswd: bool
    ) -> dict[str, object]:
        http: dict[str, object] = {"relativeurls": relative_urls}
        if self.authority is not None:
            pair = self.authority.server()
            tls: dict[str, object] = {"certificate": str(pair.certificate), "key": str(pair.key)}
            if self._client is not None:
                tls["clientcas"] = [str(self.authority.ca)]
            http["tls"] = tls
        settings: dict[str, object] = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": False}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.folder / "data"), "maxthreads": 100},
                "delete": {"enabled": delete},
                "maintenance": {"uploadpurging": {"enabled": False}, "readonly": {"enabled": read_only}},
            },
            "http": http,
        }
        if token is not None:
            settings["auth"] = {
                "token": {
                    "realm": token.realm,
                    "service": SERVICE,
                    "issuer": ISSUER,
                    "rootcertbundle": str(token.authority.ca),
                }
            }
        elif htpasswd:
            # Cost 4 is the least that bcrypt allows: the registry checks the password at every request.
            line = peers.run("htpasswd", "-nbB", "-C", "4", self.user or "", self.password or "")
            (self.folder / "htpasswd").write_text(line)
            settings["auth"] = {"htpasswd": {"realm": "liftlock tests", "path": str(self.folder / "htpasswd")}}
        (self.folder / "data").mkdir()
        return settings

    def _write_configuration(self) -> None:
        http = self._settings["http"]
        assert isinstance(http, Mapping)
        settings = {**self._settings, "http": {**http, "addr": self.host}}
        # JSON is YAML, so no YAML library is needed here.
        (self.folder / "config.yml").write_text(json.dumps(settings))
        for name in ("access.log", "error.log"):
            (self.folder / name).touch()
        (self.folder / "error.log").write_text("")


def _seen(match: re.Match[str]) -> Seen:
    path, _, query = match["target"].partition("?")
    return Seen(match["method"], path, query, int(match["status"]), int(match["size"]))


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def roomy_folder() -> str | None:
    """A folder in memory when there is room, else the usual temporary folder."""
    memory = "/dev/shm"
    try:
        roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM
    except OSError:
        roomy = False
    return memory if roomy else None
