"""The archives of the tests: skopeo and podman read what we wrote by hand, as they read what they wrote themselves."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import archives, images, peers
from tests.support.archives import Podman, Saved
from tests.support.hostile import HOSTILE, Hostile
from tests.support.images import make_image

WEB, WORKER = "example.org/web:1.0", "example.org/worker:1.0"


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    layout = tmp_path / "layout"
    return {
        WEB: make_image(layout, "web", seed=1, shared_layers=1, repeated_layers=1),
        WORKER: make_image(layout, "worker", seed=2, shared_layers=1),
    }


def image_id(config: images.Blob) -> str:
    return config.digest.removeprefix("sha256:")


def skopeo_layers(source: str) -> list[str]:
    """The layers' diff ids, as skopeo reads them from the config."""
    config = json.loads(peers.run("skopeo", "inspect", "--config", source))
    return list(config["rootfs"]["diff_ids"])


def test_real_tools_write_one_image(tmp_path: Path, saved: Saved) -> None:
    image = saved[WEB]

    docker = archives.skopeo_docker_archive(tmp_path / "docker.tar", image, WEB)
    oci = archives.skopeo_oci_archive(tmp_path / "oci.tar", image, "1.0")
    podman = archives.podman_oci_archive(tmp_path / "podman.tar", image, WEB)

    (entry,) = json.loads(archives.read_member(docker, "manifest.json"))
    assert entry["RepoTags"] == [WEB]
    assert image.digest in {each["digest"] for each in json.loads(archives.read_member(oci, "index.json"))["manifests"]}
    assert list(image.platforms[0].diff_ids) == skopeo_layers(f"oci-archive:{podman}")


def test_podman_writes_several_images(tmp_path: Path, saved: Saved) -> None:
    file = archives.podman_docker_archive(tmp_path / "both.tar", saved)

    entries = json.loads(archives.read_member(file, "manifest.json"))

    assert {WEB, WORKER} == {tag for entry in entries for tag in entry["RepoTags"]}
    for entry in entries:
        image = saved[entry["RepoTags"][0]]
        found = [hashlib.sha256(archives.read_member(file, layer)).hexdigest() for layer in entry["Layers"]]
        assert list(image.platforms[0].diff_ids) == [f"sha256:{digest}" for digest in found]
        assert image.platforms[0].config.digest == "sha256:" + entry["Config"].removesuffix(".json")


@pytest.mark.parametrize(
    "write",
    [archives.synthetic_docker24, archives.synthetic_docker25, archives.synthetic_containerd, archives.synthetic_crane],
)
def test_skopeo_reads_the_dialects_we_wrote(tmp_path: Path, saved: Saved, write: Callable[[Path, Saved], Path]) -> None:
    file = write(tmp_path / "saved.tar", saved)

    for reference, image in saved.items():
        assert list(image.platforms[0].diff_ids) == skopeo_layers(f"docker-archive:{file}:{reference}")
    copied = tmp_path / "copied"
    peers.run("skopeo", "copy", "--quiet", f"docker-archive:{file}:{WORKER}", f"dir:{copied}")
    assert (copied / image_id(saved[WORKER].platforms[0].config)).exists()


def test_a_gzipped_archive_holds_the_same(tmp_path: Path, saved: Saved) -> None:
    """Debian's skopeo 1.9 cannot be asked: it ends with "unexpected EOF" on its own archives too, once gzip'd."""
    file = archives.synthetic_docker24(tmp_path / "saved.tar", saved)

    packed = archives.gzipped(file)

    assert packed.read_bytes().startswith(b"\x1f\x8b")
    assert archives.member_names(file) == archives.member_names(packed)
    assert file.read_bytes() == gzip.decompress(packed.read_bytes())


@pytest.mark.parametrize("write", [archives.synthetic_docker24, archives.synthetic_docker25])
def test_podman_loads_the_dialects_we_wrote(tmp_path: Path, saved: Saved, write: Callable[[Path, Saved], Path]) -> None:
    with Podman() as podman:
        said = podman.load_file(write(tmp_path / "saved.tar", saved))

        assert WEB in said
        assert WORKER in said
        for reference, image in saved.items():
            shown = podman.run("image", "inspect", "--format", "{{.Id}}", reference).strip()
            assert image_id(image.platforms[0].config) == shown


def test_duplicate_layers_are_links_in_docker24(tmp_path: Path, saved: Saved) -> None:
    with tarfile.open(archives.synthetic_docker24(tmp_path / "saved.tar", saved)) as tar:
        links = [member for member in tar if member.issym()]

    assert len(links) == 1
    assert links[0].linkname.startswith("../")


def test_skopeo_reads_the_layouts_we_wrote(tmp_path: Path) -> None:
    image = make_image(tmp_path / "layout", "web", platforms=("linux/amd64", "linux/arm64/v8"))
    file = archives.synthetic_containerd(tmp_path / "saved.tar", {WEB: image}, manifest_json=False)
    assert "manifest.json" not in archives.member_names(file)

    peers.run("skopeo", "copy", "--quiet", "--all", f"oci-archive:{file}:1.0", f"dir:{tmp_path / 'copied'}")

    assert images.read_blob(image.layout, image.digest) == (tmp_path / "copied" / "manifest.json").read_bytes()


def test_the_docker25_layout_is_consistent(tmp_path: Path, saved: Saved) -> None:
    file = archives.synthetic_docker25(tmp_path / "saved.tar", saved)

    for name in archives.member_names(file):
        if name.startswith("blobs/sha256/"):
            assert name.endswith(hashlib.sha256(archives.read_member(file, name)).hexdigest())
    (web, worker) = json.loads(archives.read_member(file, "index.json"))["manifests"]
    assert web["annotations"]["io.containerd.image.name"] == WEB
    assert worker["annotations"][images.REF_NAME] == "1.0"
    assert len(archives.read_member(file, "blobs/" + web["digest"].replace(":", "/"))) == web["size"]


@pytest.mark.parametrize("case", HOSTILE, ids=str)
def test_hostile_archives_are_small_and_quick_to_make(tmp_path: Path, case: Hostile) -> None:
    case.write(tmp_path / "hostile.tar")

    assert (tmp_path / "hostile.tar").stat().st_size <= 70 << 20
    assert [tmp_path / "hostile.tar"] == list(tmp_path.iterdir())


# skopeo copies the second of these, and unpacks all of the others to the disk.
SKOPEO_TAKES = {
    "archive_unpacks_to_32_gib",
    "oci_manifest_is_not_what_the_index_says",
    "layer_unpacks_to_32_gib",
    "sparse_member_is_a_bomb",
}
REFUSED = [case for case in HOSTILE if not case.harmless and case.name not in SKOPEO_TAKES]


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_skopeo_refuses_what_we_call_harmful(tmp_path: Path, case: Hostile) -> None:
    case.write(tmp_path / "hostile.tar")

    with pytest.raises(RuntimeError):
        peers.run("skopeo", "copy", f"{case.kind}:{tmp_path / 'hostile.tar'}", f"dir:{tmp_path / 'out'}")
