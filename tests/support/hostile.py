"""Tars that somebody made to harm, or that a full disk and a cut line made by accident.

`HOSTILE` lists them all. Each is a docker or OCI archive that is good but for one thing. What a reader may do with it
is in `harmless`: False, it has to refuse it; True, it may also read it, if what comes out is what the config says.
Whatever it does, it reads nothing outside the archive, writes nothing, and stays small and quick.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support import images
from tests.support.archives import Tar
from tests.support.images import Hashing

REFERENCE = "example.org/web:1.0"
SECRET = Path("/etc/hostname")
"""A file outside any archive that the hostile links point to."""

_BLOCK = 512
_MIB = 1 << 20


@dataclass(frozen=True)
class Hostile:
    """One kind of hostile archive: `write(file)` makes it. `kind` is `docker-archive` or `oci-archive`."""

    name: str
    kind: str
    harmless: bool
    write: Callable[[Path], None]

    def __str__(self) -> str:
        return self.name


HOSTILE: list[Hostile] = []

_Write = Callable[[Path], None]


def _case(kind: str = "docker-archive", *, harmless: bool = False) -> Callable[[_Write], _Write]:
    def register(write: _Write) -> _Write:
        HOSTILE.append(Hostile(write.__name__, kind, harmless, write))
        return write

    return register


def _layer(seed: str = "layer") -> bytes:
    """A small, good, uncompressed layer."""
    with tempfile.TemporaryFile() as file:
        images.write_layer_tar(Hashing(file), seed, 3000, 0.5)
        file.seek(0)
        return file.read()


def _config(*layers: bytes) -> bytes:
    diff_ids = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    return json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()


def _config_name(config: bytes) -> str:
    return hashlib.sha256(config).hexdigest() + ".json"


def _manifest(config_name: str, *layer_names: str) -> bytes:
    return json.dumps([{"Config": config_name, "RepoTags": [REFERENCE], "Layers": list(layer_names)}]).encode()


def _docker(file: Path, layer_name: str, write_layer: Callable[[Tar, bytes], None], layer: bytes | None = None) -> None:
    """An archive of one layer called `layer_name`, which `write_layer` puts into the tar in its own way."""
    layer = _layer() if layer is None else layer
    config = _config(layer)
    with Tar(file) as tar:
        tar.file(_config_name(config), config)
        tar.file("manifest.json", _manifest(_config_name(config), layer_name))
        write_layer(tar, layer)


# --- names and links --------------------------------------------------------------------------------------------------


@_case()
def layer_path_leaves_the_archive(file: Path) -> None:
    _docker(file, "../" * 12 + str(SECRET).lstrip("/"), lambda tar, layer: tar.file("layer.tar", layer))


@_case()
def layer_path_is_absolute(file: Path) -> None:
    _docker(file, str(SECRET), lambda tar, layer: tar.file("layer.tar", layer))


@_case(harmless=True)
def member_name_leaves_the_archive(file: Path) -> None:
    name = "../../../../tmp/liftlock-evil.tar"
    _docker(file, name, lambda tar, layer: tar.file(name, layer))


@_case(harmless=True)
def member_name_is_absolute(file: Path) -> None:
    _docker(file, "/tmp/liftlock-evil.tar", lambda tar, layer: tar.file("/tmp/liftlock-evil.tar", layer))


@_case()
def symlink_leaves_the_archive(file: Path) -> None:
    target = "../" * 12 + str(SECRET).lstrip("/")
    _docker(file, "a/layer.tar", lambda tar, layer: tar.symlink("a/layer.tar", target))


@_case()
def symlink_is_absolute(file: Path) -> None:
    _docker(file, "a/layer.tar", lambda tar, layer: tar.symlink("a/layer.tar", str(SECRET)))


@_case()
def hardlink_leaves_the_archive(file: Path) -> None:
    _docker(file, "layer.tar", lambda tar, layer: tar.hardlink("layer.tar", str(SECRET)))


@_case()
def config_is_a_link_out(file: Path) -> None:
    layer = _layer()
    with Tar(file) as tar:
        tar.symlink("config.json", str(SECRET))
        tar.file("layer.tar", layer)
        tar.file("manifest.json", _manifest("config.json", "layer.tar"))


@_case()
def manifest_is_a_link_out(file: Path) -> None:
    with Tar(file) as tar:
        tar.symlink("manifest.json", str(SECRET))


@_case()
def links_in_a_cycle(file: Path) -> None:
    def write(tar: Tar, layer: bytes) -> None:
        tar.symlink("a/layer.tar", "../b/layer.tar")
        tar.symlink("b/layer.tar", "../a/layer.tar")

    _docker(file, "a/layer.tar", write)


@_case()
def link_to_itself(file: Path) -> None:
    _docker(file, "layer.tar", lambda tar, layer: tar.symlink("layer.tar", "layer.tar"))


@_case()
def hardlink_to_itself(file: Path) -> None:
    _docker(file, "layer.tar", lambda tar, layer: tar.hardlink("layer.tar", "layer.tar"))


@_case(harmless=True)
def chain_of_links(file: Path) -> None:
    def write(tar: Tar, layer: bytes) -> None:
        for number in range(5000):
            tar.symlink(f"{number}.tar", f"{number + 1}.tar")
        tar.file("5000.tar", layer)

    _docker(file, "0.tar", write)


@_case()
def link_to_nothing(file: Path) -> None:
    _docker(file, "layer.tar", lambda tar, layer: tar.symlink("layer.tar", "none.tar"))


@_case()
def layer_is_a_folder(file: Path) -> None:
    _docker(file, "layer.tar", lambda tar, layer: tar.folder("layer.tar"))


@_case()
def layer_is_a_device(file: Path) -> None:
    _docker(file, "layer.tar", lambda tar, layer: tar.special("layer.tar", tarfile.CHRTYPE))


@_case()
def layer_is_a_fifo(file: Path) -> None:
    _docker(file, "layer.tar", lambda tar, layer: tar.special("layer.tar", tarfile.FIFOTYPE))


# --- what does not fit together ---------------------------------------------------------------------------------------


@_case(harmless=True)
def duplicate_layer_entries(file: Path) -> None:
    def write(tar: Tar, layer: bytes) -> None:
        tar.file("layer.tar", b"\0" * len(layer))
        tar.file("layer.tar", layer)

    _docker(file, "layer.tar", write)


@_case(harmless=True)
def duplicate_layer_the_last_is_wrong(file: Path) -> None:
    def write(tar: Tar, layer: bytes) -> None:
        tar.file("layer.tar", layer)
        tar.file("layer.tar", b"\0" * len(layer))

    _docker(file, "layer.tar", write)


@_case(harmless=True)
def duplicate_manifests(file: Path) -> None:
    def write(tar: Tar, layer: bytes) -> None:
        tar.file("layer.tar", layer)
        tar.file("manifest.json", _manifest("other.json", "layer.tar"))

    _docker(file, "layer.tar", write)


@_case()
def layer_is_not_what_the_config_says(file: Path) -> None:
    _docker(file, "layer.tar", lambda tar, layer: tar.file("layer.tar", _layer("other")))


@_case()
def layer_is_missing(file: Path) -> None:
    _docker(file, "layer.tar", lambda tar, layer: None)


@_case()
def fewer_layers_than_diff_ids(file: Path) -> None:
    one, two = _layer("one"), _layer("two")
    config = _config(one, two)
    with Tar(file) as tar:
        tar.file(_config_name(config), config)
        tar.file("one.tar", one)
        tar.file("manifest.json", _manifest(_config_name(config), "one.tar"))


@_case(harmless=True)
def config_is_not_what_its_name_says(file: Path) -> None:
    layer = _layer()
    with Tar(file) as tar:
        tar.file("0" * 64 + ".json", _config(layer))
        tar.file("layer.tar", layer)
        tar.file("manifest.json", _manifest("0" * 64 + ".json", "layer.tar"))


@_case()
def config_is_missing(file: Path) -> None:
    with Tar(file) as tar:
        tar.file("layer.tar", _layer())
        tar.file("manifest.json", _manifest("none.json", "layer.tar"))


@_case()
def config_without_diff_ids(file: Path) -> None:
    with Tar(file) as tar:
        tar.file("config.json", b'{"architecture":"amd64","os":"linux"}')
        tar.file("layer.tar", _layer())
        tar.file("manifest.json", _manifest("config.json", "layer.tar"))


# --- documents --------------------------------------------------------------------------------------------------------


def _only_manifest(file: Path, document: bytes) -> None:
    with Tar(file) as tar:
        tar.file("manifest.json", document)


@_case()
def manifest_is_missing(file: Path) -> None:
    with Tar(file) as tar:
        tar.file("layer.tar", _layer())


@_case()
def manifest_is_null(file: Path) -> None:
    _only_manifest(file, b"null")


@_case()
def manifest_is_empty(file: Path) -> None:
    _only_manifest(file, b"[]")


@_case()
def manifest_is_no_json(file: Path) -> None:
    _only_manifest(file, b'[{"Config": ')


@_case()
def manifest_is_no_text(file: Path) -> None:
    _only_manifest(file, b"\xff\xfe\x00[" * 10)


@_case()
def manifest_has_other_types(file: Path) -> None:
    _only_manifest(file, b'[{"Config": 1, "RepoTags": {"a": 1}, "Layers": "layer.tar"}]')


@_case()
def manifest_is_a_list_of_numbers(file: Path) -> None:
    _only_manifest(file, b"[1, 2, 3]")


@_case()
def manifest_is_deeply_nested(file: Path) -> None:
    _only_manifest(file, b"[" * 200_000 + b"]" * 200_000)


@_case()
def manifest_is_huge(file: Path) -> None:
    _only_manifest(file, b"[" + b" " * (64 * _MIB) + b"]")


@_case()
def manifest_has_a_huge_number(file: Path) -> None:
    _only_manifest(file, b"[" + b"9" * 100_000 + b"]")


@_case()
def config_is_deeply_nested(file: Path) -> None:
    with Tar(file) as tar:
        tar.file("config.json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000)
        tar.file("layer.tar", _layer())
        tar.file("manifest.json", _manifest("config.json", "layer.tar"))


# --- the tar itself ---------------------------------------------------------------------------------------------------


def _good(file: Path) -> None:
    _docker(file, "layer.tar", lambda tar, layer: tar.file("layer.tar", layer))


@_case()
def empty_file(file: Path) -> None:
    file.write_bytes(b"")


@_case()
def no_tar_at_all(file: Path) -> None:
    file.write_bytes(hashlib.sha256(b"noise").digest() * 1000)


@_case()
def only_zeros(file: Path) -> None:
    file.write_bytes(b"\0" * 10240)


@_case()
def cut_in_a_member(file: Path) -> None:
    _good(file)
    data = file.read_bytes()
    file.write_bytes(data[: data.rindex(b"layer.tar") + _BLOCK + 700])


@_case()
def cut_in_a_header(file: Path) -> None:
    _good(file)
    data = file.read_bytes()
    file.write_bytes(data[: data.rindex(b"layer.tar") + 100])


@_case(harmless=True)
def without_its_end(file: Path) -> None:
    """The two zero blocks at the end are missing, all members are whole."""
    _good(file)
    data = file.read_bytes().rstrip(b"\0")
    file.write_bytes(data + b"\0" * (-len(data) % _BLOCK))


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % _BLOCK)


@_case()
def size_beyond_the_end(file: Path) -> None:
    _docker(file, "layer.tar", lambda tar, layer: tar.raw(_header("layer.tar", 1 << 40) + _padded(layer)))


@_case()
def size_beyond_64_bits(file: Path) -> None:
    _docker(file, "layer.tar", lambda tar, layer: tar.raw(_header("layer.tar", 1 << 80) + _padded(layer)))


@_case()
def size_is_negative(file: Path) -> None:
    _docker(file, "layer.tar", lambda tar, layer: tar.raw(_header("layer.tar", -_BLOCK) + _padded(layer)))


@_case()
def size_is_too_small(file: Path) -> None:
    """The rest of the layer is then read as headers."""
    _docker(file, "layer.tar", lambda tar, layer: tar.raw(_header("layer.tar", 700) + _padded(layer)))


@_case()
def checksum_is_wrong(file: Path) -> None:
    def write(tar: Tar, layer: bytes) -> None:
        header = bytearray(_header("layer.tar", len(layer)))
        header[150] ^= 1
        tar.raw(bytes(header) + _padded(layer))

    _docker(file, "layer.tar", write)


@_case()
def pax_header_says_it_is_huge(file: Path) -> None:
    _docker(file, "layer.tar", lambda tar, layer: tar.raw(_header("x", 1 << 36, tarfile.XHDTYPE) + _padded(layer)))


@_case()
def long_name_is_huge(file: Path) -> None:
    def write(tar: Tar, layer: bytes) -> None:
        tar.raw(_header("././@LongLink", 48 * _MIB, tarfile.GNUTYPE_LONGNAME) + b"a" * (48 * _MIB))
        tar.raw(_header("layer.tar", len(layer)) + _padded(layer))

    _docker(file, "layer.tar", write)


@_case()
def pax_size_is_no_number(file: Path) -> None:
    def write(tar: Tar, layer: bytes) -> None:
        record = b"17 size=minus 12\n"
        tar.raw(_header("x", len(record), tarfile.XHDTYPE) + _padded(record))
        tar.raw(_header("layer.tar", len(layer)) + _padded(layer))

    _docker(file, "layer.tar", write)


@_case(harmless=True)
def sparse_member_of_gnu(file: Path) -> None:
    """GNU's old sparse format: the header says where the one piece of data lies; the rest of the file is zeros."""

    def write(tar: Tar, layer: bytes) -> None:
        header = bytearray(_header("layer.tar", len(layer), tarfile.GNUTYPE_SPARSE))
        header[386:398] = b"%011o\0" % 0
        header[398:410] = b"%011o\0" % len(layer)
        header[483:495] = b"%011o\0" % len(layer)
        tar.raw(_summed(header) + _padded(layer))

    _docker(file, "layer.tar", write)


