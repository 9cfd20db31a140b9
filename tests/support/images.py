"""Images for tests, written by hand as OCI layouts: reproducible from a seed, and none of the product's code in them.

`make_image` writes an image of one or several platforms, `attach_referrer` and `cosign_tag` attach to it what travels
with an image. `tests.support.remote` pushes the result to a registry byte for byte.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import random
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_PLAIN = "application/vnd.oci.image.layer.v1.tar"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
COSIGN_PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"

INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
REF_NAME = "org.opencontainers.image.ref.name"

_FILES_PER_LAYER = 3

Json = dict[str, Any]


@dataclass(frozen=True)
class Blob:
    """A descriptor of something in a layout."""

    media_type: str
    digest: str
    size: int

    def descriptor(self, **more: object) -> Json:
        """As it is written in a manifest; `more` are further fields (`platform`, `annotations`, …)."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size, **more}


@dataclass(frozen=True)
class Layer(Blob):
    """A layer, and the digest of its uncompressed tar."""

    diff_id: str


@dataclass(frozen=True)
class PlatformImage:
    """One platform's image: a manifest with its config and layers."""

    platform: str
    manifest: Blob
    config: Blob
    layers: tuple[Layer, ...]

    @property
    def diff_ids(self) -> tuple[str, ...]:
        return tuple(layer.diff_id for layer in self.layers)


@dataclass(frozen=True)
class Image:
    """What `make_image` made: `root` is the index, or the manifest of an image of one platform."""

    layout: Path
    tag: str
    root: Blob
    platforms: tuple[PlatformImage, ...]

    @property
    def digest(self) -> str:
        """The digest that a registry shows for the tag."""
        return self.root.digest

    @property
    def is_index(self) -> bool:
        return self.root.media_type in INDEXES

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Configs and layers of all platforms, each once."""
        found = {blob.digest: blob for each in self.platforms for blob in (each.config, *each.layers)}
        return tuple(found.values())

    @property
    def manifests(self) -> tuple[Blob, ...]:
        """All manifests: the root first, then the platforms' when the root is an index."""
        return (self.root, *(each.manifest for each in self.platforms)) if self.is_index else (self.root,)


def make_image(
    layout: Path,
    tag: str = "latest",
    *,
    layers: int = 3,
    layer_bytes: int | Sequence[int] = 20_000,
    platforms: Sequence[str] = ("linux/amd64",),
    index: bool | None = None,
    docker_types: bool = False,
    compressible: float = 0.5,
    level: int = 1,
    seed: object = 0,
    shared_layers: int = 0,
    shared_seed: object = "shared",
    repeated_layers: int = 0,
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """Write an image into the layout folder `layout` (made when absent) and tag it.

    The same arguments give the same digests. `layer_bytes` is the size of the files in a layer (or one size per layer),
    `compressible` the share of them that a compressor removes, `level` gzip's level. Several platforms make an index;
    `index=True` makes one for a single platform too. The first `shared_layers` layers come from `shared_seed` alone,
    and so are the same for all platforms and for every image made with it. `repeated_layers` puts that many copies of
    the first layer on top, as images do that copy the same file twice.
    """
    initialise(layout)
    sizes = [layer_bytes] * layers if isinstance(layer_bytes, int) else list(layer_bytes)
    made = []
    for platform in platforms:
        stack = []
        for number, size in enumerate(sizes):
            origin = f"{shared_seed}" if number < shared_layers else f"{seed}|{platform}"
            stack.append(_layer(layout, f"{origin}|{number}", size, compressible, level))
        stack += stack[:1] * repeated_layers
        if docker_types:
            stack = [dataclasses.replace(layer, media_type=DOCKER_LAYER) for layer in stack]
        one = _platform_image(
            layout, platform, stack, docker_types=docker_types, seed=f"{seed}", annotations=annotations
        )
        made.append(one)
    if index is None:
        index = len(made) > 1
    root = made[0].manifest
    if index:
        document: Json = {"schemaVersion": 2, "mediaType": DOCKER_INDEX if docker_types else OCI_INDEX}
        document["manifests"] = [each.manifest.descriptor(platform=_platform_fields(each.platform)) for each in made]
        if annotations and not docker_types:
            document["annotations"] = dict(annotations)
        root = put_json(layout, document["mediaType"], document)
    set_tag(layout, tag, root)
    return Image(layout, tag, root, tuple(made))


def attach_referrer(
    layout: Path,
    subject: Blob | str,
    artifact_type: str,
    payload: bytes,
    *,
    payload_type: str = "application/octet-stream",
    annotations: Mapping[str, str] | None = None,
    fallback: bool = True,
) -> Blob:
    """Write an artifact manifest whose `subject` is a manifest of the layout, and list it in the fallback tag's index.

    `fallback=False` leaves the index `sha256-<hex>` alone, as after a push to a registry with the referrers API.
    """
    about = find(layout, subject) if isinstance(subject, str) else subject
    config = put_blob(layout, OCI_EMPTY, b"{}")
    document: Json = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": config.descriptor(),
        "layers": [put_blob(layout, payload_type, payload).descriptor()],
        "subject": Blob(about.media_type, about.digest, about.size).descriptor(),
    }
    if annotations:
        document["annotations"] = dict(annotations)
    manifest = put_json(layout, OCI_MANIFEST, document)
    if fallback:
        tag = fallback_tag(about.digest)
        listed = read_tag(layout, tag)
        listing: Json = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
        if listed is not None:
            listing = json.loads(read_blob(layout, listed.digest))
        more: Json = {"artifactType": artifact_type}
        if annotations:
            more["annotations"] = dict(annotations)
        listing["manifests"].append(manifest.descriptor(**more))
        set_tag(layout, tag, put_json(layout, OCI_INDEX, listing))
    return manifest


