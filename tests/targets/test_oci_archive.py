"""OCI archives: what other tools read and write, what is written at the end, and what is never written."""

from __future__ import annotations

import io
import json
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from liftlock.errors import Cancelled, Conflict, CorruptContent, LiftlockError, NotFound, UsageError
from liftlock.oci import media_types as mt
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.services.session import Session
from liftlock.targets.base import Placed
from liftlock.targets.layout import LayoutTarget
from liftlock.targets.memory import MemoryTarget
from liftlock.targets.oci_archive import OciArchive
from tests.support import archives, images, peers
from tests.support.hostile import HOSTILE, SECRET, Hostile
from tests.support.images import Image
from tests.targets.test_layout import copied, skopeo_digest, small


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "written"
    folder.mkdir()
    return folder / "app.tar"


@pytest.fixture
def archive(file: Path) -> Any:
    opened = OciArchive(str(file))
    yield opened
    opened.close()


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return images.make_image(tmp_path / "made", "1.0", platforms=("linux/amd64", "linux/arm64/v8"))


def everything(archive: OciArchive, reference: str) -> MemoryTarget:
    """What comes out of an archive, every byte of it verified on the way."""
    memory = MemoryTarget()
    copied(archive, memory, reference, "read")
    archive.close()
    return memory


# --- other tools -----------------------------------------------------------------------------------------------------


def test_skopeo_reads_what_we_write(image: Image, archive: OciArchive, file: Path, tmp_path: Path) -> None:
    copied(LayoutTarget(str(image.layout)), archive, "1.0", "1.0", "latest")
    archive.close()
    assert skopeo_digest(f"oci-archive:{file}:1.0") == image.digest
    again = tmp_path / "again"
    peers.run(
        "skopeo", "copy", "--quiet", "--all", "--preserve-digests", f"oci-archive:{file}:latest", f"oci:{again}:x"
    )
    assert skopeo_digest(f"oci:{again}:x") == image.digest


def test_skopeo_reads_what_we_write_without_a_tag(image: Image, archive: OciArchive, file: Path) -> None:
    """Children of an index are no images of their own: only the index is listed."""
    copied(LayoutTarget(str(image.layout)), archive, "1.0")
    archive.close()
    assert skopeo_digest(f"oci-archive:{file}") == image.digest


def test_an_untagged_image_is_found_beside_its_referrers(image: Image, archive: OciArchive, file: Path) -> None:
    root = copied(LayoutTarget(str(image.layout)), archive, "1.0")
    signature = small(archive, "signature", subject=root.descriptor.to_json())
    archive.put_manifest(signature)
    archive.close()
    memory = everything(OciArchive(str(file)), "")
    assert memory.tagged["read"] == image.digest
    assert signature.digest in memory.manifests


def test_podman_loads_what_we_write(archive: OciArchive, file: Path, tmp_path: Path) -> None:
    image = images.make_image(tmp_path / "made", "1.0")
    copied(LayoutTarget(str(image.layout)), archive, "1.0", "1.0")
    archive.close()
    with archives.Podman() as podman:
        podman.load_file(file)
        found = json.loads(podman.run("images", "--format", "json", "--no-trunc"))
    assert [each["Id"] for each in found] == [Digest(image.platforms[0].config.digest).hex]


def test_tar_lists_what_we_write(image: Image, archive: OciArchive, file: Path) -> None:
    copied(LayoutTarget(str(image.layout)), archive, "1.0", "1.0")
    archive.close()
    with tarfile.open(file) as tar:
        members = tar.getmembers()
    held = {blob.digest for blob in (*image.blobs, *image.manifests)}
    assert {member.name for member in members} == {
        "oci-layout",
        "index.json",
        *("blobs/" + digest.replace(":", "/") for digest in held),
    }
    for member in members:
        assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (0, 0, 0, "", 0o644)
    assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
def test_we_read_what_skopeo_writes(image: Image, tmp_path: Path, packed: bool) -> None:
    file = archives.skopeo_oci_archive(tmp_path / "skopeo.tar", image, "1.0")
    memory = everything(OciArchive(str(archives.gzipped(file) if packed else file)), "1.0")
    assert memory.tagged == {"read": image.digest}
    assert set(memory.blobs) == {blob.digest for blob in image.blobs}


def test_we_read_what_podman_writes(tmp_path: Path) -> None:
    image = images.make_image(tmp_path / "made", "1.0")
    file = archives.podman_oci_archive(tmp_path / "podman.tar", image, "localhost/app:1.0")
    for reference in ("localhost/app:1.0", "1.0", ""):
        memory = everything(OciArchive(str(file)), reference)
        (manifest,) = memory.manifests.values()
        assert manifest.config is not None
        config = json.loads(memory.blobs[manifest.config.digest])
        assert config["rootfs"]["diff_ids"] == list(image.platforms[0].diff_ids)


