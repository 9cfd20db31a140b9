"""Bringing a schema up to date with Alembic; imported only when there is something to do."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from liftlock.errors import LiftlockError

__all__ = ["config", "migrate"]


def config(connection: Connection) -> Config:
    """Alembic's configuration for our migrations, which are part of the package, on this connection."""
    made = Config()
    made.set_main_option("script_location", "liftlock.store:migrations")
    made.attributes["connection"] = connection
    return made


def migrate(connection: Connection, path: Path, found: str | None, target: str) -> None:
    """From the revision that was found to another, in the caller's transaction.

    Raises `LiftlockError` when the one that was found is not known, since only a newer version can have written it.
    """
    ours = config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(ours).walk_revisions()}
    if found is not None and found not in known:
        raise LiftlockError(
            f"the state in {path} was written by a newer Liftlock: it has revision {found}, this one knows {target}",
            hint="upgrade Liftlock, or use the version that wrote it",
        )
    command.upgrade(ours, target)
