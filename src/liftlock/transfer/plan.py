"""Turns a survey into a plan. Pure: no I/O, no clock; the same survey gives the same plan."""

from __future__ import annotations

from collections.abc import Iterator

from liftlock.errors import Conflict
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.transfer.model import BlobStep, ImageSurvey, ManifestStep, Plan, Survey, TagMove, TagStep
from liftlock.typed import Literal

__all__ = ["make_plan"]

ATTACHMENTS = 1000
"""Rank of what refers to an image: after every index, which nest at most a few levels deep."""


def make_plan(survey: Survey) -> Plan:
    """What has to be done so that every requested tag holds its image, with all that belongs to it.

    Duplicates are removed over all images: a blob is read once and goes to each home once. Raises `Conflict` when a
    tag may not move (``--no-clobber``, ``--expect``): so a dry run refuses what the copy would refuse.
    """
    blobs = _Blobs(survey)
    manifests: dict[tuple[str, Digest, str | None], ManifestStep] = {}
    tags: dict[tuple[str, str], TagStep] = {}
    changed = [image for image in survey.images if image.root is not None and _moves(image)]
    for image in survey.images:
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
        blobs=blobs.steps(),
        manifests=sorted(manifests.values(), key=lambda step: step.rank),
        tags=list(tags.values()),
        no_clobber=survey.options.no_clobber,
        homes=survey.homes,
    )


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
        for manifest in (*image.manifests, image.root, *(attachment.manifest for attachment in image.attachments)):
            if manifest is None or manifest.digest in image.present:
                continue
            for blob in manifest.blobs:
                if blob.is_nondistributable:
                    continue
                key = (home, blob.digest)
                self._sources.setdefault(blob.digest, {})[request.source] = None
                if self._homes[request.source] == home:
                    self._holders.setdefault(key, {})[request.source] = None
                if blob.digest in image.present:
                    self._holders.setdefault(key, {})[request.destination] = None
                else:
                    self._wanted.setdefault(key, blob)
                    self._destinations.setdefault(key, {})[request.destination] = None

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
