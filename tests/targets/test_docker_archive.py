"""Docker archives of every dialect: what is in them, and the one image that comes out."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from liftlock.errors import CorruptContent, NotFound, UsageError
from liftlock.oci import media_types as mt
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.targets.docker_archive import DockerArchive
from tests.support import archives, images, peers
from tests.support.archives import Saved, Tar
from tests.support.images import Image, make_image
from tests.targets.conftest import OpenDocker
from tests.targets.content import read_all

WEB, WORKER = "example.org/web:1.0", "example.org/worker:1.0"

Write = Callable[[Path, Saved], Path]


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """Two images that share a layer; one has a layer twice."""
    layout = tmp_path / "layout"
    return {
        WEB: make_image(layout, "web", seed=1, shared_layers=1, repeated_layers=1, layer_bytes=60_000),
        WORKER: make_image(layout, "worker", seed=2, shared_layers=1, layer_bytes=60_000),
    }


def _skopeo(file: Path, saved: Saved) -> Path:
    return archives.skopeo_docker_archive(file, saved[WEB], WEB)


def _gzipped(write: Write) -> Write:
    return lambda file, saved: archives.gzipped(write(file, saved))


DIALECTS: Mapping[str, Write] = {
    "skopeo": _skopeo,
    "podman": archives.podman_docker_archive,
    "synthetic_docker24": archives.synthetic_docker24,
    "synthetic_docker25": archives.synthetic_docker25,
    "synthetic_containerd": archives.synthetic_containerd,
    "synthetic_crane": archives.synthetic_crane,
    "skopeo, gzip'd": _gzipped(_skopeo),
    "podman, gzip'd": _gzipped(archives.podman_docker_archive),
    "synthetic_docker25, gzip'd": _gzipped(archives.synthetic_docker25),
}
RECOMPRESSED = ["skopeo", "podman", "synthetic_docker24", "synthetic_docker25"]


def saved_config(file: Path, name: str) -> bytes:
    """The config that an archive has for a name, found without any of the product's code."""
    for entry in json.loads(archives.read_member(file, "manifest.json")):
        if name in entry["RepoTags"]:
            return archives.read_member(file, entry["Config"])
    raise AssertionError(f"{file} has no {name}")


def export(archive: DockerArchive, reference: str, layout: Path) -> Manifest:
    """Write an image as a layout, by hand; every byte must be what its descriptor says."""
    images.initialise(layout)
    manifest = archive.manifest(reference)
    pending = [manifest]
    while pending:
        one = pending.pop()
        images.put_blob(layout, one.media_type, one.raw)
        for blob in one.blobs:
            data = read_all(archive.open_blob(blob))
            assert blob.size == len(data)
            assert blob.digest == images.put_blob(layout, blob.media_type, data).digest
        pending += [archive.manifest(child.digest) for child in one.manifests]
    images.set_tag(layout, "it", images.Blob(manifest.media_type, manifest.digest, manifest.size))
    return manifest


def unpacked_digest(layout: Path, layer: Descriptor) -> str:
    return "sha256:" + hashlib.sha256(gzip.decompress(images.read_blob(layout, layer.digest))).hexdigest()


def rewritten(file: Path, changed: Mapping[str, bytes | None], added: Mapping[str, bytes] | None = None) -> Path:
    """A copy of an archive with other bytes in some members; None leaves a member out."""
    target = file.with_name(f"changed-{file.name}")
    names = []
    with tarfile.open(file) as source, Tar(target) as sink:
        for member in source:
            names.append(member.name)
            if member.isdir() or changed.get(member.name, b"") is None:
                continue
            if member.issym():
                sink.symlink(member.name, member.linkname)
                continue
            content = source.extractfile(member)
            assert content is not None
            sink.file(member.name, changed.get(member.name) or content.read())
        for name, data in (added or {}).items():
            sink.file(name, data)
    assert set(changed) <= set(names), "what is changed has to be there"
    return target


