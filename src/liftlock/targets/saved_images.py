"""What a docker archive says it holds: the images of ``manifest.json``, and what ``index.json`` adds to them.

``manifest.json`` is what `docker load` goes by, and the one file that all dialects share (moby, image/tarexport;
containers/image, docker/internal/tarfile; go-containerregistry, pkg/v1/tarball). ``index.json`` came with Docker 25: it
is believed as far as its blobs bear it out, so what is wrong with it is a note and no error; but two files that say two
different things about one name are refused, since two readers would see two images.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from liftlock.errors import CorruptContent, NotFound, UsageError
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.oci.reference import Reference
from liftlock.targets.originals import collect, image_manifests, read_json, read_roots
from liftlock.targets.tar_index import TarIndex
from liftlock.typed import NamedTuple

__all__ = ["Contents", "SavedImage", "choose", "read_contents"]

IMAGE_NAME = "io.containerd.image.name"
"""Annotation of an entry of ``index.json``: the full reference (containerd, core/images/archive)."""

SHOWN = 20
"""Candidates that an error lists."""

_NAMED_BY_DIGEST = re.compile(r"(?:sha256:|blobs/sha256/)?([0-9a-f]{64})(?:\.json)?\Z")
_IMAGE_ID = re.compile(r"[0-9a-f]{7,64}\Z")


class SavedImage(NamedTuple):
    """One image of the archive."""

    names: tuple[str, ...]
    """Its ``RepoTags``, as whoever saved it wrote them."""
    id: Digest | None
    """The digest of its config, which docker shows as the image ID. None when only ``index.json`` has the image."""
    config: str
    layers: tuple[str, ...]
    """Names of members: the config, and the layers from the bottom up."""
    root: Descriptor | None = None
    """What ``index.json`` says the image is."""

    @property
    def key(self) -> object:
        """Equal for equal images, whatever their names."""
        return self.id, self.root and self.root.digest

    @property
    def label(self) -> str:
        """For messages."""
        return self.names[0] if self.names else str(self.id)


class Contents(NamedTuple):
    """All images, in the archive's order, and what is odd about the archive."""

    images: Sequence[SavedImage]
    notes: Sequence[str]


def read_contents(tar: TarIndex) -> Contents:
    """List the images. Raises `UsageError` for what is no docker archive, `CorruptContent` for a malformed one."""
    if "manifest.json" not in tar:
        hint = "`docker save` and `podman save` write them"
        if "index.json" in tar or "oci-layout" in tar:
            hint = f"it is an OCI layout: write oci-archive:{tar.path}"
        elif "repositories" in tar:
            hint = "Docker before 1.10 wrote it: load it there and save it again"
        raise UsageError(f"{tar.path} is not a docker archive: it has no manifest.json", hint=hint)
    entries = read_json(tar, "manifest.json")
    if not isinstance(entries, list) or not entries:
        raise CorruptContent(f"{tar.path}: manifest.json is not a list of images")
    images = [_entry(tar, entry, position) for position, entry in enumerate(entries)]
    notes: list[str] = []
    try:
        roots = read_roots(tar)
    except CorruptContent as error:
        return Contents(images, [f"{error.message}; manifest.json is read instead"])
    for root in roots:
        _join(tar, images, root, notes)
    return Contents(images, notes)


def choose(path: str, images: Sequence[SavedImage], reference: str) -> SavedImage:
    """The image that is meant: by name, by image ID (7 digits or more), or by ``@`` and its position from 0.

    A name may be short: ``app:1`` is ``docker.io/library/app:1``, else what ends in ``/app:1``; without a tag it is
    ``latest``. A single image needs no reference. Raises `NotFound` and `UsageError`, listing the candidates.
    """
    hint = f"it holds {_listed(images)}"
    if not reference:
        if len({image.key for image in images}) > 1:
            raise UsageError(f"{path} holds {len(images)} images: say which one", hint=hint)
        return images[0]
    for matches in _ways(reference):
        found = [image for image in images if matches(image)]
        if len({image.key for image in found}) > 1:
            raise UsageError(f"{reference!r} could be several images of {path}", hint=hint)
        if found:
            return found[0]
    if reference[:1] == "@" and reference[1:].isdecimal() and reference.isascii() and len(reference) < 8:
        position = int(reference[1:])
        if position < len(images):
            return images[position]
    raise NotFound(f"{path} has no image {reference!r}", hint=hint)


def _ways(reference: str) -> Iterator[Callable[[SavedImage], bool]]:
    """The ways to mean an image, the strictest first."""
    yield lambda image: reference in image.names
    full = _full_name(reference)
    yield lambda image: any(_full_name(name) == full for name in image.names)
    tagged = reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"
    yield lambda image: any(name.endswith(f"/{tagged}") for name in image.names)
    if _IMAGE_ID.match(reference):
        yield lambda image: image.id is not None and image.id.hex.startswith(reference)


def _full_name(name: str) -> str:
    """``app`` → ``docker.io/library/app:latest``; what is no reference stays as it is."""
    try:
        reference = Reference.parse(name)
    except UsageError:
        return name
    return f"{reference.name}:{reference.tag or 'latest'}"


def _listed(images: Sequence[SavedImage]) -> str:
    shown = [
        f"@{position}: {' = '.join(map(repr, image.names)) or image.id}"
        for position, image in enumerate(images[:SHOWN])
    ]
    return "; ".join(shown) + (f"; and {len(images) - SHOWN} more" if len(images) > SHOWN else "")


def _entry(tar: TarIndex, entry: object, position: int) -> SavedImage:
    where = f"{tar.path}: manifest.json[{position}]"
    if not isinstance(entry, dict) or not isinstance(entry.get("Config"), str):
        raise CorruptContent(f"{where} names no Config")
    names, layers = (entry.get(field) or [] for field in ("RepoTags", "Layers"))
    for items in (names, layers):
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise CorruptContent(f"{where}: RepoTags and Layers are lists of strings")
    config = entry["Config"]
    found = Digest.of(tar.read(config))
    named = _NAMED_BY_DIGEST.match(config)
    if named and named[1] != found.hex:
        raise CorruptContent(f"{tar.path}: {config!r} has digest {found}: it was changed after it was saved")
    return SavedImage(tuple(names), found, config, tuple(layers))


def _join(tar: TarIndex, images: list[SavedImage], root: Descriptor, notes: list[str]) -> None:
    """Tell the images that an entry of ``index.json`` is about: by its name where it has one, and by its configs."""
    configs = {manifest.config.digest for manifest in image_manifests(tar, root) if manifest.config}
    named = root.annotations.get(IMAGE_NAME)
    if not isinstance(named, str) or not named:
        about = [image for image in images if image.id in configs]
    else:
        full = _full_name(named)
        about = [image for image in images if full in map(_full_name, image.names)]
        if not about:
            _add(tar, images, SavedImage((named,), None, "", (), root), root, notes)
        elif configs and not any(image.id in configs for image in about):
            raise CorruptContent(f"{tar.path}: index.json and manifest.json mean different images by {named!r}")
    for position, image in enumerate(images):
        if image in about and image.root is None:
            images[position] = image._replace(root=root)


def _add(tar: TarIndex, images: list[SavedImage], image: SavedImage, root: Descriptor, notes: list[str]) -> None:
    """Take in an image that only ``index.json`` has, if it is whole."""
    try:
        collect(tar, root)
    except CorruptContent as error:
        notes.append(f"{error.message}; {image.label!r}, which only index.json has, is left out")
    else:
        images.append(image)
