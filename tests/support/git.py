"""Real bare git repositories: by path, and over HTTP with a password through `git http-backend`."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

IDENTITY = {
    "GIT_AUTHOR_NAME": "Somebody",
    "GIT_AUTHOR_EMAIL": "somebody@example.org",
    "GIT_COMMITTER_NAME": "Somebody",
    "GIT_COMMITTER_EMAIL": "somebody@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder; what it prints."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env={**os.environ, **IDENTITY}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout


class BareRepository:
    """A bare repository whose branch `main` has these files."""

    def __init__(self, folder: Path, files: dict[str, str], name: str = "deploy.git") -> None:
        self.folder = folder / name
        self._work = folder / f"{name}-work"
        git(folder, "init", "-q", "--bare", "--initial-branch=main", str(self.folder))
        git(folder, "init", "-q", "--initial-branch=main", str(self._work))
        git(self._work, "remote", "add", "origin", str(self.folder))
        self.push(files, "Start")

    @property
    def url(self) -> str:
        return str(self.folder)

    def push(self, files: dict[str, str], message: str = "By hand") -> None:
        """Commit files as somebody else, on top of what is there."""
        if self.log():
            git(self._work, "fetch", "-q", "origin")
            git(self._work, "reset", "-q", "--hard", "origin/main")
        for path, content in files.items():
            file = self._work / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode())
        git(self._work, "add", "-A")
        git(self._work, "commit", "-q", "-m", message)
        git(self._work, "push", "-q", "origin", "HEAD:main")

    def read(self, path: str) -> str:
        """A file of the last commit of `main`."""
        return git(self.folder, "show", f"main:{path}")

    def log(self) -> list[str]:
        """The subjects of the commits on `main`, the newest first."""
        if not git(self.folder, "for-each-ref", "refs/heads/main"):
            return []
        return git(self.folder, "log", "--format=%s", "main").splitlines()

    def message(self) -> str:
        """The message of the last commit."""
        return git(self.folder, "log", "-1", "--format=%an <%ae>%n%B", "main")

    def hook(self, name: str, script: str) -> None:
        """A hook of the repository's own."""
        file = self.folder / "hooks" / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)


class GitServer:
    """Serves the bare repositories of a folder over HTTP, to one user; remembers what it was told."""

    def __init__(self, folder: Path, *, user: str = "bot", password: str = "t0ken") -> None:
        self.folder = folder
        self.expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.authorizations: list[str | None] = []
        self.status = 0
        """What to answer instead; 0 for none."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"


def _handler(server: GitServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said = self.headers.get("Authorization")
            server.authorizations.append(said)
            status = server.status or (0 if said == server.expected else 401)
            if status:
                self.send_response(status)
                if status == 401:
                    self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            environment = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(server.folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_GLOBAL": "/dev/null",
                "REMOTE_USER": "bot",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            done = subprocess.run(
                ["git", "http-backend"], input=body, env=environment, capture_output=True, check=False
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _respond  # noqa: N815 - the base class's names

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing on stderr."""

    return Handler
