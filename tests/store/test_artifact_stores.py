"""One contract for every place that keeps artifacts: a folder, a bucket, a registry's repository.

Beside it what each has of its own. Real parts: moto for Amazon S3, Azurite for Azure Blob Storage, docker-registry.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from liftlock.errors import Conflict, CorruptContent, LiftlockError, NotFound
from liftlock.oci import media_types as mt
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Manifest
from liftlock.release.artifact import Artifact
from liftlock.services.session import Session
from liftlock.store.artifact_store import ArtifactStore, image_tag
from liftlock.store.local_store import LocalStore
from liftlock.store.registry_store import RegistryStore
from tests.store.shelf import LATER, Shelf, artifact, content, in_a_bucket
from tests.support import objects
from tests.support.objects import Place
from tests.support.registry import Registry


@pytest.fixture(params=["local", "s3", "azure", "registry"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path, home: Path) -> Iterator[Shelf]:
    if request.param == "local":
        local = LocalStore(tmp_path / "artifacts")
        with Session({"HOME": str(home)}) as session:
            yield Shelf(
                local,
                session.targets.open_writable(local.place),
                lambda one, text: (tmp_path / "artifacts" / f"{one.id.hex}.json").write_bytes(text),
            )
    elif request.param == "s3":
        yield in_a_bucket(objects.on_s3(request.getfixturevalue("moto")))
    elif request.param == "azure":
        yield in_a_bucket(objects.on_azure(request.getfixturevalue("azurite")))
    else:
        registry: Registry = request.getfixturevalue("registry")
        repository: str = request.getfixturevalue("repo")
        with Session({"HOME": str(home)}) as session:
            target = session.targets.open_writable(f"{registry.host}/{repository}")
            yield Shelf(
                RegistryStore(target),
                target,
                lambda one, text: registry.blob_path(one.id).write_bytes(text),
            )


@pytest.mark.contract
class TestContract:
    def test_what_is_put_is_got_and_putting_it_again_changes_nothing(self, shelf: Shelf) -> None:
        made = shelf.publish("1", web=shelf.image(b"layer"))
        tags = sorted(shelf.target.tags())

        shelf.store.put(made)

        assert shelf.store.get(made.id) == made
        assert set(shelf.store.ids()) == {made.id}
        assert sorted(shelf.target.tags()) == tags

    def test_what_was_not_put_is_not_found(self, shelf: Shelf) -> None:
        with pytest.raises(NotFound, match="no artifact"):
            shelf.store.get(Digest.of(b"nothing"))
        assert set(shelf.store.ids()) == set()

    def test_a_changed_document_is_refused_when_it_is_read_and_when_it_is_put_again(self, shelf: Shelf) -> None:
        # A registry keeps one blob for all repositories: nobody else may have this document.
        made = shelf.publish("changed-1", web=shelf.image(b"layer"))
        shelf.change(made, made.document.replace(b"changed-1", b"changed-2"))

        for deed in (lambda: shelf.store.get(made.id), lambda: shelf.store.put(made)):
            with pytest.raises(CorruptContent) as caught:
                deed()
            assert shelf.store.place.removeprefix("oci:") in caught.value.message

    def test_no_two_images_share_a_tag(self) -> None:
        """Whatever their names: neither `a-b` of build `c`, and `a` of build `b-c`, nor two pipelines' build 1."""
        image = Manifest.build({"schemaVersion": 2, "manifests": []})
        several = [artifact(build, **{"a-b": image, "a": image}) for build in ("c", "b-c")]

        assert len({image_tag(each, name) for each in several for name in each.images}) == 4

    def test_a_scratch_has_what_the_store_has_and_takes_the_rest(self, shelf: Shelf) -> None:
        shelf.image(b"kept")
        with shelf.store.scratch() as scratch:
            assert scratch.has_blob(Digest.of(b"kept"))
            writer = scratch.new_blob()
            writer.write(b"new")
            writer.commit(Digest.of(b"new"))
            writer.discard()
            for text in (b"kept", b"new"):
                buffer = memoryview(bytearray(10))
                reader = scratch.open_blob(content(text))
                assert bytes(buffer[: reader.readinto(buffer)]) == text
                reader.close()

    def test_a_collection_leaves_what_others_need(self, shelf: Shelf) -> None:
        old = shelf.publish("1", web=shelf.image(b"old", b"shared"))
        kept_image = shelf.image(b"new", b"shared")
        kept = shelf.publish("2", web=kept_image)

        with shelf.store.alone():
            foretold = shelf.store.collect([old], before=LATER, dry_run=True)
            assert shelf.store.get(old.id) == old
            swept = shelf.store.collect([old], before=LATER)

        assert swept.objects == foretold.objects > 0
        assert swept.size == foretold.size
        assert set(shelf.store.ids()) == {kept.id}
        with pytest.raises(NotFound):
            shelf.store.get(old.id)
        assert shelf.target.resolve(old.images["web"].digest) is None
        assert shelf.target.resolve(image_tag(old, "web")) is None
        assert shelf.target.manifest(image_tag(kept, "web")) == kept_image
        assert all(shelf.target.has_blob(blob.digest) for blob in kept_image.blobs)
        with shelf.store.alone():
            assert shelf.store.collect([old], before=LATER).objects == 0

    def test_an_image_of_two_artifacts_stays_as_long_as_one_of_them(self, shelf: Shelf) -> None:
        image = shelf.image(b"layer")
        first, second = shelf.publish("1", web=image), shelf.publish("2", web=image)

        with shelf.store.alone():
            shelf.store.collect([first], before=LATER)
        assert shelf.target.manifest(image_tag(second, "web")) == image
        with shelf.store.alone():
            shelf.store.collect([first, second], before=LATER)
        assert shelf.target.resolve(image.digest) is None

    def test_what_belongs_to_an_image_stays_and_goes_with_it(self, shelf: Shelf) -> None:
        images = [shelf.image(text) for text in (b"one", b"two")]
        first, second = (shelf.publish(str(number), web=image) for number, image in enumerate(images))
        signatures = []
        for image in images:
            signature = Manifest.build(
                {
                    "schemaVersion": 2,
                    "mediaType": mt.OCI_MANIFEST,
                    "artifactType": "application/vnd.example.signature",
                    "config": content(b"{}", mt.OCI_EMPTY).to_json(),
                    "layers": [],
                    "subject": image.descriptor.to_json(),
                }
            )
            shelf.target.put_manifest(signature)
            signatures.append(signature)

        with shelf.store.alone():
            shelf.store.collect([first], before=LATER)

        assert shelf.target.resolve(signatures[0].digest) is None
        assert [each.digest for each in shelf.target.referrers(images[1].digest)] == [signatures[1].digest]
        assert shelf.target.manifest(signatures[1].digest) == signatures[1]
        assert shelf.store.get(second.id) == second

    def test_an_index_keeps_its_children(self, shelf: Shelf) -> None:
        children = [shelf.image(text) for text in (b"amd64", b"arm64")]
        document = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX}
        index, other = (
            Manifest.build({**document, "manifests": [each.descriptor.to_json() for each in below]})
            for below in (children, children[:1])
        )
        for each in (index, other):
            shelf.target.put_manifest(each)
        first, second = shelf.publish("1", web=index), shelf.publish("2", web=other)

        with shelf.store.alone():
            shelf.store.collect([first], before=LATER)

        assert shelf.target.manifest(image_tag(second, "web")) == other
        assert shelf.target.resolve(children[0].digest) is not None
        assert shelf.target.resolve(children[1].digest) is None


