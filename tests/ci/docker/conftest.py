"""``docker`` as scripts find it: a program of this name on ``PATH``, in a home of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

from liftlock.ci.docker.main import run
from liftlock.ci.docker.shim import docker_on_path
from tests.support.processes import TIMEOUT, environment
from tests.support.registry import Registry

MULTI = ("linux/amd64", "linux/arm64/v8")
"""Two platforms, one of them with a variant."""


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Docker:
    """A machine with this ``docker`` on its ``PATH``, and with a home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.store = home / ".local" / "share" / "liftlock" / "docker"
        docker_on_path(home / "bin")

    def env(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        found = environment(self.home, more)
        return {**found, "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}"}

    def __call__(
        self, *arguments: str | Path, stdin: str = "", env: Mapping[str, str] | None = None, code: int = 0
    ) -> Ended:
        """Run ``docker`` with these arguments within this process, which is quicker; it has to end with ``code``."""
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, self.env(env), clear=True),
            patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()))),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            ended = Ended(run([*map(str, arguments)]), out.getvalue(), err.getvalue())
        assert ended.code == code, f"docker {arguments} ended with {ended.code}\n{ended.out}{ended.err}"
        return ended

    def script(self, text: str, *, env: Mapping[str, str] | None = None, code: int = 0) -> Ended:
        """Run lines of a shell script that stops at the first failure."""
        done = subprocess.run(
            ["/bin/sh", "-e", "-c", text],
            env=self.env(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=TIMEOUT,
        )
        ended = Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert ended.code == code, f"{text}\nended with {ended.code}\n{ended.out}{ended.err}"
        return ended

    def start(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start ``docker`` and leave it running."""
        command = [str(self.home / "bin" / "docker"), *map(str, arguments)]
        return subprocess.Popen(
            command, env=self.env(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )


@pytest.fixture
def docker(home: Path) -> Docker:
    return Docker(home)


def moved(registry: Registry) -> list[str]:
    """The requests in which bytes of blobs travelled: uploads that were finished, and downloads."""
    return [
        str(seen)
        for seen in registry.requests()
        if "/blobs/" in seen.path
        and (seen.method in ("PATCH", "PUT") or (seen.method == "GET" and seen.status in (200, 206)))
    ]
