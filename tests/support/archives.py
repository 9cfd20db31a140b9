"""Image archives: tars written by real tools, and by hand in the dialects of tools that cannot be installed here.

`skopeo_*` and `podman_*` are what these programs write. `synthetic_*` are ours, after what Docker, containerd and crane
write; each says what it follows. Hostile tars are in `tests.support.hostile`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support import images, peers
from tests.support.images import Image, PlatformImage

Saved = Mapping[str, Image]
"""Reference (`example.org/web:1.0`) → the image that an archive holds under it."""


# --- real tools -------------------------------------------------------------------------------------------------------


def skopeo_docker_archive(file: Path, image: Image, reference: str = "") -> Path:
    """`skopeo copy oci:… docker-archive:…`: one image, layers decompressed."""
    peers.run("skopeo", "copy", "--quiet", _oci(image), f"docker-archive:{file}{':' + reference if reference else ''}")
    return file


def skopeo_oci_archive(file: Path, image: Image, tag: str = "") -> Path:
    """`skopeo copy --all oci:… oci-archive:…`: all platforms, blobs as they are."""
    peers.run("skopeo", "copy", "--quiet", "--all", _oci(image), f"oci-archive:{file}{':' + tag if tag else ''}")
    return file


def podman_docker_archive(file: Path, saved: Saved) -> Path:
    """`podman save --multi-image-archive`: several images in one docker archive, duplicate layers once."""
    with Podman() as podman:
        for reference, image in saved.items():
            podman.load(image, reference)
        podman.save(file, *saved)
    return file


def podman_oci_archive(file: Path, image: Image, reference: str) -> Path:
    """`podman save --format oci-archive`: one image; podman compresses the layers anew."""
    with Podman() as podman:
        podman.load(image, reference)
        podman.run("save", "--quiet", "--format", "oci-archive", "--output", file, reference)
    return file


class Podman:
    """podman with a storage of its own (vfs, nothing mounted, no daemon), removed at the end."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="liftlock-podman-"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, *arguments: str | Path) -> str:
        """Run a podman command and return its stdout."""
        return peers.run(
            "podman",
            *("--root", self._folder / "root", "--runroot", self._folder / "run", "--tmpdir", self._folder / "tmp"),
            *("--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none"),
            *arguments,
        )

    def load(self, image: Image, reference: str) -> None:
        """Take an image into podman's storage under `reference`."""
        file = skopeo_docker_archive(self._folder / "load.tar", image, reference)
        self.run("load", "--quiet", "--input", file)
        file.unlink()

    def load_file(self, file: Path) -> str:
        """Let podman read an archive; what it says names the images."""
        return self.run("load", "--quiet", "--input", file)

    def save(self, file: Path, *references: str) -> None:
        """Write a docker archive of these images."""
        self.run("save", "--quiet", "--multi-image-archive", "--output", file, *references)


def gzipped(file: Path, *, level: int = 1) -> Path:
    """A gzip'd copy beside `file`."""
    target = file.with_name(file.name + ".gz")
    with file.open("rb") as source, gzip.GzipFile(target, "wb", compresslevel=level, mtime=0) as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    return target


def _oci(image: Image) -> str:
    return f"oci:{image.layout}:{image.tag}"


# --- a tar writer -----------------------------------------------------------------------------------------------------


class Tar:
    """Writes a tar member by member; whatever is asked for, however unwise."""

    def __init__(self, file: Path) -> None:
        self._sink = file.open("wb")
        self._tar = tarfile.open(fileobj=self._sink, mode="w", format=tarfile.GNU_FORMAT)  # noqa: SIM115 - see __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar.close()
        self._sink.close()

    def file(self, name: str, data: bytes | Path) -> None:
        """A regular file."""
        member = _member(name, tarfile.REGTYPE)
        if isinstance(data, Path):
            member.size = data.stat().st_size
            with data.open("rb") as source:
                self._tar.addfile(member, source)
        else:
            member.size = len(data)
            self._tar.addfile(member, io.BytesIO(data))

    def unpacked(self, name: str, blob: Path, size: int) -> None:
        """A regular file with the decompressed content (`size` bytes) of a gzip'd blob."""
        member = _member(name, tarfile.REGTYPE)
        member.size = size
        with gzip.open(blob) as source:
            self._tar.addfile(member, source)

    def json(self, name: str, document: object) -> None:
        self.file(name, json.dumps(document).encode())

    def folder(self, name: str) -> None:
        self._tar.addfile(_member(name, tarfile.DIRTYPE))

    def symlink(self, name: str, target: str) -> None:
        self._link(name, tarfile.SYMTYPE, target)

    def hardlink(self, name: str, target: str) -> None:
        self._link(name, tarfile.LNKTYPE, target)

    def special(self, name: str, kind: bytes) -> None:
        """A member of another type: `tarfile.CHRTYPE`, `tarfile.FIFOTYPE`, …"""
        self._tar.addfile(_member(name, kind))

    def raw(self, data: bytes) -> None:
        """Bytes as they are; give whole blocks of 512 to keep the tar readable."""
        self._sink.write(data)
        self._tar.offset += len(data)  # where the tar's end is padded from

    def _link(self, name: str, kind: bytes, target: str) -> None:
        member = _member(name, kind)
        member.linkname = target
        self._tar.addfile(member)


