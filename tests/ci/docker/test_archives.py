"""``docker save`` and ``docker load``: tars that others read, tars that others wrote, and the digest in between."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ci.docker.conftest import MULTI, Docker, moved
from tests.conftest import MakeRegistry
from tests.support import archives, images, peers, remote
from tests.support.images import Image
from tests.support.processes import liftlock
from tests.support.registry import Registry

HOST = {"x86_64": 0, "aarch64": 1}.get(os.uname().machine, 0)
"""Which of `MULTI` is this machine's."""


@pytest.fixture
def image(tmp_path: Path, repo: str) -> Image:
    return images.make_image(tmp_path / "layout", "1.0", platforms=MULTI, seed=repo)


@pytest.fixture
def name(image: Image, registry: Registry, repo: str) -> str:
    """The image's name in a registry."""
    remote.push(image.layout, "1.0", registry, repo)
    registry.forget()
    return f"{registry.host}/{repo}:1.0"


def test_a_saved_tar_is_read_by_others(docker: Docker, image: Image, name: str, tmp_path: Path) -> None:
    peers.require("skopeo")
    tar = tmp_path / "app.tar"
    docker("pull", name)
    docker("save", "-o", tar, name)

    copied = tmp_path / "copied"
    peers.run("skopeo", "copy", "--all", "--preserve-digests", f"oci-archive:{tar}", f"oci:{copied}:all")
    mine = image.platforms[HOST]

    assert images.tags(copied)["all"].digest == image.digest
    archive = json.loads(peers.run("skopeo", "inspect", f"docker-archive:{tar}:{name}"))
    assert archive["Layers"] == list(mine.diff_ids)
    assert peers.run("skopeo", "inspect", "--config", "--raw", f"docker-archive:{tar}").encode() == images.read_blob(
        image.layout, mine.config.digest
    )


def test_a_saved_tar_has_dockers_form(docker: Docker, image: Image, name: str, tmp_path: Path) -> None:
    tar = tmp_path / "app.tar"
    docker("pull", name)
    docker("save", name, "--output", tar)

    mine = image.platforms[HOST]
    (entry,) = json.loads(archives.read_member(tar, "index.json"))["manifests"]
    (described,) = json.loads(archives.read_member(tar, "manifest.json"))
    assert entry["digest"] == image.digest
    assert entry["annotations"] == {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": "1.0"}
    assert described == {
        "Config": "blobs/sha256/" + mine.config.digest.removeprefix("sha256:"),
        "RepoTags": [name],
        "Layers": ["blobs/sha256/" + layer.digest.removeprefix("sha256:") for layer in mine.layers],
    }


def test_liftlock_finds_the_registrys_digest_in_a_saved_tar(
    docker: Docker, image: Image, name: str, tmp_path: Path, home: Path
) -> None:
    tar = tmp_path / "app.tar"
    docker("pull", name)
    docker("save", "-o", tar, name)

    assert image.digest in liftlock("digest", f"docker-archive:{tar}", home=home).out


def test_several_images_in_one_tar_through_pipes(
    docker: Docker, image: Image, name: str, registry: Registry, tmp_path: Path
) -> None:
    other = images.make_image(tmp_path / "other", "2", platforms=MULTI, seed="other", shared_layers=1)
    repository = f"{name.partition('/')[2].rpartition(':')[0]}-other"
    remote.push(other.layout, "2", registry, repository)
    second = f"{registry.host}/{repository}:2"
    agent = Docker(tmp_path / "agent")

    docker("pull", name)
    docker("pull", second)
    docker("tag", second, "short:latest")
    ended = docker.script(f"docker save {name} {second} short | HOME={agent.home} docker load")

    assert ended.lines == [f"Loaded image: {each}" for each in (name, second, "short:latest")]
    assert agent("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").lines == [
        f"short:latest {other.digest}",
        f"{second} {other.digest}",
        f"{name} {image.digest}",
    ]


def test_saving_replaces_a_file_and_streams_from_the_registry(
    docker: Docker, registry: Registry, image: Image, name: str, tmp_path: Path
) -> None:
    (tmp_path / "app.tar").write_bytes(b"an older one")
    docker("pull", name)
    docker("save", "-o", tmp_path / "app.tar", name)

    assert len(moved(registry)) == len(image.blobs)
    assert "oci-layout" in archives.member_names(tmp_path / "app.tar")
    assert len(list((docker.store / "blobs" / "sha256").iterdir())) == len(image.manifests)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".partial"] == []


def zipped(file: Path, saved: archives.Saved) -> Path:
    return archives.gzipped(archives.synthetic_containerd(file, saved))


def without_manifest_json(file: Path, saved: archives.Saved) -> Path:
    return archives.synthetic_containerd(file, saved, manifest_json=False)


