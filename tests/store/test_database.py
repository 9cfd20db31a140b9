"""The schema is the one that is written down, from every revision, and what cannot be used is said so."""

from __future__ import annotations

import datetime as dt
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, create_engine, inspect

from liftlock.errors import LiftlockError
from liftlock.store import database
from liftlock.store.migrate import config
from liftlock.store.store import Store
from liftlock.store.tables import metadata


def now() -> dt.datetime:
    return dt.datetime(2031, 5, 6, tzinfo=dt.UTC)


def revisions(path: Path) -> list[str]:
    """From the first to the newest."""
    with database.transaction(create_engine(f"sqlite:///{path}"), path, read_only=True) as connection:
        scripts = ScriptDirectory.from_config(config(connection))
        return [script.revision for script in reversed(list(scripts.walk_revisions()))]


def test_the_newest_revision_is_the_one_that_is_known_without_alembic(tmp_path: Path) -> None:
    assert revisions(tmp_path / "x.db")[-1] == database.HEAD


def test_from_every_revision_the_schema_becomes_that_of_the_tables(tmp_path: Path) -> None:
    for start in ["", *revisions(tmp_path / "x.db")]:
        path = tmp_path / f"from-{start or 'nothing'}.db"
        if start:
            engine = create_engine(f"sqlite:///{path}")
            with engine.begin() as connection:
                database.upgrade(connection, path, start)
            engine.dispose()

        engine = database.connect(path)
        with engine.begin() as connection:
            context = MigrationContext.configure(
                connection,
                opts={
                    "version_table": database.VERSION_TABLE, "include_name": database.is_ours, "compare_type": True,
                    "compare_server_default": True,
                },
            )  # fmt: skip
            assert compare_metadata(context, metadata) == []
            # Alembic does not compare the names of these, which later migrations go by.
            there = inspect(connection)
            for table in metadata.sorted_tables:
                checks = {str(check.name) for check in table.constraints if isinstance(check, CheckConstraint)}
                keys = {str(key.name) for key in table.foreign_key_constraints}
                assert {str(check["name"]) for check in there.get_check_constraints(table.name)} == checks
                assert {str(key["name"]) for key in there.get_foreign_keys(table.name)} == keys
        engine.dispose()


def test_a_newer_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "liftlock.db"
    Store(path, now).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {database.VERSION_TABLE} SET version_num = '9999'")
    connection.close()

    with pytest.raises(LiftlockError, match="written by a newer Liftlock: it has revision 9999") as caught:
        Store(path, now)
    assert str(path) in str(caught.value)
    assert "upgrade Liftlock" in caught.value.hint
    with sqlite3.connect(path) as connection:
        assert connection.execute(f"SELECT version_num FROM {database.VERSION_TABLE}").fetchall() == [("9999",)]
    connection.close()


def test_other_tables_in_the_same_file_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "liftlock.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE workflow_status (id TEXT)")
    connection.close()

    engine = database.connect(path)
    assert "workflow_status" in inspect(engine).get_table_names()
    engine.dispose()


def test_a_migration_that_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "liftlock.db"
    real = database.upgrade

    def broken(connection: object, path: Path) -> None:
        real(connection, path)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(database, "upgrade", broken)
    with pytest.raises(KeyboardInterrupt):
        database.connect(path)
    monkeypatch.undo()

    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()
    Store(path, now).close()


def test_connections_keep_what_the_design_relies_on(tmp_path: Path) -> None:
    engine = database.connect(tmp_path / "liftlock.db")
    with engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    engine.dispose()

    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


@pytest.mark.parametrize("content", [b"this is no database, although it is long enough to be one\n" * 20, None])
def test_what_is_no_database_is_an_error_that_names_it(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "liftlock.db"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)

    with pytest.raises(LiftlockError) as caught:
        Store(path, now)
    assert str(path) in str(caught.value)


def test_an_up_to_date_database_is_opened_without_alembic(tmp_path: Path) -> None:
    path = tmp_path / "liftlock.db"
    Store(path, now).close()
    program = (
        "import datetime, pathlib, sys; from liftlock.store.store import Store;"
        f"Store(pathlib.Path({str(path)!r}), lambda: datetime.datetime.now(datetime.UTC)).close();"
        "sys.exit('alembic' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
