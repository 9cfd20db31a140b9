"""What is recorded is found again, once, and whole."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import StatementError

from liftlock.errors import Conflict, LiftlockError, NotFound, UsageError
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.pipeline.load import load
from liftlock.release.artifact import Artifact
from liftlock.release.promotion import Decision, Execution
from liftlock.release.release import Release
from liftlock.release.rules import current
from liftlock.store.artifacts import Origin
from liftlock.store.memories import LayerMemory, PromotionJournal
from liftlock.store.store import Store
from liftlock.targets.canonical import Compressed
from liftlock.transfer.journal import Journal
from liftlock.transfer.model import TagMove

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


class Clock:
    """A minute passes with every look."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> dt.datetime:
        self.now += dt.timedelta(minutes=1)
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "liftlock.db", Clock())
    yield opened
    opened.close()


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


class TestArtifacts:
    def test_an_artifact_is_found_by_id_by_its_beginning_and_by_build(self, store: Store) -> None:
        mine = publish(store, artifact(labels={"a": "ü"}), stored="oci:artifacts", source="registry.example/web@x")
        publish(store, artifact("other", "2"))

        with store.read() as tx:
            for text in ("1", mine.id, mine.id.hex, mine.id.hex[:5]):
                assert tx.artifacts.find(text, "demo").artifact == mine
            found = tx.artifacts.get(mine.id)
            for text in ("3", mine.id.hex[:3], "%", "sha256:____"):
                with pytest.raises(NotFound):
                    tx.artifacts.find(text, "demo")
            with pytest.raises(NotFound):
                tx.artifacts.find("1", "other pipeline")
        assert found.origins == {"web": Origin(stored="oci:artifacts", source="registry.example/web@x")}
        assert found.published_at == NOON + dt.timedelta(minutes=1)
        assert found.published_at.tzinfo is dt.UTC

    def test_a_build_id_stands_for_one_content_for_ever(self, store: Store) -> None:
        first = publish(store, artifact("web"))

        with pytest.raises(Conflict, match="build 1 has published other content before: web differ") as caught:
            publish(store, artifact("other"))
        assert caught.value.exit_code == 6
        assert "--build" in caught.value.hint
        with store.read() as tx:
            assert [each.artifact for each in tx.artifacts.all()] == [first]

    def test_publishing_the_same_again_succeeds_and_keeps_what_was_first(self, store: Store) -> None:
        first = publish(store, artifact(commit="c0ffee"), stored="oci:artifacts")
        again = publish(store, artifact(commit="decaf"), source="registry.example/web@x")

        assert again == first
        with store.read() as tx:
            (only,) = tx.artifacts.all()
        assert only.origins["web"] == Origin(stored="oci:artifacts", source="registry.example/web@x")

    def test_build_ids_of_two_pipelines_have_nothing_to_do_with_each_other(self, store: Store) -> None:
        publish(store, artifact("web"))
        publish(store, artifact("other"), pipeline="another")

        with store.read() as tx:
            assert tx.artifacts.find("1", "another").artifact == artifact("other")
            assert len(tx.artifacts.all()) == 2

    def test_artifacts_without_a_build_id_never_conflict(self, store: Store) -> None:
        for content in ("web", "other", "web"):
            publish(store, artifact(content, ""))

        with store.read() as tx:
            assert [each.artifact.images["web"].digest for each in tx.artifacts.all()] == [
                Digest.of(b"other"),
                Digest.of(b"web"),
            ]

    def test_a_digest_leads_to_the_artifacts_that_hold_it(self, store: Store) -> None:
        publish(store, artifact("web", "1"))
        publish(store, artifact("other", "2"))
        publish(store, artifact("web", "3"))

        with store.read() as tx:
            assert [each.artifact.build for each in tx.artifacts.holding(Digest.of(b"web"))] == ["3", "1"]
            assert not tx.artifacts.holding(Digest.of(b"nothing"))

    def test_a_beginning_that_fits_two_ids_names_neither(self, store: Store) -> None:
        ids: dict[str, Artifact] = {}
        build = 0
        while True:  # among a few hundred artifacts two share four digits
            build += 1
            made = artifact(build=str(build))
            other = ids.setdefault(made.id.hex[:4], made)
            if other is not made:
                break
        publish(store, made)
        publish(store, other)

        with store.read() as tx, pytest.raises(UsageError, match="names several artifacts"):
            tx.artifacts.find(made.id.hex[:4], "demo")


