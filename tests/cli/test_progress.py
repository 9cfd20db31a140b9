"""What is drawn of a copy's events, for whom."""

from __future__ import annotations

import io
import itertools
import json
import threading

import pytest

from liftlock.cli.progress import Events, Line, Lines, Silence, watcher
from liftlock.transfer.events import Event


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("output", "env", "stream", "expected"),
    [
        ("text", {}, Terminal(), Line),
        ("text", {"TERM": "xterm"}, Terminal(), Line),
        ("text", {"TERM": "dumb"}, Terminal(), Lines),
        ("text", {"NO_COLOR": "1"}, Terminal(), Lines),
        ("text", {"CI": "true"}, Terminal(), Lines),
        ("text", {}, io.StringIO(), Lines),
        ("json", {}, Terminal(), Silence),
        ("ndjson", {}, Terminal(), Events),
    ],
)
def test_who_watches_decides(output: str, env: dict[str, str], stream: io.StringIO, expected: type) -> None:
    assert type(watcher("auto", output, env, stream)) is expected


def test_what_was_asked_for_wins() -> None:
    assert type(watcher("tty", "text", {"CI": "true"}, io.StringIO())) is Line
    assert type(watcher("plain", "json", {}, Terminal())) is Lines
    assert type(watcher("none", "text", {}, Terminal())) is Silence


def test_a_line_is_drawn_ten_times_a_second_at_most_and_wiped_at_the_end() -> None:
    clock, stream = Clock(), Terminal()

    with Line(stream, clock) as line:
        line(Event("phase", "blobs", total=4_000_000))
        for _ in range(100):
            clock.now += 0.01
            line(Event("progress", "sha256:x", done=10_000))

    drawn = stream.getvalue().split("\r\x1b[K")
    assert len(drawn) <= 1 + 1 + 11 + 1
    assert drawn[-2] == "copying 1.0 MB of 4.0 MB, 1.0 MB/s, 0 blobs done"
    assert drawn[-1] == ""


def test_a_fresh_attempt_takes_back_what_was_counted() -> None:
    clock, stream = Clock(), Terminal()

    with Line(stream, clock) as line:
        line(Event("phase", "blobs", total=1000))
        line(Event("progress", "a", done=600))
        line(Event("progress", "a", done=-600))
        clock.now += 1
        line(Event("blob", "a", "copied", total=1000))

    assert "copying 0 B of 1.0 kB, 0 B/s, 1 blob done" in stream.getvalue()


def test_plain_lines_are_one_per_phase_and_one_per_half_minute() -> None:
    clock, stream = Clock(), io.StringIO()

    with Lines(stream, clock) as lines:
        lines(Event("phase", "blobs", total=10_000_000))
        for _ in range(70):
            clock.now += 1
            lines(Event("progress", "a", done=100_000))
        lines(Event("phase", "manifests", total=0))
        lines(Event("phase", "tags", total=1))
        lines(Event("note", "something to know"))

    assert stream.getvalue().splitlines() == [
        "copying (10.0 MB)",
        "copying 3.0 MB of 10.0 MB, 100.0 kB/s, 0 blobs done",
        "copying 6.0 MB of 10.0 MB, 100.0 kB/s, 0 blobs done",
        "setting tags (1)",
        "note: something to know",
    ]


def test_events_are_whole_lines_from_many_threads(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Events()
    numbers = itertools.count()

    def send() -> None:
        for _ in range(50):
            watch(Event("blob", f"sha256:{next(numbers)}", "copied", total=1))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len({document["subject"] for document in documents}) == 400
