"""Azure Blob Storage, played by Azurite, Microsoft's own emulator: a process of its own, in memory.

It comes from npm, once for all runs, into a folder of this checkout (script/test does it; so does the first test that
needs it). Account and key are the ones that Azurite's README publishes.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import http.client
import os
import shutil
import subprocess
import threading
from collections.abc import Mapping
from email.utils import formatdate
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import peers

VERSION = "3.35.0"
_SYSTEM_CA = Path("/etc/ssl/certs/ca-certificates.crt")
FOLDER = Path(__file__).parent.parent.parent / ".venv" / "azurite"
_MAIN = FOLDER / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_LISTENS = "successfully listens on http://127.0.0.1:"


@cache
def program() -> Path | None:
    """The emulator's, fetched where it is not there; None where that cannot be done, which is tried once."""
    return _MAIN if _MAIN.exists() or fetch() else None


def fetch() -> bool:
    """Have npm bring the emulator; whether it is there then."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not _MAIN.exists():
            command = ["npm", "install", "--prefix", str(FOLDER), f"azurite@{VERSION}"]
            options = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--fetch-retries=1"]
            env = dict(os.environ)
            if _SYSTEM_CA.exists():  # node brings authorities of its own, and asks for the system's to be named
                env.setdefault("NODE_EXTRA_CA_CERTS", str(_SYSTEM_CA))
            if subprocess.run([*command, *options], stdin=subprocess.DEVNULL, env=env, check=False).returncode != 0:
                shutil.rmtree(FOLDER / "node_modules", ignore_errors=True)
    return _MAIN.exists()


class Azurite:
    """A running emulator on a free port of loopback; `env` makes obstore talk to it."""

    def __enter__(self) -> Self:
        peers.require("node")
        peers.require("npm")
        main = program()
        if main is None:
            peers.missing("azurite")
        self._process = subprocess.Popen(
            [
                *("node", str(main), "--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence"),
                *("--blobHost", "127.0.0.1", "--blobPort", "0"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        found = next((line for line in self._process.stdout if _LISTENS in line), None)
        assert found is not None, "Azurite does not start"
        self.port = int(found.partition(_LISTENS)[2])
        # It writes a line for each request, and would wait for a reader.
        self._drain = threading.Thread(target=self._process.stdout.read, name="azurite-log")
        self._drain.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._drain.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def env(self) -> Mapping[str, str]:
        """Variables that name the account, its key, and this endpoint."""
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{self.port}/{ACCOUNT}",
        }

    def make_container(self, name: str) -> None:
        """Make a container, by hand (Azure, "Create Container" and "Authorize with Shared Key")."""
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        lines = "".join(f"{key}:{value}\n" for key, value in sorted(headers.items()))
        resource = f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
        signed = hmac.new(base64.b64decode(KEY), f"PUT{chr(10) * 12}{lines}{resource}".encode(), hashlib.sha256)
        headers |= {
            "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(signed.digest()).decode()}",
            "Content-Length": "0",
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("PUT", f"/{ACCOUNT}/{name}?restype=container", headers=headers)
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        assert answer.status == 201, said