@pytest.fixture
def s3_place(request: pytest.FixtureRequest) -> Place:
    return objects.on_s3(request.getfixturevalue("moto"))


@pytest.fixture(params=["local", "s3", "azure"])
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Callable[[], ArtifactStore], Shelf]:
    """A store that knows of others who use it, and its shelf."""
    if request.param == "local":
        store = LocalStore(tmp_path / "artifacts")
        with Session({"HOME": str(tmp_path)}) as session:
            target = session.targets.open_writable(store.place)
        return lambda: LocalStore(tmp_path / "artifacts"), Shelf(store, target, lambda *_: None)
    make = objects.on_s3 if request.param == "s3" else objects.on_azure
    place = make(request.getfixturevalue("moto" if request.param == "s3" else "azurite"))
    return lambda: in_a_bucket(place).store, in_a_bucket(place)


Lasting = tuple[Callable[[], ArtifactStore], Shelf]


def test_content_without_a_tag_is_collected_when_it_is_old_enough(lasting: Lasting) -> None:
    """A build id that was refused leaves such."""
    _, shelf = lasting
    kept = shelf.publish("1", web=shelf.image(b"needed"))
    left = shelf.image(b"left behind")

    with shelf.store.alone():
        young = shelf.store.collect([], before=dt.datetime.now(dt.UTC) - dt.timedelta(hours=1))
        assert young.objects == 0
        swept = shelf.store.collect([], before=LATER)

    assert (swept.objects, swept.size) == (2, len(b"left behind") + left.size)
    assert shelf.target.resolve(left.digest) is None
    assert shelf.store.get(kept.id) == kept


