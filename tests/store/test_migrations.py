"""What an earlier version wrote is still there after the upgrade, and means what it meant."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from liftlock.errors import LiftlockError
from liftlock.oci.digest import Digest
from liftlock.release.promotion import Decision, Execution
from liftlock.release.stage import Trigger
from liftlock.store.database import Database, revision
from liftlock.store.memories import LayerMemory
from liftlock.store.postgres import Postgres
from liftlock.store.sqlite import Sqlite
from liftlock.store.store import Store, upgrade
from tests.store.support import ended, queued

ROWS = Path(__file__).parent / "rows_of_0001.sql"
"""Written by the version that had this revision: two builds went to dev, one of them on to test; build 2 was under way
to dev, build 3 queued, when its processes were gone."""

LATER = dt.datetime(2031, 6, 1, tzinfo=dt.UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def upgraded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    where: Path | str = (
        tmp_path / "liftlock.db" if request.param == "sqlite" else str(request.getfixturevalue("postgres"))
    )
    old: Database = Sqlite(where) if isinstance(where, Path) else Postgres(where)
    old.upgrade("0001")
    with old.transaction() as connection:
        if isinstance(where, str):
            connection.execute(text("SET LOCAL TIME ZONE 'UTC'"))
        for statement in ROWS.read_text().split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        if isinstance(where, str):
            for table in ("ll_promotions", "ll_tag_moves"):
                connection.execute(
                    text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT MAX(id) FROM {table}))")
                )
    old.close()
    assert upgrade(where)[0] == "0001"
    store = Store(where, lambda: LATER)
    yield store
    store.close()


def test_artifacts_releases_and_snapshots_are_read_as_they_were_written(upgraded: Store) -> None:
    with upgraded.read() as tx:
        assert [each.release.name for each in tx.releases.of("demo")] == ["3", "2", "1"]
        found = tx.artifacts.find("2", "demo")
        assert (found.published_by, found.author) == ("", "")
        assert found.origins["web"].stored == "oci:artifacts"
        assert len(tx.artifacts.holding(Digest.of(b"part"))) == 3
        assert len(tx.tag_moves.of(1, 1)) == 1
    assert LayerMemory(upgraded).get(Digest.of(b"diff"))


def test_what_was_decided_was_asked_for_then_by_nobody_known(upgraded: Store) -> None:
    with upgraded.read() as tx:
        history = tx.promotions.history("demo")
    for promotion in history:
        assert promotion.requested_at == promotion.decided_at
        assert (promotion.requested_by, promotion.trigger, promotion.rollback) == ((), Trigger.MANUAL, False)
    assert [each.decision for each in history] == [
        Decision.ADMITTED, Decision.REFUSED, Decision.ADMITTED, Decision.ADMITTED, Decision.ADMITTED,
    ]  # fmt: skip
    assert history[1].reason == "it has not succeeded in dev"


def test_what_is_where_stays_so(upgraded: Store) -> None:
    with upgraded.read() as tx:
        assert {stage: promotion.id for stage, promotion in tx.promotions.currents("demo").items()} == {
            "dev": 1, "test": 4,
        }  # fmt: skip
        first = tx.promotions.get(1)
        assert [each.order for each in first.attempts] == [1, 2]
        assert first.attempts[0].started_at == dt.datetime(2031, 5, 6, 12, 6, tzinfo=dt.UTC)


def test_what_was_left_under_way_has_ended_and_may_be_tried_again(upgraded: Store) -> None:
    with upgraded.read() as tx:
        assert tx.promotions.under_way() == []
        assert tx.promotions.due() == []
        for number, execution in ((3, Execution.RUNNING), (5, Execution.QUEUED)):
            last = tx.promotions.get(number).last
            assert last is not None
            assert (last.execution, last.reason) == (Execution.ERRORED, "Liftlock was upgraded meanwhile")
            assert last.order is not None, execution
            assert last.order > 4
            assert last.ended_at is not None

    with upgraded.begin() as tx:
        tx.promotions.queue(3)
    again = ended(upgraded, 3)
    with upgraded.read() as tx:
        current = tx.promotions.current("demo", "dev")
        assert current == again
        release = tx.releases.find("3", "demo").release
    assert queued(upgraded, release).id == 6


def test_rows_that_refer_to_nothing_are_not_carried_on(tmp_path: Path) -> None:
    path = tmp_path / "liftlock.db"
    old = Sqlite(path, foreign_keys=False)
    old.upgrade("0001")
    with old.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO ll_builds VALUES ('demo', '1', 'sha256:gone')")
    old.close()

    with pytest.raises(LiftlockError, match="refer to others that are not there"):
        Store(path, lambda: LATER)
    left = Sqlite(path)
    with left.transaction() as connection:
        assert revision(connection) == "0001"
    left.close()
