"""What an image of the store consists of; what is not here is fetched from where the image was pulled."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping

from liftlock.ci.docker.platforms import of_host
from liftlock.ci.docker.run import Run
from liftlock.ci.docker.store import Image, Store
from liftlock.ci.docker.words import Said
from liftlock.errors import LiftlockError, NotFound
from liftlock.oci.manifest import Manifest
from liftlock.services.session import Session
from liftlock.targets.base import read_blob
from liftlock.typed import Any

__all__ = ["config", "gone", "has_credentials", "host_manifest", "is_about", "known_config", "total"]


def host_manifest(store: Store, image: Image) -> Manifest | None:
    """The manifest that this machine would run: the image's own, or its platform's; None for an empty index."""
    manifest = store.manifest(image.digest)
    while manifest.is_index:
        child = of_host(manifest)
        if child is None:
            return None
        manifest = store.manifest(child.digest)
    return manifest


def known_config(store: Store, manifest: Manifest) -> Mapping[str, Any]:
    """The image config, as far as it is here; empty when it is not."""
    if manifest.config is None or not store.has_blob(manifest.config.digest):
        return {}
    return _object(read_blob(store, manifest.config))


def config(run: Run, image: Image, manifest: Manifest) -> Mapping[str, Any]:
    """The image config, fetched once when the image was pulled lazily. Raises `Said` when its origin lost it."""
    store, blob = run.store, manifest.config
    if blob is not None and not store.has_blob(blob.digest) and image.origin:
        with run.session() as session, store.used():
            try:
                data = read_blob(session.targets.open(image.origin), blob)
            except NotFound as error:
                raise gone(image, error) from None
            store.put_blob(blob, lambda: io.BytesIO(data))
    return known_config(store, manifest)


def has_credentials(session: Session, place: str) -> bool:
    """Whether there are credentials for a repository."""
    registry, _, repository = place.partition("/")
    try:
        return session.keychain.find(registry, repository) is not None
    except LiftlockError:
        return False  # a cloud that gives none may be what was refused


def is_about(error: LiftlockError, place: str) -> bool:
    """Whether the error is of this repository, and not of one whose name only begins like it."""
    return re.search(f"{re.escape(place)}(?=[@: ]|$)", error.message) is not None


def gone(image: Image, error: NotFound) -> Said:
    """The failure of an image that was pulled lazily, and is not where it was any more."""
    return Said(
        f"{image.origin}@{image.digest} is gone from where it was pulled",
        detail=str(error),
        hint="pull brought its manifests only; docker pull --eager (LIFTLOCK_DOCKER_EAGER=1) keeps all of it",
    )


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def total(manifest: Manifest) -> int:
    """Bytes of a manifest's blobs, compressed as they are."""
    return sum({blob.digest: blob.size for blob in manifest.blobs}.values())