class TestReleases:
    def test_a_release_comes_back_with_its_artifact_and_its_own_snapshot(self, store: Store) -> None:
        release = released(store)

        with store.read() as tx:
            created = tx.releases.get(release.id)
            assert [each.release for each in tx.releases.of("demo")] == [release]
            assert [each.release for each in tx.releases.of_artifact(release.artifact.id)] == [release]
            assert not tx.releases.of("other")
        assert created.release == release
        assert created.release.pipeline.id == PIPELINE.id
        assert created.release.destinations("dev") == release.destinations("dev")

    def test_creating_it_again_changes_nothing(self, store: Store) -> None:
        release = released(store)
        with store.read() as tx:
            before = tx.releases.get(release.id)
        released(store)

        with store.read() as tx:
            assert tx.releases.of("demo") == [before]

    def test_it_is_found_by_build_or_id_within_its_pipeline(self, store: Store) -> None:
        release = released(store)
        released(store, "2")

        with store.read() as tx:
            for text in ("1", release.id, release.id.short, release.id.hex[:6]):
                assert tx.releases.find(text, "demo").release == release
            for text, pipeline in (("3", "demo"), ("1", "other"), (release.id, "other"), ("%", "demo")):
                with pytest.raises(NotFound):
                    tx.releases.find(text, pipeline)

    def test_a_build_with_two_releases_is_named_by_id(self, store: Store) -> None:
        release = released(store)
        edited = load(
            "pipeline: demo\nimages: [web]\nstages:\n  - {name: dev, to: 'registry.example/{image}', tags: [x]}\n"
        )
        with store.begin() as tx:
            other = tx.releases.add(Release.create(release.artifact, edited, created=tx.now)).release

        with store.read() as tx:
            with pytest.raises(UsageError, match="names 2 releases"):
                tx.releases.find("1", "demo")
            assert tx.releases.find(other.id.short, "demo").release == other

    def test_its_artifact_has_to_be_there(self, store: Store) -> None:
        with pytest.raises(LiftlockError, match="FOREIGN KEY"), store.begin() as tx:
            tx.releases.add(Release.create(artifact(), PIPELINE, created=tx.now))


class TestPromotions:
    def test_an_attempt_is_recorded_step_by_step(self, store: Store) -> None:
        release = released(store)
        with store.begin() as tx:
            made = tx.promotions.admit(release, "dev")
        with store.begin() as tx:
            tx.promotions.queue(made.id)
        with store.begin() as tx:
            tx.promotions.start(made.id)
            assert [each.id for each in tx.promotions.unfinished("demo", "dev")] == [made.id]
            assert not tx.promotions.unfinished("demo", "test")
        with store.begin() as tx:
            ended = tx.promotions.end(made.id, Execution.ERRORED, "the network was gone")
        with store.begin() as tx:
            tx.promotions.queue(made.id)

        with store.read() as tx:
            (found,) = tx.promotions.history("demo")
            assert tx.promotions.get(made.id) == tx.promotions.latest(release.id, "dev") == found
        first, second = found.attempts
        assert first == ended.attempts[0]
        assert (first.execution, first.reason, first.order) == (Execution.ERRORED, "the network was gone", 1)
        assert first.queued_at < (first.started_at or NOON) < (first.ended_at or NOON)
        assert (second.number, second.execution) == (2, Execution.QUEUED)

    def test_a_step_that_cannot_follow_is_a_conflict_and_leaves_no_trace(self, store: Store) -> None:
        release = released(store)
        with store.begin() as tx:
            made = tx.promotions.admit(release, "dev")
            tx.promotions.queue(made.id)

        with pytest.raises(Conflict), store.begin() as tx:
            tx.promotions.queue(made.id)
        with pytest.raises(Conflict), store.begin() as tx:
            tx.promotions.end(made.id, Execution.SUCCEEDED)
        with store.read() as tx:
            assert [each.execution for each in tx.promotions.get(made.id).attempts] == [Execution.QUEUED]

    def test_a_refusal_is_recorded_with_its_reason_and_an_unknown_stage_is_not(self, store: Store) -> None:
        release = released(store)
        with store.begin() as tx:
            tx.promotions.refuse(release, "test", "it has not succeeded in dev")
        with pytest.raises(NotFound), store.begin() as tx:
            tx.promotions.admit(release, "live")

        with store.read() as tx:
            (found,) = tx.promotions.history("demo")
        assert (found.decision, found.reason, found.state) == (
            Decision.REFUSED,
            "it has not succeeded in dev",
            "refused",
        )

    def test_what_ended_last_is_in_the_stage_even_when_the_clock_went_back(self, tmp_path: Path) -> None:
        times = iter(NOON - dt.timedelta(hours=hour) for hour in range(100))
        store = Store(tmp_path / "liftlock.db", lambda: next(times))
        for build in ("2", "1"):
            release = released(store, build)
            with store.begin() as tx:
                made = tx.promotions.admit(release, "dev")
                tx.promotions.queue(made.id)
                tx.promotions.start(made.id)
                tx.promotions.end(made.id, Execution.SUCCEEDED)

        with store.read() as tx:
            found = current(tx.promotions.history("demo"), "dev")
            assert found is not None
            assert tx.releases.get(found.release).release.name == "1"
        store.close()