@_case()
def sparse_member_is_a_bomb(file: Path) -> None:
    """One block of data in a file that says it is a tebibyte."""

    def write(tar: Tar, layer: bytes) -> None:
        header = bytearray(_header("layer.tar", _BLOCK, tarfile.GNUTYPE_SPARSE))
        header[386:398] = b"%011o\0" % 0
        header[398:410] = b"%011o\0" % _BLOCK
        header[483:495] = b"\x80" + (1 << 40).to_bytes(11, "big")
        tar.raw(_summed(header) + b"\1" * _BLOCK)

    _docker(file, "layer.tar", write)


@_case()
def sparse_map_goes_beyond_the_file(file: Path) -> None:
    def write(tar: Tar, layer: bytes) -> None:
        record = _pax_record("GNU.sparse.map", "0,512,9999999999,512") + _pax_record("GNU.sparse.size", "1024")
        tar.raw(_header("x", len(record), tarfile.XHDTYPE) + _padded(record))
        tar.raw(_header("layer.tar", len(layer)) + _padded(layer))

    _docker(file, "layer.tar", write)


def _summed(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def _pax_record(key: str, value: str) -> bytes:
    length = len(key) + len(value) + 3
    length += len(str(length + len(str(length))))
    return f"{length} {key}={value}\n".encode()


@_case(harmless=True)
def name_is_no_text(file: Path) -> None:
    def write(tar: Tar, layer: bytes) -> None:
        tar.raw(_header("placeholder", 0).replace(b"placeholder", b"\xff\xfe\x80bad\xc0\xc1xx"))
        tar.file("layer.tar", layer)

    _docker(file, "layer.tar", write)


@_case(harmless=True)
def very_many_members(file: Path) -> None:
    def write(tar: Tar, layer: bytes) -> None:
        tar.raw(b"".join(_header(f"n{number}", 0) for number in range(20_000)))
        tar.file("layer.tar", layer)

    _docker(file, "layer.tar", write)


# --- bombs ------------------------------------------------------------------------------------------------------------


def zeros_gzipped(mebibytes: int) -> bytes:
    """A gzip stream that unpacks to that many MiB of zeros: members one after another, each 64 MiB."""
    assert mebibytes % 64 == 0
    with tempfile.TemporaryFile() as file:
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as packer:
            for _ in range(64):
                packer.write(b"\0" * _MIB)
        file.seek(0)
        return file.read() * (mebibytes // 64)


@_case()
def layer_unpacks_to_32_gib(file: Path) -> None:
    """A small gzip'd layer (as crane writes them) that unpacks to much more than any disk for tests has."""
    bomb = zeros_gzipped(32 * 1024)
    _docker(file, "layer.tar.gz", lambda tar, layer: tar.file("layer.tar.gz", bomb))


@_case()
def archive_unpacks_to_32_gib(file: Path) -> None:
    """The whole archive is gzip'd, and its one member is 32 GiB of zeros."""
    header = gzip.compress(_header("layer.tar", 32 << 30), mtime=0)
    file.write_bytes(header + zeros_gzipped(32 * 1024))


@_case()
def gzip_is_cut(file: Path) -> None:
    _good(file)
    file.write_bytes(gzip.compress(file.read_bytes(), mtime=0)[:-200])


@_case()
def gzip_checksum_is_wrong(file: Path) -> None:
    _good(file)
    packed = bytearray(gzip.compress(file.read_bytes(), mtime=0))
    packed[-8] ^= 0xFF
    file.write_bytes(packed)


# --- OCI archives -----------------------------------------------------------------------------------------------------


def _oci(file: Path, manifest_digest: str, manifest: bytes, blobs: dict[str, bytes]) -> None:
    entry = {
        "mediaType": images.OCI_MANIFEST,
        "digest": manifest_digest,
        "size": len(manifest),
        "annotations": {images.REF_NAME: "1.0"},
    }
    with Tar(file) as tar:
        tar.json("oci-layout", {"imageLayoutVersion": "1.0.0"})
        tar.json("index.json", {"schemaVersion": 2, "manifests": [entry]})
        for name, data in blobs.items():
            tar.file(name, data)


def _oci_image(layer: bytes) -> tuple[bytes, dict[str, bytes]]:
    config = _config(layer)
    blobs = {f"blobs/sha256/{hashlib.sha256(data).hexdigest()}": data for data in (config, layer)}
    described = [
        {"mediaType": kind, "digest": "sha256:" + hashlib.sha256(data).hexdigest(), "size": len(data)}
        for kind, data in ((images.OCI_CONFIG, config), (images.OCI_LAYER_PLAIN, layer))
    ]
    document = {"schemaVersion": 2, "mediaType": images.OCI_MANIFEST, "config": described[0], "layers": described[1:]}
    manifest = json.dumps(document).encode()
    blobs[f"blobs/sha256/{hashlib.sha256(manifest).hexdigest()}"] = manifest
    return manifest, blobs


@_case("oci-archive")
def oci_digest_leaves_the_archive(file: Path) -> None:
    _oci(file, "sha256:" + "../" * 12 + str(SECRET).lstrip("/"), b"{}", {})


@_case("oci-archive")
def oci_blob_is_not_what_its_name_says(file: Path) -> None:
    manifest, blobs = _oci_image(_layer())
    wrong = {name: (b"\0" * len(data) if data[:1] != b"{" else data) for name, data in blobs.items()}
    _oci(file, "sha256:" + hashlib.sha256(manifest).hexdigest(), manifest, wrong)


@_case("oci-archive")
def oci_blob_has_another_size(file: Path) -> None:
    manifest, blobs = _oci_image(_layer())
    wrong = {name: (data[:-512] if data[:1] != b"{" else data) for name, data in blobs.items()}
    _oci(file, "sha256:" + hashlib.sha256(manifest).hexdigest(), manifest, wrong)


@_case("oci-archive")
def oci_blob_is_missing(file: Path) -> None:
    manifest, blobs = _oci_image(_layer())
    kept = {name: data for name, data in blobs.items() if data[:1] == b"{"}
    _oci(file, "sha256:" + hashlib.sha256(manifest).hexdigest(), manifest, kept)


@_case("oci-archive")
def oci_manifest_is_not_what_the_index_says(file: Path) -> None:
    manifest, blobs = _oci_image(_layer())
    digest = hashlib.sha256(manifest).hexdigest()
    _oci(file, "sha256:" + digest, manifest, {**blobs, f"blobs/sha256/{digest}": manifest[:-1] + b" }"})


@_case("oci-archive")
def oci_index_is_null(file: Path) -> None:
    with Tar(file) as tar:
        tar.json("oci-layout", {"imageLayoutVersion": "1.0.0"})
        tar.json("index.json", {"schemaVersion": 2, "manifests": None})


@_case("oci-archive")
def oci_blob_is_a_link_out(file: Path) -> None:
    with Tar(file) as tar:
        tar.json("oci-layout", {"imageLayoutVersion": "1.0.0"})
        digest = "0" * 64
        entry = {"mediaType": images.OCI_MANIFEST, "digest": f"sha256:{digest}", "size": SECRET.stat().st_size}
        tar.json("index.json", {"schemaVersion": 2, "manifests": [entry]})
        tar.symlink(f"blobs/sha256/{digest}", str(SECRET))
