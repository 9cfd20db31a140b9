"""The page about backups, command by command: what it saves comes back, and the record holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from liftlock.store.store import Store
from tests.store.support import ANN, Clock, released
from tests.support.postgres import Postgres

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "back-up.md"
FILE = "pipeline: demo\nimages: [web]\nstages: [{name: dev, to: 'registry.example/{image}', tags: [x]}]\n"

pytestmark = pytest.mark.timeout(180)


def commands(section: str) -> list[str]:
    """The shell blocks under a heading of the page."""
    text = PAGE.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(script: str, folder: Path, **env: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-ec", script],
        cwd=folder,
        env={**os.environ, "PATH": path, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


def write(where: Path | str, *builds: str) -> None:
    store = Store(where, Clock())
    for build in builds:
        release = released(store, build)
        with store.begin() as tx:
            tx.ledger.append("demo", "released", ANN, {"release": release.id})
            tx.events.add("demo", 1, None, "state", {"build": build})
    store.close()


def there(where: Path | str) -> tuple[list[str], int, bool]:
    """The builds, how many entries the ledger has, and whether it holds."""
    store = Store(where, Clock())
    with store.read() as tx:
        chain = tx.ledger.check("demo")
        found = sorted(each.release.name for each in tx.releases.of("demo"))
    store.close()
    return found, chain.entries, chain.intact


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "liftlock.yaml").write_text(FILE)
    (tmp_path / ".liftlock" / "artifacts").mkdir(parents=True)
    (tmp_path / ".liftlock" / "artifacts" / "content").write_text("of an image")
    return tmp_path


def test_a_sqlite_home_comes_back_as_it_was_saved(folder: Path) -> None:
    save, restore = commands("SQLite")
    path = folder / ".liftlock" / "liftlock.db"
    write(path, "1", "2")
    writer = Store(path, Clock())  # in use, with the newest rows beside the file
    write(path, "3")
    run(save, folder)
    writer.close()
    write(path, "4")
    (folder / ".liftlock" / "artifacts" / "content").unlink()

    assert "entries 1 to 3 hold" in run(restore, folder)
    assert there(path) == (["1", "2", "3"], 3, True)
    assert (folder / ".liftlock" / "artifacts" / "content").read_text() == "of an image"
    write(path, "5")
    assert there(path) == (["1", "2", "3", "5"], 4, True)


def test_a_postgresql_database_comes_back_as_it_was_saved(
    folder: Path, postgres_server: Postgres, postgres_template: str
) -> None:
    save, restore = commands("PostgreSQL")
    old, new = postgres_server.create(postgres_template), postgres_server.create()
    programs = f"{postgres_server.programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"

    def env(database: str) -> dict[str, str]:
        url = postgres_server.url(database)
        return {"DATABASE": url.replace("+psycopg", ""), "LIFTLOCK_DATABASE_URL": url, "PATH": programs}

    write(postgres_server.url(old), "1", "2", "3")
    run(save, folder, **env(old))
    write(postgres_server.url(old), "4")
    (folder / ".liftlock" / "artifacts" / "content").unlink()
    postgres_server.drop(old)

    assert "entries 1 to 3 hold" in run(restore, folder, **env(new))
    assert (folder / ".liftlock" / "artifacts" / "content").read_text() == "of an image"
    found, entries, intact = there(postgres_server.url(new))
    assert (found, entries, intact) == (["1", "2", "3"], 4, True)  # the fourth is the hold
    store = Store(postgres_server.url(new), Clock())
    with store.read() as tx:
        assert [each.reason for each in tx.people.holds("demo")] == ["restored from a backup"]
    store.close()
    write(postgres_server.url(new), "5")
    assert there(postgres_server.url(new))[1:] == (5, True)
    postgres_server.drop(new)


def test_the_record_is_kept_elsewhere_as_the_page_says(folder: Path) -> None:
    write(folder / ".liftlock" / "liftlock.db", "1", "2")
    (keep,) = commands("Keep the record elsewhere")

    assert "entries 1 to 2 hold" in run(keep, folder)