def _member(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return member


# --- dialects written by hand -----------------------------------------------------------------------------------------


def synthetic_docker24(file: Path, saved: Saved) -> Path:
    """As Docker up to 24 (moby `image/tarexport/save.go` before PR 44598).

    One folder per layer, named by its v1 id, with `VERSION`, `json` and the uncompressed `layer.tar`; a layer that is
    there already is a symlink to it. `<config>.json`, `manifest.json`, and `repositories` last.
    """
    written: dict[str, str] = {}
    manifest: list[object] = []
    repositories: dict[str, dict[str, str]] = {}
    with Tar(file) as tar:
        for reference, image in saved.items():
            one = image.platforms[0]
            config = images.read_blob(image.layout, one.config.digest)
            parent, paths = "", []
            for number, layer in enumerate(one.layers):
                top = config if number == len(one.layers) - 1 else b""
                v1_id = hashlib.sha256(parent.encode() + layer.diff_id.encode() + top).hexdigest()
                path = f"{v1_id}/layer.tar"
                paths.append(path)
                if path not in written.values():
                    tar.folder(f"{v1_id}/")
                    tar.file(f"{v1_id}/VERSION", b"1.0")
                    tar.json(f"{v1_id}/json", {"id": v1_id, "parent": parent} if parent else {"id": v1_id})
                    if layer.diff_id in written:
                        tar.symlink(path, f"../{written[layer.diff_id]}")
                    else:
                        tar.unpacked(path, images.blob_file(image.layout, layer.digest), unpacked_size(image, layer))
                        written[layer.diff_id] = path
                parent = v1_id
            name = one.config.digest.removeprefix("sha256:") + ".json"
            tar.file(name, config)
            manifest.append({"Config": name, "RepoTags": [reference], "Layers": paths})
            repository, _, tag = reference.rpartition(":")
            repositories.setdefault(repository, {})[tag] = parent
        tar.json("manifest.json", manifest)
        tar.json("repositories", repositories)
    return file


def synthetic_docker25(file: Path, saved: Saved) -> Path:
    """As Docker 25 to 28 with a graph driver (moby PR 44598): a docker archive and an OCI layout in one.

    Layers are uncompressed blobs named by their diff id; `manifest.json` has `LayerSources` and points into `blobs/`.
    """
    manifest: list[object] = []
    index: list[object] = []
    repositories: dict[str, dict[str, str]] = {}
    blobs: dict[str, object] = {}
    with Tar(file) as tar:
        _layout_folders(tar)
        for reference, image in saved.items():
            one = image.platforms[0]
            sources = {}
            for layer in one.layers:
                size = unpacked_size(image, layer)
                sources[layer.diff_id] = {"mediaType": images.OCI_LAYER_PLAIN, "size": size, "digest": layer.diff_id}
                if layer.diff_id not in blobs:
                    blobs[layer.diff_id] = None
                    tar.unpacked(_path(layer.diff_id), images.blob_file(image.layout, layer.digest), size)
            config = {"mediaType": images.OCI_CONFIG, "digest": one.config.digest, "size": one.config.size}
            document = {
                "schemaVersion": 2,
                "mediaType": images.OCI_MANIFEST,
                "config": config,
                "layers": [sources[layer.diff_id] for layer in one.layers],
            }
            raw = json.dumps(document, separators=(",", ":")).encode()
            digest = "sha256:" + hashlib.sha256(raw).hexdigest()
            tar.file(_path(one.config.digest), images.blob_file(image.layout, one.config.digest))
            tar.file(_path(digest), raw)
            manifest.append(_entry(one, reference, [_path(each) for each in one.diff_ids], sources))
            index.append(_index_entry(images.OCI_MANIFEST, digest, len(raw), reference))
            repository, _, tag = reference.rpartition(":")
            repositories.setdefault(repository, {})[tag] = hashlib.sha256(digest.encode()).hexdigest()
        tar.json("index.json", {"schemaVersion": 2, "mediaType": images.OCI_INDEX, "manifests": index})
        tar.json("manifest.json", manifest)
        tar.json("oci-layout", {"imageLayoutVersion": "1.0.0"})
        tar.json("repositories", repositories)
    return file


def synthetic_containerd(file: Path, saved: Saved, *, manifest_json: bool = True) -> Path:
    """As Docker 29, or any Docker with the containerd store: the registry's own compressed blobs.

    `index.json` names each image's root, which is an index where the image has several platforms. `manifest.json`
    describes the first platform. `manifest_json=False` is `docker buildx build --output type=oci`.
    """
    manifest = []
    index = []
    written: set[str] = set()
    with Tar(file) as tar:
        _layout_folders(tar)
        for reference, image in saved.items():
            for blob in (*image.blobs, *image.manifests):
                if blob.digest not in written:
                    written.add(blob.digest)
                    tar.file(_path(blob.digest), images.blob_file(image.layout, blob.digest))
            one = image.platforms[0]
            manifest.append(_entry(one, reference, [_path(layer.digest) for layer in one.layers], None))
            index.append(_index_entry(image.root.media_type, image.root.digest, image.root.size, reference))
        tar.json("index.json", {"schemaVersion": 2, "mediaType": images.OCI_INDEX, "manifests": index})
        if manifest_json:
            tar.json("manifest.json", manifest)
        tar.json("oci-layout", {"imageLayoutVersion": "1.0.0"})
    return file


def synthetic_crane(file: Path, saved: Saved) -> Path:
    """As `crane pull` (go-containerregistry `pkg/v1/tarball/write.go`): `sha256:<config>` and `<layer>.tar.gz`."""
    manifest = []
    written: set[str] = set()
    with Tar(file) as tar:
        for reference, image in saved.items():
            one = image.platforms[0]
            tar.file(one.config.digest, images.blob_file(image.layout, one.config.digest))
            names = []
            for layer in one.layers:
                name = layer.digest.removeprefix("sha256:") + ".tar.gz"
                names.append(name)
                if name not in written:
                    written.add(name)
                    tar.file(name, images.blob_file(image.layout, layer.digest))
            manifest.append({"Config": one.config.digest, "RepoTags": [reference], "Layers": names})
        tar.json("manifest.json", manifest)
    return file


def member_names(file: Path) -> list[str]:
    """The names in a tar (gzip'd or not), in order."""
    with tarfile.open(file) as tar:
        return tar.getnames()


def read_member(file: Path, name: str) -> bytes:
    """One member of a tar, links followed by Python's own tarfile."""
    with tarfile.open(file) as tar:
        source = tar.extractfile(name)
        assert source is not None, f"{name} is not a file in {file}"
        with source:
            return source.read()


def unpacked_size(image: Image, layer: images.Layer) -> int:
    """The size of a layer's uncompressed tar."""
    size = 0
    with gzip.open(images.blob_file(image.layout, layer.digest)) as source:
        while chunk := source.read(1 << 20):
            size += len(chunk)
    return size


def _layout_folders(tar: Tar) -> None:
    for name in ("blobs/", "blobs/sha256/"):
        tar.folder(name)


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


def _entry(
    one: PlatformImage, reference: str, layers: Iterable[str], sources: Mapping[str, object] | None
) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "Config": _path(one.config.digest),
        "RepoTags": [reference],
        "Layers": list(layers),
    }
    if sources is not None:
        entry["LayerSources"] = sources
    return entry


def _index_entry(media_type: str, digest: str, size: int, reference: str) -> dict[str, Any]:
    return {
        "mediaType": media_type,
        "digest": digest,
        "size": size,
        "annotations": {"io.containerd.image.name": reference, images.REF_NAME: reference.rpartition(":")[2]},
    }
