"""The durable library, set up in one place: its tables beside ours, its queues, and every call that we make of it.

DBOS is one per process. All that runs is enqueued on a queue with a name, so that what a dead worker was at goes back
to where it came from. What is kept in its tables are ids, digests, counts and sentences, as plain JSON.
"""

from __future__ import annotations

import datetime as dt
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from sqlalchemy import URL, Engine, create_engine, event, inspect

from liftlock.errors import LiftlockError

if TYPE_CHECKING:
    from dbos import DBOS, DBOSClient

__all__ = ["QUEUES", "Queue", "Run", "enqueue", "launched", "pending", "purge", "requeue", "run_of", "upgrade"]

APPLICATION = "liftlock"

APPLICATION_VERSION = "1"
"""Changes only when workflows that began under the version before must not be continued under this one."""

POLLING = 0.1
"""Seconds between two looks of a queue for work."""

BUSY_TIMEOUT = 30.0
"""Seconds that a writer to SQLite waits for another, as in `liftlock.store.database`."""

POOL = 20
"""Connections to a server for the library, beside the store's own."""

PURGED = 500
"""Runs that are forgotten in one transaction."""

Queue = Literal["promotions", "copy", "looks", "notify"]

QUEUES: tuple[Queue, ...] = get_args(Queue)

_ENDED = frozenset({"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})


class Run(NamedTuple):
    """One durable workflow, as far as the library knows it."""

    id: str
    queue: str
    owner: str
    """The executor that runs it or ran it; empty while it is in its queue."""
    ended: bool
    output: Any
    """What it returned, where it succeeded."""
    changed_at: float
    """Seconds since the epoch."""


def upgrade(url: URL) -> None:
    """Make the library's own tables in this database, or bring them up to date, and have its queues known."""
    from dbos import DBOS, DBOSClient

    _quiet()
    text = url.render_as_string(hide_password=False)
    DBOS.migrate(text)
    client = DBOSClient(system_database_url=text, application_name=APPLICATION)
    try:
        # What a launch registers itself is polled a second later; what it finds, at once.
        _register_queues(client)
    finally:
        client.destroy()


@contextmanager
def launched(url: URL, executor: str, listen: Sequence[Queue] | None = None) -> Iterator[None]:
    """The library runs in this process, as this executor, for the length of the block; it takes work from its queues
    (``listen``: only from these).

    What it runs at the end of the block is left as it is, and goes on where it is enqueued again. Its tables on SQLite
    are made and brought up to date; raises `LiftlockError` when those on a server are not of this version.
    """
    from dbos import DBOS, DBOSPortableJSONSerializer, error

    _quiet()
    engine = _sqlite(url) if url.get_backend_name() == "sqlite" else None
    if engine is not None and not inspect(engine).has_table("queues"):
        upgrade(url)
    try:
        DBOS(
            config={
                "name": APPLICATION,
                "system_database_url": url.render_as_string(hide_password=False),
                "system_database_engine": engine,
                "sys_db_pool_size": POOL,
                "run_migrations": engine is not None,
                "executor_id": executor,
                "application_version": APPLICATION_VERSION,
                "serializer": DBOSPortableJSONSerializer(),  # pickles would be code from the database
                "enable_otlp": False,
                "log_level": "WARNING",
                "scheduler_polling_interval_sec": 3600.0,  # schedules are rows of ours
            }
        )
        if listen is not None:
            DBOS.listen_queues(list(listen))
        try:
            DBOS.launch()
        except error.DBOSInitializationError:
            raise LiftlockError(
                "the database has no tables for workers, or those of another version", hint="liftlock db upgrade"
            ) from None
        _register_queues(DBOS)
        yield
    finally:
        DBOS.destroy()
        if engine is not None:
            engine.dispose()


def enqueue(queue: Queue, workflow: str, run_id: str, *arguments: int | str, partition: str | None = None) -> None:
    """Have a workflow run once under this id, whoever enqueues it how often; an id that is taken changes nothing."""
    from dbos import DBOS, EnqueueOptions

    options: EnqueueOptions = {
        "workflow_name": workflow,
        "queue_name": queue,
        "workflow_id": run_id,
        "app_version": APPLICATION_VERSION,
    }
    if partition is not None:
        options["queue_partition_key"] = partition
    DBOS.enqueue_workflow_with_options(options, *arguments)


def run_of(run_id: str) -> Run | None:
    """The workflow of this id; None when there is none."""
    from dbos import DBOS

    found = DBOS.list_workflows(workflow_ids=[run_id], load_input=False)
    return _run(found[0]) if found else None


def pending() -> list[Run]:
    """Every workflow that an executor runs, or ran when it died."""
    from dbos import DBOS

    return [_run(each) for each in DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)]


def requeue(run: Run) -> bool:
    """Put a workflow whose owner is gone back into its queue; False when somebody else has done so already."""
    from dbos._dbos import _get_dbos_instance

    # Private, and guarded by a test: the public `resume_workflow` does not ask whose the workflow is, so that two
    # reapers would start it twice. This one changes the row only while it is still the dead executor's.
    system = _get_dbos_instance()._sys_db  # noqa: SLF001
    return system.reenqueue_for_recovery(run.id, [run.owner], run.queue)


def purge(before: dt.datetime) -> int:
    """Forget runs that ended before this time, some at a time; how many. What they did is on record elsewhere."""
    from dbos import DBOS

    ended = DBOS.list_workflows(
        status=sorted(_ENDED), completed_before=before.isoformat(), limit=PURGED, load_input=False, load_output=False
    )
    if ended:
        DBOS.delete_workflows([each.workflow_id for each in ended])
    return len(ended)


def _run(status: Any) -> Run:
    return Run(
        id=status.workflow_id,
        queue=status.queue_name or "promotions",
        owner=status.executor_id or "",
        ended=status.status in _ENDED,
        output=status.output if status.status == "SUCCESS" else None,
        changed_at=(status.updated_at or 0) / 1000,
    )


def _register_queues(at: type[DBOS] | DBOSClient) -> None:
    # Attempts mostly wait for their copies: the two never share a queue, whose places could run out.
    at.register_queue("promotions", worker_concurrency=256, polling_interval_sec=POLLING)
    # Partitions are the destinations' registry hosts: one that is slow or throttles holds up nobody else.
    at.register_queue("copy", worker_concurrency=16, partition_concurrency=8, polling_interval_sec=POLLING)
    # Partitions are pipelines: the gates and receivers of one that hang hold up none of the others.
    at.register_queue("looks", worker_concurrency=16, partition_concurrency=8, polling_interval_sec=POLLING)
    at.register_queue("notify", worker_concurrency=16, partition_concurrency=8, polling_interval_sec=POLLING)


def _sqlite(url: URL) -> Engine:
    """An engine of the library's own on the file that the store uses: it begins its transactions in its own way."""
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT})

    def set_up(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = "IMMEDIATE"
        # A checkpoint that a power cut takes back is a step that is done again, which every step may be.
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    event.listen(engine, "connect", set_up)
    return engine


def _quiet() -> None:
    """The library logs into `logging`, and nowhere by itself; it would otherwise write to stderr."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
