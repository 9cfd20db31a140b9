"""A bounded pool of threads for one phase. (`concurrent.futures` would double the start-up time of a small copy.)"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from liftlock.errors import Cancelled
from liftlock.transfer.events import Cancel
from liftlock.typed import NamedTuple, TypeVar

__all__ = ["LARGE", "LARGE_AT_ONCE", "WORKERS", "Job", "gather", "run"]

WORKERS = 32
"""Threads at most: many small images need about so many requests under way; the transport limits each host."""

LARGE = 8 * 1024 * 1024
"""Bytes from which a blob counts as large: bandwidth, not round trips, decides how long it takes."""

LARGE_AT_ONCE = 4
"""Large blobs under way at once; more share the same bandwidth and only finish later, all together."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Job(NamedTuple):
    """Something to run once; the jobs it returns become due by its end."""

    run: Callable[[], Sequence[Job] | None]
    large: bool = False


class _Pool:
    def __init__(self, jobs: Iterable[Job], cancel: Cancel | None) -> None:
        self.large: deque[Job] = deque()
        self.small: deque[Job] = deque()
        self.add(jobs)
        self.cancel = cancel
        self.changed = threading.Condition()
        self.running = 0
        self.large_running = 0
        self.error: BaseException | None = None

    def add(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            (self.large if job.large else self.small).append(job)

    def take(self) -> Job | None:
        """The next job; waits while others may still bring new ones. None when all is done, or one failed."""
        with self.changed:
            while True:
                if self.error is not None:
                    return None
                if self.large and self.large_running < LARGE_AT_ONCE:
                    self.large_running += 1
                    self.running += 1
                    return self.large.popleft()
                if self.small:
                    self.running += 1
                    return self.small.popleft()
                if not self.running:
                    return None
                self.changed.wait()

    def work(self) -> None:
        while (job := self.take()) is not None:
            error: BaseException | None = None
            more: Sequence[Job] | None = None
            try:
                if self.cancel is not None:
                    self.cancel.check()
                more = job.run()
            except BaseException as failure:  # noqa: BLE001 - handed to the caller's thread, which raises it
                error = failure
            with self.changed:
                self.running -= 1
                self.large_running -= job.large
                # The first error is the cause; what the others say after a stop is only its echo.
                if error is not None and (self.error is None or isinstance(self.error, Cancelled)):
                    self.error = error
                self.add(more or ())
                self.changed.notify_all()


def run(jobs: Sequence[Job], *, workers: int = WORKERS, cancel: Cancel | None = None) -> None:
    """Run all jobs, and those they return. After a failure none is started; the first failure is raised."""
    pool = _Pool(jobs, cancel)
    threads = []
    if len(jobs) > 1:
        threads = [threading.Thread(target=pool.work, daemon=True) for _ in range(min(workers, len(jobs)) - 1)]
        for thread in threads:
            thread.start()
    pool.work()
    for thread in threads:
        thread.join()
    if pool.error is not None:
        raise pool.error


def gather(
    function: Callable[[Item], Answer],
    items: Iterable[Item],
    *,
    workers: int = WORKERS,
    cancel: Cancel | None = None,
) -> list[Answer]:
    """``function`` of every item, in their order, several at a time; raises the first failure."""
    answers: dict[int, Answer] = {}

    def job(position: int, item: Item) -> Job:
        def call() -> None:
            answers[position] = function(item)

        return Job(call)

    run([job(position, item) for position, item in enumerate(items)], workers=workers, cancel=cancel)
    return [answers[position] for position in range(len(answers))]
