"""A database that several machines share: PostgreSQL. Its schema changes when somebody says so, never by being used."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from liftlock.errors import LiftlockError, UsageError
from liftlock.store.database import HEAD, PATIENCE, Database, revision
from liftlock.store.turns import take_turn

__all__ = ["Postgres"]

VARIABLE = "LIFTLOCK_DATABASE_URL"

_DRIVER = "postgresql+psycopg"

_TEMPORARY = ("08", "25P03", "40", "53", "55P03", "57", "58")
"""How SQLSTATEs of what passes begin: connections, conflicts and deadlocks, no room, locks, shutdowns, time-outs."""

_SHOWN = ("host", "port")
"""The parameters of a URL that messages show; among the others there may be a password."""


class Postgres(Database):
    """The database of a URL: ``postgresql+psycopg://USER:PASSWORD@HOST/DATABASE``; it has to be there.

    Raises `UsageError` when the URL is none of PostgreSQL's, or the driver is not installed.
    """

    def __init__(self, url: str) -> None:
        parsed = _parsed(url)
        try:
            # A server that was started anew is noticed when a connection is taken, not by the statement after.
            engine = create_engine(parsed, pool_pre_ping=True, pool_size=10)
            from psycopg import Error  # noqa: PLC0415  # part of an extra
        except ImportError:
            raise UsageError(
                f"the database {_name(parsed)} needs the driver psycopg, which is not installed",
                hint="pip install 'liftlock[postgres]'",
            ) from None
        event.listen(engine, "connect", _set_up)
        super().__init__(_name(parsed), engine, (Error,))
        self._secrets = [each for each in (parsed.password, *parsed.query.values()) if isinstance(each, str) and each]

    def open(self) -> None:
        with self.transaction(read_only=True) as connection:
            found = revision(connection)
        self._refuse_newer(found)
        if found != HEAD:
            what = f"has the schema of an older Liftlock, revision {found}" if found else "has no tables of Liftlock"
            raise LiftlockError(f"the database {self.name} {what}; this one needs {HEAD}", hint="liftlock db upgrade")

    def upgrade(self, target: str = HEAD) -> tuple[str | None, str]:
        with self.transaction() as connection:
            take_turn(connection, "upgrade")
            return self._migrate(connection, target)

    def _prepared(self, *, read_only: bool) -> Engine:
        if read_only:
            return self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        # Who decides something takes its turn first (`liftlock.store.turns`), and then reads what is there now.
        return self.engine.execution_options(isolation_level="READ COMMITTED")

    def _told(self, error: Exception, cause: BaseException | None) -> tuple[str, str, bool]:
        state = str(getattr(cause, "sqlstate", None) or "")
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        temporary = lost or isinstance(error, (OperationalError, PoolTimeout)) or state.startswith(_TEMPORARY)
        said = " ".join(str(cause).split())
        for secret in self._secrets:
            said = said.replace(secret, "***")
        hint = f"is the server running, and does {VARIABLE} name it, with a user and a password that it takes?"
        if state:
            hint = "the same again may work" if temporary else "it has to be used by no older or newer Liftlock"
        return f"the database {self.name} cannot be used: {said}", hint, temporary


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        if "@" in (parsed.host or ""):
            raise ValueError  # noqa: TRY301  # the rest of a password
    except (ArgumentError, ValueError):
        # The text is not shown: the password is in it.
        raise UsageError(
            f"{VARIABLE} is not a URL",
            hint=f"write {_DRIVER}://USER:PASSWORD@HOST/DATABASE; in a password, @ is written as %40",
        ) from None
    if parsed.drivername not in {"postgresql", "postgres", _DRIVER}:
        raise UsageError(
            f"{VARIABLE} names a database of the kind {parsed.drivername!r}, which Liftlock does not know",
            hint=f"write {_DRIVER}://USER:PASSWORD@HOST/DATABASE; without it, state is in SQLite",
        )
    return parsed.set(drivername=_DRIVER)


def _name(url: URL) -> str:
    shown = {key: value for key, value in url.query.items() if key in _SHOWN}
    return url.set(query=shown).render_as_string(hide_password=True)


def _set_up(connection: Any, _record: object) -> None:
    connection.autocommit = True
    connection.execute(f"SET lock_timeout = '{PATIENCE}s'")
    # A process that is stopped in the middle of a transaction must not keep everybody else waiting.
    connection.execute(f"SET idle_in_transaction_session_timeout = '{PATIENCE}s'")
    connection.autocommit = False
