"""OCI layouts in folders: what other tools read and write, several writers at once, full disks, hard links."""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from liftlock.errors import Cancelled, CorruptContent, LiftlockError, NotFound, UsageError
from liftlock.oci import media_types as mt
from liftlock.oci.digest import Digest
from liftlock.oci.distribution import fallback_tag
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.targets.base import Placed, Target, WritableTarget
from liftlock.targets.layout import LayoutTarget
from liftlock.targets.memory import MemoryTarget
from tests.support import images, peers
from tests.support.images import REF_NAME, Image

CONTAINERD_NAME = "io.containerd.image.name"


def copied(source: Target, destination: WritableTarget, reference: str, *tags: str) -> Manifest:
    """Everything below a reference, copied by hand: blobs, children, the root, its referrers."""
    root = source.manifest(reference)
    for child in root.manifests:
        copied(source, destination, child.digest)
    for blob in root.blobs:
        destination.put_blob(blob, lambda blob=blob: source.open_blob(blob))  # type: ignore[misc]  # bound early
    for tag in tags or (None,):
        destination.put_manifest(root, tag)
    for referrer in source.referrers(root.digest):
        copied(source, destination, referrer.digest)
    return root


def skopeo_digest(reference: str) -> str:
    """The digest of the exact bytes that skopeo sees."""
    return Digest.of(peers.run("skopeo", "inspect", "--raw", reference).encode())


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def entry(manifest: Manifest, **annotations: str) -> dict[str, Any]:
    return {**manifest.descriptor.to_json(), **({"annotations": annotations} if annotations else {})}


