"""Small worlds in memory: repositories that share homes, images made by hand, and an opener over them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from liftlock.errors import LiftlockError, NotFound
from liftlock.oci import media_types as mt
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.targets.base import BlobSource, Placed
from liftlock.targets.memory import MemoryTarget


class Repository(MemoryTarget):
    """A repository of a registry in memory: blobs mount between repositories of one registry."""

    def __init__(self, name: str, peers: dict[str, Repository]) -> None:
        super().__init__(name)
        self._peers = peers
        self.sent: list[Digest] = []
        self.log: list[str] = []
        self.refuse_tags: set[str] = set()
        self.keep_tags = False

    @property
    def home(self) -> str:
        return self.name.partition("/")[0]

    def put_blob(
        self, blob: Descriptor, source: BlobSource | None, *, mount_from: Sequence[str] = (), absent: bool = False
    ) -> Placed:
        assert not (absent and self.has_blob(blob.digest)), "the plan said that it is absent"
        for name in mount_from:
            peer = self._peers[name]
            assert peer.home == self.home, "mounts happen within one home"
            if not self.has_blob(blob.digest) and peer.has_blob(blob.digest):
                self.blobs[blob.digest] = peer.blobs[blob.digest]
                return Placed.MOUNTED
        placed = super().put_blob(blob, source)
        if placed is Placed.COPIED:
            self.sent.append(blob.digest)
        return placed

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        if tag in self.refuse_tags and self.tagged.get(tag or "") != manifest.digest:
            raise LiftlockError(f"{self.name}:{tag} cannot be set today")
        super().put_manifest(manifest, tag)
        self.log.append(f"tag {tag}" if tag else f"manifest {manifest.digest}")

    def delete_tag(self, tag: str) -> None:
        if self.keep_tags:
            raise LiftlockError(f"{self.name}: tags cannot be deleted here")
        super().delete_tag(tag)


class World:
    """Opens its repositories by name; made when first asked for."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.aborted = False

    def open(self, name: str) -> Repository:
        return self.repositories.setdefault(name, Repository(name, self.repositories))

    def open_writable(self, name: str) -> Repository:
        return self.open(name)

    def abort(self) -> None:
        self.aborted = True
        for repository in self.repositories.values():
            repository.abort()

    def reopened(self) -> World:
        """The same content, for the next command."""
        other = World()
        for name, repository in self.repositories.items():
            copy = other.open(name)
            copy.blobs, copy.manifests, copy.tagged = repository.blobs, repository.manifests, repository.tagged
            copy.keep_tags = repository.keep_tags
        return other


def blob(repository: Repository, data: bytes, media_type: str = mt.OCI_LAYER_GZIP) -> Descriptor:
    descriptor = Descriptor(media_type, Digest.of(data), len(data))
    repository.blobs[descriptor.digest] = data
    return descriptor


def image(
    repository: Repository, layers: Iterable[bytes], *, tag: str | None = None, subject: Manifest | None = None
) -> Manifest:
    """An image, or with a subject a referrer, in a repository."""
    stack = [blob(repository, layer) for layer in layers]
    config = blob(repository, b"{}" + b"".join(layer.digest.encode() for layer in stack), mt.OCI_CONFIG)
    document = {
        "schemaVersion": 2,
        "mediaType": mt.OCI_MANIFEST,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in stack],
    }
    if subject is not None:
        document |= {"artifactType": "application/vnd.example.signature", "subject": subject.descriptor.to_json()}
    manifest = Manifest.build(document)
    repository.put_manifest(manifest, tag)
    return manifest


def index(repository: Repository, children: Sequence[Manifest], *, tag: str | None = None) -> Manifest:
    """An index over images; the nth is for architecture n."""
    entries = [
        {**child.descriptor.to_json(), "platform": {"os": "linux", "architecture": f"a{number}"}}
        for number, child in enumerate(children)
    ]
    manifest = Manifest.build({"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": entries})
    repository.put_manifest(manifest, tag)
    return manifest


def complete(repository: Repository, digest: Digest) -> bool:
    """Whether everything that a manifest stands for is there, to the byte."""
    manifest = repository.manifests.get(digest)
    if manifest is None or Digest.of(manifest.raw) != digest:
        return False
    blobs = (repository.blobs.get(each.digest) for each in manifest.blobs)
    return all(data is not None for data in blobs) and all(
        complete(repository, child.digest) for child in manifest.manifests
    )


def gone(repository: Repository, tag: str) -> bool:
    try:
        repository.manifest(tag)
    except NotFound:
        return True
    return False
