"""Turns a survey into a plan. Pure: no I/O, no clock; the same survey gives the same plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from liftlock.errors import Conflict
from liftlock.oci.digest import Digest
from liftlock.oci.hosts import is_public
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.transfer.model import (
    BlobStep,
    ImageSurvey,
    ImportStep,
    LockStep,
    ManifestStep,
    Plan,
    Strategy,
    Survey,
    TagMove,
    TagStep,
)
from liftlock.typed import Literal

__all__ = ["make_plan"]

MOST_IMPORTED = 50
"""Manifests of one image that a registry imports (learn.microsoft.com, "Import container images": Limitations)."""

ATTACHMENTS = 1000
"""Rank of what refers to an image: after every index, which nest at most a few levels deep."""


def make_plan(survey: Survey) -> Plan:
    """What has to be done so that every requested tag holds its image, with all that belongs to it.

    Duplicates are removed over all images: a blob is read once and goes to each home once. Raises `Conflict` when a
    tag may not move (``--no-clobber``, ``--expect``): so a dry run refuses what the copy would refuse.
    """
    imports = {position: step for position, image in enumerate(survey.images) if (step := _import(image, survey))}
    # What is imported is there when the other steps begin.
    images = [
        image._replace(present=image.present.union(imports[position].manifests)) if position in imports else image
        for position, image in enumerate(survey.images)
    ]
    blobs = _Blobs(survey)
    manifests: dict[tuple[str, Digest, str | None], ManifestStep] = {}
    tags: dict[tuple[str, str], TagStep] = {}
    changed = [image for image in images if image.root is not None and _moves(image)]
    for image in images:
        request = image.request
        if image.root is None:
            continue
        if request.source != request.destination:
            # With several images no tag moves before everything is verified, so each root comes by digest first; so
            # it does when something refers to it. A lone image saves that request: its tag brings it.
            by_digest = len(changed) > 1 or bool(image.attachments) or not request.tags
            for manifest, rank, tag in _manifests(image, image.root, by_digest):
                key = (request.destination, manifest.digest, tag)
                known = manifests.get(key)
                sources = (known.sources if known else ()) + (request.source,)
                manifests[key] = ManifestStep(request.destination, manifest, rank, tuple(dict.fromkeys(sources)), tag)
            blobs.add(image)
        for tag in _moves(image):
            move = TagMove(request.destination, tag, image.tags[tag], image.root.digest)
            _refuse(move, request.expect, survey.options.no_clobber)
            tags[request.destination, tag] = TagStep(move, image.root, request.expect, (request.source,))
    return Plan(
        images=survey.images,
        strategies=[
            "import" if position in imports else blobs.strategy(image) for position, image in enumerate(images)
        ],
        imports=list({(step.destination, step.digest): step for step in imports.values()}.values()),
        blobs=blobs.steps(),
        manifests=sorted(manifests.values(), key=lambda step: step.rank),
        tags=list(tags.values()),
        locks=[
            LockStep(image.request.destination, tag, image.target_digest)
            for image in images
            if image.request.destination in survey.lockers
            for tag in image.tags
        ],
        options=survey.options,
        homes=survey.homes,
        lockers=survey.lockers,
    )


def _import(image: ImageSurvey, survey: Survey) -> ImportStep | None:
    """The import that brings an image, where its destination lacks it and its registry may fetch it."""
    source, destination = image.request.source, image.request.destination
    if destination not in survey.importers or survey.homes[source] == survey.homes[destination]:
        return None
    if image.root is None or image.root.digest != image.digest or image.root.digest in image.present:
        return None  # a smaller index is at no source
    manifests = _below(image.root, {manifest.digest: manifest for manifest in image.manifests})
    if len(manifests) > MOST_IMPORTED or not is_public(source.partition("/")[0]):
        return None
    return ImportStep(destination, source, image.root.digest, manifests)


def _below(root: Manifest, manifests: Mapping[Digest, Manifest]) -> tuple[Digest, ...]:
    """A manifest and all that it is made of; what refers to it is not."""
    found = {root.digest: None}
    frontier = [root]
    while frontier:
        children = [child.digest for child in frontier.pop().manifests if child.digest not in found]
        found |= dict.fromkeys(children)
        frontier += [manifests[digest] for digest in children if digest in manifests]
    return tuple(found)


def _moves(image: ImageSurvey) -> list[str]:
    """The tags that hold something else than the image."""
    return [tag for tag, old in image.tags.items() if old != image.target_digest]


def _refuse(move: TagMove, expect: Digest | None, no_clobber: bool) -> None:
    if no_clobber and move.old is not None:
        raise Conflict(
            f"{move.destination}:{move.tag} already holds {move.old}",
            hint="without --no-clobber it would move",
            side="destination",
        )
    if expect is not None and move.old != expect:
        raise Conflict(
            f"{move.destination}:{move.tag} holds {move.old or 'nothing'}, expected {expect}",
            hint="somebody moved it; look at what is there now",
            side="destination",
        )


def _manifests(image: ImageSurvey, root: Manifest, root_by_digest: bool) -> Iterator[tuple[Manifest, int, str | None]]:
    """Every manifest that is to be stored, with its rank; children before indexes before attachments."""
    rank: dict[Digest, int] = {}
    for manifest in (*image.manifests, root):
        rank[manifest.digest] = 1 + max((rank.get(child.digest, 0) for child in manifest.manifests), default=-1)
        if manifest.digest not in image.present and (manifest is not root or root_by_digest):
            yield manifest, rank[manifest.digest], None
    for attachment in image.attachments:
        if attachment.manifest.digest not in image.present:
            yield attachment.manifest, ATTACHMENTS, attachment.tag


def _lacking(image: ImageSurvey) -> Iterator[Manifest]:
    """The manifests that are not known to be at the destination."""
    for manifest in (*image.manifests, image.root, *(attachment.manifest for attachment in image.attachments)):
        if manifest is not None and manifest.digest not in image.present:
            yield manifest


def _blobs(image: ImageSurvey) -> Iterator[Descriptor]:
    """The blobs of these manifests; layers that are fetched elsewhere are not copied."""
    for manifest in _lacking(image):
        yield from (blob for blob in manifest.blobs if not blob.is_nondistributable)


class _Blobs:
    """Gathers the blobs of all images, by home and digest."""

    def __init__(self, survey: Survey) -> None:
        self._homes = survey.homes
        self._exact = survey.options.exact
        self._wanted: dict[tuple[str, Digest], Descriptor] = {}
        self._sources: dict[Digest, dict[str, None]] = {}
        self._destinations: dict[tuple[str, Digest], dict[str, None]] = {}
        self._holders: dict[tuple[str, Digest], dict[str, None]] = {}

    def add(self, image: ImageSurvey) -> None:
        request = image.request
        home = self._homes[request.destination]
        for blob in _blobs(image):
            key = (home, blob.digest)
            self._sources.setdefault(blob.digest, {})[request.source] = None
            if self._homes[request.source] == home:
                self._holders.setdefault(key, {})[request.source] = None
            if blob.digest in image.present:
                self._holders.setdefault(key, {})[request.destination] = None
            else:
                self._wanted.setdefault(key, blob)
                self._destinations.setdefault(key, {})[request.destination] = None

    def strategy(self, image: ImageSurvey) -> Strategy:
        """How an image comes to its destination; asked when all images were added."""
        destination = image.request.destination
        home = self._homes[destination]
        if image.request.source == destination or not any(_lacking(image)):
            return "retag" if _moves(image) else "present"
        wanted = [(home, blob.digest) for blob in _blobs(image) if blob.digest not in image.present]
        # Of a blob that comes from elsewhere, the first destination gets the bytes; the others mount it from there.
        sent = any(not self._holders.get(key) and next(iter(self._destinations[key])) == destination for key in wanted)
        if sent or not (wanted or self._homes[image.request.source] == home):
            return "copy"
        return "mount"

    def steps(self) -> list[BlobStep]:
        """The largest first; what is equally large by digest, so that plans are reproducible."""
        found = [self._step(key, blob) for key, blob in self._wanted.items()]
        return sorted(found, key=lambda step: (-step.blob.size, step.blob.digest))

    def _step(self, key: tuple[str, Digest], blob: Descriptor) -> BlobStep:
        holders = tuple(self._holders.get(key, ()))
        action: Literal["copy", "mount", "ensure"] = "ensure"
        if holders:
            action = "mount"
        elif self._exact:
            action = "copy"
        return BlobStep(blob, action, tuple(self._sources[key[1]]), holders, tuple(self._destinations[key]))
