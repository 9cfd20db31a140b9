"""Taking turns: what makes a transaction that decides something the only one, on either database.

On SQLite every writer is alone from its beginning. On PostgreSQL a turn has a name and ends with the transaction. Turns
are taken in the order *a pipeline's*, *ended*, *events*, so that no two transactions wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from liftlock.oci.digest import Digest

__all__ = ["insert_missing", "on_postgresql", "pipeline_turn", "put", "take_turn"]


def on_postgresql(connection: Connection) -> bool:
    """Whether this is a connection to PostgreSQL."""
    return connection.dialect.name == "postgresql"


def take_turn(connection: Connection, name: str) -> None:
    """Wait until nobody else has the turn of this name, and keep it until the transaction is over."""
    if on_postgresql(connection):
        # A lock of the transaction, by number: a row to lock need not be there first.
        number = int.from_bytes(bytes.fromhex(Digest.of(f"liftlock {name}".encode()).hex[:16]), signed=True)
        connection.execute(select(func.pg_advisory_xact_lock(number)))


def pipeline_turn(connection: Connection, pipeline: str) -> None:
    """Nobody else decides about the pipeline of this name, or writes on its ledger, before the transaction is over."""
    take_turn(connection, f"pipeline {pipeline}")


def insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose key is not there yet, also when another transaction inserts the same ones now."""
    if rows:
        kind = postgresql_insert if on_postgresql(connection) else sqlite_insert
        connection.execute(kind(table).on_conflict_do_nothing(), list(rows))


def put(connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Insert a row, or set the one that has its key."""
    kind = postgresql_insert if on_postgresql(connection) else sqlite_insert
    keys = [column.name for column in table.primary_key]
    new = {name: value for name, value in row.items() if name not in keys}
    connection.execute(kind(table).values(**row).on_conflict_do_update(index_elements=keys, set_=new))