def test_umoci_reads_what_we_write(archive: OciArchive, file: Path, tmp_path: Path) -> None:
    image = images.make_image(tmp_path / "made", "1.0")
    copied(LayoutTarget(str(image.layout)), archive, "1.0", "1.0")
    archive.close()
    with tarfile.open(file) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    assert peers.run("umoci", "list", "--layout", tmp_path / "unpacked").split() == ["1.0"]


def test_what_docker_saves_is_read_as_the_layout_it_is(tmp_path: Path) -> None:
    """Synthetic: docker save of the containerd store, an OCI archive with the registry's blobs."""
    image = images.make_image(tmp_path / "made", "1.0")
    archives.synthetic_containerd(tmp_path / "docker.tar", {"docker.io/library/web:1.0": image})
    memory = everything(OciArchive(str(tmp_path / "docker.tar")), "web:1.0")
    assert {blob.digest for blob in image.blobs} <= set(memory.blobs)


# --- the end of writing ----------------------------------------------------------------------------------------------


def test_nothing_is_there_before_the_end(image: Image, archive: OciArchive, file: Path) -> None:
    copied(LayoutTarget(str(image.layout)), archive, "1.0", "1.0")
    assert list(file.parent.iterdir()) == []
    archive.close()
    assert list(file.parent.iterdir()) == [file]


def test_what_is_being_written_can_be_read(image: Image, archive: OciArchive) -> None:
    copied(LayoutTarget(str(image.layout)), archive, "1.0", "1.0")
    memory = everything(archive, "1.0")
    assert memory.tagged == {"read": image.digest}


def test_nothing_is_written_when_nothing_was_put(archive: OciArchive, file: Path) -> None:
    archive.prepare(10)
    archive.close()
    assert list(file.parent.iterdir()) == []


def test_nothing_is_written_after_a_failure(archive: OciArchive, file: Path) -> None:
    archive.put_manifest(small(archive), "1.0")
    blob = Descriptor(mt.OCI_LAYER, Digest.of(b"second"), 6)
    with pytest.raises(CorruptContent):
        archive.put_blob(blob, lambda: io.BytesIO(b"SECOND"))
    archive.close()
    assert list(file.parent.iterdir()) == []


def test_nothing_is_written_after_a_refused_manifest(archive: OciArchive, file: Path) -> None:
    manifest = small(MemoryTarget())
    archive.put_manifest(small(archive, "other"), "1.0")
    with pytest.raises(LiftlockError):
        archive.put_manifest(manifest, "2.0")
    archive.close()
    assert list(file.parent.iterdir()) == []


def test_a_failure_that_was_made_good_is_none(archive: OciArchive, file: Path) -> None:
    """As the copier does when a blob turns out to be missing: bring it, put the manifest again."""
    manifest = small(MemoryTarget())
    with pytest.raises(LiftlockError):
        archive.put_manifest(manifest, "1.0")
    blob = Descriptor(mt.OCI_LAYER, Digest.of(b"layer"), 5)
    with pytest.raises(CorruptContent):
        archive.put_blob(blob, lambda: io.BytesIO(b"LAYER"))
    small(archive)
    archive.put_manifest(manifest, "1.0")
    archive.close()
    assert skopeo_digest(f"oci-archive:{file}:1.0") == manifest.digest


def test_nothing_is_written_after_an_abort(archive: OciArchive, file: Path) -> None:
    archive.put_manifest(small(archive), "1.0")
    archive.abort()
    with pytest.raises(Cancelled):
        archive.put_manifest(small(MemoryTarget()), "2.0")
    archive.close()
    assert list(file.parent.iterdir()) == []


def test_nothing_is_written_when_the_operation_failed_elsewhere(file: Path) -> None:
    def operation() -> None:
        with Session({}) as session:
            archive = session.targets.open_writable(f"oci-archive:{file}")
            archive.put_manifest(small(archive))
            raise NotFound("something is missing elsewhere")

    with pytest.raises(NotFound, match="elsewhere"):
        operation()
    assert list(file.parent.iterdir()) == []


def test_nothing_is_written_when_the_tags_were_taken_back(archive: OciArchive, file: Path) -> None:
    archive.put_manifest(small(archive), "1.0")
    archive.delete_tag("1.0")
    archive.close()
    assert list(file.parent.iterdir()) == []


def test_an_archive_that_is_there_is_not_changed(archive: OciArchive, file: Path) -> None:
    manifest = small(archive)
    archive.put_manifest(manifest, "1.0")
    archive.close()
    before = file.read_bytes()
    blob = Descriptor(mt.OCI_LAYER, Digest.of(b"more"), 4)
    again = OciArchive(str(file))
    for change in (
        lambda: again.prepare(0),
        lambda: again.put_blob(blob, lambda: io.BytesIO(b"more")),
        lambda: again.put_manifest(manifest, "2.0"),
        lambda: again.delete_tag("1.0"),
    ):
        with pytest.raises(Conflict, match="exists already"):
            change()
    again.close()
    assert file.read_bytes() == before


def test_an_archive_that_came_in_between_is_not_overwritten(archive: OciArchive, file: Path) -> None:
    archive.put_manifest(small(archive), "1.0")
    file.write_bytes(b"somebody else's")
    with pytest.raises(Conflict, match="exists already"):
        archive.close()
    assert file.read_bytes() == b"somebody else's"
    assert list(file.parent.iterdir()) == [file]


