"""A transaction is whole, alone where it decides, and in nobody's way where it only reads."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import pytest
from sqlalchemy.exc import StatementError

from liftlock.store.store import Store
from tests.store.support import NOON, Clock, artifact, publish


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.begin() as tx:
            tx.artifacts.publish(artifact(), "demo", {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    with store.read() as tx:
        assert not tx.artifacts.all()


def test_a_time_without_a_zone_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "liftlock.db", lambda: NOON.replace(tzinfo=None))

    with pytest.raises(StatementError, match="without a zone"):
        publish(store, artifact())
    store.close()


def test_a_reader_waits_for_no_writer_and_sees_one_state(store: Store) -> None:
    publish(store, artifact())
    with store.read() as reader:
        before = len(reader.artifacts.all())
        done = threading.Thread(target=publish, args=(store, artifact("other", "2")))
        done.start()
        done.join()
        assert len(reader.artifacts.all()) == before == 1
    with store.read() as reader:
        assert len(reader.artifacts.all()) == 2


def test_who_decides_waits_for_the_one_before(store: Store) -> None:
    """Each adds one to what it reads; without taking turns, numbers would be lost."""

    def count() -> None:
        for _ in range(10):
            with store.begin() as tx:
                tx.alone("demo")
                build = str(len(tx.artifacts.all()) + 1)
                tx.artifacts.publish(artifact(build, build), "demo", {})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as tx:
        assert {each.artifact.build for each in tx.artifacts.all()} == {str(number) for number in range(1, 41)}


def _publish_many(where: Path, process: int) -> None:
    store = Store(where, Clock())
    for number in range(10):
        publish(store, artifact(f"{process}-{number}", f"{process}-{number}"))
        publish(store, artifact(f"same-{number}", f"same-{number}"))
    store.close()


def test_processes_that_start_and_publish_at_once_lose_nothing(tmp_path: Path) -> None:
    """None of them finds a database: all want to make it, then all write to it."""
    where = tmp_path / "new" / "liftlock.db"
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_publish_many, args=(where, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0, 0]
    store = Store(where, Clock())
    with store.read() as tx:
        assert len(tx.artifacts.all()) == 3 * 10 + 10
    store.close()
