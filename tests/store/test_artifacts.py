"""Artifacts, releases and layers are found again, once, and whole."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from liftlock.errors import Conflict, LiftlockError, NotFound, UsageError
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.pipeline.load import load
from liftlock.release.artifact import Artifact
from liftlock.release.pipeline import Pipeline
from liftlock.release.release import Release
from liftlock.store.artifacts import Origin
from liftlock.store.memories import LayerMemory
from liftlock.store.releases import _snapshot
from liftlock.store.store import Store
from liftlock.targets.canonical import Compressed
from tests.store.support import NOON, PIPELINE, artifact, at_once, publish, released


def _counting(real: Callable[..., object], name: str, parsed: list[str]) -> Callable[..., object]:
    def parse(*arguments: object) -> object:
        parsed.append(name)
        return real(*arguments)

    return parse


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
        with pytest.raises(LiftlockError, match=r"(?i)foreign key"), store.begin() as tx:
            tx.releases.add(Release.create(artifact(), PIPELINE, created=tx.now))

    def test_a_page_goes_on_where_the_one_before_ended(self, store: Store) -> None:
        made = [released(store, str(number)) for number in range(5)]
        newest_first = [each.id for each in reversed(made)]

        with store.read() as tx:
            assert [each.release.id for each in tx.releases.page("demo", 2)] == newest_first[:2]
            assert [each.release.id for each in tx.releases.page("demo", 9, newest_first[1])] == newest_first[2:]
            assert not tx.releases.page("demo", 2, newest_first[-1])
            assert (tx.releases.count("demo"), tx.releases.count("other")) == (5, 0)
            with pytest.raises(NotFound):
                tx.releases.page("demo", 2, Digest.of(b"unknown"))

    def test_a_page_costs_no_more_when_there_are_many_releases(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Only what is on the page is read, and a snapshot that many share only once."""
        for number in range(6):
            released(store, str(number))
        parsed: list[str] = []
        for kind in (Artifact, Pipeline):
            real = kind.parse
            monkeypatch.setattr(kind, "parse", _counting(real, kind.__name__, parsed))
        _snapshot.cache_clear()

        for _ in range(2):
            with store.read() as tx:
                assert len(tx.releases.page("demo", 3)) == 3
        assert sorted(parsed) == ["Artifact"] * 6 + ["Pipeline"]

    def test_pages_of_releases_of_one_instant_neither_skip_nor_repeat_any(self, store: Store) -> None:
        with store.begin() as tx:
            for number in range(5):
                made = tx.artifacts.publish(artifact(str(number), str(number)), "demo", {}).artifact
                tx.releases.add(Release.create(made, PIPELINE, created=tx.now))

        with store.read() as tx:
            everything = [each.release.id for each in tx.releases.of("demo")]
            paged: list[Digest] = []
            while page := tx.releases.page("demo", 2, paged[-1] if paged else None):
                paged += [each.release.id for each in page]
        assert paged == everything
        assert len(set(paged)) == 5


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


class TestAtOnce:
    """Several jobs publish at the same instant."""

    def test_the_same_build_is_published_once_and_nobody_fails(self, store: Store, other: Store) -> None:
        def make(opened: Store) -> None:
            made = publish(opened, artifact("web", "1"))
            with opened.begin() as tx:
                tx.releases.add(Release.create(made, PIPELINE, created=tx.now))

        assert not at_once(*[lambda opened=opened: make(opened) for opened in (store, other) * 3])
        with store.read() as tx:
            assert len(tx.artifacts.all()) == len(tx.releases.of("demo")) == 1

    def test_a_build_with_two_contents_keeps_one_and_refuses_the_others(self, store: Store, other: Store) -> None:
        contents = ["a", "b", "c", "d"]
        stores = (store, other) * 2
        raised = at_once(
            *[
                lambda content=content, opened=opened: publish(opened, artifact(content, "1"))
                for content, opened in zip(contents, stores, strict=True)
            ]
        )
        assert [type(each) for each in raised] == [Conflict] * 3

    def test_two_pipelines_publish_the_same_artifact(self, store: Store, other: Store) -> None:
        """Without a build id it is the same artifact; neither waits for the other's pipeline."""
        assert not at_once(
            *[
                lambda opened=opened, name=name: publish(opened, artifact("web", ""), name)
                for opened, name in ((store, "a"), (other, "b"), (store, "c"), (other, "d"))
            ]
        )
        with store.read() as tx:
            assert len(tx.artifacts.all()) == 1
