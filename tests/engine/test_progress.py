"""Progress: what many threads tell becomes a row for each image, once a second at most."""

from __future__ import annotations

from typing import Any

from liftlock.engine.progress import Progress
from liftlock.oci.digest import Digest
from liftlock.transfer.events import Event
from tests.engine.conftest import MakeWorks
from tests.engine.works import Works

PIPELINE = """\
pipeline: demo
images: [web, db]
stages:
  - {name: dev, to: "oci:dev", tags: ["{build}"]}
"""

WEB, DB = Digest.of(b"web"), Digest.of(b"db")


def test_each_image_is_told_of_once_a_second(make_works: MakeWorks) -> None:
    works = make_works(PIPELINE)
    now = [100.0]
    progress = Progress("demo", 7, 1, {}, clock=lambda: now[0])
    progress._image_of.update({WEB: "web", DB: "db"})
    progress._total.update(web=100, db=50)

    for step in range(40):
        progress(Event("progress", WEB, done=2))
        if step < 10:
            progress(Event("progress", DB, done=5))
        progress.write(works.store)
        now[0] += 0.125
    progress(Event("tag", "oci:dev:1", WEB))
    progress(Event("progress", WEB, done=20))
    progress.write(works.store, last=True)

    seen = rows(works)
    assert [data["done"] for kind, data in seen if data.get("image") == "web"] == [2, 18, 34, 50, 66, 100]
    assert [data["done"] for kind, data in seen if data.get("image") == "db"] == [5, 45, 50]
    assert [data for kind, data in seen if kind == "tag"] == [{"subject": "oci:dev:1", "detail": WEB}]
    assert {data["total"] for kind, data in seen if data.get("image") == "web"} == {100}


def rows(works: Works) -> list[tuple[str, Any]]:
    with works.store.read() as tx:
        return [(each.kind, each.data) for each in tx.events.after(0, promotion=7)]
