"""Platform subsets: the one thing that makes a new index, so it only happens when asked for and is always reported."""

from __future__ import annotations

import json
from collections.abc import Sequence

from liftlock.errors import CorruptContent, NotFound
from liftlock.oci.manifest import Manifest, Platform
from liftlock.targets.base import Target, read_blob

__all__ = ["narrowed"]

ATTESTATION_OF = "vnd.docker.reference.digest"
"""BuildKit's annotation on an attestation child: the digest of the child it is about."""


def narrowed(root: Manifest, platforms: Sequence[Platform], source: Target) -> tuple[Manifest, list[str]]:
    """The image with only these platforms, and what to tell about it.

    An index loses its other children (attestations stay with the child they are about); its digest changes, unless
    nothing had to go. A single-platform image must be one of the platforms. Raises `NotFound` otherwise.
    """
    if not root.is_index:
        found = _platform_of(root, source)
        if not any(found.matches(wanted) for wanted in platforms):
            raise NotFound(f"{source.name}@{root.digest} is for {found} only")
        return root, []
    offered = {child.digest: child.platform for child in root.manifests}
    for wanted in platforms:
        if not any(platform and platform.matches(wanted) for platform in offered.values()):
            names = sorted({str(platform) for platform in offered.values() if platform and platform.os != "unknown"})
            raise NotFound(f"{source.name}@{root.digest} has no {wanted}", hint=f"it has {', '.join(names) or 'none'}")
    kept = {
        digest
        for digest, platform in offered.items()
        if platform and any(platform.matches(wanted) for wanted in platforms)
    }
    kept |= {child.digest for child in root.manifests if child.annotations.get(ATTESTATION_OF) in kept}
    if len(kept) == len(offered):
        return root, []
    children = [child.to_json() for child in root.manifests if child.digest in kept]
    smaller = Manifest.build({**root.json, "manifests": children})
    dropped = len(offered) - len(kept)
    return smaller, [
        f"{source.name}@{root.digest} became the smaller index {smaller.digest}: {dropped} children left out"
    ]


def _platform_of(image: Manifest, source: Target) -> Platform:
    if image.config is None:
        raise NotFound(f"{source.name}@{image.digest} has no platform")
    try:
        config = json.loads(read_blob(source, image.config))
        return Platform(str(config["os"]), str(config["architecture"]), str(config.get("variant") or ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CorruptContent(f"config of {source.name}@{image.digest} names no platform") from None
