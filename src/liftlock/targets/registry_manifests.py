"""Manifests on the wire: asked for, read and verified, stored. Each function but `store` is one attempt.

A manifest's digest is computed from its bytes. ``Docker-Content-Digest`` is a hint that some registries leave out
(distribution/distribution#2384); where it contradicts the bytes, something on the way is broken.
"""

from __future__ import annotations

from collections.abc import Mapping

from liftlock.errors import AccessDenied, Conflict, CorruptContent, LiftlockError, RegistryError
from liftlock.oci import media_types as mt
from liftlock.oci.digest import HEX_LENGTH, Digest
from liftlock.oci.distribution import manifest_path
from liftlock.oci.manifest import MAX_MANIFEST, Descriptor, Manifest
from liftlock.targets.registry_endpoint import Endpoint
from liftlock.targets.registry_errors import MISSING_CONTENT, Answer, failure, is_absent
from liftlock.targets.registry_home import SELF_MOUNT
from liftlock.transport.messages import Headers

__all__ = ["fetch", "find", "pinned", "store"]

_ACCEPT = {"Accept": mt.ACCEPT}


def pinned(reference: str) -> Digest | None:
    """The digest, when the reference is one and not a tag."""
    return Digest(reference) if ":" in reference else None


def find(endpoint: Endpoint, reference: str) -> Descriptor | None:
    """What a tag or digest names, by HEAD; by GET where the answer does not say enough. None when absent."""
    path = manifest_path(endpoint.repository, reference)
    answer = endpoint.head(f"look for manifest {reference}", path, _ACCEPT)
    if answer is None:
        return None
    expected, told = pinned(reference), _told(answer.headers)
    media_type = answer.headers.get("content-type").partition(";")[0].strip()
    size = answer.headers.get("content-length")
    digest = expected or told
    contradicted = expected and told and told.algorithm == expected.algorithm and told != expected
    if digest is None or contradicted or not media_type or not size.isdecimal() or not int(size):
        fetched = fetch(endpoint, reference)
        return None if fetched is None else fetched[0].descriptor
    return Descriptor(media_type, digest, int(size))


def fetch(endpoint: Endpoint, reference: str) -> tuple[Manifest, Headers] | None:
    """Read a manifest, verified against the reference when that is a digest; None when absent.

    Raises `CorruptContent` when its bytes are not what the reference, or the registry's own header, says.
    """
    action = f"read manifest {reference}"
    path = manifest_path(endpoint.repository, reference)
    answer = endpoint.once(action, "GET", path, expect=(200, 404), headers=_ACCEPT, limit=MAX_MANIFEST)
    if answer.status == 404:
        if is_absent(answer):
            return None
        raise failure(answer, endpoint.place, action)
    expected = pinned(reference)
    told = _told(answer.headers)
    with endpoint.doing(action):
        if expected is None and told is not None:
            told.verify(answer.body, f"manifest {endpoint.place}:{reference}")
        return Manifest.parse(answer.body, answer.headers.get("content-type"), expected), answer.headers


def store(endpoint: Endpoint, manifest: Manifest, reference: str, headers: Mapping[str, str] = {}) -> Headers | None:
    """Put the exact bytes under a tag or their digest; the answer's headers, or None when it was there already.

    A refusal to overwrite is success when the reference names this manifest already. Raises `Conflict` when it names
    another, and a `RegistryError` with the code `MISSING_CONTENT` when the repository lacks a blob or a child.
    """
    action = f"push manifest {reference}"

    def attempt() -> Answer:
        endpoint.home.manifest_pace.wait()
        answer = endpoint.once(
            action,
            "PUT",
            manifest_path(endpoint.repository, reference),
            expect=(200, 201, 202),
            headers={"Content-Type": manifest.media_type, **headers},
            body=manifest.raw,
        )
        told = _told(answer.headers)
        if told is not None and told != Digest.of(manifest.raw, told.algorithm):
            name = f"{endpoint.place}{'@' if ':' in reference else ':'}{reference}"
            raise CorruptContent(f"{name}: manifest {manifest.digest} was stored as {told}")
        return answer

    try:
        return endpoint.retrying(attempt).headers
    except (Conflict, AccessDenied):
        # Docker Hub and Artifactory say "denied" when a tag is immutable (docker/hub-feedback#2466).
        if _names(endpoint, reference, manifest.digest):
            return None
        raise
    except RegistryError as error:
        if MISSING_CONTENT in error.codes:
            # A mount onto itself may have been claimed wrongly: its next 201 is confirmed again.
            endpoint.home.learn(SELF_MOUNT, None)
        elif "UNSUPPORTED" in error.codes and "mediaType" not in manifest.json:
            # ECR, although the image spec lets the field be absent.
            error.hint = "the manifest has no mediaType field, which this registry may want: build it with one"
        raise


def _names(endpoint: Endpoint, reference: str, digest: Digest) -> bool:
    try:
        found = endpoint.retrying(lambda: find(endpoint, reference))
    except LiftlockError:
        return False
    return found is not None and found.digest == digest


def _told(headers: Headers) -> Digest | None:
    """The digest that the registry says, if it is one."""
    text = headers.get("docker-content-digest")
    return Digest(text) if text.partition(":")[0] in HEX_LENGTH and _well_formed(text) else None


def _well_formed(text: str) -> bool:
    try:
        Digest(text)
    except CorruptContent:
        return False
    return True
