"""Bringing a schema up to date with Alembic; imported only when there is something to do."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

__all__ = ["config", "migrate"]


def config(connection: Connection) -> Config:
    """Alembic's configuration for our migrations, which are part of the package, on this connection."""
    made = Config()
    made.set_main_option("script_location", "liftlock.store:migrations")
    made.attributes["connection"] = connection
    return made


def migrate(connection: Connection, target: str) -> None:
    """From whatever revision it has to a newer one, in the caller's transaction."""
    command.upgrade(config(connection), target)
