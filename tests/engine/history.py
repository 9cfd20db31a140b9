"""Histories: what workers of a version wrote down of an attempt that they did not finish.

``python -m tests.engine.history`` writes that of the version at hand into `FOLDER`, named after its application
version. A change of a workflow's body leaves the stored ones as they are: every later version has to finish them.
"""

from __future__ import annotations

import json
import tempfile
import threading
from pathlib import Path

from sqlalchemy import text

from liftlock.engine import decisions, setup
from liftlock.engine.worker import Worker
from tests.engine.works import Works

__all__ = ["FOLDER", "PIPELINE", "record", "restore", "steps"]

FOLDER = Path(__file__).parent / "histories"

PIPELINE = """\
pipeline: demo
images: [web]
stages:
  - {name: dev, to: ["oci:dev", "oci:far"], tags: ["{build}"]}
"""

TABLES = ("workflow_status", "workflow_input", "workflow_output", "operation_outputs")


def record(folder: Path) -> dict[str, list[dict[str, object]]]:
    """The rows of an attempt whose worker left just before the tags."""
    works = Works(folder).write(PIPELINE)
    works.request(works.release("1"), "dev")
    reached, go_on = threading.Event(), threading.Event()

    def stall(name: str) -> None:
        if name == "tags":
            reached.set()
            go_on.wait()

    with Worker(works.workplace(stall)) as worker:
        assert worker.run_until(reached.is_set, seconds=30)
        threading.Timer(0.5, go_on.set).start()
    with works.store.engine.connect() as connection:
        rows = {table: connection.execute(text(f"SELECT * FROM {table}")).mappings().all() for table in TABLES}
    works.close()
    return {
        table: [{key: value for key, value in row.items() if value is not None} for row in rows[table]]
        for table in rows
    }


def restore(works: Works, path: Path) -> None:
    """Make it so that a worker, which is dead now, wrote this down of promotion 1."""
    with works.store.begin() as tx:
        decisions.started(tx, 1)
    with works.store.engine.begin() as connection:
        for table, rows in json.loads(path.read_text()).items():
            for row in rows:
                names = ", ".join(row)
                values = ", ".join(f":{name}" for name in row)
                connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)


def steps(works: Works, run_id: str) -> list[str]:
    """What a run wrote down, in order."""
    with works.store.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT function_name FROM operation_outputs WHERE workflow_uuid = :id ORDER BY function_id"),
            {"id": run_id},
        )
        return [row.function_name for row in rows]


if __name__ == "__main__":
    written = json.dumps(record(Path(tempfile.mkdtemp())), indent=1, sort_keys=True)
    (FOLDER / f"{setup.APPLICATION_VERSION}.json").write_text(written + "\n")
