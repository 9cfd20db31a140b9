"""`liftlock worker`: a process of its own, which ends when it is told to, or when nothing is due."""

from __future__ import annotations

import signal

from tests.engine.conftest import MakeWorks
from tests.support.processes import liftlock, started
from tests.support.waiting import until

PIPELINE = """\
pipeline: demo
images: [web]
stages:
  - {name: dev, to: "oci:dev", tags: ["{build}"]}
  - {name: nightly, after: [dev], trigger: {schedule: "0 3 * * * UTC"}, to: "oci:nightly", tags: [latest]}
"""


def test_it_ends_when_nothing_is_due(make_works: MakeWorks) -> None:
    works = make_works(PIPELINE)
    promotion = works.request(works.release("1"), "dev")

    done = liftlock("worker", "--until-idle", cwd=works.folder)

    assert done.out == ""
    assert "promotion 1 of 1 to dev: begins" in done.err
    assert "promotion 1 to dev: succeeded" in done.err
    assert works.get(promotion).state == "succeeded"
    assert list(works.tags("dev")) == ["1"]


def test_it_keeps_the_schedules_of_the_file(make_works: MakeWorks) -> None:
    works = make_works(PIPELINE)

    liftlock("worker", "--until-idle", cwd=works.folder)

    with works.store.read() as tx:
        assert [(each.stage, each.text) for each in tx.schedules.of("demo")] == [("nightly", "0 3 * * * UTC")]


def test_it_works_until_it_is_stopped(make_works: MakeWorks) -> None:
    works = make_works(PIPELINE)

    with started("worker", cwd=works.folder) as process:
        first = works.request(works.release("1"), "dev")
        until(works.over(first), "the first promotion", seconds=40)
        second = works.request(works.release("2"), "dev")
        until(works.over(second), "the second promotion", seconds=40)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert b"stopping" in process.stderr.read()

    with works.store.read() as tx:
        assert not tx.workers.alive()


def test_a_queue_that_there_is_not_is_refused(make_works: MakeWorks) -> None:
    works = make_works(PIPELINE)

    done = liftlock("worker", "--queues", "copy,looks,promotion", cwd=works.folder, check=False)

    assert done.code == 2
    assert done.err.startswith("error: there is no queue 'promotion'\nhint: ")
    assert "promotions" in done.err


def test_a_worker_takes_only_from_its_queues(make_works: MakeWorks) -> None:
    works = make_works(PIPELINE)
    promotion = works.request(works.release("1"), "dev")

    with started("worker", "--queues", "promotions", cwd=works.folder):
        until(lambda: works.get(promotion).state == "running", "the promotion to begin", seconds=40)
        with started("worker", "--queues", "copy", cwd=works.folder):
            until(works.over(promotion), "the promotion to end", seconds=40)

    assert works.get(promotion).state == "succeeded"