@pytest.mark.parametrize(
    ("write", "keeps_digest"),
    [
        (archives.synthetic_docker24, False),
        (archives.synthetic_docker25, False),
        (archives.synthetic_containerd, True),
        (zipped, True),
        (without_manifest_json, True),
        (archives.synthetic_crane, False),
    ],
)
def test_every_dialect_is_loaded_and_pushed(
    write: Callable[[Path, archives.Saved], Path],
    keeps_digest: bool,
    docker: Docker,
    tmp_path: Path,
    registry: Registry,
) -> None:
    image = images.make_image(tmp_path / "layout", "1.0", seed=write.__name__)
    tar = write(tmp_path / "app.tar", {"example.org/web:1.0": image})
    repository = f"loaded-{write.__name__.replace('_', '-')}"

    assert docker("load", "-q", "-i", tar).lines == ["Loaded image: example.org/web:1.0"]

    docker("tag", "example.org/web:1.0", f"{registry.host}/{repository}:1")
    docker("push", f"{registry.host}/{repository}:1")

    found = remote.walk(registry, repository, "1")
    assert image.platforms[0].config.digest in found
    assert (image.digest in found) == keeps_digest


def test_loading_the_same_tar_again_gives_the_same_digest(docker: Docker, tmp_path: Path) -> None:
    image = images.make_image(tmp_path / "layout", "1.0")
    tar = archives.synthetic_docker24(tmp_path / "app.tar", {"web:1.0": image})
    agents = [Docker(tmp_path / name) for name in ("one", "two")]
    for agent in agents:
        agent("load", "-i", tar)

    assert agents[0]("images", "-q", "--no-trunc").out == agents[1]("images", "-q", "--no-trunc").out


def test_an_image_without_a_name_is_loaded_by_its_id(docker: Docker, tmp_path: Path, registry: Registry) -> None:
    peers.require("skopeo")
    image = images.make_image(tmp_path / "layout", "1.0")
    tar = archives.skopeo_docker_archive(tmp_path / "app.tar", image)

    said = docker("load", "-i", tar).lines[-1]

    assert said.startswith("Loaded image ID: sha256:")
    digest = said.rpartition(" ")[2]
    docker("tag", digest.removeprefix("sha256:")[:12], f"{registry.host}/by-id:1")
    docker("push", f"{registry.host}/by-id:1")
    assert digest == remote.digest_of(registry, "by-id", "1")
    assert docker("images", "--format", "{{.Repository}}:{{.Tag}}").lines == [f"{registry.host}/by-id:1"]


def test_an_image_is_saved_by_its_id(docker: Docker, image: Image, name: str, tmp_path: Path) -> None:
    docker("pull", name)
    docker("save", "-o", tmp_path / "app.tar", image.digest)

    assert Docker(tmp_path / "agent")("load", "-i", tmp_path / "app.tar").lines == [f"Loaded image ID: {image.digest}"]


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("none/app.tar", "failed to save image: invalid output path: stat none: no such file or directory"),
        (".", "failed to save image: cannot write to a directory"),
        ("/dev/null", "failed to save image: cannot write to a file that is not a regular one"),
    ],
)
def test_docker_does_not_write_to_everything(docker: Docker, output: str, said: str) -> None:
    assert docker("save", "-o", output, "app", code=1).err.splitlines()[0] == said


def test_what_cannot_be_loaded_is_said(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "no.tar").write_bytes(b"no tar at all" * 100)

    assert docker("load", "-i", tmp_path / "none.tar", code=1).err == (
        f"open {tmp_path / 'none.tar'}: no such file or directory\n"
    )
    assert str(tmp_path / "no.tar") in docker("load", "-i", tmp_path / "no.tar", code=1).err
    assert "Error response from daemon: " in docker("load", code=1).err


def test_a_damaged_tar_leaves_no_image(docker: Docker, tmp_path: Path) -> None:
    image = images.make_image(tmp_path / "layout", "1.0")
    tar = archives.synthetic_docker24(tmp_path / "app.tar", {"web:1.0": image})
    data = bytearray(tar.read_bytes())
    at = data.index(b"opt/") + 2000  # within a layer
    data[at] ^= 1
    tar.write_bytes(data)

    assert docker("load", "-i", tar, code=1).err.startswith("Error response from daemon: ")
    assert docker("images", "-q").out == ""


def test_a_tar_whose_path_has_a_colon_is_saved_and_loaded(docker: Docker, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "build:42"
    folder.mkdir()
    docker("pull", name)
    docker("save", "-o", folder / "app.tar", name)

    assert Docker(tmp_path / "agent")("load", "-i", folder / "app.tar").lines == [f"Loaded image: {name}"]


def test_save_says_whose_content_is_gone(
    docker: Docker, make_registry: MakeRegistry, tmp_path: Path, image: Image
) -> None:
    registry = make_registry()
    remote.push(image.layout, "1.0", registry, "app")
    docker("pull", f"{registry.host}/app:1.0")
    registry.wipe()

    ended = docker("save", "-o", tmp_path / "app.tar", f"{registry.host}/app:1.0", code=1)

    assert ended.err.splitlines()[0] == f"{registry.host}/app@{image.digest} is gone from where it was pulled"
    assert not (tmp_path / "app.tar").exists()


def test_the_reader_of_a_saved_tar_may_leave(docker: Docker, name: str) -> None:
    docker("pull", name)
    process = subprocess.Popen(
        [docker.home / "bin" / "docker", "save", name],
        env=docker.env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()

    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait() == 141
    process.stderr.close()
