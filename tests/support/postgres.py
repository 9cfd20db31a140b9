"""Debian's PostgreSQL as a server of its own: the database that several workers share.

A server has a folder in memory (`/dev/shm`) where there is room. PostgreSQL refuses to run as root, so as root it runs
as the user `postgres`, or `nobody`. A small shell stands between: when the test process ends in whatever way, the
server ends and its folder goes too.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from tests.support import peers
from tests.support.registry import free_port, roomy_folder
from tests.support.waiting import until

PASSWORD = "open-sesame"
"""The server asks for it: tests look for it where no password may be."""

# Runs the server, and waits for a line on stdin: "keep" ends it at once and leaves the folder, anything else (the
# pipe's end above all) removes the folder too.
_GUARD = """
folder=$0
"$@" >>"$folder/log" 2>&1 </dev/null &
exec >/dev/null
read -r word
kill -QUIT $! 2>/dev/null
wait 2>/dev/null
[ "$word" = keep ] || rm -rf "$folder"
"""


def programs() -> Path | None:
    """The folder with `initdb`, `postgres` and `pg_dump` of one version, the newest; None where there is none."""
    found = shutil.which("postgres")
    if found:
        return Path(found).resolve().parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return debian[-1].parent if debian else None


class Postgres:
    """A running server on a free port of 127.0.0.1, and on a socket in its folder."""

    def __init__(self) -> None:
        found = programs()
        if found is None:
            peers.missing("postgres")
        self.programs = found
        self.folder = Path(tempfile.mkdtemp(prefix="liftlock-pg-", dir=roomy_folder()))
        self.port = free_port()
        self._names = (f"db{number}" for number in itertools.count(1))
        self._guard: subprocess.Popen[bytes] | None = None
        self._as: list[str] = []
        try:
            self._initialise()
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

    def url(self, database: str) -> str:
        """As `LIFTLOCK_DATABASE_URL` has it."""
        return f"postgresql+psycopg://postgres:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def create(self, template: str = "template0") -> str:
        """A new database, a copy of another one that nobody uses; its name."""
        name = next(self._names)
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, database: str) -> None:
        """Remove a database, whoever still uses it."""
        self.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement outside of a transaction; what it answers."""
        with psycopg.connect(self._conninfo(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def run(self, program: str, *arguments: str | Path) -> bytes:
        """Run one of the server's own programs, such as `pg_dump`; what it prints."""
        env = {"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD}
        command = [self.programs / program, *arguments]
        return subprocess.run(command, env=env, check=True, capture_output=True).stdout

    def start(self) -> None:
        """Start, or start again after `kill`, on the same port with the same databases."""
        server = [
            str(self.programs / "postgres"),
            *("-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "shared_buffers=32MB"),
            # What is lost with the machine's power is of no interest to a test; what was committed survives `kill`.
            *("-c", "fsync=off", "-c", "full_page_writes=off"),
        ]
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, str(self.folder), *self._as, *server],
            stdin=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
        )
        until(self._answers, f"the PostgreSQL at port {self.port}", seconds=30)

    def kill(self) -> None:
        """End the server at once, with every connection; the databases stay, and `start` goes on with them."""
        self._end("keep")

    def stop(self) -> None:
        """End the server and remove its databases."""
        self._end("")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _initialise(self) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if os.geteuid() == 0:
            user = _other_user()
            self._as = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
            for path in (self.folder, secret):
                os.chown(path, user.pw_uid, user.pw_gid)
        command = [
            *self._as,
            str(self.programs / "initdb"),
            *("-D", str(self.folder / "data"), "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={secret}"),
            *("-E", "UTF8", "--locale=C", "--no-sync"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        if done.returncode:
            raise RuntimeError(f"initdb ended with {done.returncode}\n{done.stdout}{done.stderr}")

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _conninfo(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=postgres password={PASSWORD} dbname={database}"

    def _end(self, word: str) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.communicate(f"{word}\n".encode())


def _other_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
