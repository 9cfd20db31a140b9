"""The cases of the release engine: how many promotions, how soon, and what waiting costs.

Every promotion is a whole one: asked for, admitted, carried out by ``liftlock worker`` processes on a real registry (in
which its blobs mount), its tags set and read back, its ledger written. There is no peer to measure against, so a row
tells what was promised beside what was measured.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from liftlock.engine import decisions
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.release.artifact import Artifact
from liftlock.release.people import Actor
from liftlock.release.pipeline import Pipeline
from liftlock.release.promotion import Execution, Promotion
from liftlock.release.release import Release
from liftlock.release.stage import ApprovalRule, Stage
from liftlock.release.template import Template
from liftlock.services.project import Project
from liftlock.services.status import status
from liftlock.store.artifacts import Origin
from liftlock.store.store import Transaction
from tests.support import images, remote
from tests.support.postgres import Postgres
from tests.support.registry import Registry

__all__ = ["Figure", "measure", "table"]

LATENCY = 30
"""Promotions, one after the other, of which the latency is told."""
FLEET = 2000
"""Promotions that three workers share on PostgreSQL; a tenth of it for one worker."""
PIPELINES = 20
"""Over which the promotions are spread: in one stage there is one at a time."""
WAITING = 1000
"""Promotions that wait for approvals."""
WATCHED = 20.0
"""Seconds for which an idle worker's processor time is looked at."""
RELEASES = 10_000
"""Releases in the history of one pipeline."""
PATIENCE = 1800.0
"""Seconds after which a bench gives up."""

FILE = """\
pipeline: bench
images: [{image}]
stages:
  - name: dev
    to: {host}/bench/dev
    tags: ["{{build}}"]
"""

ANNA = Actor(person="anna")
IMAGE = "app"


@dataclass(frozen=True)
class Figure:
    """One thing that was measured."""

    case: str
    database: str
    measured: str
    promised: str = ""


