"""Making a registry image of a saved one: each layer once, proven, in flat memory, with digests that stay."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from liftlock.errors import Cancelled, CorruptContent, LiftlockError
from liftlock.oci import media_types as mt
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.targets import canonical
from liftlock.targets.canonical import Compressed
from liftlock.targets.compression import zlib_recipe
from liftlock.targets.docker_archive import DockerArchive
from liftlock.targets.layout import LayoutTarget
from liftlock.targets.scratch import BlobWriter, TemporaryBlobs
from tests.support import archives
from tests.support.archives import Tar
from tests.support.hostile import HOSTILE, REFERENCE, Hostile
from tests.support.images import make_image
from tests.targets.conftest import OpenDocker
from tests.targets.content import read_all, some_bytes


class Memory(dict[Digest, Compressed]):
    """`DiffIds`, in memory."""

    def put(self, diff_id: Digest, compressed: Compressed) -> None:
        self[diff_id] = compressed


class Counting(TemporaryBlobs):
    """A scratch that counts what is begun and what is kept."""

    begun = 0

    def new_blob(self) -> BlobWriter:
        self.begun += 1
        return super().new_blob()

    @property
    def kept(self) -> int:
        return len(self._files)


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Counting]:
    counting = Counting(str(tmp_path))
    yield counting
    counting.close()


def write_image(
    file: Path, *layers: bytes, names: list[str] | None = None, diff_ids: Sequence[str] | None = None
) -> Path:
    """A docker archive of these layers, as its members `names`."""
    names = names or [f"{number}.tar" for number in range(len(layers))]
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": diff_ids or list(map(Digest.of, layers))}}).encode()
    with Tar(file) as tar:
        tar.file("config.json", config)
        for name, layer in dict(zip(names, layers, strict=True)).items():
            tar.file(name, layer)
        tar.json("manifest.json", [{"Config": "config.json", "RepoTags": None, "Layers": names}])
    return file


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_equal_layers_are_compressed_once(tmp_path: Path, open_docker: OpenDocker, scratch: Counting) -> None:
    one, two, empty = some_bytes(9000), some_bytes(5000, 1), bytes(1024)
    file = write_image(tmp_path / "saved.tar", one, empty, two, empty, one)

    manifest = open_docker(file, scratch=scratch).manifest("")

    assert scratch.begun == scratch.kept == 3
    digests = [layer.digest for layer in manifest.layers]
    assert [0, 1, 2, 1, 0] == [digests.index(digest) for digest in digests]


def test_an_image_without_layers_is_one(tmp_path: Path, open_docker: OpenDocker) -> None:
    assert open_docker(write_image(tmp_path / "saved.tar")).manifest("").layers == ()


def test_layers_are_compressed_straight_into_a_layout(tmp_path: Path, open_docker: OpenDocker) -> None:
    file = write_image(tmp_path / "saved.tar", some_bytes(9000), bytes(70_000))
    layout = LayoutTarget(str(tmp_path / "layout"))
    archive = open_docker(file, scratch=layout)

    manifest = archive.manifest("")

    assert manifest == open_docker(file).manifest("")
    assert all(layout.has_blob(layer.digest) for layer in manifest.layers)
    for blob in manifest.blobs:
        assert Digest.of(read_all(archive.open_blob(blob))) == blob.digest
    assert {layer.digest.hex for layer in manifest.layers} == names_in(tmp_path / "layout/blobs/sha256")


def test_a_layer_that_fails_leaves_nothing_in_a_layout(tmp_path: Path, open_docker: OpenDocker) -> None:
    file = write_image(tmp_path / "saved.tar", some_bytes(9000), diff_ids=[Digest.of(b"what it was")])

    with pytest.raises(CorruptContent):
        open_docker(file, scratch=LayoutTarget(str(tmp_path / "layout"))).manifest("")
    assert not names_in(tmp_path / "layout/blobs/sha256")


def test_memory_stays_flat(tmp_path: Path, open_docker: OpenDocker) -> None:
    file = write_image(tmp_path / "saved.tar", some_bytes(40 << 20), some_bytes(40 << 20, 1))
    archive = open_docker(file, workers=2)
    tracemalloc.start()
    try:
        archive.prepare()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        archive.close()

    assert peak < 24 << 20


def test_progress_tells_every_byte(tmp_path: Path, open_docker: OpenDocker) -> None:
    layers = some_bytes(3 << 20), some_bytes(1000)
    seen: dict[str, list[tuple[int, int]]] = {}
    archive = open_docker(
        write_image(tmp_path / "saved.tar", *layers),
        on_progress=lambda name, done, total: seen.setdefault(name, []).append((done, total)),
    )

    archive.prepare()

    for layer in layers:
        steps = seen[Digest.of(layer)]
        assert steps == sorted(steps)
        assert (len(layer), len(layer)) == steps[-1]


@pytest.mark.parametrize(
    "dialect", [archives.synthetic_docker24, archives.synthetic_containerd, archives.synthetic_crane]
)
def test_abort_ends_the_work_and_all_later_work(
    tmp_path: Path, dialect: Callable[..., Path], open_docker: OpenDocker, scratch: Counting
) -> None:
    image = make_image(tmp_path / "layout", "1", layers=3, layer_bytes=3_000_000)
    file = dialect(tmp_path / "saved.tar", {REFERENCE: image})
    archive: DockerArchive = open_docker(file, scratch=scratch, on_progress=lambda *_: archive.abort())

    with pytest.raises(Cancelled):
        archive.resolve("")
    with pytest.raises(Cancelled):
        archive.manifest("")
    assert scratch.kept == 0


def test_many_threads_that_ask_at_once_get_one_image(
    tmp_path: Path, open_docker: OpenDocker, scratch: Counting
) -> None:
    archive = open_docker(write_image(tmp_path / "saved.tar", some_bytes(2 << 20)), scratch=scratch)
    found: list[Digest] = []
    together = threading.Barrier(4)

    def ask() -> None:
        together.wait()
        found.append(archive.manifest("").digest)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (4, 1) == (len(found), len(set(found)))
    assert scratch.begun == 1


# --- digests that stay -----------------------------------------------------------------------------------------------


def test_a_remembered_layer_is_used_whatever_compresses_by_now(
    tmp_path: Path, open_docker: OpenDocker, scratch: Counting
) -> None:
    file = write_image(tmp_path / "saved.tar", some_bytes(9000), bytes(70_000))
    memory = Memory()

    first = open_docker(file, scratch=scratch, remember=memory).prepare()
    second = open_docker(file, scratch=scratch, remember=memory, recipe=zlib_recipe()).prepare()

    assert first.manifest == second.manifest
    assert first.recipes == second.recipes
    assert scratch.begun == 2
    assert {Digest.of(bytes(70_000)), Digest.of(some_bytes(9000))} == set(memory)


def test_a_remembered_layer_that_is_gone_is_made_again(tmp_path: Path, open_docker: OpenDocker) -> None:
    file = write_image(tmp_path / "saved.tar", bytes(70_000))
    memory = Memory()
    first = open_docker(file, remember=memory).prepare()

    second = open_docker(file, remember=memory).prepare()

    assert first == second


def test_a_new_digest_replaces_a_remembered_one_and_says_so(tmp_path: Path, open_docker: OpenDocker) -> None:
    file = write_image(tmp_path / "saved.tar", bytes(70_000))
    memory = Memory()
    first = open_docker(file, remember=memory).prepare()

    second = open_docker(file, remember=memory, recipe=zlib_recipe()).prepare()

    assert first.manifest.digest != second.manifest.digest
    assert memory[Digest.of(bytes(70_000))] == Compressed(second.manifest.layers[0], zlib_recipe().id)
    assert any(
        first.manifest.layers[0].digest in note and second.manifest.layers[0].digest in note for note in second.notes
    )


# --- what does not prove itself --------------------------------------------------------------------------------------


def test_a_changed_layer_is_named_and_not_kept(tmp_path: Path, open_docker: OpenDocker, scratch: Counting) -> None:
    good, changed = some_bytes(5000), some_bytes(5000, 1)
    file = write_image(tmp_path / "saved.tar", good, changed, diff_ids=[Digest.of(good), Digest.of(b"what it was")])
    memory = Memory()

    with pytest.raises(CorruptContent, match=r"layer '1\.tar'"):
        open_docker(file, scratch=scratch, remember=memory).prepare()
    assert not scratch.has_blob(Digest.of(changed))
    assert set(memory) <= {Digest.of(good)}


def test_a_changed_compressed_layer_is_named(tmp_path: Path, open_docker: OpenDocker) -> None:
    file = write_image(
        tmp_path / "saved.tar", gzip.compress(b"changed"), names=["one.tar.gz"], diff_ids=[Digest.of(b"what it was")]
    )

    with pytest.raises(CorruptContent, match=r"layer 'one\.tar\.gz'"):
        open_docker(file).prepare()


def test_a_zstd_layer_is_taken_when_its_name_proves_it(tmp_path: Path, open_docker: OpenDocker) -> None:
    layer = b"\x28\xb5\x2f\xfd" + some_bytes(500)
    diff_ids = [Digest.of(b"unpacked")]
    proven = write_image(tmp_path / "1.tar", layer, names=[f"{Digest.of(layer).hex}.tar.gz"], diff_ids=diff_ids)
    wrong = write_image(tmp_path / "2.tar", layer, names=[f"{Digest.of(b'other').hex}.tar.gz"], diff_ids=diff_ids)
    unproven = write_image(tmp_path / "3.tar", layer, names=["layer.tar"], diff_ids=diff_ids)

    found = open_docker(proven).prepare()

    assert (Descriptor(mt.OCI_LAYER_ZSTD, Digest.of(layer), len(layer)),) == found.manifest.layers
    assert any("zstd" in note for note in found.notes)
    for file in (wrong, unproven):
        with pytest.raises(CorruptContent):
            open_docker(file).prepare()


def test_one_damaged_blob_of_a_registry_image_is_never_copied(tmp_path: Path, open_docker: OpenDocker) -> None:
    image = make_image(tmp_path / "layout", "1", layers=2)
    broken = bytearray((image.layout / "blobs/sha256" / image.platforms[0].layers[1].digest[7:]).read_bytes())
    broken[len(broken) // 2] ^= 1
    (image.layout / "blobs/sha256" / image.platforms[0].layers[1].digest[7:]).write_bytes(broken)
    file = archives.synthetic_containerd(tmp_path / "saved.tar", {REFERENCE: image})

    with pytest.raises(CorruptContent, match=image.platforms[0].layers[1].digest[7:]):
        open_docker(file).prepare()


def _docker_archives() -> list[Hostile]:
    """Those of the tar itself are the tar index's as well; unpacking a huge one twice would only take time."""
    return [case for case in HOSTILE if case.kind == "docker-archive" and case.name != "archive_unpacks_to_32_gib"]


