"""Tags move last; when they cannot all move, those that had moved are put back, or named."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from liftlock.errors import Cancelled, Conflict, LiftlockError
from liftlock.oci.manifest import Manifest
from liftlock.transfer.events import Cancel, Event
from liftlock.transfer.execute import execute
from liftlock.transfer.journal import FileJournal
from liftlock.transfer.locks import hold
from liftlock.transfer.model import CopyRequest, Options, TagMove
from liftlock.transfer.plan import make_plan
from liftlock.transfer.survey import survey
from tests.transfer.worlds import World, gone, image

IMAGES = ("web", "worker", "cron")


@pytest.fixture
def world() -> World:
    """Three new images in a build registry; production holds an older one of two of them."""
    world = World()
    for name in IMAGES:
        image(world.open(f"build.example/{name}"), [b"new", name.encode()], tag="v2")
    for name in IMAGES[:2]:
        image(world.open(f"prod.example/{name}"), [b"old", name.encode()], tag="stable")
    return world


def _requests() -> list[CopyRequest]:
    return [CopyRequest(f"build.example/{name}", "v2", f"prod.example/{name}", ("stable",)) for name in IMAGES]


def _copy(world: World, state: Path, requests: list[CopyRequest] | None = None, options: Options | None = None) -> None:
    plan = make_plan(survey(requests or _requests(), world, options or Options()))
    execute(plan, world, state=str(state))


def _held(world: World) -> dict[str, Manifest]:
    repositories = {name: world.open(f"prod.example/{name}") for name in IMAGES}
    return {name: each.manifest("stable") for name, each in repositories.items() if not gone(each, "stable")}


def test_no_tag_moves_before_all_content_is_there(world: World, tmp_path: Path) -> None:
    _copy(world, tmp_path)

    for name in IMAGES:
        log = world.open(f"prod.example/{name}").log
        assert log[-1] == "tag stable"
        assert any(line.startswith("manifest ") for line in log)


def test_a_refused_tag_puts_the_others_back(world: World, tmp_path: Path) -> None:
    before = _held(world)
    world.open("prod.example/worker").refuse_tags.add("stable")

    with pytest.raises(LiftlockError, match="cannot be set today") as raised:
        _copy(world, tmp_path)

    assert _held(world) == before
    assert "put back" in raised.value.hint
    assert not list((tmp_path / "copies").iterdir()), "all is as before: the journal has done its work"


def test_a_new_tag_that_cannot_be_removed_is_named(world: World, tmp_path: Path) -> None:
    before = _held(world)
    world.open("prod.example/cron").keep_tags = True
    moved = threading.Event()
    worker = world.open("prod.example/worker")
    store = worker.put_manifest

    def late(manifest: Manifest, tag: str | None = None) -> None:
        if tag is not None:
            assert moved.wait(10)
            raise LiftlockError("worker cannot be set today")
        store(manifest, tag)

    worker.put_manifest = late  # type: ignore[method-assign]

    plan = make_plan(survey(_requests(), world))

    def watch(event: Event) -> None:
        if event.kind == "tag" and "cron" in event.subject:
            moved.set()

    with pytest.raises(LiftlockError, match="not every tag could be put back") as raised:
        execute(plan, world, state=str(tmp_path), on_event=watch)

    assert raised.value.exit_code == 1
    assert "prod.example/cron:stable" in str(raised.value)
    held = _held(world)
    assert {name: held[name] for name in before} == before


def test_the_next_run_rolls_forward_and_still_knows_the_old_digests(world: World, tmp_path: Path) -> None:
    """A crash between two tags: the process is gone, the journal is there."""
    before = _held(world)
    plan = make_plan(survey(_requests(), world))
    journal = FileJournal(str(tmp_path / "copies"), plan.tag_names)
    journal.begin(plan.moves)
    _copy(world, tmp_path / "elsewhere", _requests()[:1])  # as the dead process moved the first tag

    again = world.reopened()
    again.open("prod.example/worker").refuse_tags.add("stable")
    with pytest.raises(LiftlockError, match="cannot be set today"):
        _copy(again, tmp_path)

    assert _held(again) == before, "the tag that the dead process moved was put back too"

    _copy(again.reopened(), tmp_path)

    assert all(each.digest != before.get(name) for name, each in _held(again).items())


def test_a_journal_of_something_else_is_not_believed(world: World, tmp_path: Path) -> None:
    old = world.open("prod.example/web").manifest("stable").digest
    moves = [TagMove("prod.example/web", "stable", None, old)]
    journal = FileJournal(str(tmp_path), ["prod.example/web:stable"])
    journal.begin(moves)

    new = world.open("build.example/web").manifest("v2").digest
    again = FileJournal(str(tmp_path), ["prod.example/web:stable"]).begin(
        [TagMove("prod.example/web", "stable", old, new)]
    )

    assert list(again) == [TagMove("prod.example/web", "stable", old, new)]


def test_a_damaged_journal_is_set_aside(tmp_path: Path) -> None:
    move = TagMove("prod.example/web", "stable", None, Manifest.build(_EMPTY).digest)
    FileJournal(str(tmp_path), ["x"]).begin([move])
    path = next(tmp_path.iterdir())
    path.write_text(path.read_text()[:20])

    assert list(FileJournal(str(tmp_path), ["x"]).begin([move])) == [move]
    assert any(each.name.endswith(".damaged") for each in tmp_path.iterdir())


_EMPTY = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}


def test_expect_is_checked_again_just_before_the_tag_moves(world: World, tmp_path: Path) -> None:
    old = world.open("prod.example/web").manifest("stable").digest
    request = _requests()[0]._replace(expect=old)
    plan = make_plan(survey([request], world))
    other = image(world.open("prod.example/web"), [b"somebody else's"], tag="stable")

    with pytest.raises(Conflict, match=f"expected {old}"):
        execute(plan, world, state=str(tmp_path))

    assert world.open("prod.example/web").manifest("stable") == other


def test_another_writer_is_noticed_by_the_read_back(world: World, tmp_path: Path) -> None:
    web = world.open("prod.example/web")
    other = image(web, [b"somebody else's"])
    store = web.put_manifest

    def overtaken(manifest: Manifest, tag: str | None = None) -> None:
        store(manifest, tag)
        if tag is not None:
            store(other, tag)

    web.put_manifest = overtaken  # type: ignore[method-assign]

    with pytest.raises(Conflict, match="was set to"):
        _copy(world, tmp_path, _requests()[:1])

    assert web.manifest("stable") == other, "what somebody else set is not ours to undo"


def test_our_own_writers_of_one_tag_take_turns(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(20):
            with hold(["b", "a"], str(tmp_path), Cancel()):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(most), max(most)) == (80, 1)


def test_waiting_for_a_lock_ends_when_asked_to_stop(tmp_path: Path) -> None:
    cancel = Cancel()
    with hold(["a"], str(tmp_path), Cancel()):
        cancel.request()
        with pytest.raises(Cancelled), hold(["a"], str(tmp_path), cancel):
            pass


def test_a_lock_whose_holder_does_not_go_on_is_waited_for_with_patience(tmp_path: Path) -> None:
    passed = []
    with hold(["a"], str(tmp_path), Cancel()), hold(["b", "a"], str(tmp_path), Cancel(), 0.01):
        passed.append("a")
        with pytest.raises(Cancelled), hold(["b"], str(tmp_path), _requested()):
            pass  # the locks that were free are held all the same

    assert passed == ["a"]


def _requested() -> Cancel:
    cancel = Cancel()
    cancel.request()
    return cancel


def test_a_cancelled_copy_leaves_its_journal_for_the_next_run(world: World, tmp_path: Path) -> None:
    cancel = Cancel()
    plan = make_plan(survey(_requests(), world))

    def stop(event: Event) -> None:
        if event.kind == "tag":
            cancel.request()

    with pytest.raises(Cancelled):
        execute(plan, world, state=str(tmp_path), on_event=stop, cancel=cancel, workers=1)

    assert world.aborted
    assert list((tmp_path / "copies").iterdir())

    _copy(world.reopened(), tmp_path)

    assert set(_held(world.reopened())) == set(IMAGES)