def path_of(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


# --- every dialect ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_image_comes_out_whole_and_skopeo_agrees(
    tmp_path: Path, saved: Saved, open_docker: OpenDocker, dialect: str
) -> None:
    file = DIALECTS[dialect](tmp_path / "saved.tar", saved)
    config = saved_config(file, WEB)
    layout = tmp_path / "out"

    manifest = export(open_docker(file), WEB, layout)

    assert manifest.config is not None
    assert manifest.config.digest == Digest.of(config)
    assert images.read_blob(layout, manifest.config.digest) == config
    diff_ids = json.loads(config)["rootfs"]["diff_ids"]
    assert diff_ids == [unpacked_digest(layout, layer) for layer in manifest.layers]
    assert list(saved[WEB].platforms[0].diff_ids) == diff_ids
    assert json.loads(peers.run("skopeo", "inspect", "--config", "--raw", f"oci:{layout}:it")) == json.loads(config)
    # skopeo reads every layer, and refuses one that is not what the manifest says.
    peers.run("skopeo", "copy", "--quiet", f"oci:{layout}:it", f"docker-archive:{tmp_path / 'back.tar'}:{WEB}")
    (entry,) = json.loads(archives.read_member(tmp_path / "back.tar", "manifest.json"))
    assert [f"{each.removeprefix('sha256:')}.tar" for each in diff_ids] == entry["Layers"]


@pytest.mark.parametrize("dialect", RECOMPRESSED)
def test_an_image_without_registry_manifest_gets_a_canonical_one(
    tmp_path: Path, saved: Saved, open_docker: OpenDocker, dialect: str
) -> None:
    archive = open_docker(DIALECTS[dialect](tmp_path / "saved.tar", saved))

    found = archive.prepare(WEB)

    assert found.manifest.config is not None
    assert found.manifest.media_type == mt.OCI_MANIFEST
    assert {mt.OCI_LAYER_GZIP} == {layer.media_type for layer in found.manifest.layers}
    assert found.manifest.raw == json.dumps(found.manifest.json, separators=(",", ":")).encode()
    assert ["schemaVersion", "mediaType", "config", "layers"] == list(found.manifest.json)
    assert found.image_id == found.manifest.config.digest
    (recipe,) = found.recipes
    assert recipe.startswith("gzip/isal-")
    assert any(recipe in note and "new manifest" in note for note in found.notes)


def test_the_same_image_has_one_digest_in_all_dialects_that_lost_it(
    tmp_path: Path, saved: Saved, open_docker: OpenDocker
) -> None:
    one = open_docker(archives.synthetic_docker24(tmp_path / "24.tar", saved))
    other = open_docker(archives.gzipped(archives.synthetic_docker25(tmp_path / "25.tar", saved)))

    for name in saved:
        assert one.manifest(name) == other.manifest(name)


@pytest.mark.parametrize("dialect", ["podman", "synthetic_docker24"])
def test_several_images_share_what_they_share(
    tmp_path: Path, saved: Saved, open_docker: OpenDocker, dialect: str
) -> None:
    archive = open_docker(DIALECTS[dialect](tmp_path / "saved.tar", saved))

    web, worker = archive.manifest(WEB), archive.manifest(WORKER)

    assert web.layers[0] == worker.layers[0]
    assert web.layers[1] != worker.layers[1]


def test_the_digest_depends_neither_on_threads_nor_on_the_process(
    tmp_path: Path, saved: Saved, open_docker: OpenDocker
) -> None:
    file = archives.skopeo_docker_archive(tmp_path / "saved.tar", saved[WEB], WEB)
    script = "import sys; from liftlock.targets.docker_archive import DockerArchive as A; "
    script += "print(A(sys.argv[1]).prepare().manifest.digest)"

    digests = {str(open_docker(file, workers=workers).manifest("").digest) for workers in (1, 2, 5)}
    elsewhere = subprocess.run(
        [sys.executable, "-c", script, file], check=True, capture_output=True, text=True, env={"PYTHONPATH": "src"}
    )

    assert {elsewhere.stdout.strip()} == digests


