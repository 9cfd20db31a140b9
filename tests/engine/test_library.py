"""What we rely on in the durable library: one private call, its tables beside ours, and histories that are replayed."""

from __future__ import annotations

import datetime as dt
import inspect
import json
import logging
from pathlib import Path

import pytest
from dbos._sys_db import SystemDatabase
from sqlalchemy import inspect as tables_of
from sqlalchemy import text

from liftlock.engine import copying, setup
from liftlock.engine.lease import Lease
from liftlock.engine.shift import Shift
from liftlock.engine.worker import Worker
from liftlock.errors import Conflict, LiftlockError
from liftlock.transfer.events import Cancel
from tests.engine import history
from tests.engine.conftest import MakeWorks
from tests.engine.works import Works
from tests.support.waiting import until

STEPS = [
    "begin",
    "copy_content",  # the copies are enqueued
    "copies",
    "recheck",
    "tags",
    "end",
]
"""What an attempt writes down, in order. A worker of the version before has begun attempts in this order: steps may be
appended, anything else has to go behind `DBOS.patch` (see `liftlock.engine.workflows`)."""


def test_the_private_call_is_what_it_was() -> None:
    assert list(inspect.signature(SystemDatabase.reenqueue_for_recovery).parameters) == [
        "self",
        "workflow_id",
        "executor_ids",
        "recovery_queue_name",
    ]


def test_a_run_is_put_back_once_and_only_while_it_is_its_owners(make_works: MakeWorks, database_url: str) -> None:
    works = make_works(history.PIPELINE, database_url)
    with setup.launched(works.store.engine.url, "first", ["notify"]):
        setup.enqueue("looks", "unknown", "run", 1, 2, partition="demo")
        found = setup.run_of("run")
        assert found is not None
        assert (found.queue, found.owner, found.ended) == ("looks", "", False)
        with works.store.engine.begin() as connection:
            table = "workflow_status" if not database_url else "dbos.workflow_status"
            connection.execute(text(f"UPDATE {table} SET status = 'PENDING', executor_id = 'dead'"))
        pending = setup.pending()
        assert [(run.id, run.owner) for run in pending] == [("run", "dead")]

        assert not setup.requeue(pending[0]._replace(owner="somebody else"))
        assert setup.requeue(pending[0])
        assert not setup.requeue(pending[0])

        again = setup.run_of("run")
        assert again is not None
        assert (again.queue, again.ended) == ("looks", False)
        assert setup.pending() == []


def test_a_server_without_its_tables_is_refused(postgres: str, make_works: MakeWorks) -> None:
    from liftlock.store.store import upgrade

    upgrade(postgres)
    works = make_works(history.PIPELINE, postgres)

    with pytest.raises(LiftlockError, match="no tables for workers") as caught, Worker(works.workplace()):
        pass
    assert caught.value.hint == "liftlock db upgrade"
    setup.upgrade(works.store.engine.url)
    with Worker(works.workplace()):
        pass


def test_runs_that_ended_are_forgotten_and_what_they_did_is_not(make_works: MakeWorks, database_url: str) -> None:
    works = make_works(history.PIPELINE, database_url)
    promotion = works.request(works.release("1"), "dev")
    with Worker(works.workplace()) as worker:
        assert worker.run_until(works.over(promotion), seconds=30)
        until(lambda: (run := setup.run_of("promo:1:1")) and run.ended, "the run to end")

        assert setup.purge(dt.datetime.now(dt.UTC) - dt.timedelta(days=1)) == 0
        assert setup.purge(dt.datetime.now(dt.UTC) + dt.timedelta(days=1)) == 2

        assert setup.run_of("promo:1:1") is None
        assert worker.run_until(lambda: worker.idle, seconds=30)
    assert works.kinds_on_ledger().count("attempt.ended") == 1
    assert works.get(promotion).state == "succeeded"


def test_there_is_one_worker_in_a_process(make_works: MakeWorks) -> None:
    works = make_works(history.PIPELINE)
    with Worker(works.workplace()), pytest.raises(Conflict), Worker(works.workplace()):
        pass
    with Worker(works.workplace()):
        pass


def test_its_tables_are_beside_ours_and_it_says_nothing(
    make_works: MakeWorks, capfd: pytest.CaptureFixture[str]
) -> None:
    works = make_works(history.PIPELINE)
    with Worker(works.workplace()):
        pass

    names = tables_of(works.store.engine).get_table_names()
    assert "workflow_status" in names
    assert not [name for name in names if name.startswith("ll_workflow")]
    assert all(type(each) is logging.NullHandler for each in logging.getLogger("dbos").handlers)
    assert capfd.readouterr() == ("", "")


def test_what_is_written_down_is_plain_json_without_content(make_works: MakeWorks) -> None:
    works = make_works(history.PIPELINE)
    promotion = works.request(works.release("1"), "dev")
    with Worker(works.workplace()) as worker:
        assert worker.run_until(works.over(promotion), seconds=30)

    with works.store.engine.connect() as connection:
        kept = [
            each
            for column in ("operation_outputs.output", "workflow_input.inputs", "workflow_output.output")
            for each in connection.scalars(text(f"SELECT {column} FROM {column.partition('.')[0]}"))
            if each is not None
        ]
    assert len(kept) > len(STEPS)
    for each in kept:
        assert len(each) < 4096
        json.loads(each)


def test_an_attempt_writes_down_its_steps_in_this_order(make_works: MakeWorks) -> None:
    works = make_works(history.PIPELINE)
    promotion = works.request(works.release("1"), "dev")

    with Worker(works.workplace()) as worker:
        assert worker.run_until(works.over(promotion), seconds=30)

    assert history.steps(works, "promo:1:1") == STEPS
    assert history.steps(works, "copy:1:1:0") == ["content"]


def bring(works: Works) -> None:
    """Do what the history says was done: the content is there, by digest."""
    lease = Lease(works.store, None)
    lease.take()
    copying.bring(Shift(works.workplace(), lease), 1, 1, copying.LAYOUTS, Cancel())
    lease.drop()


@pytest.mark.parametrize("stored", sorted(history.FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_what_an_earlier_version_began_is_finished(make_works: MakeWorks, stored: Path) -> None:
    works = make_works(history.PIPELINE)
    with Worker(works.workplace()):
        pass
    promotion = works.request(works.release("1"), "dev")
    history.restore(works, stored)
    bring(works)
    passed: list[str] = []

    with Worker(works.workplace(passed.append)) as worker:
        assert worker.run_until(works.over(promotion), seconds=30)

    assert works.get(promotion).state == "succeeded", works.get(promotion)
    assert history.steps(works, "promo:1:1") == STEPS
    # What was written down as done is not done again: it is the same run that went on.
    assert passed[0] == "tags"
    assert set(works.tags("dev")) == set(works.tags("far")) == {"1"}
