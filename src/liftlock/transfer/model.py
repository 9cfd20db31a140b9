"""The values that pass between survey, plan and execute. All immutable; targets are named, never held.

Annotations are not postponed here: `NamedTuple` would compile every one of them at every start.
"""

from collections.abc import Mapping, Sequence

from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor, Manifest, Platform
from liftlock.targets.base import Target, WritableTarget
from liftlock.typed import Any, Literal, NamedTuple, Protocol

__all__ = [
    "Attachment",
    "BlobStep",
    "CopyRequest",
    "ImageSurvey",
    "ImportStep",
    "LockStep",
    "ManifestStep",
    "Opener",
    "Options",
    "Plan",
    "Result",
    "Strategy",
    "Survey",
    "TagMove",
    "TagStep",
]


Strategy = Literal["present", "retag", "mount", "import", "copy"]
"""How one image comes to one destination. ``present``: it is there, under every tag. ``retag``: it is there, and tags
move. ``mount``: its blobs are in other repositories of the same registry, which links them. ``import``: the
destination's registry fetches it. ``copy``: bytes are sent."""


class CopyRequest(NamedTuple):
    """One image to copy: from where, to where, under which tags."""

    source: str
    """Name of the source target (`Target.name`)."""
    reference: str
    """Tag or digest at the source."""
    destination: str
    """Name of the destination target."""
    tags: tuple[str, ...] = ()
    """Tags to set at the destination, last of all; none leaves the image reachable by digest only."""
    expect: Digest | None = None
    """What the tags must hold just before they move (compare, then set)."""


class Options(NamedTuple):
    """How to copy; the defaults carry everything and overwrite tags."""

    platforms: tuple[Platform, ...] = ()
    """Copy only these children of an index: that makes a new, smaller index with another digest."""
    referrers: bool = True
    """Whether referrers and legacy cosign tags travel with the image, and arrive before the tags move."""
    no_clobber: bool = False
    """Refuse to move a tag that holds another digest."""
    exact: bool = False
    """Ask the destination about every manifest and blob, so that the plan says exactly what will move."""
    lock: bool = False
    """Lock tags and images after that, where the destination's options say so: this is a promotion."""


class Attachment(NamedTuple):
    """What travels with an image: a referrer, or a manifest under a legacy cosign tag."""

    subject: Digest
    manifest: Manifest
    tag: str | None = None
    """``sha256-<hex>.sig`` and its like; None for a referrer."""
    label: str = ""


class ImageSurvey(NamedTuple):
    """What one request's source holds, and what its destination already has."""

    request: CopyRequest
    digest: Digest
    """The digest of the image at the source; the plan's root differs from it only where ``--platform`` made it so."""
    root: Manifest | None
    """None when every tag holds it already and nothing else was asked."""
    manifests: Sequence[Manifest]
    """Everything below the root, children before their index; the root itself not."""
    attachments: Sequence[Attachment]
    tags: Mapping[str, Digest | None]
    """What the destination's tags hold now."""
    present: frozenset[Digest]
    """Digests of manifests and blobs known to be at the destination."""
    notes: Sequence[str] = ()

    @property
    def target_digest(self) -> Digest:
        """The image's digest at the destination."""
        return self.root.digest if self.root else self.digest


class Survey(NamedTuple):
    """Everything a plan is made from."""

    images: Sequence[ImageSurvey]
    options: Options
    homes: Mapping[str, str]
    """Target name → home: blobs mount between targets of one home."""
    importers: frozenset[str] = frozenset()
    """Destinations that may fetch images by themselves."""
    lockers: frozenset[str] = frozenset()
    """Destinations where promoted images are locked."""


class ImportStep(NamedTuple):
    """Have one destination fetch a whole image by itself, by digest."""

    destination: str
    source: str
    digest: Digest
    manifests: tuple[Digest, ...]
    """The root and all below it: what has to be there afterwards."""


