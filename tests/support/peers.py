"""The real programs that tests talk to, and what happens where one is not installed.

On a developer's machine a missing peer skips the tests that need it; with `CI=true` it fails them, since a test that
is silently not run protects nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest

PACKAGES: Mapping[str, str] = {
    "docker-registry": "docker-registry",
    "skopeo": "skopeo",
    "podman": "podman",
    "umoci": "umoci",
    "htpasswd": "apache2-utils",
    "postgres": "postgresql",
    "node": "nodejs",
    "npm": "npm",
    "azurite": "npm, which fetches it",
}
"""Program → Debian package that has it."""

IN_CI = os.environ.get("CI") == "true"
"""Read once, before tests are given an environment of their own."""


def require(program: str) -> str:
    """Return the path of `program`, or skip the test (fail it when `CI=true`)."""
    found = shutil.which(program)
    return found if found is not None else missing(program)


def missing(program: str) -> NoReturn:
    """Skip the test that needs a program which is not there (fail it when `CI=true`)."""
    message = f"{program} is not installed (Debian package: {PACKAGES.get(program, program)})"
    if IN_CI:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def run(program: str, *arguments: str | Path, env: Mapping[str, str] | None = None) -> str:
    """Run a peer and return its stdout; raise with everything it said when it fails."""
    command = [require(program), *map(str, arguments)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=None if env is None else dict(env),
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
