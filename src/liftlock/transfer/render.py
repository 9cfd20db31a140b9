"""A plan as JSON: what ``--dry-run`` prints, with the requests it will take."""

from __future__ import annotations

from liftlock.transfer.model import BlobStep, Plan
from liftlock.typed import Any

__all__ = ["plan_json", "request_count"]

LOCAL = ("oci:", "oci-archive:", "docker-archive:", "memory:")
"""Prefixes of the names of targets that cost no requests."""

SMALL_COPY, MOUNT = 2, 1
"""Requests to the destination for a blob: POST and PUT, or the one POST that mounts it."""
LOCK = 3
"""Requests to the destination for a lock: tag and manifest are locked, and the tag is looked at once more."""


def request_count(plan: Plan) -> int:
    """How many registry requests `execute` will make, if every mount is granted; token requests and redirects apart.

    Of an import those count that look whether all of it is there; what asks for it goes to no registry. An ``ensure``
    counts as a copy, the dearer of its two ends; an exact survey leaves none.
    """
    total = sum(len(step.manifests) for step in plan.imports) + LOCK * len(plan.locks)
    for step in plan.blobs:
        total += _blob(step)
    total += sum(_remote(step.destination) for step in plan.manifests)
    total += sum(2 * _remote(step.move.destination) for step in plan.tags)
    total += sum(_remote(step.move.destination) for step in plan.tags if plan.no_clobber or step.expect is not None)
    put = {(step.destination, step.manifest.digest) for step in plan.manifests}
    roots = {(image.request.destination, image.root.digest) for image in plan.images if image.root is not None}
    total += sum(_remote(destination) for destination, _ in put & roots)
    attached = {
        (step.destination, step.manifest.subject.digest)
        for step in plan.manifests
        if step.manifest.subject is not None and step.tag is None
    }
    return total + sum(_remote(destination) for destination, _ in attached)


def _blob(step: BlobStep) -> int:
    first = step.destinations[0]
    bring = MOUNT if step.action == "mount" else SMALL_COPY
    read = 0 if step.action == "mount" else _remote(step.sources[0])
    return read + bring * _remote(first) + MOUNT * sum(_remote(other) for other in step.destinations[1:])


def _remote(name: str) -> int:
    return 0 if name.startswith(LOCAL) else 1


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan for programs: images, tag moves, blobs and bytes by action, manifests, requests."""
    blobs = {
        action: {"count": len(steps), "bytes": sum(step.blob.size for step in steps)}
        for action in ("copy", "ensure", "mount")
        for steps in [[step for step in plan.blobs if step.action == action]]
    }
    return {
        "images": [
            {
                "source": f"{image.request.source}@{image.digest}",
                "destination": image.request.destination,
                "digest": image.target_digest,
                "strategy": strategy,
                "attachments": [
                    {"subject": attachment.subject, "digest": attachment.manifest.digest, "type": attachment.label}
                    for attachment in image.attachments
                ],
                "notes": list(image.notes),
            }
            for image, strategy in zip(plan.images, plan.strategies, strict=True)
        ],
        "tags": [
            {"destination": step.move.destination, "tag": step.move.tag, "old": step.move.old, "new": step.move.new}
            for step in plan.tags
        ],
        "blobs": blobs,
        "imports": len(plan.imports),
        "manifests": len(plan.manifests),
        "locks": len(plan.locks),
        "requests": request_count(plan),
        "empty": plan.empty,
    }
