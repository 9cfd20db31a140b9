"""The database's schema, brought up to date."""

from __future__ import annotations

from dataclasses import dataclass

from liftlock.engine import setup
from liftlock.services.project import Project

__all__ = ["Upgrade", "upgrade"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """What was done."""

    database: str
    """As messages show it."""
    found: str | None
    """The revision before; None where there was none."""
    reached: str


def upgrade(project: Project) -> Upgrade:
    """Make our tables and those of the durable engine, or bring them up to date; again changes nothing.

    Raises `LiftlockError` when a newer version wrote the database, or it cannot be used.
    """
    found, reached = project.home.upgrade()
    store = project.home.store
    setup.upgrade(store.engine.url)
    return Upgrade(database=store.name, found=found, reached=reached)