@pytest.mark.parametrize("case", _docker_archives(), ids=str)
def test_hostile_archives_are_refused_or_come_out_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Hostile, open_docker: OpenDocker
) -> None:
    file = tmp_path / "hostile.tar"
    case.write(file)
    monkeypatch.setattr(canonical, "MAX_RATIO", 20)  # a bomb of 6 GiB would be noticed as well, but later
    if not case.harmless:
        with pytest.raises(LiftlockError):
            open_docker(file, folder=str(tmp_path)).manifest(REFERENCE)
        return
    with contextlib.suppress(LiftlockError):
        archive = open_docker(file, folder=str(tmp_path))
        config, *layers = archive.manifest(REFERENCE).blobs
        diff_ids = json.loads(read_all(archive.open_blob(config)))["rootfs"]["diff_ids"]
        assert diff_ids == [Digest.of(gzip.decompress(read_all(archive.open_blob(layer)))) for layer in layers]


def test_a_full_disk_is_an_error_that_says_where(tmp_path: Path, open_docker: OpenDocker) -> None:
    file = write_image(tmp_path / "saved.tar", some_bytes(5000))

    with pytest.raises(LiftlockError, match="cannot be written") as error:
        open_docker(file, folder=str(tmp_path / "nowhere")).prepare()
    assert "TMPDIR" in error.value.hint
