"""Finds out what the sources hold and what the destinations already have. Reads only.

It goes in waves, over all images at once, so that a hundred images cost few round trips: roots and destination tags;
children; referrers and legacy cosign tags; what the destination has of all that. How many requests each wave costs is
part of the product (docs/performance.md has the budget; tests count).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from liftlock.errors import CorruptContent, LiftlockError, NotFound, UsageError
from liftlock.oci.digest import Digest
from liftlock.oci.distribution import fallback_tag
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.transfer.events import Cancel
from liftlock.transfer.findings import Findings
from liftlock.transfer.model import Attachment, CopyRequest, Opener, Options, Survey
from liftlock.transfer.pool import WORKERS, Job, gather, run
from liftlock.transfer.sides import at
from liftlock.typed import TypeVar

__all__ = ["LEGACY_SUFFIXES", "survey"]

DEFAULTS = Options()

Item = TypeVar("Item")
Answer = TypeVar("Answer")

LEGACY_SUFFIXES = (".sig", ".att", ".sbom")
"""cosign's tags for signatures, attestations and SBOMs, from before there were referrers (cosign's SIGNATURE_SPEC)."""

MAX_MANIFESTS = 20_000
"""Manifests of one survey, attachments included: more is an endless graph or an attack."""


def survey(
    requests: Sequence[CopyRequest],
    targets: Opener,
    options: Options = DEFAULTS,
    *,
    workers: int = WORKERS,
    cancel: Cancel | None = None,
) -> Survey:
    """Ask sources and destinations what a plan needs to know.

    Raises `NotFound` when a source image, or a part of it, is absent; `UsageError` when two requests contradict each
    other; and whatever the targets raise, with the side it came from.
    """
    _refuse_contradictions(requests)
    images = [Findings(request) for request in requests]
    surveyor = _Surveyor(images, targets, options, workers, cancel)
    surveyor.roots()
    surveyor.children()
    if options.referrers:
        surveyor.attachments()
    surveyor.destinations()
    names = {name for request in requests for name in (request.source, request.destination)}
    destinations = {request.destination for request in requests}
    return Survey(
        images=[image.finished() for image in images],
        options=options,
        homes={name: targets.open(name).home for name in sorted(names)},
        importers=frozenset(name for name in destinations if targets.open_writable(name).importer),
        lockers=frozenset(name for name in destinations if options.lock and targets.open_writable(name).locker),
    )


def _load() -> None:
    """Load what the first answers will need, while they are on their way."""
    import liftlock.transfer.execute  # noqa: F401


def _refuse_contradictions(requests: Sequence[CopyRequest]) -> None:
    seen: dict[tuple[str, str], CopyRequest] = {}
    for request in requests:
        for tag in request.tags:
            other = seen.setdefault((request.destination, tag), request)
            if (other.source, other.reference) != (request.source, request.reference):
                raise UsageError(
                    f"{request.destination}:{tag} is the destination of two images",
                    hint="give each image a repository or a tag of its own",
                )


class _Surveyor:
    def __init__(
        self, images: Sequence[Findings], targets: Opener, options: Options, workers: int, cancel: Cancel | None
    ) -> None:
        self.images = images
        self.targets = targets
        self.options = options
        self.workers = workers
        self.cancel = cancel
        self._fetched: dict[tuple[str, str], Manifest] = {}

    # -- the waves

    def roots(self) -> None:
        """Destination tags and source roots, together: one round trip. A pinned source waits for the tags, since
        equal tags make its manifest needless; a metered one is asked for its digest only."""
        first: list[Callable[[], None]] = []
        for image in self.images:
            first.extend(partial(self._destination_tag, image, tag) for tag in dict.fromkeys(image.request.tags))
        fetch: dict[tuple[str, str], list[Findings]] = {}
        for image in self.images:
            if image.pinned is None:
                fetch.setdefault((image.request.source, image.request.reference), []).append(image)
        for (source, reference), sharing in fetch.items():
            metered = self.targets.open(source).metered and not self.options.platforms
            first.append(partial(self._source_digest if metered else self._source_root, source, reference, sharing))
        self._run([*first, _load] if first else ())
        second: list[Callable[[], None]] = []
        for image in self.images:
            if image.root is None and self._needs_root(image):
                second.append(partial(self._source_root, image.request.source, image.source_digest, [image]))
                if image.pinned and self._may_be_there(image):
                    second.append(partial(self._destination_root, image, image.pinned))
            elif not image.in_place and self.targets.open_writable(image.request.destination).importer:
                # Only what is not there is imported, so that question is worth asking.
                second.append(partial(self._destination_root, image, image.digest))
        self._run(second)
        if self.options.platforms:
            from liftlock.transfer.platforms import narrowed

            for image in self.images:
                if image.root is not None:
                    with at("source"):
                        holder = self.targets.open(image.request.source)
                        image.root, notes = narrowed(image.root, self.options.platforms, holder)
                    image.notes.extend(notes)

    def children(self) -> None:
        """Everything below the roots, level by level; only indexes where the destination has the image already."""
        frontier = [(image, image.root) for image in self.images if image.root is not None and not image.in_place]
        while frontier:
            wanted = [
                (image, child)
                for image, manifest in frontier
                for child in manifest.manifests
                if child.digest not in image.manifests and (child.is_index or not image.tagged or self.options.exact)
            ]
            manifests = self._each(lambda pair: self._child(pair[0].request.source, pair[1]), wanted)
            frontier = []
            for (image, _), manifest in zip(wanted, manifests, strict=True):
                if manifest.digest not in image.manifests:
                    image.manifests[manifest.digest] = manifest
                    frontier.append((image, manifest))
            self._bound()
        for image in self.images:
            image.order()

    def attachments(self) -> None:
        """Referrers, their referrers, and legacy cosign tags, of every image and each of its children."""
        images = [image for image in self.images if not image.in_place]
        sources = list(dict.fromkeys(image.request.source for image in images))
        tags = dict(zip(sources, self._each(self._source_tags, sources), strict=True))
        seen = {id(image): set(image.subjects) for image in images}
        frontier = [(image, subject) for image in images for subject in image.subjects]
        while frontier:
            found = self._each(lambda pair: self._attached(*pair, tags[pair[0].request.source]), frontier)
            frontier = []
            for image, attachment in (item for items in found for item in items):
                manifest = attachment.manifest
                image.attachments.append(attachment)
                if manifest.digest not in seen[id(image)]:
                    seen[id(image)].add(manifest.digest)
                    frontier.append((image, manifest.digest))
                    frontier.extend(self._below(image, manifest, seen[id(image)]))
            self._bound()

    def destinations(self) -> None:
        """What the destinations have: everything when ``exact``, otherwise only where it is likely to save work."""
        checks: list[Callable[[], None]] = []
        for image in self.images:
            if image.in_place:
                continue
            if image.tagged or image.digest in image.tags.values():
                image.present.add(image.digest)
            there = image.digest in image.present
            if there:
                image.present.update(child for child in image.subjects)
            for attachment in image.attachments:
                if attachment.tag is not None:
                    checks.append(partial(self._legacy_tag, image, attachment, attachment.tag))
                elif there or self.options.exact:
                    checks.append(partial(self._destination_root, image, attachment.manifest.digest))
            if self.options.exact and not there:
                checks.extend(partial(self._destination_root, image, digest) for digest in image.own)
        self._run(checks)
        if self.options.exact:
            self._destination_blobs()

    def _destination_blobs(self) -> None:
        wanted = dict.fromkeys(
            (image.request.destination, blob.digest)
            for image in self.images
            if not image.in_place
            for manifest in image.lacking()
            for blob in manifest.blobs
        )
        found = self._each(self._destination_has, wanted)
        there = {key for key, has in zip(wanted, found, strict=True) if has}
        for image in self.images:
            image.present.update(digest for name, digest in there if name == image.request.destination)

    # -- single questions

    def _destination_tag(self, image: Findings, tag: str) -> None:
        with at("destination"):
            found = self.targets.open_writable(image.request.destination).resolve(tag)
        image.tags[tag] = found.digest if found else None

    def _destination_root(self, image: Findings, digest: Digest) -> None:
        with at("destination"):
            if self.targets.open_writable(image.request.destination).resolve(digest) is not None:
                image.present.add(digest)

    def _source_digest(self, source: str, reference: str, sharing: Sequence[Findings]) -> None:
        with at("source"):
            found = self.targets.open(source).resolve(reference)
            if found is None:
                raise NotFound(f"{source}:{reference} does not exist")
        for image in sharing:
            image.source_digest = found.digest

    def _source_root(self, source: str, reference: str, sharing: Sequence[Findings]) -> None:
        manifest = self._fetch(source, reference)
        for image in sharing:
            image.root = manifest
            image.source_digest = manifest.digest

    def _attached(self, image: Findings, subject: Digest, tags: frozenset[str]) -> list[tuple[Findings, Attachment]]:
        found: list[tuple[Findings, Attachment]] = []
        with at("source"):
            source = self.targets.open(image.request.source)
            for descriptor in source.referrers(subject, tags):
                try:
                    manifest = self._child(image.request.source, descriptor)
                except NotFound:
                    image.notes.append(f"referrer {descriptor.digest} of {subject} is listed, but not there: left out")
                    continue
                if manifest.subject is None or manifest.subject.digest != subject:
                    # Some registries answer with the index's own children (oras-project/oras#2148).
                    continue
                label = descriptor.artifact_type or manifest.artifact_type
                found.append((image, Attachment(subject, manifest, label=label)))
            for suffix in LEGACY_SUFFIXES:
                tag = fallback_tag(subject, suffix)
                if tag in tags:
                    found.append(
                        (
                            image,
                            Attachment(subject, self._fetch(image.request.source, tag), tag, label=f"cosign {suffix}"),
                        )
                    )
        return found

    def _below(self, image: Findings, manifest: Manifest, seen: set[Digest]) -> list[tuple[Findings, Digest]]:
        """An attachment may be an index: its children travel as the image's do."""
        found: list[tuple[Findings, Digest]] = []
        for child in manifest.manifests:
            if child.digest not in seen:
                seen.add(child.digest)
                fetched = self._child(image.request.source, child)
                found.append((image, child.digest))
                found.extend(self._below(image, fetched, seen))
                image.manifests[child.digest] = fetched
        return found

    def _legacy_tag(self, image: Findings, attachment: Attachment, tag: str) -> None:
        """A legacy tag holds *all* signatures of a digest: never replace one that has what the source lacks."""
        with at("destination"):
            destination = self.targets.open_writable(image.request.destination)
            found = destination.resolve(tag)
            if found is None:
                return
            if found.digest == attachment.manifest.digest:
                image.present.add(attachment.manifest.digest)
                return
            there = destination.manifest(found.digest)
        extra = {blob.digest for blob in there.layers} - {blob.digest for blob in attachment.manifest.layers}
        if extra:
            image.attachments.remove(attachment)
            image.notes.append(
                f"{image.request.destination}:{tag} holds {len(extra)} entries that the source lacks: kept"
            )

    # -- helpers

    def _each(self, function: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
        return gather(function, items, workers=self.workers, cancel=self.cancel)

    def _run(self, calls: Iterable[Callable[[], None]]) -> None:
        run([Job(call) for call in calls], workers=self.workers, cancel=self.cancel)

    def _fetch(self, source: str, reference: str) -> Manifest:
        """A manifest of a source, asked for once however many images share it."""
        key = (source, reference)
        if key not in self._fetched:
            with at("source"):
                self._fetched[key] = self.targets.open(source).manifest(reference)
        return self._fetched[key]

    def _child(self, source: str, descriptor: Descriptor) -> Manifest:
        manifest = self._fetch(source, descriptor.digest)
        if descriptor.size != manifest.size:
            raise CorruptContent(
                f"{source}@{descriptor.digest} has {manifest.size} bytes, its descriptor says {descriptor.size}",
                side="source",
            )
        return manifest

    def _source_tags(self, name: str) -> frozenset[str]:
        with at("source"):
            return frozenset(self.targets.open(name).tags())

    def _destination_has(self, key: tuple[str, Digest]) -> bool:
        with at("destination"):
            return self.targets.open_writable(key[0]).has_blob(key[1])

    def _same_home(self, image: Findings) -> bool:
        return self.targets.open(image.request.source).home == self.targets.open(image.request.destination).home

    def _may_be_there(self, image: Findings) -> bool:
        """Whether one question about the image's digest is likely to save the work of bringing it."""
        if not image.tags:
            return not image.in_place  # only its content is wanted, and its digest is all there is to ask for
        return not image.tagged and not self._same_home(image)

    def _needs_root(self, image: Findings) -> bool:
        """Nothing more is to be known of an image that every tag holds, unless its attachments may be new."""
        if image.in_place:
            return not image.tagged
        return not image.tagged or self.options.referrers or self.options.exact or bool(self.options.platforms)

    def _bound(self) -> None:
        if sum(len(image.manifests) + len(image.attachments) for image in self.images) > MAX_MANIFESTS:
            raise LiftlockError(
                f"the images have more than {MAX_MANIFESTS} manifests and attachments",
                hint="copy fewer images at once, or leave attachments behind with --no-referrers",
            )
