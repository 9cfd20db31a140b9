"""What the store's tests put into it."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Sequence

from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.pipeline.load import load
from liftlock.release.artifact import Artifact
from liftlock.release.people import Actor
from liftlock.release.promotion import Decision, Execution, Promotion
from liftlock.release.release import Release
from liftlock.store.artifacts import Origin
from liftlock.store.store import Store

NOON = dt.datetime(2031, 5, 6, 12, tzinfo=dt.UTC)
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
PIPELINE = load(
    """
pipeline: demo
images: [web]
stages:
  - {name: dev, to: "registry.example/{image}", tags: ["{build}", latest]}
  - {name: test, after: [dev], to: "registry.example/test-{image}", tags: ["{build}"]}
"""
)
ANN, BOB = Actor(person="ann@example.org"), Actor(person="bob@example.org", asserted=False)


class Clock:
    """A minute passes with every look."""

    def __init__(self) -> None:
        self.now = NOON
        self._lock = threading.Lock()

    def __call__(self) -> dt.datetime:
        with self._lock:
            self.now += dt.timedelta(minutes=1)
            return self.now


def artifact(content: str = "web", build: str = "1", **more: object) -> Artifact:
    image = Descriptor(MANIFEST, Digest.of(content.encode()), 7)
    return Artifact(images={"web": image}, build=build, **more)  # type: ignore[arg-type]


def publish(store: Store, what: Artifact, pipeline: str = "demo", **origin: str) -> Artifact:
    with store.begin() as tx:
        return tx.artifacts.publish(what, pipeline, {"web": Origin(**origin)}).artifact


def released(store: Store, build: str = "1", content: str = "") -> Release:
    made = publish(store, artifact(content or build, build))
    with store.begin() as tx:
        return tx.releases.add(Release.create(made, PIPELINE, created=tx.now)).release


def requested(store: Store, release: Release, stage: str = "dev") -> Promotion:
    with store.begin() as tx:
        return tx.promotions.request(release, stage, requested_by=[ANN])


def queued(store: Store, release: Release, stage: str = "dev") -> Promotion:
    """Asked for, admitted, and given the stage."""
    made = requested(store, release, stage)
    with store.begin() as tx:
        tx.promotions.decide(made.id, Decision.ADMITTED)
        return tx.promotions.queue(made.id)


def ended(store: Store, promotion: int, execution: Execution = Execution.SUCCEEDED, reason: str = "") -> Promotion:
    with store.begin() as tx:
        tx.promotions.start(promotion)
    with store.begin() as tx:
        return tx.promotions.end(promotion, execution, reason)


def at_once(*deeds: Callable[[], object]) -> Sequence[BaseException]:
    """Do several things in threads that start together; what they raised."""
    barrier = threading.Barrier(len(deeds))
    raised: list[BaseException] = []

    def run(deed: Callable[[], object]) -> None:
        barrier.wait()
        try:
            deed()
        except BaseException as error:  # noqa: BLE001 - the test says which are right
            raised.append(error)

    threads = [threading.Thread(target=run, args=(deed,)) for deed in deeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised
