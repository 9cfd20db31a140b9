"""An artifact store under test, with what puts images into it and reaches behind it."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable

from liftlock.oci import media_types as mt
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.release.artifact import Artifact
from liftlock.store.artifact_store import ArtifactStore, image_tag
from liftlock.store.object_store import ObjectStore
from liftlock.targets.base import WritableTarget
from liftlock.targets.object_store import ObjectTarget
from tests.support.objects import Place

__all__ = ["LATER", "Shelf", "artifact", "content", "in_a_bucket"]

LATER = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
"""So that everything is old enough to be collected."""


def content(text: bytes, media_type: str = mt.OCI_LAYER) -> Descriptor:
    return Descriptor(media_type, Digest.of(text), len(text))


def artifact(build: str, **images: Manifest) -> Artifact:
    return Artifact(images={name: image.descriptor for name, image in images.items()}, build=build)


class Shelf:
    """A store under test, and what reaches behind it."""

    def __init__(
        self, store: ArtifactStore, target: WritableTarget, change: Callable[[Artifact, bytes], object]
    ) -> None:
        self.store = store
        self.target = target
        self.change = change
        """Replace the bytes of an artifact's document, behind everybody's back."""

    def image(self, *layers: bytes) -> Manifest:
        """An image whose content is there, without a tag."""
        for text in (b"{}", *layers):
            self.target.put_blob(content(text), lambda text=text: io.BytesIO(text))  # type: ignore[misc]
        manifest = Manifest.build(
            {
                "schemaVersion": 2,
                "mediaType": mt.OCI_MANIFEST,
                "config": content(b"{}", mt.OCI_CONFIG).to_json(),
                "layers": [content(layer).to_json() for layer in layers],
            }
        )
        self.target.put_manifest(manifest)
        return manifest

    def publish(self, build: str, **images: Manifest) -> Artifact:
        made = artifact(build, **images)
        for name, image in images.items():
            self.target.put_manifest(image, image_tag(made, name))
        self.store.put(made)
        return made


def in_a_bucket(place: Place) -> Shelf:
    target = ObjectTarget(place.url, place.env)

    def change(one: Artifact, text: bytes) -> None:
        place.write(f"artifacts/{one.id.hex}.json", text)

    return Shelf(ObjectStore(target, place.env), target, change)
