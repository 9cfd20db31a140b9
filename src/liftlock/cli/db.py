"""`liftlock db`."""

from __future__ import annotations

import click

from liftlock.cli.commands import SETTINGS
from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import debug_option, output_option
from liftlock.cli.output import document, line
from liftlock.cli.project import file_option

__all__ = ["db"]


@click.group(context_settings=SETTINGS)
def db() -> None:
    """Look after the database that remembers."""


@db.command(cls=Verb, examples=("liftlock db upgrade",))
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
def upgrade(invocation: Invocation, file: str | None) -> None:
    """Make the tables, or bring them up to date; all workers have to be stopped.

    SQLite is brought up to date by the first command that uses it. The database of LIFTLOCK_DATABASE_URL is changed by
    this command alone.
    """
    from liftlock.services.database import upgrade
    from liftlock.services.project import Project

    with Project(file) as project:
        done = upgrade(project)
    if invocation.output == "json":
        document("DatabaseUpgrade", {"database": done.database, "from": done.found, "to": done.reached})
    elif done.found == done.reached:
        line(f"{done.database} is up to date: revision {done.reached}")
    else:
        line(f"{done.database}: {done.found or 'empty'} -> {done.reached}")