class TestTagMoves:
    A, B, C = (Digest.of(letter) for letter in (b"a", b"b", b"c"))

    @pytest.fixture
    def promotion(self, store: Store) -> int:
        release = released(store)
        with store.begin() as tx:
            made = tx.promotions.admit(release, "dev")
            tx.promotions.queue(made.id)
            tx.promotions.start(made.id)
        return made.id

    def again(self, store: Store, promotion: int) -> None:
        with store.begin() as tx:
            tx.promotions.end(promotion, Execution.ERRORED, "killed")
            tx.promotions.queue(promotion)
            tx.promotions.start(promotion)

    def test_moves_are_on_record_before_they_are_made_and_settled_after(self, store: Store, promotion: int) -> None:
        journal: Journal = PromotionJournal(store, promotion, 1)
        moves = [
            TagMove("registry.example/web", "1", None, self.B),
            TagMove("registry.example/web", "x", self.B, self.B),
        ]

        assert journal.begin(moves) == moves[:1]
        with store.read() as tx:
            (recorded,) = tx.tag_moves.of(promotion, 1)
        assert (recorded.tag, recorded.old, recorded.new, recorded.settled_at) == ("1", None, self.B, None)
        journal.finish()
        with store.read() as tx:
            (recorded,) = tx.tag_moves.with_digest(self.B)
        assert recorded.settled_at is not None
        assert recorded.settled_at > recorded.recorded_at

    def test_after_a_crash_the_next_attempt_still_knows_what_the_tags_held(self, store: Store, promotion: int) -> None:
        name = "registry.example/web"
        both = [TagMove(name, "1", None, self.B), TagMove(name, "latest", self.A, self.B)]
        PromotionJournal(store, promotion, 1).begin(both)
        # When the process died, latest had moved and 1 had not; the second attempt dies there as well.
        left = [both[0], TagMove(name, "latest", self.B, self.B)]
        self.again(store, promotion)
        assert PromotionJournal(store, promotion, 2).begin(left) == both
        self.again(store, promotion)
        journal = PromotionJournal(store, promotion, 3)
        assert journal.begin(left) == both
        journal.finish()

        self.again(store, promotion)
        held = [TagMove(name, "1", self.B, self.B), TagMove(name, "latest", self.B, self.B)]
        assert PromotionJournal(store, promotion, 4).begin(held) == []
        with store.read() as tx:
            assert all(each.settled_at for each in tx.tag_moves.of_tag(name, "latest"))

    def test_another_digests_unfinished_move_is_not_taken_for_ones_own(self, store: Store, promotion: int) -> None:
        name = "registry.example/web"
        PromotionJournal(store, promotion, 1).begin([TagMove(name, "latest", self.A, self.B)])
        self.again(store, promotion)

        assert PromotionJournal(store, promotion, 2).begin([TagMove(name, "latest", self.C, self.C)]) == []


def test_a_layer_is_remembered_by_its_diff_id_and_the_newest_answer_counts(store: Store) -> None:
    memory = LayerMemory(store)
    diff_id = Digest.of(b"plain")
    first, second = (
        Compressed(Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", Digest.of(content), 5 << 40), recipe)
        for content, recipe in ((b"one", "isal-1"), (b"two", "isal-2"))
    )

    assert memory.get(diff_id) is None
    for each in (first, second):
        memory.put(diff_id, each)
        assert memory.get(diff_id) == each


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.begin() as tx:
            tx.artifacts.publish(artifact(), "demo", {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    with store.read() as tx:
        assert not tx.artifacts.all()


def test_a_time_without_a_zone_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "liftlock.db", lambda: NOON.replace(tzinfo=None))

    with pytest.raises(StatementError, match="without a zone"):
        publish(store, artifact())
    store.close()


def test_a_reader_waits_for_no_writer_and_sees_one_state(store: Store) -> None:
    publish(store, artifact())
    with store.read() as reader:
        before = len(reader.artifacts.all())
        done = threading.Thread(target=publish, args=(store, artifact("other", "2")))
        done.start()
        done.join()
        assert len(reader.artifacts.all()) == before == 1
    with store.read() as reader:
        assert len(reader.artifacts.all()) == 2


def test_a_second_writer_waits_for_the_first(store: Store) -> None:
    """Each adds one to what it reads; with reads outside the transaction, numbers would be lost."""

    def count() -> None:
        for _ in range(10):
            with store.begin() as tx:
                build = str(len(tx.artifacts.all()) + 1)
                tx.artifacts.publish(artifact(build, build), "demo", {})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as tx:
        assert {each.artifact.build for each in tx.artifacts.all()} == {str(number) for number in range(1, 41)}


def _publish_many(path: Path, process: int) -> None:
    store = Store(path, Clock())
    for number in range(10):
        publish(store, artifact(f"{process}-{number}", f"{process}-{number}"))
        publish(store, artifact(f"same-{number}", f"same-{number}"))
    store.close()


def test_processes_that_start_and_publish_at_once_lose_nothing(tmp_path: Path) -> None:
    """None of them finds a database: all want to make it, then all write to it."""
    path = tmp_path / "new" / "liftlock.db"
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_publish_many, args=(path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0, 0]
    store = Store(path, Clock())
    with store.read() as tx:
        assert len(tx.artifacts.all()) == 3 * 10 + 10
    store.close()