def test_crane_layers_are_used_as_they_are(tmp_path: Path, saved: Saved, open_docker: OpenDocker) -> None:
    archive = open_docker(archives.synthetic_crane(tmp_path / "saved.tar", saved))

    found = archive.prepare(WEB)

    assert [layer.digest for layer in saved[WEB].platforms[0].layers] == [each.digest for each in found.manifest.layers]
    assert found.recipes == ()


# --- a registry's own manifests --------------------------------------------------------------------------------------


@pytest.mark.parametrize("docker_types", [False, True])
def test_a_registry_image_keeps_its_digest(tmp_path: Path, open_docker: OpenDocker, docker_types: bool) -> None:
    image = make_image(tmp_path / "layout", "web", docker_types=docker_types)
    archive = open_docker(archives.synthetic_containerd(tmp_path / "saved.tar", {WEB: image}))

    found = archive.prepare(WEB)

    assert image.digest == found.manifest.digest
    assert images.read_blob(image.layout, image.digest) == found.manifest.raw
    assert (found.recipes, found.notes) == ((), ())


def test_an_index_keeps_its_digest_and_its_platforms(tmp_path: Path, open_docker: OpenDocker) -> None:
    image = make_image(tmp_path / "layout", "web", platforms=("linux/amd64", "linux/arm64/v8"))
    archive = open_docker(archives.synthetic_containerd(tmp_path / "saved.tar", {WEB: image}))

    manifest = export(archive, "", tmp_path / "out")

    assert image.digest == manifest.digest
    assert [each.manifest.digest for each in image.platforms] == [child.digest for child in manifest.manifests]
    peers.run("skopeo", "copy", "--quiet", "--all", f"oci:{tmp_path / 'out'}:it", f"dir:{tmp_path / 'dir'}")


def test_a_platform_that_was_not_saved_leaves_the_saved_one_with_its_digest(
    tmp_path: Path, open_docker: OpenDocker
) -> None:
    image = make_image(tmp_path / "layout", "web", platforms=("linux/amd64", "linux/arm64"))
    amd, arm = image.platforms
    file = archives.synthetic_containerd(tmp_path / "saved.tar", {WEB: image})
    missing = {path_of(arm.manifest.digest): None, path_of(arm.config.digest): None}

    found = open_docker(rewritten(file, missing)).prepare(WEB)

    assert amd.manifest.digest == found.manifest.digest
    assert any(arm.manifest.digest in note for note in found.notes)


def _index_of(file: Path) -> dict[str, Any]:
    document = json.loads(archives.read_member(file, "index.json"))
    assert isinstance(document, dict)
    return document


def _no_manifests(file: Path, _: Image) -> Path:
    """moby#47210: `docker save NAME@DIGEST` of Docker 25.0."""
    return rewritten(file, {"index.json": json.dumps({**_index_of(file), "manifests": None}).encode()})


def _lost_entries(file: Path, _: Image) -> Path:
    """moby#51389: several images saved by digest."""
    return rewritten(file, {"index.json": json.dumps({**_index_of(file), "manifests": []}).encode()})


def _changed_manifest(file: Path, image: Image, change: Callable[[dict[str, Any]], None]) -> Path:
    """The archive with another manifest, rightly named, that says something wrong."""
    entry = _index_of(file)["manifests"][0]
    document = json.loads(archives.read_member(file, path_of(entry["digest"])))
    change(document)
    raw = json.dumps(document).encode()
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    index = {**_index_of(file), "manifests": [{**entry, "digest": digest, "size": len(raw)}]}
    return rewritten(file, {"index.json": json.dumps(index).encode()}, {path_of(digest): raw})


def _no_layers(file: Path, image: Image) -> Path:
    """moby#47065: Docker 25.0.0."""
    return _changed_manifest(file, image, lambda document: document.update(layers=[]))


def _wrong_sizes(file: Path, image: Image) -> Path:
    """moby#47072: Docker 25.0.0-rc.2."""
    return _changed_manifest(file, image, lambda document: document["layers"][0].update(size=1))