def cosign_tag(layout: Path, digest: str, suffix: str = ".sig", payload: bytes | None = None) -> Blob:
    """Write what older cosign attaches to `digest`: an image under the tag `sha256-<hex>.sig` (`.att`, `.sbom`)."""
    if payload is None:
        payload = json.dumps({"critical": {"image": {"docker-manifest-digest": digest}}, "suffix": suffix}).encode()
    media_type = COSIGN_PAYLOAD if suffix == ".sig" else "application/vnd.dsse.envelope.v1+json"
    layer = put_blob(layout, media_type, payload)
    config = put_json(
        layout,
        OCI_CONFIG,
        {"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": [layer.digest]}},
    )
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.descriptor(),
        "layers": [layer.descriptor(annotations={"dev.cosignproject.cosign/signature": "bm90IGEgc2lnbmF0dXJl"})],
    }
    manifest = put_json(layout, OCI_MANIFEST, document)
    set_tag(layout, fallback_tag(digest) + suffix, manifest)
    return manifest


def fallback_tag(digest: str) -> str:
    """The tag under which referrers of `digest` are listed where there is no referrers API."""
    return digest.replace(":", "-", 1)


# --- the layout itself -----------------------------------------------------------------------------------------------


def initialise(layout: Path) -> None:
    """Make an empty layout unless there is one."""
    (layout / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    if not (layout / "oci-layout").exists():
        (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    if not (layout / "index.json").exists():
        _write_index(layout, [])


def blob_file(layout: Path, digest: str) -> Path:
    """Where a layout keeps a blob."""
    algorithm, _, encoded = digest.partition(":")
    return layout / "blobs" / algorithm / encoded


def read_blob(layout: Path, digest: str) -> bytes:
    return blob_file(layout, digest).read_bytes()


def read_json(layout: Path, digest: str) -> Json:
    """A manifest, index or config of the layout, parsed."""
    document = json.loads(read_blob(layout, digest))
    assert isinstance(document, dict)
    return document


def put_blob(layout: Path, media_type: str, data: bytes) -> Blob:
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    blob_file(layout, digest).write_bytes(data)
    return Blob(media_type, digest, len(data))


def put_json(layout: Path, media_type: str, document: Json) -> Blob:
    """Write a document with indentation, as some tools do: whoever re-encodes it changes its digest."""
    return put_blob(layout, media_type, json.dumps(document, indent=1).encode())


def tags(layout: Path) -> dict[str, Blob]:
    """The layout's tags."""
    return {
        entry["annotations"][REF_NAME]: _blob(entry)
        for entry in _read_index(layout)
        if REF_NAME in entry.get("annotations", {})
    }


def read_tag(layout: Path, tag: str) -> Blob | None:
    return tags(layout).get(tag)


def set_tag(layout: Path, tag: str, root: Blob) -> None:
    """Let `tag` name `root`, whatever it named before."""
    kept = [entry for entry in _read_index(layout) if entry.get("annotations", {}).get(REF_NAME) != tag]
    _write_index(layout, [*kept, root.descriptor(annotations={REF_NAME: tag})])


def find(layout: Path, digest: str) -> Blob:
    """The descriptor of a manifest in the layout, read from the manifest itself."""
    data = read_blob(layout, digest)
    return Blob(json.loads(data).get("mediaType", OCI_MANIFEST), digest, len(data))


def children(layout: Path, manifest: Blob) -> Iterator[Blob]:
    """What a manifest names: the manifests of an index; config and layers of an image."""
    document = read_json(layout, manifest.digest)
    if manifest.media_type in INDEXES:
        yield from map(_blob, document["manifests"])
    else:
        yield from map(_blob, (document["config"], *document["layers"]))


def _read_index(layout: Path) -> list[Json]:
    entries: list[Json] = json.loads((layout / "index.json").read_bytes())["manifests"]
    return entries


def _write_index(layout: Path, entries: Sequence[Json]) -> None:
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}
    (layout / "index.json").write_text(json.dumps(document))


def _blob(entry: Json) -> Blob:
    return Blob(entry["mediaType"], entry["digest"], entry["size"])


# --- layers ----------------------------------------------------------------------------------------------------------

_known_layers: dict[tuple[object, ...], Layer] = {}


class Hashing(io.RawIOBase):
    """A sink that hashes and counts what is written through it."""

    def __init__(self, sink: IO[bytes] | gzip.GzipFile) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._hash.update(data)
        self.size += len(data)
        self._sink.write(data)
        return len(data)


def write_layer_tar(sink: IO[bytes] | Hashing, seed: str, size: int, compressible: float) -> None:
    """Write the uncompressed tar of a layer: a folder with a few files of `size` bytes altogether."""
    folder = "opt/" + hashlib.sha256(seed.encode()).hexdigest()[:12]
    with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for name in ("opt", folder):
            tar.addfile(_member(name, directory=True))
        for number in range(_FILES_PER_LAYER):
            share = size // _FILES_PER_LAYER
            length = share if number else size - share * (_FILES_PER_LAYER - 1)
            entry = _member(f"{folder}/file-{number}.bin")
            entry.size = length
            tar.addfile(entry, Noise(f"{seed}|{number}", length, compressible))
        link = _member(f"{folder}/link")
        link.type, link.linkname = tarfile.SYMTYPE, "file-0.bin"
        tar.addfile(link)


class Noise(io.RawIOBase):
    """A readable stream of `size` reproducible bytes, of which a share compresses away."""

    def __init__(self, seed: str, size: int, compressible: float) -> None:
        self._random = random.Random(seed)
        self._left = size
        self._compressible = compressible
        self._ready = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts = []
        wanted = self._left if size < 0 else min(size, self._left)
        self._left -= wanted
        while wanted:
            if not self._ready:
                self._ready = self._more()
            part, self._ready = self._ready[:wanted], self._ready[wanted:]
            wanted -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _more(self) -> bytes:
        plain = int(65536 * self._compressible)
        word = b"%016x " % self._random.getrandbits(64)
        return self._random.randbytes(65536 - plain) + (word * (plain // len(word) + 1))[:plain]


def _layer(layout: Path, seed: str, size: int, compressible: float, level: int) -> Layer:
    key = (layout, seed, size, compressible, level)
    known = _known_layers.get(key)
    if known is not None and blob_file(layout, known.digest).exists():
        return known
    with tempfile.NamedTemporaryFile(dir=layout, delete=False) as file:
        outer = Hashing(file)
        with gzip.GzipFile(filename="", mode="wb", compresslevel=level, fileobj=outer, mtime=0) as packer:
            inner = Hashing(packer)
            write_layer_tar(inner, seed, size, compressible)
    Path(file.name).rename(blob_file(layout, outer.digest))
    blob_file(layout, outer.digest).chmod(0o644)
    layer = Layer(OCI_LAYER, outer.digest, outer.size, inner.digest)
    _known_layers[key] = layer
    return layer


def _member(name: str, *, directory: bool = False) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode = 0o755 if directory else 0o644
    if directory:
        entry.type = tarfile.DIRTYPE
    return entry


def _platform_image(
    layout: Path,
    platform: str,
    layers: Sequence[Layer],
    *,
    docker_types: bool,
    seed: str,
    annotations: Mapping[str, str] | None,
) -> PlatformImage:
    config: Json = {
        "created": "2024-01-01T00:00:00Z",
        **_platform_fields(platform),
        "config": {"Cmd": ["/bin/true"], "Labels": {"seed": seed}},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": "2024-01-01T00:00:00Z", "created_by": f"layer {n}"} for n in range(len(layers))],
    }
    config_blob = put_json(layout, DOCKER_CONFIG if docker_types else OCI_CONFIG, config)
    document: Json = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST if docker_types else OCI_MANIFEST,
        "config": config_blob.descriptor(),
        "layers": [layer.descriptor() for layer in layers],
    }
    if annotations and not docker_types:
        document["annotations"] = dict(annotations)
    return PlatformImage(platform, put_json(layout, document["mediaType"], document), config_blob, tuple(layers))


def _platform_fields(platform: str) -> dict[str, str]:
    names = ("os", "architecture", "variant")
    return dict(zip(names, platform.split("/"), strict=False))
