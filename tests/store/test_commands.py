"""`liftlock ledger` and `liftlock db`, as they are typed."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from liftlock.errors import CorruptContent, NotFound
from liftlock.services.ledger import verify_file
from liftlock.store.database import HEAD
from liftlock.store.postgres import Postgres
from liftlock.store.sqlite import Sqlite
from liftlock.store.store import Store
from tests.store.support import ANN, Clock
from tests.support.processes import Result, liftlock

pytestmark = pytest.mark.timeout(180)

FILE = "pipeline: demo\nimages: [web]\nstages: [{name: dev, to: 'registry.example/{image}', tags: [x]}]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "liftlock.yaml").write_text(FILE)
    return tmp_path


def written(where: Path | str, *pipelines: str) -> None:
    store = Store(where, Clock())
    for number, pipeline in enumerate(pipelines):
        with store.begin() as tx:
            tx.ledger.append(pipeline, f"number {number}", ANN, {})
    store.close()


def test_a_ledger_that_holds_is_verified_exported_and_verified_again(folder: Path, database_url: str) -> None:
    def run(*arguments: str | Path) -> Result:
        return liftlock(*arguments, cwd=folder, env={"LIFTLOCK_DATABASE_URL": database_url})

    written(database_url or folder / ".liftlock" / "liftlock.db", "demo", "demo", "other")

    said = run("ledger", "verify", "-o", "json").json()["ledgers"]
    assert [(each["pipeline"], each["entries"], each["intact"]) for each in said] == [
        ("demo", 2, True), ("other", 1, True),
    ]  # fmt: skip
    export = run("ledger", "export")
    assert [line["entry"]["number"] for line in export.lines()] == [1, 2]
    assert export.lines()[-1]["digest"] == said[0]["head"]
    kept = folder / "kept.ndjson"
    kept.write_text(export.out)
    assert verify_file(str(kept)).head == said[0]["head"]


def test_a_changed_entry_is_named_and_the_exit_code_says_so(folder: Path) -> None:
    path = folder / ".liftlock" / "liftlock.db"
    written(path, "demo", "demo", "demo")
    export = liftlock("ledger", "export", "--after", "1", cwd=folder).out.splitlines(keepends=True)
    assert [json.loads(each)["entry"]["number"] for each in export] == [2, 3]
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE ll_ledger SET entry = replace(entry, 'ann', 'eve') WHERE number = 2")
    raw.close()

    text = liftlock("ledger", "verify", cwd=folder, check=False)
    assert (text.code, text.out) == (1, "")
    assert "the ledger of 'demo' is broken at entry 2: it is not what its digest was made of" in text.err
    programs = liftlock("ledger", "verify", "-o", "json", cwd=folder, check=False)
    assert programs.code == 1
    (found,) = programs.json()["ledgers"]
    assert (found["intact"], found["entries"], found["wrong"]["entry"]) == (False, 1, 2)


def test_a_file_that_is_no_export_is_named_with_its_line(folder: Path) -> None:
    path = folder / "kept.ndjson"
    with pytest.raises(NotFound, match=r"kept\.ndjson"):
        verify_file(str(path))
    for content, said in (
        (b"no\n", r"kept\.ndjson: line 1 "),
        (b"\xff", r"kept\.ndjson is no text"),
        (b"", "is empty"),
    ):
        path.write_bytes(content)
        with pytest.raises(CorruptContent, match=said):
            verify_file(str(path))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_database_is_brought_up_to_date_and_says_from_where(
    folder: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    url = "" if kind == "sqlite" else str(request.getfixturevalue("postgres"))
    old = Postgres(url) if url else Sqlite(folder / ".liftlock" / "liftlock.db")
    old.upgrade("0001")
    old.close()

    def run(*arguments: str) -> Result:
        return liftlock(*arguments, cwd=folder, env={"LIFTLOCK_DATABASE_URL": url})

    said = run("db", "upgrade")
    assert said.out == f"{old.name}: 0001 -> {HEAD}\n"
    assert "open-sesame" not in said.out + said.err
    assert run("db", "upgrade").out == f"{old.name} is up to date: revision {HEAD}\n"
    # The durable engine's own tables are there as well: no worker has to make any.
    found = Postgres(url) if url else Sqlite(folder / ".liftlock" / "liftlock.db")
    with found.transaction(read_only=True) as connection:
        table = "dbos.workflow_status" if url else "workflow_status"
        assert connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table}").scalar() == 0
    found.close()