def _no_manifest_blob(file: Path, _: Image) -> Path:
    return rewritten(file, {path_of(_index_of(file)["manifests"][0]["digest"]): None})


@pytest.mark.parametrize("write", [archives.synthetic_docker25, archives.synthetic_containerd])
@pytest.mark.parametrize("damage", [_no_manifests, _lost_entries, _no_layers, _wrong_sizes, _no_manifest_blob])
def test_a_wrong_index_does_not_matter(
    tmp_path: Path, saved: Saved, open_docker: OpenDocker, write: Write, damage: Callable[[Path, Image], Path]
) -> None:
    image = saved[WEB]
    file = damage(write(tmp_path / "saved.tar", {WEB: image}), image)

    found = open_docker(file).prepare(WEB)

    assert found.manifest.config is not None
    assert image.platforms[0].config.digest == found.manifest.config.digest
    assert len(image.platforms[0].layers) == len(found.manifest.layers)
    assert any("index.json" in note or "new manifest" in note for note in found.notes)


def test_two_files_that_mean_two_images_by_one_name_are_refused(
    tmp_path: Path, saved: Saved, open_docker: OpenDocker
) -> None:
    file = archives.synthetic_containerd(tmp_path / "saved.tar", saved)
    index = _index_of(file)
    one, two = index["manifests"]
    one["annotations"], two["annotations"] = two["annotations"], one["annotations"]

    with pytest.raises(CorruptContent, match="different images"):
        open_docker(rewritten(file, {"index.json": json.dumps(index).encode()}))


def test_an_image_that_only_the_index_has_is_found(tmp_path: Path, saved: Saved, open_docker: OpenDocker) -> None:
    file = archives.synthetic_containerd(tmp_path / "saved.tar", saved)
    only_web = json.loads(archives.read_member(file, "manifest.json"))[:1]

    archive = open_docker(rewritten(file, {"manifest.json": json.dumps(only_web).encode()}))

    assert [(WEB,), (WORKER,)] == [image.names for image in archive.images()]
    assert saved[WORKER].digest == archive.manifest(WORKER).digest


# --- which image -----------------------------------------------------------------------------------------------------

HUB, LOCAL, MIRROR = "docker.io/library/app:1", "localhost/web:2", "registry.example:5000/team/web:3"


@pytest.fixture
def several(tmp_path: Path, open_docker: OpenDocker) -> tuple[DockerArchive, dict[str, str]]:
    layout = tmp_path / "layout"
    made = {name: make_image(layout, str(seed), seed=seed, layers=1) for seed, name in enumerate((HUB, LOCAL, MIRROR))}
    archive = open_docker(archives.synthetic_docker24(tmp_path / "saved.tar", made))
    return archive, {name: image.platforms[0].config.digest for name, image in made.items()}


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        (HUB, HUB),
        ("app:1", HUB),
        ("library/app:1", HUB),
        ("index.docker.io/library/app:1", HUB),
        (LOCAL, LOCAL),
        ("web:2", LOCAL),
        (MIRROR, MIRROR),
        ("team/web:3", MIRROR),
        ("web:3", MIRROR),
        ("@0", HUB),
        ("@2", MIRROR),
    ],
)
def test_an_image_is_named_in_short_and_in_full(
    several: tuple[DockerArchive, dict[str, str]], reference: str, name: str
) -> None:
    archive, ids = several

    config = archive.manifest(reference).config

    assert config is not None
    assert ids[name] == config.digest
    assert archive.resolve(reference) == archive.manifest(reference).descriptor


def test_an_image_is_named_by_its_id(several: tuple[DockerArchive, dict[str, str]]) -> None:
    archive, ids = several

    for name, image_id in ids.items():
        bare = image_id.removeprefix("sha256:")
        assert archive.manifest(name) == archive.manifest(bare) == archive.manifest(bare[:12])


def test_without_a_tag_latest_is_meant(tmp_path: Path, open_docker: OpenDocker) -> None:
    layout = tmp_path / "layout"
    made = {"app:latest": make_image(layout, "1", seed=1), "app:1": make_image(layout, "2", seed=2)}
    archive = open_docker(archives.synthetic_docker24(tmp_path / "saved.tar", made))

    assert archive.manifest("app") == archive.manifest("app:latest") == archive.manifest("@0")