def listed(folder: Path, *entries: dict[str, Any]) -> LayoutTarget:
    """Rewrite ``index.json`` by hand."""
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    return LayoutTarget(str(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "layout"


@pytest.fixture
def target(folder: Path) -> LayoutTarget:
    return LayoutTarget(str(folder))


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return images.make_image(tmp_path / "made", "1.0", platforms=("linux/amd64", "linux/arm64/v8"))


def small(target: WritableTarget, text: str = "layer", **more: Any) -> Manifest:
    """A small image whose blobs are put."""
    blobs = []
    for data, kind in ((b"{}", mt.OCI_CONFIG), (text.encode(), mt.OCI_LAYER)):
        blob = Descriptor(kind, Digest.of(data), len(data))
        target.put_blob(blob, lambda data=data: io.BytesIO(data))  # type: ignore[misc]  # bound early
        blobs.append(blob.to_json())
    return Manifest.build(
        {"schemaVersion": 2, "mediaType": mt.OCI_MANIFEST, "config": blobs[0], "layers": blobs[1:], **more}
    )


# --- other tools -----------------------------------------------------------------------------------------------------


def test_skopeo_reads_what_we_write(image: Image, target: LayoutTarget, folder: Path, tmp_path: Path) -> None:
    root = copied(LayoutTarget(str(image.layout)), target, "1.0", "1.0", "latest")
    assert root.digest == image.digest
    assert skopeo_digest(f"oci:{folder}:1.0") == image.digest
    again = tmp_path / "again"
    peers.run("skopeo", "copy", "--quiet", "--all", "--preserve-digests", f"oci:{folder}:latest", f"oci:{again}:x")
    assert skopeo_digest(f"oci:{again}:x") == image.digest
    assert {blob.digest for blob in image.blobs} <= {f"sha256:{Path(name).name}" for name in files_in(again)}


def test_we_read_what_skopeo_writes(image: Image, target: LayoutTarget, folder: Path) -> None:
    peers.run("skopeo", "copy", "--quiet", "--all", f"oci:{image.layout}:1.0", f"oci:{folder}:1.0")
    assert list(target.tags()) == ["1.0"]
    assert target.manifest("1.0").digest == image.digest
    memory = MemoryTarget()
    copied(target, memory, "1.0", "1.0")
    assert set(memory.blobs) == {blob.digest for blob in image.blobs}
    assert set(memory.manifests) == {manifest.digest for manifest in image.manifests}


def test_we_read_what_skopeo_writes_without_a_tag(image: Image, target: LayoutTarget, folder: Path) -> None:
    peers.run("skopeo", "copy", "--quiet", "--all", f"oci:{image.layout}:1.0", f"oci:{folder}")
    assert target.manifest("").digest == image.digest


def test_skopeo_and_we_write_into_one_layout(image: Image, target: LayoutTarget, folder: Path) -> None:
    target.put_manifest(small(target, "ours"), "ours")
    peers.run("skopeo", "copy", "--quiet", "--all", f"oci:{image.layout}:1.0", f"oci:{folder}:theirs")
    target.put_manifest(small(target, "ours too"), "ours-too")
    assert sorted(target.tags()) == ["ours", "ours-too", "theirs"]
    assert target.manifest("theirs").digest == image.digest
    assert skopeo_digest(f"oci:{folder}:ours-too") == target.manifest("ours-too").digest


def test_umoci_reads_what_we_write(target: LayoutTarget, folder: Path, tmp_path: Path) -> None:
    image = images.make_image(tmp_path / "made", "1.0")
    copied(LayoutTarget(str(image.layout)), target, "1.0", "1.0")
    assert peers.run("umoci", "list", "--layout", folder).split() == ["1.0"]
    stat = json.loads(peers.run("umoci", "stat", "--json", "--image", f"{folder}:1.0"))
    assert len(stat["history"]) == len(image.platforms[0].layers)
    peers.run("umoci", "gc", "--layout", folder)
    assert LayoutTarget(str(folder)).manifest("1.0").digest == image.digest


def test_referrers_are_where_other_tools_look(target: LayoutTarget, folder: Path) -> None:
    subject = small(target)
    target.put_manifest(subject, "1.0")
    about = subject.descriptor.to_json()
    signature = small(target, "signature", subject=about, artifactType="application/x.sig", annotations={"by": "Zoë"})
    target.put_manifest(signature)
    index = json.loads((folder / "index.json").read_bytes())
    names = {each["annotations"][REF_NAME]: each["digest"] for each in index["manifests"]}
    assert set(names) == {"1.0", fallback_tag(subject.digest)}
    listing = images.read_json(folder, names[fallback_tag(subject.digest)])
    assert listing["mediaType"] == mt.OCI_INDEX
    assert listing["manifests"] == [
        {**signature.descriptor.to_json(), "artifactType": "application/x.sig", "annotations": {"by": "Zoë"}}
    ]


def test_referrers_that_only_the_index_lists_are_found(target: LayoutTarget, folder: Path) -> None:
    """oras adds every manifest it pushes to index.json, and keeps no fallback tag there."""
    subject = small(target)
    signature = small(target, "signature", subject=subject.descriptor.to_json(), artifactType="application/x.sig")
    target.put_manifest(subject, "1.0")
    target.put_manifest(signature)
    target = listed(folder, entry(subject, **{REF_NAME: "1.0"}), entry(signature))
    (found,) = target.referrers(subject.digest)
    assert found.digest == signature.digest
    assert found.artifact_type == "application/x.sig"
    assert target.manifest("").digest == subject.digest


def test_an_index_of_one_image_stays_an_index(target: LayoutTarget, folder: Path) -> None:
    """Docker 29 and buildx list an index of one image, and its digest is what registries know."""
    child = small(target)
    root = Manifest.build({"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": [child.descriptor.to_json()]})
    target.put_manifest(child)
    target.put_manifest(root)
    target = listed(folder, entry(root, **{CONTAINERD_NAME: "docker.io/library/app:1.0", REF_NAME: "1.0"}))
    assert target.manifest("").raw == root.raw
    assert target.manifest("1.0").raw == root.raw
    assert target.manifest("app:1.0").raw == root.raw


# --- names -----------------------------------------------------------------------------------------------------------


def test_podmans_full_names_are_found_by_tag_too(target: LayoutTarget, folder: Path) -> None:
    one, two = small(target, "one"), small(target, "two")
    for manifest in (one, two):
        target.put_manifest(manifest)
    target = listed(
        folder, entry(one, **{REF_NAME: "localhost/app:1.0"}), entry(two, **{REF_NAME: "docker.io/library/app:2.0"})
    )
    for reference, manifest in {"localhost/app:1.0": one, "1.0": one, "2.0": two, "app:2.0": two}.items():
        assert target.manifest(reference).digest == manifest.digest
    assert target.resolve("app:1.0") is None


def test_a_tag_of_several_images_has_to_be_spelled_out(target: LayoutTarget, folder: Path) -> None:
    """Docker saves several images under their tags alone, with containerd's names beside them."""
    one, two = small(target, "one"), small(target, "two")
    for manifest in (one, two):
        target.put_manifest(manifest)
    names = ("docker.io/library/web:latest", "docker.io/library/worker:latest")
    entries = [
        entry(manifest, **{REF_NAME: "latest", CONTAINERD_NAME: name})
        for manifest, name in zip((one, two), names, strict=True)
    ]
    target = listed(folder, *entries)
    for ask in (target.resolve, target.manifest):
        with pytest.raises(UsageError) as caught:
            ask("latest")
        assert all(name in caught.value.hint for name in names)
    assert target.manifest(names[1]).digest == two.digest
    assert target.manifest("web:latest").digest == one.digest


def test_one_image_needs_no_name(target: LayoutTarget) -> None:
    assert target.resolve("") is None
    manifest = small(target)
    target.put_manifest(manifest, "1.0")
    target.put_manifest(manifest, "latest")
    signature = small(target, "signature", subject=manifest.descriptor.to_json())
    target.put_manifest(signature)
    target.put_manifest(signature, fallback_tag(manifest.digest, ".sig"))
    assert target.manifest("").digest == manifest.digest


def test_several_images_need_a_name(target: LayoutTarget) -> None:
    for text in ("one", "two"):
        target.put_manifest(small(target, text), text)
    with pytest.raises(UsageError) as caught:
        target.manifest("")
    assert "one" in caught.value.hint
    assert "two" in caught.value.hint


def test_a_missing_name_says_what_there_is(target: LayoutTarget) -> None:
    target.put_manifest(small(target), "1.0")
    with pytest.raises(NotFound) as caught:
        target.manifest("2.0")
    assert "1.0" in caught.value.hint


# --- trouble ---------------------------------------------------------------------------------------------------------


def test_a_damaged_blob_is_written_anew(target: LayoutTarget, folder: Path) -> None:
    manifest = small(target)
    damaged = images.blob_file(folder, manifest.layers[0].digest)
    damaged.write_bytes(b"cut")
    with pytest.raises(CorruptContent):
        target.open_blob(manifest.layers[0])
    assert target.put_blob(manifest.layers[0], lambda: io.BytesIO(b"layer")) is Placed.COPIED
    assert damaged.read_bytes() == b"layer"


def test_a_damaged_manifest_is_written_anew(target: LayoutTarget, folder: Path) -> None:
    manifest = small(target)
    target.put_manifest(manifest, "1.0")
    file = images.blob_file(folder, manifest.digest)
    file.write_bytes(manifest.raw.replace(b"2", b"3", 1))
    with pytest.raises(CorruptContent):
        target.manifest("1.0")
    target.put_manifest(manifest, "1.0")
    assert target.manifest("1.0").raw == manifest.raw


def test_a_tag_whose_manifest_is_gone_is_absent(target: LayoutTarget, folder: Path) -> None:
    manifest = small(target)
    target.put_manifest(manifest, "1.0")
    images.blob_file(folder, manifest.digest).unlink()
    assert target.resolve("1.0") is None
    with pytest.raises(NotFound):
        target.manifest("1.0")


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"[]",
        b"{}",
        b'{"manifests":null}',
        b'{"manifests":[3]}',
        b'{"manifests":[{"mediaType":"x","size":1,"digest":"sha256:../../../../etc/passwd"}]}',
        b'{"manifests":[{"mediaType":"x","size":-1,"digest":"sha256:' + b"0" * 64 + b'"}]}',
        b"[" * 100_000,
    ],
    ids=["empty", "list", "no-list", "null", "number", "path-for-a-digest", "size", "deep"],
)
def test_a_broken_index_is_an_error(target: LayoutTarget, folder: Path, index: bytes) -> None:
    target.put_manifest(small(target), "1.0")
    (folder / "index.json").write_bytes(index)
    for ask in (lambda: target.resolve("1.0"), lambda: list(target.tags()), lambda: target.manifest("")):
        with pytest.raises(CorruptContent):
            ask()
    with pytest.raises(CorruptContent):
        target.put_manifest(small(target), "2.0")
    assert (folder / "index.json").read_bytes() == index


