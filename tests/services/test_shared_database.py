"""With a database that several machines share, commands ask and follow, and workers do the work."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from liftlock.errors import Cancelled, WaitRanOut
from liftlock.release.people import Actor
from liftlock.release.release import Release
from liftlock.services.project import OpenImages, Project
from liftlock.services.promote import Wait, ask, promote
from liftlock.services.work import work
from liftlock.transfer.events import Cancel, Event
from tests.services.conftest import ANNA, MakeRelease
from tests.support import images
from tests.support.postgres import Postgres


@pytest.fixture
def project(folder: Path, postgres_server: Postgres, postgres_template: str) -> Iterator[Project]:
    name = postgres_server.create(postgres_template)
    env = {**os.environ, "LIFTLOCK_DATABASE_URL": postgres_server.url(name)}
    with Project(str(folder / "liftlock.yaml"), env=env) as opened:
        yield opened
    postgres_server.drop(name)


def state(project: Project) -> list[str]:
    with project.home.store.read() as tx:
        return [each.state for each in tx.promotions.history("demo")]


def test_a_command_follows_what_a_worker_does(
    project: Project, folder: Path, open_images: OpenImages, released: MakeRelease
) -> None:
    release, stop, seen = released("1"), Cancel(), list[Event]()
    worker = threading.Thread(target=work, args=(project, open_images), kwargs={"cancel": stop})
    worker.start()
    try:
        done = promote(project, open_images, release, "dev", ANNA, on_event=seen.append)
    finally:
        stop.request()
        worker.join()

    assert done.promotion.state == "succeeded"
    assert [move["tag"] for move in done.result["tags"]] == ["1", "latest"]
    assert {event.subject for event in seen if event.kind == "phase"} >= {"queued", "running", "succeeded"}
    assert set(images.tags(folder / "dev")) == {"1", "latest"}


def test_without_a_worker_it_stays_queued_when_the_time_is_over(
    project: Project, open_images: OpenImages, released: MakeRelease
) -> None:
    with pytest.raises(WaitRanOut, match="it is queued") as error:
        promote(project, open_images, released("1"), "dev", ANNA, wait=Wait(seconds=0.1))

    assert "it goes on without this command" in error.value.hint
    assert state(project) == ["queued"], "a worker that comes does it"


def stopped(project: Project, open_images: OpenImages, release: Release, by: Actor) -> Cancelled:
    """What a command ends with that is stopped as soon as it follows something."""
    cancel = Cancel()
    with pytest.raises(Cancelled) as error:
        promote(project, open_images, release, "dev", by, on_event=lambda _: cancel.request(), cancel=cancel)
    return error.value


def test_stopping_the_command_cancels_what_it_asked_for(
    project: Project, open_images: OpenImages, released: MakeRelease
) -> None:
    release = released("1")

    for attempts in (1, 2):
        stopped(project, open_images, release, ANNA)

        with project.home.store.read() as tx:
            (promotion,) = tx.promotions.history("demo")
        assert (promotion.state, len(promotion.attempts)) == ("canceled", attempts)


def test_stopping_a_command_that_joined_an_attempt_leaves_it_to_who_asked(
    project: Project, open_images: OpenImages, released: MakeRelease
) -> None:
    release = released("1")
    ask(project, release, "dev", ANNA)

    error = stopped(project, open_images, release, Actor(person="ben"))

    assert "it goes on without this command" in error.hint
    assert state(project) == ["queued"]