def test_the_folder_has_to_exist(tmp_path: Path) -> None:
    archive = OciArchive(str(tmp_path / "none" / "app.tar"))
    with pytest.raises(LiftlockError, match="none"):
        archive.prepare(0)


def test_room_is_checked_before_bytes_move(archive: OciArchive) -> None:
    with pytest.raises(LiftlockError, match="bytes free"):
        archive.prepare(1 << 60)


def test_the_same_image_in_the_same_order_is_the_same_file(image: Image, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.tar", "two.tar")]
    for file in files:
        archive = OciArchive(str(file))
        copied(LayoutTarget(str(image.layout)), archive, "1.0", "1.0")
        archive.close()
    assert files[0].read_bytes() == files[1].read_bytes()


def test_blobs_of_eight_gibibytes_and_more_fit(file: Path, archive: OciArchive) -> None:
    """The room is a hole in the file, filled at its end only; a tar's own size field ends before that."""
    size = (8 << 30) + 1

    draft = archive._begun()
    with draft.room(Digest.of(b"stands for a large one"), size) as room:
        draft.tar.write(b"z", room.member.offset + size - 1)
        room.whole = True
    archive.put_manifest(small(archive), "1.0")
    archive.close()
    again = OciArchive(str(file))
    assert again._size(Digest.of(b"stands for a large one")) == size
    assert again.manifest("1.0").layers
    again.close()
    with tarfile.open(file) as tar:
        assert max(member.size for member in tar) == size


def test_blobs_come_from_several_threads(archive: OciArchive, file: Path) -> None:
    layers = [os.urandom(200_000 + number) for number in range(16)]

    def put(layer: bytes) -> Descriptor:
        blob = Descriptor(mt.OCI_LAYER, Digest.of(layer), len(layer))
        archive.put_blob(blob, lambda: io.BytesIO(layer))
        return blob

    with ThreadPoolExecutor(8) as pool:
        blobs = list(pool.map(put, layers))
    config = Descriptor(mt.OCI_CONFIG, Digest.of(b"{}"), 2)
    archive.put_blob(config, lambda: io.BytesIO(b"{}"))
    fields = {"schemaVersion": 2, "mediaType": mt.OCI_MANIFEST, "config": config.to_json()}
    archive.put_manifest(Manifest.build({**fields, "layers": [blob.to_json() for blob in blobs]}), "1.0")
    archive.close()
    memory = everything(OciArchive(str(file)), "1.0")
    assert [memory.blobs[blob.digest] for blob in blobs] == layers


# --- what cannot be read ---------------------------------------------------------------------------------------------


def test_a_file_that_is_absent(archive: OciArchive, file: Path) -> None:
    assert archive.resolve("1.0") is None
    with pytest.raises(NotFound, match=str(file)):
        archive.manifest("1.0")


def test_a_docker_archive_is_named_as_one(tmp_path: Path) -> None:
    image = images.make_image(tmp_path / "made", "1.0")
    file = archives.skopeo_docker_archive(tmp_path / "docker.tar", image, "example.org/app:1.0")
    with pytest.raises(UsageError) as caught:
        OciArchive(str(file)).resolve("1.0")
    assert f"docker-archive:{file}" in caught.value.hint


def test_a_blob_of_another_size_is_refused(image: Image, tmp_path: Path) -> None:
    archive = OciArchive(str(archives.skopeo_oci_archive(tmp_path / "skopeo.tar", image, "1.0")))
    blob = image.blobs[0]
    with pytest.raises(CorruptContent, match="its descriptor says"):
        archive.open_blob(Descriptor(blob.media_type, Digest(blob.digest), blob.size + 1))
    archive.close()


def test_a_stopped_read_ends(image: Image, tmp_path: Path) -> None:
    archive = OciArchive(str(archives.skopeo_oci_archive(tmp_path / "skopeo.tar", image, "1.0")))
    blob = image.blobs[0]
    reader = archive.open_blob(Descriptor(blob.media_type, Digest(blob.digest), blob.size))
    archive.abort()
    with pytest.raises(Cancelled):
        reader.readinto(memoryview(bytearray(10)))
    with pytest.raises(Cancelled):
        archive.resolve("1.0")
    archive.close()


@pytest.mark.parametrize("hostile", [each for each in HOSTILE if each.kind == "oci-archive"], ids=str)
def test_hostile_archives_are_refused(hostile: Hostile, file: Path) -> None:
    hostile.write(file)
    archive = OciArchive(str(file))
    memory = MemoryTarget()
    with pytest.raises(LiftlockError):
        copied(archive, memory, "", "1.0")
    archive.close()
    assert not memory.tagged
    assert SECRET.read_bytes() not in memory.blobs.values()


def test_a_present_blob_is_not_asked_for(archive: OciArchive) -> None:
    blob = small(archive).layers[0]
    assert archive.put_blob(blob, None) is Placed.PRESENT
