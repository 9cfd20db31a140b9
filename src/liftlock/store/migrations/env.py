"""Alembic's entry: runs in the connection and transaction that `liftlock.store.database` hands over."""

from __future__ import annotations

from alembic import context

from liftlock.store.database import VERSION_TABLE, is_ours
from liftlock.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    include_name=is_ours,
    render_as_batch=True,  # SQLite cannot alter a table in place
)
context.run_migrations()
