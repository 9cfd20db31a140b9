"""What the watchers of a promotion are shown of its events."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

from liftlock.cli.progress import Lines
from liftlock.services.follow import as_copy_events
from liftlock.store.events import Seen
from liftlock.transfer.events import Event

NOW = dt.datetime(2031, 5, 12, tzinfo=dt.UTC)


def seen(kind: str, **data: Any) -> Seen:
    return Seen(id=1, pipeline="demo", promotion=1, attempt=1, at=NOW, kind=kind, data=data)


def test_the_bytes_of_all_images_are_one_phase() -> None:
    told: list[Event] = []
    tell = as_copy_events(told.append)

    tell(seen("state", state="running"))
    for image, done, total in [("web", 10, 100), ("web", 60, 100), ("worker", 5, 20), ("web", 100, 100)]:
        tell(seen("progress", image=image, done=done, total=total))
    tell(seen("tag", subject="registry.example/web:1", detail="sha256:…"))
    tell(seen("result", blobs={}))

    assert [event.subject for event in told if event.kind == "phase"] == ["running", "blobs", "blobs"]
    last = max(at for at, event in enumerate(told) if event.kind == "phase")
    assert told[last].total == 120
    assert sum(event.done for event in told[last:] if event.kind == "progress") == 105
    assert told[-1] == Event("tag", "registry.example/web:1", "sha256:…")


def test_a_log_has_a_line_for_what_is_copied_and_each_note() -> None:
    stream = io.StringIO()
    tell = as_copy_events(Lines(stream))

    tell(seen("state", state="running"))
    tell(seen("progress", image="web", done=10, total=1000))
    tell(seen("note", subject="kept a newer signature"))

    assert stream.getvalue() == "copying (1.0 kB)\nnote: kept a newer signature\n"