def test_another_version_of_layouts_is_refused(target: LayoutTarget, folder: Path) -> None:
    target.put_manifest(small(target), "1.0")
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"2.0.0"}')
    with pytest.raises(CorruptContent, match=r"2\.0\.0"):
        target.resolve("1.0")


def test_a_folder_of_other_things_is_left_alone(target: LayoutTarget, folder: Path) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    for write in (lambda: target.prepare(0), lambda: small(target)):
        with pytest.raises(UsageError):
            write()
    assert files_in(folder) == {"notes.txt"}


def test_a_file_is_no_layout(target: LayoutTarget, folder: Path) -> None:
    folder.write_text("a file")
    assert target.resolve("1.0") is None
    with pytest.raises(LiftlockError):
        target.prepare(0)


def test_room_is_checked_before_bytes_move(target: LayoutTarget) -> None:
    target.prepare(1 << 20)
    with pytest.raises(LiftlockError, match="bytes free"):
        target.prepare(1 << 60)


@pytest.mark.parametrize("unnamed", [True, False], ids=["unnamed-files", "named-files"])
def test_a_full_disk_leaves_nothing_behind(
    target: LayoutTarget, folder: Path, monkeypatch: pytest.MonkeyPatch, unnamed: bool
) -> None:
    """The limit on a file's size stands for the disk's: the same write fails in the same way."""
    import resource
    import signal

    if not unnamed:
        refuse_unnamed_files(monkeypatch)
    target.prepare(0)
    data = os.urandom(3 << 20)
    blob = Descriptor(mt.OCI_LAYER, Digest.of(data), len(data))
    before = files_in(folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        with pytest.raises(LiftlockError) as caught:
            target.put_blob(blob, lambda: io.BytesIO(data))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert str(images.blob_file(folder, blob.digest)) in caught.value.message
    assert os.strerror(errno.EFBIG) in caught.value.message
    assert files_in(folder) == before
    assert target.put_blob(blob, lambda: io.BytesIO(data)) is Placed.COPIED


def refuse_unnamed_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS."""
    real = os.open

    def refusing(path: str, flags: int, *arguments: Any, **more: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, *arguments, **more)

    monkeypatch.setattr(os, "open", refusing)


def test_file_systems_without_unnamed_files(image: Image, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_unnamed_files(monkeypatch)
    target = LayoutTarget(str(folder))
    copied(LayoutTarget(str(image.layout)), target, "1.0", "1.0")
    target.put_manifest(target.manifest("1.0"), "2.0")
    assert skopeo_digest(f"oci:{folder}:2.0") == image.digest
    assert not [name for name in files_in(folder) if "partial" in name]


def test_after_an_abort_nothing_is_written(target: LayoutTarget, folder: Path) -> None:
    manifest = small(target)
    target.put_manifest(manifest, "1.0")
    before = (folder / "index.json").read_bytes()
    data = b"more"
    reading = threading.Event()

    class Slow(io.BytesIO):
        def readinto(self, buffer: Any, /) -> int:
            reading.set()
            assert aborted.wait(10)
            return super().readinto(buffer)

    aborted = threading.Event()
    blob = Descriptor(mt.OCI_LAYER, Digest.of(data), len(data))
    errors: list[BaseException] = []

    def put() -> None:
        try:
            target.put_blob(blob, lambda: Slow(data))
        except Cancelled as error:
            errors.append(error)

    thread = threading.Thread(target=put)
    thread.start()
    assert reading.wait(10)
    target.abort()
    aborted.set()
    thread.join(10)
    assert len(errors) == 1
    with pytest.raises(Cancelled):
        target.put_manifest(manifest, "2.0")
    assert not images.blob_file(folder, blob.digest).exists()
    assert (folder / "index.json").read_bytes() == before


# --- several writers -------------------------------------------------------------------------------------------------


def write_tags(folder: str, name: str, count: int, start: Any) -> None:
    """What one process does."""
    target = LayoutTarget(folder)
    start.wait()
    for number in range(count):
        manifest = small(target, f"{name}-{number}")
        target.put_manifest(manifest, f"{name}-{number}")
        target.put_manifest(small(target, f"about {name}", subject=manifest.descriptor.to_json()))


def test_processes_that_write_to_one_layout_lose_nothing(folder: Path) -> None:
    spawned = multiprocessing.get_context("spawn")
    start = spawned.Barrier(4)
    processes = [spawned.Process(target=write_tags, args=(str(folder), f"p{n}", 12, start)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    target = LayoutTarget(str(folder))
    tags = [tag for tag in target.tags() if not tag.startswith("sha256-")]
    assert sorted(tags) == sorted(f"p{n}-{number}" for n in range(4) for number in range(12))
    for tag in tags:
        assert len(target.referrers(target.manifest(tag).digest)) == 1
    assert not [name for name in files_in(folder) if "partial" in name]


# --- between layouts -------------------------------------------------------------------------------------------------


def test_blobs_are_linked_between_layouts_of_one_file_system(image: Image, target: LayoutTarget, folder: Path) -> None:
    source = LayoutTarget(str(image.layout))
    assert source.home == target.home
    for described in image.blobs:
        blob = Descriptor(described.media_type, Digest(described.digest), described.size)
        assert target.put_blob(blob, None, mount_from=(source.name,)) is Placed.MOUNTED
        there, here = (images.blob_file(layout, blob.digest) for layout in (image.layout, folder))
        assert there.samefile(here)
        assert target.put_blob(blob, None, mount_from=(source.name,)) is Placed.PRESENT


def test_a_damaged_blob_is_not_linked(image: Image, target: LayoutTarget, folder: Path) -> None:
    layer = image.platforms[0].layers[0]
    blob = Descriptor(layer.media_type, Digest(layer.digest), layer.size)
    good = images.read_blob(image.layout, blob.digest)
    images.blob_file(image.layout, blob.digest).write_bytes(bytes(blob.size))
    source = LayoutTarget(str(image.layout))
    with pytest.raises(NotFound):
        target.put_blob(blob, None, mount_from=(source.name,))
    assert target.put_blob(blob, lambda: io.BytesIO(good), mount_from=(source.name,)) is Placed.COPIED
    assert images.read_blob(folder, blob.digest) == good


@pytest.mark.parametrize("holder", ["oci:/nowhere", "registry.example/app", "oci-archive:app.tar"])
def test_what_cannot_be_linked_is_copied(target: LayoutTarget, holder: str) -> None:
    blob = Descriptor(mt.OCI_LAYER, Digest.of(b"layer"), 5)
    assert target.put_blob(blob, lambda: io.BytesIO(b"layer"), mount_from=(holder,)) is Placed.COPIED


def test_other_file_systems_are_other_homes(target: LayoutTarget) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == Path(target.path).parent.stat().st_dev:
        pytest.skip("there is only one file system")
    assert LayoutTarget(str(elsewhere / "no" / "layout")).home != target.home


def test_other_fields_of_the_index_stay(target: LayoutTarget, folder: Path) -> None:
    manifest = small(target)
    target.put_manifest(manifest, "1.0")
    index = json.loads((folder / "index.json").read_bytes())
    index["annotations"] = {"kept": "yes"}
    index["manifests"][0]["platform"] = {"os": "linux", "architecture": "amd64"}
    (folder / "index.json").write_text(json.dumps(index))
    target.put_manifest(small(target, "other"), "2.0")
    target.delete_tag("2.0")
    assert json.loads((folder / "index.json").read_bytes()) == index


def test_a_fresh_attempt_is_made_for_bytes_damaged_on_their_way(target: LayoutTarget) -> None:
    answers = iter([b"lajer", b"layer"])
    blob = Descriptor(mt.OCI_LAYER, Digest.of(b"layer"), 5)
    assert target.put_blob(blob, lambda: io.BytesIO(next(answers))) is Placed.COPIED
    assert target.has_blob(blob.digest)
