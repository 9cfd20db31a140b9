"""What leaves the artifact store, and what must not: whatever was published, promoted, rolled back and collected."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from liftlock.errors import Conflict, CorruptContent, LiftlockError, NotFound, RefusedError
from liftlock.release.promotion import Decision, Execution, Promotion
from liftlock.release.release import Release
from liftlock.release.retention import needed_releases
from liftlock.services.collecting import Collection, collect
from liftlock.services.decide import hold, unhold
from liftlock.services.ledger import verify
from liftlock.services.project import OpenImages, Project
from liftlock.services.promote import ask, carry_out, latest, promote, roll_back
from liftlock.services.publish import Build, all_artifacts, export, find_artifact, publish
from liftlock.services.releases import create_release
from liftlock.services.session import Session
from tests.services.conftest import ANNA, PIPELINE
from tests.support import images

NONE = dt.timedelta()
"""No artifact is too young to be collected."""


class Shop:
    """A project whose clock is ours, with a store in a folder, and promotions that are only written down.

    What a promotion copies is the business of other tests; here it counts what the record says of stages.
    """

    def __init__(self, folder: Path, env: Mapping[str, str] = {}) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "liftlock.yaml").write_text(PIPELINE.replace("images:", "store: ./kept\nimages:"))
        # Well ahead of the files' own times, so that content without a tag is old enough.
        self.now = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
        self.project = Project(str(folder / "liftlock.yaml"), clock=lambda: self.now, env=env)
        self.session = Session({"HOME": str(folder), "PATH": ""})
        self.made = 0

    def close(self) -> None:
        self.session.close()
        self.project.close()

    def later(self, **time: int) -> None:
        self.now += dt.timedelta(**time)

    def publish(self, *, shared: bool = True) -> Release:
        self.made += 1
        build = str(self.made)
        layout = self.folder / "builds" / build
        images.make_image(layout, "v", layers=2, layer_bytes=200, shared_layers=int(shared), seed=build)
        publish(self.project, self.session, {"web": f"oci:{layout}:v"}, Build(id=build), ANNA)
        return create_release(self.project, build, {}, ANNA).release

    def arrive(self, release: Release, stage: str, *, rollback: bool = False) -> None:
        """Write down that a release came to a stage."""
        with self.project.home.store.begin() as tx:
            promotion = tx.promotions.request(release, stage, requested_by=[ANNA], rollback=rollback)
            tx.promotions.decide(promotion.id, Decision.ADMITTED)
            tx.promotions.queue(promotion.id)
            tx.promotions.start(promotion.id)
            tx.promotions.end(promotion.id, Execution.SUCCEEDED)

    def back(self, stage: str) -> None:
        """Write down a rollback to what the program itself would choose, if there is anything."""
        with self.project.home.store.read() as tx:
            here = tx.promotions.current("demo", stage)
            earlier = tx.promotions.replaced(here) if here else None
            release = tx.releases.get(earlier.release).release if earlier else None
        if release is not None:
            self.arrive(release, stage, rollback=True)

    def collect(self, *, last: int = 0, keep: dt.timedelta = NONE, dry_run: bool = False) -> Collection:
        return collect(self.project, self.session, ANNA, last=last, keep=keep, dry_run=dry_run)

    def collected(self, keep: dt.timedelta = NONE) -> list[str]:
        """The builds that a collection removes."""
        return sorted(each.artifact.build for each in self.collect(keep=keep).removed)

    def is_whole(self, release: Release) -> bool:
        """Whether its images can be taken from the store."""
        out = self.folder / "out" / release.id.short
        try:
            export(self.project, self.session, release.artifact.id, f"oci:{out}")
        except NotFound:
            return False
        image = images.find(out, release.artifact.images["web"].digest)
        return image.digest == release.artifact.images["web"].digest

    def history(self) -> Sequence[Promotion]:
        with self.project.home.store.read() as tx:
            return tx.promotions.history("demo")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    opened = Shop(tmp_path / "project")
    yield opened
    opened.close()


def test_in_either_database(tmp_path: Path, database_url: str) -> None:
    shop = Shop(tmp_path / "project", {"LIFTLOCK_DATABASE_URL": database_url})
    one, two = shop.publish(), shop.publish()
    shop.arrive(two, "dev")

    assert [each.artifact.build for each in shop.collect(dry_run=True).removed] == ["1"]
    assert shop.collected() == ["1"]
    assert [shop.is_whole(each) for each in (one, two)] == [False, True]
    assert [chain.reason for chain in verify(shop.project)] == [""]
    shop.close()


def test_what_no_stage_needs_is_removed_and_the_rest_stays_whole(shop: Shop) -> None:
    one, two, three = (shop.publish() for _ in range(3))
    for release in (one, two, three):
        shop.arrive(release, "dev")

    found = shop.collect(last=1)

    assert [each.artifact.build for each in found.removed] == ["1"]
    assert found.kept == {
        three.artifact.id: "dev holds it",
        two.artifact.id: "dev may go back to it",
    }
    assert found.swept.objects == 3  # its manifest, config and own layer: the other is shared
    assert found.swept.size > 0
    assert [shop.is_whole(each) for each in (one, two, three)] == [False, True, True]


def test_a_dry_run_says_the_same_and_removes_nothing(shop: Shop) -> None:
    one, two = shop.publish(), shop.publish()
    shop.arrive(two, "dev")

    foretold = shop.collect(dry_run=True)
    assert shop.is_whole(one)
    found = shop.collect()

    assert [each.artifact for each in foretold.removed] == [each.artifact for each in found.removed]
    assert (foretold.kept, foretold.swept) == (found.kept, found.swept)
    assert not shop.is_whole(one)


def test_nothing_young_is_removed(shop: Shop) -> None:
    """Young is what was published, released or asked for a short while ago."""
    one = shop.publish()
    shop.later(days=20)
    assert shop.collected(keep=dt.timedelta(days=30)) == []
    shop.arrive(one, "dev")
    shop.arrive(shop.publish(), "dev")
    shop.arrive(shop.publish(), "dev")
    shop.later(days=20)
    assert shop.collected(keep=dt.timedelta(days=30)) == []
    shop.later(days=20)
    assert shop.collected(keep=dt.timedelta(days=30)) == ["1"]


def test_what_waits_or_is_under_way_stays(shop: Shop) -> None:
    waiting, running, over = (shop.publish() for _ in range(3))
    with shop.project.home.store.begin() as tx:
        tx.promotions.request(waiting, "test", requested_by=[ANNA])
        begun = tx.promotions.request(running, "dev", requested_by=[ANNA])
        tx.promotions.decide(begun.id, Decision.ADMITTED)
        tx.promotions.queue(begun.id)

    assert shop.collected() == [over.artifact.build]
    assert set(shop.collect().kept.values()) == {"it waits for test", "it is under way to dev"}


def test_each_collected_artifact_is_in_the_ledger_and_in_the_list(shop: Shop) -> None:
    shop.publish()
    shop.collect()

    with shop.project.home.store.read() as tx:
        entries = [json.loads(str(entry.text)) for entry in tx.ledger.entries("demo")]
    assert [entry["kind"] for entry in entries][-1] == "artifact.collected"
    assert entries[-1]["data"]["build"] == "1"
    assert [each.kept for each in all_artifacts(shop.project)] == ["collected"]
    assert shop.collected() == []


def test_a_refused_build_leaves_nothing_for_good(shop: Shop) -> None:
    kept = shop.publish()
    shop.arrive(kept, "dev")
    images.make_image(shop.folder / "other", "v", layers=1, layer_bytes=300, seed="other")
    with pytest.raises(Conflict, match="other content"):
        publish(shop.project, shop.session, {"web": f"oci:{shop.folder / 'other'}:v"}, Build(id="1"), ANNA)

    found = shop.collect()

    assert (len(found.removed), found.swept.objects) == (0, 3)
    assert shop.is_whole(kept)


def test_published_again_it_is_what_it_was(shop: Shop) -> None:
    release = shop.publish()
    shop.collect()
    assert not shop.is_whole(release)

    published = publish(
        shop.project, shop.session, {"web": f"oci:{shop.folder / 'builds' / '1'}:v"}, Build(id="1"), ANNA
    ).published

    assert published.artifact.id == release.artifact.id
    assert published.kept == "stored"
    assert shop.is_whole(release)


@pytest.mark.parametrize("size", [0, 100])
def test_a_damaged_manifest_stops_a_collection_until_the_build_is_published_again(shop: Shop, size: int) -> None:
    release = shop.publish()
    shop.arrive(release, "dev")
    manifest = shop.folder / "kept" / "blobs" / "sha256" / release.artifact.images["web"].digest.hex
    manifest.write_bytes(manifest.read_bytes()[:size])
    with pytest.raises(CorruptContent, match="digest") as caught:
        shop.collect()
    assert "publish that build again" in caught.value.hint

    publish(shop.project, shop.session, {"web": f"oci:{shop.folder / 'builds' / '1'}:v"}, Build(id="1"), ANNA)

    assert shop.collect().swept.objects == 0
    assert shop.is_whole(release)


def test_a_collection_that_died_is_finished_by_the_next(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = shop.publish(), shop.publish()
    shop.arrive(two, "dev")
    store = type(shop.project.artifacts(shop.session.targets))

    def die(*_: object, **__: object) -> None:
        raise LiftlockError("the machine is gone")

    with monkeypatch.context() as patch:
        patch.setattr(store, "collect", die)
        with pytest.raises(LiftlockError, match="gone"):
            shop.collect()
    assert find_artifact(shop.project, "1").collected

    found = shop.collect()

    assert (found.removed, found.swept.objects) == ([], 3)
    assert sorted(each.hex for each in shop.project.artifacts(shop.session.targets).ids()) == [two.artifact.id.hex]
    assert shop.is_whole(two)
    assert not shop.is_whole(one)


def test_what_was_collected_is_promoted_from_a_stage_that_holds_it_or_not_at_all(
    shop: Shop, open_images: OpenImages
) -> None:
    one = shop.publish()
    promote(shop.project, open_images, one, "dev", ANNA)
    two = shop.publish()
    promote(shop.project, open_images, two, "dev", ANNA)
    three = shop.publish()
    promote(shop.project, open_images, three, "dev", ANNA)
    assert shop.collected() == ["1"]

    # The stage's layout still has it, by digest.
    promote(shop.project, open_images, one, "test", ANNA)

    (shop.folder / "dev").rename(shop.folder / "gone")
    (shop.folder / "test").rename(shop.folder / "gone as well")
    with pytest.raises(NotFound, match="was collected from the artifact store, and no stage holds it") as caught:
        promote(shop.project, open_images, one, "prod", ANNA)
    assert "publish the build again" in caught.value.hint


Step = tuple[str, int, int]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.just(0), st.just(0)),
        st.tuples(st.just("promote"), st.integers(0, 5), st.integers(0, 2)),
        st.tuples(st.just("back"), st.just(0), st.integers(0, 2)),
        st.tuples(st.just("gc"), st.integers(0, 2), st.just(0)),
    ),
    min_size=4,
    max_size=14,
)


@settings(max_examples=5)
@given(steps=STEPS)
def test_whatever_happens_what_stages_hold_or_may_go_back_to_is_whole(steps: list[Step]) -> None:
    stages = ("dev", "test", "prod")
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder) / "project")
        try:
            releases = [shop.publish()]
            for kind, number, stage in [*steps, ("gc", 1, 0)]:
                shop.later(hours=1)
                if kind == "publish":
                    releases.append(shop.publish())
                elif kind == "promote":
                    # As the program: what is not there any more is not promoted.
                    if not find_artifact(shop.project, releases[number % len(releases)].artifact.id).collected:
                        shop.arrive(releases[number % len(releases)], stages[stage])
                elif kind == "back":
                    shop.back(stages[stage])
                else:
                    shop.collect(last=number)
                    _all_whole(shop, releases, last=number)
        finally:
            shop.close()


def _all_whole(shop: Shop, releases: Sequence[Release], last: int) -> None:
    by_id = {release.id: release for release in releases}
    needed = {by_id[each].artifact.id for each in needed_releases(shop.history(), last)}
    with shop.project.home.store.read() as tx:
        for stage, current in tx.promotions.currents("demo").items():
            back = tx.promotions.replaced(current)
            ids = {current.release, *([back.release] if back else [])}
            assert {by_id[each].artifact.id for each in ids} <= needed, stage
    whole = {release.artifact.id for release in releases if shop.is_whole(release)}
    assert whole == needed


@pytest.mark.slow
@settings(max_examples=10, phases=[Phase.generate])  # to look for a smaller example takes too long
@given(steps=STEPS)
def test_what_stays_can_be_promoted_from_the_store_alone(steps: list[Step]) -> None:
    """Promotions are carried out here; in the end every stage has lost its images, and only the store is left."""
    stages = ("dev", "test", "prod")
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder) / "project")
        file = shop.folder / "liftlock.yaml"
        file.write_text(file.read_text().replace("after: [dev], ", "").replace("after: [test], ", ""))
        home = Path(folder) / "home"
        home.mkdir()

        def images_of(_: object) -> Session:
            return Session({"HOME": str(home), "PATH": os.environ["PATH"]})

        def back(stage: str) -> None:
            try:
                asked = roll_back(shop.project, stage, None, ANNA)
            except RefusedError:
                return  # there is nothing to go back to
            assert carry_out(shop.project, images_of, asked, ANNA).standing.promotion.succeeded
            unhold(shop.project, stage, ANNA)

        try:
            releases = [shop.publish()]
            hold(shop.project, "prod", ANNA, "it waits")
            waiting = releases[0]
            ask(shop.project, waiting, "prod", ANNA)
            for kind, number, stage in [*steps[:6], ("gc", 0, 0)]:
                shop.later(hours=1)
                chosen, there = releases[number % len(releases)], stages[stage % 2]
                if kind == "publish":
                    releases.append(shop.publish())
                elif kind == "back":
                    back(there)
                elif kind == "gc":
                    shop.collect(last=number)
                elif not find_artifact(shop.project, chosen.artifact.id).collected:
                    promote(shop.project, images_of, chosen, there, ANNA)

            for name in stages:
                shutil.rmtree(shop.folder / name, ignore_errors=True)
            for name in stages[:2]:
                back(name)
            unhold(shop.project, "prod", ANNA)
            asked = latest(shop.project, waiting, "prod")
            assert asked is not None
            assert carry_out(shop.project, images_of, asked, ANNA).standing.promotion.succeeded
        finally:
            shop.close()
