"""What a survey has found out about one image so far."""

from __future__ import annotations

from liftlock.oci.digest import HEX_LENGTH, Digest
from liftlock.oci.manifest import Manifest
from liftlock.transfer.model import Attachment, CopyRequest, ImageSurvey

__all__ = ["Findings"]


class Findings:
    """What is known of one request so far."""

    def __init__(self, request: CopyRequest) -> None:
        self.request = request
        # In a docker archive, `app:1` is a name as well.
        pinned = request.reference.partition(":")[0] in HEX_LENGTH
        self.pinned = Digest(request.reference) if pinned else None
        self.tags: dict[str, Digest | None] = {}
        self.source_digest: Digest
        if self.pinned:
            self.source_digest = self.pinned  # otherwise the first wave sets it
        self.root: Manifest | None = None
        self.manifests: dict[Digest, Manifest] = {}
        self.attachments: list[Attachment] = []
        self.present: set[Digest] = set()
        self.notes: list[str] = []

    @property
    def digest(self) -> Digest:
        """Of the image as it shall be at the destination."""
        return self.root.digest if self.root else self.source_digest

    @property
    def own(self) -> list[Digest]:
        """The root and the manifests below it, as they shall be at the destination."""
        return [self.digest, *self.manifests]

    @property
    def in_place(self) -> bool:
        """A retag inside one repository: everything below the root is there, and so is what refers to it."""
        return self.request.source == self.request.destination

    @property
    def tagged(self) -> bool:
        """Whether all tags hold the image already."""
        return bool(self.tags) and set(self.tags.values()) == {self.digest}

    @property
    def subjects(self) -> list[Digest]:
        """What attachments may refer to: the root and the manifests below it, as the source has them."""
        found = dict.fromkeys([self.digest] if self.digest == self.source_digest else [])
        for manifest in (self.root, *self.manifests.values()):
            if manifest is not None:
                found |= dict.fromkeys(child.digest for child in manifest.manifests)
        return list(found | dict.fromkeys(self.manifests))

    def lacking(self) -> list[Manifest]:
        """The manifests that are not known to be at the destination."""
        everything = [self.root, *self.manifests.values(), *(attachment.manifest for attachment in self.attachments)]
        return [manifest for manifest in everything if manifest is not None and manifest.digest not in self.present]

    def order(self) -> None:
        """Put the manifests below the root into an order in which each comes after all that it points at."""
        ordered: dict[Digest, Manifest] = {}

        def visit(manifest: Manifest) -> None:
            for child in manifest.manifests:
                if child.digest in self.manifests and child.digest not in ordered:
                    visit(self.manifests[child.digest])
            if manifest is not self.root:
                ordered[manifest.digest] = manifest

        if self.root is not None:
            visit(self.root)
        self.manifests = ordered

    def finished(self) -> ImageSurvey:
        return ImageSurvey(
            request=self.request,
            digest=self.source_digest,
            root=self.root,
            manifests=list(self.manifests.values()),
            attachments=self.attachments,
            tags={tag: self.tags[tag] for tag in self.request.tags},  # as asked for, whichever answer came first
            present=frozenset(self.present),
            notes=self.notes,
        )
