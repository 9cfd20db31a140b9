"""The images of the tests are real images: a registry takes them, skopeo reads them, and they are reproducible."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import images, peers, remote
from tests.support.images import attach_referrer, cosign_tag, make_image
from tests.support.registry import Registry


def test_the_same_arguments_give_the_same_digest(tmp_path: Path) -> None:
    one = make_image(tmp_path / "one", "v1", platforms=("linux/amd64", "linux/arm64/v8"), seed=5)
    two = make_image(tmp_path / "two", "v1", platforms=("linux/amd64", "linux/arm64/v8"), seed=5)
    other = make_image(tmp_path / "two", "v2", seed=6)

    assert one.digest == two.digest
    assert one.digest != other.digest
    assert {"v1": two.root, "v2": other.root} == images.tags(tmp_path / "two")
    assert len(one.blobs) == 2 * (1 + 3)


def test_layers_can_be_shared(tmp_path: Path) -> None:
    one = make_image(tmp_path, "one", platforms=("linux/amd64", "linux/arm64"), seed=1, shared_layers=2)
    two = make_image(tmp_path, "two", seed=2, shared_layers=2)

    assert len(one.blobs) == 2 + 2 + 2
    assert one.platforms[0].layers[:2] == one.platforms[1].layers[:2] == two.platforms[0].layers[:2]


@pytest.mark.parametrize("compressible", [0.0, 0.9])
def test_layers_compress_as_asked(tmp_path: Path, compressible: float) -> None:
    image = make_image(tmp_path, layers=1, layer_bytes=1_000_000, compressible=compressible)

    assert abs(image.platforms[0].layers[0].size / 1_000_000 - (1 - compressible)) < 0.05


@pytest.mark.parametrize("docker_types", [False, True])
def test_a_registry_and_skopeo_agree_on_the_digest(
    tmp_path: Path, registry: Registry, repo: str, docker_types: bool
) -> None:
    image = make_image(
        tmp_path, "v1", platforms=("linux/amd64", "linux/arm64/v8"), docker_types=docker_types, seed=repo
    )

    assert image.digest == remote.push(tmp_path, "v1", registry, repo)

    assert image.digest == remote.digest_of(registry, repo, "v1")
    reference = f"docker://{registry.host}/{repo}:v1"
    seen = json.loads(peers.run("skopeo", "inspect", "--tls-verify=false", reference))
    assert image.digest == seen["Digest"]
    assert [layer.digest for layer in image.platforms[0].layers] == seen["Layers"]
    copied = tmp_path / "copied"
    peers.run("skopeo", "copy", "--all", "--src-tls-verify=false", reference, f"dir:{copied}")
    manifest = (copied / "manifest.json").read_bytes()
    assert images.read_blob(tmp_path, image.digest) == manifest


def test_attachments_travel_with_a_push(tmp_path: Path, registry: Registry, repo: str) -> None:
    image = make_image(tmp_path, "v1", platforms=("linux/amd64", "linux/arm64/v8"), seed=repo)
    sbom = attach_referrer(tmp_path, image.digest, "application/spdx+json", b'{"spdx":1}', annotations={"a": "b"})
    about_sbom = attach_referrer(tmp_path, sbom, "application/x-signature", b"signed")
    of_child = attach_referrer(tmp_path, image.platforms[1].manifest, "application/spdx+json", b'{"spdx":2}')
    signature = cosign_tag(tmp_path, image.digest)

    remote.push(tmp_path, "v1", registry, repo, to="v2")

    expected = {blob.digest for blob in (*image.blobs, *image.manifests, sbom, about_sbom, of_child, signature)}
    assert expected < set(remote.walk(registry, repo, "v2"))
    assert expected > set(remote.walk(registry, repo, "v2", attachments=False))
    assert {
        "v2",
        images.fallback_tag(image.digest),
        images.fallback_tag(image.digest) + ".sig",
        images.fallback_tag(sbom.digest),
        images.fallback_tag(image.platforms[1].manifest.digest),
    } == set(remote.list_tags(registry, repo))


def test_probes_answer_none_for_what_is_absent(registry: Registry, repo: str) -> None:
    digest = "sha256:" + "0" * 64
    assert remote.get_manifest(registry, repo, "none") is None
    assert remote.get_blob(registry, repo, digest) is None
    assert not remote.has_blob(registry, repo, digest)
    assert remote.list_tags(registry, repo) == []


def test_a_walk_notices_damage(tmp_path: Path, registry: Registry, repo: str) -> None:
    image = make_image(tmp_path, "v1", seed=repo)
    remote.push(tmp_path, "v1", registry, repo)
    layer = registry.blob_path(image.platforms[0].layers[0].digest)
    layer.write_bytes(b"x" * layer.stat().st_size)

    with pytest.raises(AssertionError, match="has other bytes"):
        remote.walk(registry, repo, "v1")


def test_what_is_deleted_is_gone(registry: Registry, repo: str, tmp_path: Path) -> None:
    image = make_image(tmp_path, "v1", seed=repo)
    remote.push(tmp_path, "v1", registry, repo)

    remote.delete_manifest(registry, repo, image.digest)

    assert remote.get_manifest(registry, repo, "v1") is None
    assert remote.has_blob(registry, repo, remote.put_blob(registry, repo, b"hello"))