@pytest.mark.parametrize(
    "reference", ["web:9", "ebweb:2", "eb:2", "@3", "@-1", "@x", "app:2", "0123456789ab", "@" + "9" * 5000]
)
def test_what_is_not_there_is_not_found_and_the_error_says_what_is(
    several: tuple[DockerArchive, dict[str, str]], reference: str
) -> None:
    archive, _ = several

    assert archive.resolve(reference) is None
    with pytest.raises(NotFound) as error:
        archive.manifest(reference)
    assert all(name in error.value.hint for name in (HUB, LOCAL, MIRROR))


def test_several_images_need_a_reference(several: tuple[DockerArchive, dict[str, str]]) -> None:
    with pytest.raises(UsageError, match="3 images") as error:
        several[0].manifest("")
    assert all(name in error.value.hint for name in (HUB, LOCAL, MIRROR))


def test_a_short_name_of_two_images_is_refused(tmp_path: Path, open_docker: OpenDocker) -> None:
    layout = tmp_path / "layout"
    made = {f"{host}/app:1": make_image(layout, host, seed=host) for host in ("one.example", "two.example")}
    archive = open_docker(archives.synthetic_docker24(tmp_path / "saved.tar", made))

    with pytest.raises(UsageError, match="several"):
        archive.resolve("app:1")


def test_two_names_of_one_image_are_one_image(tmp_path: Path, open_docker: OpenDocker) -> None:
    image = make_image(tmp_path / "layout", "1")
    archive = open_docker(
        archives.synthetic_docker25(tmp_path / "saved.tar", {"one.example/app:1": image, "two/app:1": image})
    )

    assert archive.manifest("app:1") == archive.manifest("") == archive.manifest("one.example/app:1")
    assert ["one.example/app:1", "two/app:1"] == list(archive.tags())


def test_images_are_listed_with_names_and_ids(several: tuple[DockerArchive, dict[str, str]]) -> None:
    archive, ids = several

    assert {(name,): image_id for name, image_id in ids.items()} == {each.names: each.id for each in archive.images()}
    assert [HUB, LOCAL, MIRROR] == list(archive.tags())


def test_a_digest_is_a_manifests_and_found_in_a_fresh_process(
    tmp_path: Path, saved: Saved, open_docker: OpenDocker
) -> None:
    file = archives.synthetic_docker24(tmp_path / "saved.tar", saved)
    known = open_docker(file).manifest(WORKER)

    assert known.config is not None
    assert known == open_docker(file).manifest(known.digest)
    assert known.descriptor == open_docker(file).resolve(known.digest)
    assert read_all(open_docker(file).open_blob(known.layers[0]))
    with pytest.raises(NotFound) as error:
        open_docker(file).manifest(known.config.digest)
    assert known.config.digest.short in error.value.hint
    assert open_docker(file).resolve(Digest.of(b"nothing")) is None
    with pytest.raises(NotFound):
        open_docker(file).open_blob(Descriptor(mt.OCI_LAYER_GZIP, Digest.of(b"nothing"), 7))


# --- what is no docker archive ---------------------------------------------------------------------------------------


def test_an_oci_layout_is_told_from_a_docker_archive(tmp_path: Path, saved: Saved) -> None:
    file = archives.skopeo_oci_archive(tmp_path / "oci.tar", saved[WEB])

    with pytest.raises(UsageError) as error:
        DockerArchive(str(file))
    assert f"oci-archive:{file}" in error.value.hint


def test_any_other_tar_is_refused(tmp_path: Path) -> None:
    with Tar(tmp_path / "other.tar") as tar:
        tar.file("hello", b"world")

    with pytest.raises(UsageError, match="not a docker archive"):
        DockerArchive(str(tmp_path / "other.tar"))


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        DockerArchive(str(tmp_path / "none.tar"))
