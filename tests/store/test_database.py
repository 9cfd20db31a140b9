"""The schema is the one that is written down, from every revision, and what cannot be used is said so."""

from __future__ import annotations

import datetime as dt
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, inspect, text

from liftlock.errors import LiftlockError, StateUnavailable, UsageError
from liftlock.store import sqlite
from liftlock.store.database import HEAD, VERSION_TABLE, Database, is_ours
from liftlock.store.migrate import config
from liftlock.store.postgres import Postgres
from liftlock.store.sqlite import Sqlite
from liftlock.store.store import Store, upgrade
from liftlock.store.tables import metadata
from tests.store.support import ANN
from tests.support import postgres as server
from tests.support.processes import liftlock

EARLIER = ("", "0001", "0002")
"""Every state that a database may be found in."""


def now() -> dt.datetime:
    return dt.datetime(2031, 5, 6, tzinfo=dt.UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of either kind with nothing in it."""
    sqlite = request.param == "sqlite"
    made = Sqlite(tmp_path / "liftlock.db") if sqlite else Postgres(request.getfixturevalue("postgres"))
    yield made
    made.close()


def where(database: Database) -> Path | str:
    """What a store is opened by."""
    if isinstance(database, Sqlite):
        return Path(database.name)
    return database.engine.url.render_as_string(hide_password=False)


def test_every_revision_is_known_and_the_newest_without_alembic(empty: Database) -> None:
    with empty.transaction() as connection:
        scripts = ScriptDirectory.from_config(config(connection)).walk_revisions()
        assert tuple(script.revision for script in reversed(list(scripts))) == EARLIER[1:]
    assert EARLIER[-1] == HEAD


@pytest.mark.parametrize("start", EARLIER)
def test_from_every_revision_the_schema_becomes_that_of_the_tables(empty: Database, start: str) -> None:
    if start:
        assert empty.upgrade(start) == (None, start)
    assert empty.upgrade() == (start or None, HEAD)
    assert empty.upgrade() == (HEAD, HEAD)

    with empty.transaction() as connection:
        options = {
            "version_table": VERSION_TABLE, "include_name": is_ours, "compare_type": True,
            "compare_server_default": True,
        }  # fmt: skip
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
        # Alembic does not compare the names of these, which later migrations go by.
        there = inspect(connection)
        for table in metadata.sorted_tables:
            checks = {str(check.name) for check in table.constraints if isinstance(check, CheckConstraint)}
            keys = {str(key.name) for key in table.foreign_key_constraints}
            assert {str(check["name"]) for check in there.get_check_constraints(table.name)} == checks
            assert {str(key["name"]) for key in there.get_foreign_keys(table.name)} == keys


def test_a_newer_database_is_refused_and_left_as_it_is(empty: Database) -> None:
    empty.upgrade()
    with empty.transaction() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))

    for use in (lambda: Store(where(empty), now), lambda: upgrade(where(empty))):
        with pytest.raises(LiftlockError, match="written by a newer Liftlock: it has revision 9999") as caught:
            use()
        assert empty.name in str(caught.value)
        assert "upgrade Liftlock" in caught.value.hint
    with empty.transaction() as connection:
        assert connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) == "9999"


def test_other_tables_in_the_same_database_are_left_alone(empty: Database) -> None:
    with empty.transaction() as connection:
        connection.execute(text("CREATE TABLE workflow_status (id TEXT)"))
    empty.upgrade()

    assert "workflow_status" in inspect(empty.engine).get_table_names()


def test_a_migration_that_breaks_off_leaves_nothing(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    real = type(empty)._migrate

    def broken(self: Database, connection: object, target: str) -> None:
        real(self, connection, target)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(type(empty), "_migrate", broken)
    with pytest.raises(KeyboardInterrupt):
        empty.upgrade()
    monkeypatch.undo()

    assert inspect(empty.engine).get_table_names() == []
    assert empty.upgrade() == (None, HEAD)


class TestSqlite:
    def test_a_database_is_made_and_brought_up_to_date_by_using_it(self, tmp_path: Path) -> None:
        old = Sqlite(tmp_path / "new" / "liftlock.db")
        old.upgrade("0001")
        old.close()

        store = Store(tmp_path / "new" / "liftlock.db", now)
        with store.read() as tx:
            assert not tx.promotions.history("demo")
        store.close()

    def test_connections_keep_what_the_design_relies_on(self, tmp_path: Path) -> None:
        store = Store(tmp_path / "liftlock.db", now)
        with store.engine.connect() as connection:
            found = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
        store.close()

        assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}

    @pytest.mark.parametrize("content", [b"this is no database, although it is long enough to be one\n" * 20, None])
    def test_what_is_no_database_is_an_error_that_names_it(self, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "liftlock.db"
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)

        with pytest.raises(LiftlockError) as caught:
            Store(path, now)
        assert str(path) in str(caught.value)
        assert not caught.value.temporary

    def test_a_database_that_another_process_keeps_is_temporary_trouble(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sqlite, "PATIENCE", 0.05)
        path = tmp_path / "liftlock.db"
        store = Store(path, now)
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")

        with pytest.raises(StateUnavailable, match="locked") as caught, store.begin() as tx:
            tx.connection.exec_driver_sql("SELECT 1")
        assert caught.value.temporary
        holder.close()
        store.close()

    def test_an_up_to_date_database_is_opened_without_alembic(self, tmp_path: Path) -> None:
        path = tmp_path / "liftlock.db"
        Store(path, now).close()
        program = (
            "import datetime, pathlib, sys; from liftlock.store.store import Store;"
            f"Store(pathlib.Path({str(path)!r}), lambda: datetime.datetime.now(datetime.UTC)).close();"
            "sys.exit('alembic' in sys.modules)"
        )

        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


class TestPostgres:
    def test_it_is_never_changed_by_being_used(self, postgres: str) -> None:
        with pytest.raises(LiftlockError, match="has no tables of Liftlock") as caught:
            Store(postgres, now)
        assert caught.value.hint == "liftlock db upgrade"
        database = Postgres(postgres)
        assert inspect(database.engine).get_table_names() == []

        database.upgrade("0001")
        database.close()
        with pytest.raises(LiftlockError, match="has the schema of an older Liftlock, revision 0001") as caught:
            Store(postgres, now)
        assert caught.value.hint == "liftlock db upgrade"

    def test_two_that_upgrade_at_once_do_it_once(self, postgres: str) -> None:
        several = [subprocess.Popen(_upgrading(postgres), stdout=subprocess.PIPE) for _ in range(2)]
        said = sorted(each.communicate()[0] for each in several)

        assert said == [b"('0002', '0002')\n", b"(None, '0002')\n"]

    def test_what_only_reads_cannot_write(self, postgres: str) -> None:
        upgrade(postgres)
        store = Store(postgres, now)
        with pytest.raises(LiftlockError, match="read-only"), store.read() as tx:
            tx.people.hold("demo", "dev", ANN, "no")
        store.close()

    def test_a_server_that_was_started_anew_is_found_again(self) -> None:
        with server.Postgres() as running:
            url = running.url(running.create())
            upgrade(url)
            store = Store(url, now)
            with store.begin() as tx:
                tx.people.hold("demo", "dev", ANN, "first")
            running.kill()
            with pytest.raises(StateUnavailable, match="cannot be used"), store.read() as tx:
                tx.people.holds("demo")
            running.start()
            with store.read() as tx:
                assert [each.reason for each in tx.people.holds("demo")] == ["first"]
            store.close()

    def test_a_transaction_whose_server_goes_is_undone(self, postgres: str) -> None:
        upgrade(postgres)
        store, admin = Store(postgres, now), Store(postgres, now)
        with pytest.raises(StateUnavailable), store.begin() as tx:  # noqa: PT012
            tx.people.hold("demo", "dev", ANN, "lost")
            mine = tx.connection.scalar(text("SELECT pg_backend_pid()"))
            with admin.begin() as other:
                other.connection.execute(text(f"SELECT pg_terminate_backend({mine})"))
            tx.people.holds("demo")
        with store.read() as tx:
            assert not tx.people.holds("demo")
        store.close()
        admin.close()

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            (f"postgresql://postgres:{server.PASSWORD}@127.0.0.1:1/x", "cannot be used"),
            (f"postgresql+psycopg://postgres:{server.PASSWORD}@127.0.0.1:1/x?sslpassword={server.PASSWORD}", "cannot"),
            (f"postgresql://127.0.0.1:1/x?user=postgres&password={server.PASSWORD}", "cannot be used"),
            (f"postgresql://postgres:{server.PASSWORD}@127.0.0.1:none/x", "is not a URL"),
            (f"postgresql://postgres:p@{server.PASSWORD}@127.0.0.1:1/x", "is not a URL"),
            (f"mysql://root:{server.PASSWORD}@127.0.0.1/x", "of the kind 'mysql'"),
            (f"{server.PASSWORD}", "is not a URL"),
        ],
    )
    def test_no_password_is_ever_in_a_message(self, url: str, said: str) -> None:
        for use in (lambda: Store(url, now), lambda: upgrade(url)):
            with pytest.raises(LiftlockError, match=said) as caught:
                use()
            # The traceback, with all its causes, is what --debug shows.
            shown = caught.value.hint + "".join(traceback.format_exception(caught.value))
            assert server.PASSWORD not in shown

    def test_a_command_tells_it_with_a_hint_and_without_the_password(self, tmp_path: Path) -> None:
        url = f"postgresql://postgres:{server.PASSWORD}@127.0.0.1:1/x"
        done = liftlock("db", "upgrade", "--debug", cwd=tmp_path, env={"LIFTLOCK_DATABASE_URL": url}, check=False)

        assert (done.code, done.out) == (1, "")
        assert "error: the database postgresql+psycopg://postgres:***@127.0.0.1:1/x cannot be used" in done.err
        assert "LIFTLOCK_DATABASE_URL" in done.err.partition("hint: ")[2]
        assert server.PASSWORD not in done.err

    def test_a_wrong_password_is_not_told_either(self, postgres: str) -> None:
        wrong = postgres.replace(server.PASSWORD, "not-the-password")
        with pytest.raises(LiftlockError, match="password authentication failed") as caught:
            Store(wrong, now)
        assert "not-the-password" not in str(caught.value) + caught.value.hint

    def test_a_url_of_a_missing_driver_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(UsageError, match="needs the driver psycopg") as caught:
            Postgres("postgresql://u@127.0.0.1/x")
        assert "liftlock[postgres]" in caught.value.hint


def _upgrading(url: str) -> list[str]:
    return [sys.executable, "-c", f"from liftlock.store.store import upgrade; print(upgrade({url!r}))"]