def measure(folder: Path) -> Iterator[Figure]:
    """Every case, on SQLite and on PostgreSQL."""
    with ExitStack() as stack:
        registry = stack.enter_context(Registry())
        root = images.make_image(folder / "image", "small", layers=2, layer_bytes=4096, seed="engine")
        remote.push(root.layout, root.tag, registry, "bench/source")
        blob = images.tags(root.layout)[root.tag]
        image = Descriptor(blob.media_type, Digest(blob.digest), blob.size)
        server = stack.enter_context(Postgres())
        for name in ("SQLite", "PostgreSQL"):
            place = _Place(folder / name, server.url(server.create()) if name == "PostgreSQL" else "", registry, image)
            yield from _latency(place, name)
            yield from _throughput(place, name, FLEET // 10, workers=1)
            if name == "PostgreSQL":
                yield from _throughput(place, name, FLEET, workers=3)
            yield from _waiting(place, name)
            yield from _status(place, name)


class _Place:
    """A project of its own, with the releases that a case needs."""

    def __init__(self, folder: Path, url: str, registry: Registry, image: Descriptor) -> None:
        folder.mkdir()
        self.folder = folder
        self.registry = registry
        self.image = image
        self.env = {**os.environ, "HOME": str(folder)} | ({"LIFTLOCK_DATABASE_URL": url} if url else {})
        self.file = folder / "liftlock.yaml"
        self.file.write_text(FILE.format(image=IMAGE, host=registry.host))
        if url:
            self._run("db", "upgrade")

    def project(self) -> Project:
        return Project(str(self.file), env=self.env)

    def pipeline(self, name: str, *, approvals: ApprovalRule | None = None) -> Pipeline:
        to = Template(text=f"{self.registry.host}/bench/{name}")
        stage = Stage(name="dev", to=(to,), tags=(Template(text="{build}"),), approvals=approvals)
        groups = {"managers": ("lead", "on-call")} if approvals else {}
        return Pipeline(name=name, images=(IMAGE,), stages=(stage,), groups=groups)

    def release(self, tx: Transaction, pipeline: Pipeline, build: int) -> Release:
        """A release whose image the registry has already: what a promotion does is what is measured."""
        artifact = Artifact(images={IMAGE: self.image}, build=str(build))
        source = f"{self.registry.host}/bench/source@{self.image.digest}"
        tx.artifacts.publish(artifact, pipeline.name, {IMAGE: Origin(source=source)})
        release = Release.create(artifact, pipeline, created=tx.now)
        tx.releases.add(release)
        return release

    @contextmanager
    def workers(self, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
        """So many ``liftlock worker`` processes."""
        words = [sys.executable, "-m", "liftlock", "worker", "-f", str(self.file)]
        log = (self.folder / "workers.log").open("ab")
        started = [subprocess.Popen(words, env=self.env, stdout=log, stderr=log) for _ in range(count)]
        try:
            yield started
        finally:
            for each in started:
                each.terminate()
            for each in started:
                each.wait()
            log.close()

    def _run(self, *words: str) -> None:
        subprocess.run([sys.executable, "-m", "liftlock", *words], env=self.env, cwd=self.folder, check=True)


def _latency(place: _Place, database: str) -> Iterator[Figure]:
    pipeline = place.pipeline("latency")
    taken = []
    with place.project() as project, place.workers(1):
        for build in range(LATENCY + 1):
            with project.home.store.begin() as tx:
                release = place.release(tx, pipeline, build)
            before = time.monotonic()
            with project.home.store.begin() as tx:
                asked = decisions.request(tx, release, "dev", by=[ANNA])
            _until_succeeded(project, [asked])
            taken.append(time.monotonic() - before)
    # The first one waits for the worker to start.
    median, slowest = statistics.median(taken[1:]), max(taken[1:])
    yield Figure("one promotion, from the request to its tags", database, f"{median:.2f} s (slowest {slowest:.2f} s)")


def _throughput(place: _Place, database: str, count: int, *, workers: int) -> Iterator[Figure]:
    asked = []
    with place.project() as project:
        with project.home.store.begin() as tx:
            for number in range(count):
                pipeline = place.pipeline(f"fleet-{count}-{number % PIPELINES}")
                asked.append(decisions.request(tx, place.release(tx, pipeline, number), "dev", by=[ANNA]))
        before = time.monotonic()
        with place.workers(workers):
            _until_succeeded(project, asked)
        seconds = time.monotonic() - before
    case = f"{count} promotions over {PIPELINES} pipelines, {workers} worker{'s' if workers > 1 else ''}"
    yield Figure(case, database, f"{count / seconds:.1f} per second ({seconds:.0f} s, workers' start included)")


def _waiting(place: _Place, database: str) -> Iterator[Figure]:
    rule = ApprovalRule(groups=("managers",), count=2)
    with place.project() as project:
        with place.workers(1) as (worker,):
            _settled(worker)
            threads = _threads(worker.pid)
        with project.home.store.begin() as tx:
            for number in range(WAITING):
                pipeline = place.pipeline(f"waiting-{number % PIPELINES}", approvals=rule)
                decisions.request(tx, place.release(tx, pipeline, number), "dev", by=[ANNA])
        with place.workers(1) as (worker,):
            _settled(worker)
            before = _processor(worker.pid)
            time.sleep(WATCHED)
            share = (_processor(worker.pid) - before) / WATCHED
            more = _threads(worker.pid) - threads
    good = "✓" if share < 0.01 and more <= 0 else "✗"
    measured = f"{share:.2%} of a core, {max(more, 0)} threads more than with none"
    yield Figure(f"{WAITING} promotions that wait for approvals", database, measured, f"< 1 %, 0 threads {good}")


def _status(place: _Place, database: str) -> Iterator[Figure]:
    with place.project() as project:
        pipeline = project.pipeline
        with project.home.store.begin() as tx:
            for number in range(RELEASES):
                release = place.release(tx, pipeline, number)
                if number % 10 == 0:
                    promotion = decisions.request(tx, release, "dev", by=[ANNA]).id
                    decisions.started(tx, promotion)
                    decisions.ended(tx, promotion, Execution.SUCCEEDED)
        taken = []
        for _ in range(5):
            before = time.monotonic()
            status(project)
            taken.append(time.monotonic() - before)
    median = statistics.median(taken)
    good = "✓" if median < 0.2 else "✗"
    yield Figure(f"`status` of {RELEASES} releases", database, f"{median * 1e3:.0f} ms", f"< 200 ms {good}")


def _until_succeeded(project: Project, asked: Sequence[Promotion]) -> None:
    deadline = time.monotonic() + PATIENCE
    left = [promotion.id for promotion in asked]
    while left:
        with project.home.store.read() as tx:
            found = [tx.promotions.get(one) for one in left[:50]]
        bad = [each for each in found if each.over and each.state != "succeeded"]
        if bad or time.monotonic() > deadline:
            raise SystemExit(f"a promotion did not succeed: {bad or found[0]}")
        done = {each.id for each in found if each.over}
        left = [one for one in left if one not in done]
        if not done:
            time.sleep(0.02)


def _settled(worker: subprocess.Popen[bytes]) -> None:
    """Give a worker the time to begin, and to notice that there is nothing to do."""
    time.sleep(15.0)
    if worker.poll() is not None:
        raise SystemExit(f"a worker ended with {worker.returncode}")


def _processor(pid: int) -> float:
    """Seconds of processor that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def table(figures: Sequence[Figure]) -> str:
    """Markdown."""
    lines = [
        f"Measured {dt.datetime.now(dt.UTC):%Y-%m-%d} with `script/bench engine`.",
        f"{os.cpu_count()} cores for workers, database and registry together, Python {platform.python_version()}.",
        "",
        "| case | database | measured | promised |",
        "|---|---|---|---|",
        *(f"| {each.case} | {each.database} | {each.measured} | {each.promised} |" for each in figures),
    ]
    return "\n".join(lines) + "\n"