def test_nothing_is_collected_where_a_manifest_is_damaged(s3_place: Place) -> None:
    """What it names is not known then; made whole again, it needs its layers."""
    shelf = in_a_bucket(s3_place)
    kept = shelf.publish("1", web=shelf.image(b"needed"))
    key = f"blobs/sha256/{kept.images['web'].digest.hex}"
    whole = s3_place.read(key)
    for damaged in (b"cut", bytes(len(whole)), whole + bytes(5 << 20)):
        s3_place.write(key, damaged)
        with pytest.raises(CorruptContent), shelf.store.alone():
            shelf.store.collect([], before=LATER)

    s3_place.write(key, whole)
    assert all(shelf.target.has_blob(blob.digest) for blob in shelf.target.manifest(image_tag(kept, "web")).blobs)


def test_nobody_collects_while_somebody_publishes(lasting: Lasting) -> None:
    another, shelf = lasting
    with (
        shelf.store.writing(),
        shelf.store.writing(),
        pytest.raises(Conflict, match="publishing"),
        another().alone(),
    ):
        pytest.fail("two at once")
    with another().alone():
        pass


def test_nobody_publishes_into_a_bucket_that_is_being_collected(lasting: Lasting) -> None:
    another, shelf = lasting
    if isinstance(shelf.store, LocalStore):
        pytest.skip("in a folder it waits for that: the system's lock is released by whoever dies")
    with shelf.store.alone():
        with pytest.raises(Conflict, match="collected"), another().writing():
            pytest.fail("two at once")
        with pytest.raises(Conflict, match="collected"), another().alone():
            pytest.fail("two at once")
    with another().writing():
        pass


def test_a_folder_of_other_things_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(LiftlockError, match="no image layout"):
        LocalStore(tmp_path).put(Artifact(images={"web": content(b"image", mt.OCI_MANIFEST)}))
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.txt"]


def test_what_cannot_be_removed_is_named_and_removed_by_the_next_collection(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "artifacts")
    made = Artifact(images={"web": content(b"image", mt.OCI_MANIFEST)})
    store.put(made)
    document = tmp_path / "artifacts" / f"{made.id.hex}.json"
    document.rename(tmp_path / "aside")
    document.mkdir()  # who is root may remove every file
    with pytest.raises(LiftlockError, match=rf"{document} cannot be removed"), store.alone():
        store.collect([made], before=LATER)

    document.rmdir()
    (tmp_path / "aside").rename(document)
    with store.alone():
        store.collect([made], before=LATER)
    assert set(store.ids()) == set()


def test_what_goes_wrong_under_the_lock_is_no_trouble_with_the_lock(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"), LocalStore(tmp_path / "artifacts").writing():
        raise OSError("the disk is full")


def test_what_another_tool_lists_in_the_folder_is_kept(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "artifacts")
    with Session({"HOME": str(tmp_path)}) as session:
        shelf = Shelf(store, session.targets.open_writable(store.place), lambda *_: None)
        image = shelf.image(b"theirs")
        index = tmp_path / "artifacts" / "index.json"
        document = json.loads(index.read_text())
        document["manifests"].append(image.descriptor.to_json())
        index.write_text(json.dumps(document))

        with store.alone():
            assert store.collect([], before=LATER).objects == 0
        assert shelf.target.manifest(image.digest) == image