class BlobStep(NamedTuple):
    """Bring one blob to one home: into its first destination, from there by mounts into the others."""

    blob: Descriptor
    action: Literal["copy", "mount", "ensure"]
    """``copy``: known to be absent. ``mount``: another repository of this home holds it. ``ensure``: the registry
    says which it is, in the request that would open the upload anyway."""
    sources: tuple[str, ...]
    """Targets that hold it, the best first."""
    mount_from: tuple[str, ...]
    """Targets of the destinations' home that hold it."""
    destinations: tuple[str, ...]


class ManifestStep(NamedTuple):
    """Store one manifest at one destination, by digest or under a legacy tag."""

    destination: str
    manifest: Manifest
    rank: int
    """Lower ranks are stored before higher ones: children, indexes, attachments."""
    sources: tuple[str, ...]
    tag: str | None = None


class TagMove(NamedTuple):
    """A tag that changes: what it held (None: new) and what it will hold."""

    destination: str
    tag: str
    old: Digest | None
    new: Digest


class TagStep(NamedTuple):
    """Point one tag at the image, after everything else."""

    move: TagMove
    manifest: Manifest
    expect: Digest | None
    sources: tuple[str, ...]
    """Targets that hold the image, should a blob turn out to be missing after all."""


class LockStep(NamedTuple):
    """Lock one tag and the image that it holds, last of all."""

    destination: str
    tag: str
    digest: Digest


class Plan(NamedTuple):
    """What a copy will do, in the order it will be done. `execute` does exactly this."""

    images: Sequence[ImageSurvey]
    strategies: Sequence[Strategy]
    """How each of the images comes to its destination."""
    imports: Sequence[ImportStep]
    """What is in them is in no other step. One that is refused makes another plan, see `imports`."""
    blobs: Sequence[BlobStep]
    """The largest first."""
    manifests: Sequence[ManifestStep]
    tags: Sequence[TagStep]
    locks: Sequence[LockStep]
    """For every tag that was asked for, whether it moves or not: an earlier run may have ended before them."""
    options: Options
    homes: Mapping[str, str]
    lockers: frozenset[str] = frozenset()

    @property
    def no_clobber(self) -> bool:
        return self.options.no_clobber

    @property
    def empty(self) -> bool:
        """Whether there is nothing to move; that locks are set once more counts for nothing."""
        return not (self.imports or self.blobs or self.manifests or self.tags)

    @property
    def moves(self) -> Sequence[TagMove]:
        """Every tag that was asked for, with what it held and what it will hold; equal where nothing moves."""
        return [
            TagMove(image.request.destination, tag, old, image.target_digest)
            for image in self.images
            for tag, old in image.tags.items()
        ]

    @property
    def tag_names(self) -> Sequence[str]:
        """Every tag that was asked for, in full: ``registry/repository:tag``."""
        return [f"{move.destination}:{move.tag}" for move in self.moves]

    @property
    def upload_bytes(self) -> int:
        """The most bytes that may move."""
        return sum(step.blob.size for step in self.blobs if step.action != "mount")


class Result(NamedTuple):
    """What a copy did."""

    present: int
    mounted: int
    copied: int
    """Blobs, each counted once per destination."""
    copied_bytes: int
    tags: Sequence[TagMove]
    """The tags that moved."""
    notes: Sequence[str]
    ways: Sequence[tuple[str, Digest, Strategy]] = ()
    """Destination, digest, and how the image came there: of an import that was refused, how it came instead."""

    def to_json(self) -> dict[str, Any]:
        return {
            "strategies": [
                {"destination": destination, "digest": digest, "strategy": strategy}
                for destination, digest, strategy in self.ways
            ],
            "blobs": {"present": self.present, "mounted": self.mounted, "copied": self.copied},
            "copiedBytes": self.copied_bytes,
            "tags": [
                {"destination": move.destination, "tag": move.tag, "old": move.old, "new": move.new}
                for move in self.tags
            ],
            "notes": list(self.notes),
        }


class Opener(Protocol):
    """Opens targets by name, each once; what `liftlock.targets.locate.Targets` does."""

    def open(self, name: str) -> Target: ...

    def open_writable(self, name: str) -> WritableTarget: ...

    def abort(self) -> None:
        """Wake every stalled call of every opened target with `Cancelled`."""
        ...
