"""What people do with images where they are: digest, inspect, list, tag, delete. Nothing here prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from liftlock.errors import NotFound, RefusedError, RegistryError, UsageError
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor, Manifest, Platform
from liftlock.oci.reference import Reference, is_tag
from liftlock.services.session import Session
from liftlock.targets.base import read_blob
from liftlock.targets.locate import Location
from liftlock.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from liftlock.targets.base import Target

__all__ = [
    "Deleted",
    "Inspection",
    "Listing",
    "Resolved",
    "Tagged",
    "delete",
    "digest",
    "inspect",
    "ls",
    "raw_manifest",
    "tag",
]

# -- look


class Resolved(NamedTuple):
    """A reference and the digest it names."""

    name: str
    digest: Digest

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "digest": self.digest}


def digest(session: Session, text: str) -> Resolved:
    """What a reference names; raises `NotFound`. One HEAD request where it is in a registry."""
    location = Location.parse(text)
    found = session.targets.open(location.target).resolve(_reference(location))
    if found is None:
        raise _absent(text)
    return Resolved(text, found.digest)


class Inspection(NamedTuple):
    """An image as a person wants to see it."""

    name: str
    manifest: Manifest
    config: Mapping[str, Any] | None
    """The image config (OCI image spec, config.md); None for indexes and for artifacts that are no images."""
    referrers: Sequence[Descriptor]

    @property
    def platforms(self) -> Sequence[tuple[Platform, Descriptor]]:
        """The children of an index that say for which platform they are."""
        return [(child.platform, child) for child in self.manifest.manifests if child.platform is not None]

    @property
    def platform(self) -> Platform | None:
        """Of a single image, as its config says."""
        if self.config is None or not self.config.get("os"):
            return None
        return Platform(*(str(self.config.get(key) or "") for key in ("os", "architecture", "variant", "os.version")))

    def to_json(self) -> dict[str, Any]:
        manifest = self.manifest
        found: dict[str, Any] = {
            "name": self.name,
            "digest": manifest.digest,
            "mediaType": manifest.media_type,
            "size": manifest.size,
        }
        if manifest.is_index:
            found["manifests"] = [child.to_json() for child in manifest.manifests]
        else:
            found["artifactType"] = manifest.artifact_type
            found["platform"] = str(self.platform) if self.platform else None
            found["config"] = self.config
            found["layers"] = [layer.to_json() for layer in manifest.layers]
        found["annotations"] = dict(manifest.annotations)
        found["subject"] = manifest.subject.to_json() if manifest.subject else None
        found["referrers"] = [referrer.to_json() for referrer in self.referrers]
        return found


def inspect(session: Session, text: str) -> Inspection:
    """An image with its config and what refers to it; raises `NotFound`. Up to three requests to a registry."""
    location = Location.parse(text)
    target = session.targets.open(location.target)
    manifest = target.manifest(_reference(location))
    config = None
    if manifest.config is not None and not manifest.is_index and _is_image_config(manifest.config.media_type):
        config = _json_blob(target, manifest.config)
    return Inspection(text, manifest, config, target.referrers(manifest.digest))


def raw_manifest(session: Session, text: str) -> bytes:
    """The manifest's bytes, exactly as stored; raises `NotFound`."""
    location = Location.parse(text)
    return session.targets.open(location.target).manifest(_reference(location)).raw


class Listing(NamedTuple):
    """Names, read page by page as they are asked for."""

    name: str
    kind: str
    """``Repository`` or ``Tag``."""
    names: Iterator[str]


def ls(session: Session, text: str) -> Listing:
    """The repositories of a registry, or the tags of a repository, layout or archive.

    A text without a slash that has a dot or a colon, or is ``localhost``, is a registry (``ls`` takes no tag, so the
    colon can only be a port's); one that ends with its only slash always is. Everything else is a repository.
    """
    registry = registry_of(text)
    if registry:
        from liftlock.targets.registry import catalog

        return Listing(registry, "Repository", catalog(session.authorizer, registry))
    location = Location.parse(text)
    if location.reference:
        raise UsageError(f"{text!r} names one image; ls lists all tags", hint=f"liftlock ls {location.target}")
    return Listing(location.target, "Tag", _tags(session.targets.open(location.target), location.target))


def registry_of(text: str) -> str:
    """The registry that the text names by the rule of `ls`, empty when it names something else."""
    host = text.removesuffix("/")
    sure = text.endswith("/")
    local = host.startswith(("oci:", "oci-archive:", "docker-archive:")) and not sure
    if "/" in host or local or not (sure or "." in host or ":" in host or host == "localhost"):
        return ""
    parsed = Reference.parse(f"{host}/x")
    return host if parsed.repository == f"{host}/x" else parsed.registry


def _tags(target: Target, name: str) -> Iterator[str]:
    empty = True
    for each in target.tags():
        empty = False
        yield each
    if empty:
        raise NotFound(f"{name} has no tags, or does not exist", hint="liftlock ls REGISTRY lists the repositories")


# -- change


class Tagged(NamedTuple):
    """An image and the tags it was given."""

    name: str
    digest: Digest
    tags: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "digest": self.digest, "tags": list(self.tags)}


def tag(session: Session, text: str, tags: Sequence[str]) -> Tagged:
    """Give an image further tags in its own repository: one GET, and one PUT per tag whose answer is compared."""
    for each in tags:
        if not is_tag(each):
            raise UsageError(
                f"{each!r} is not a tag",
                hint="a tag has at most 128 letters, digits, '.', '_' or '-'; to another repository: liftlock copy",
            )
    location = Location.parse(text)
    target = session.targets.open_writable(location.target)
    manifest = target.manifest(_reference(location))
    for each in dict.fromkeys(tags):
        target.put_manifest(manifest, each)
    return Tagged(location.target, manifest.digest, tuple(dict.fromkeys(tags)))


class Deleted(NamedTuple):
    """What is gone: a tag, or a manifest with every tag on it."""

    name: str
    tag: str | None
    digest: Digest | None

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "tag": self.tag, "digest": self.digest}


def delete(session: Session, text: str) -> Deleted:
    """Delete a tag (its manifest stays), or a manifest by its digest (with every tag on it).

    Raises `NotFound`; `RefusedError` where a tag could only be deleted together with its manifest; `UsageError` when
    the text names both a tag and a digest, or none: what is deleted is never guessed.
    """
    location = Location.parse(text)
    chosen = location.reference
    if not chosen or (location.tag and location.digest):
        raise UsageError(
            f"{text!r} does not say what to delete",
            hint=f"name one tag ({location.target}:TAG) or one digest ({location.target}@sha256:…)",
        )
    target = session.targets.open_writable(location.target)
    if location.digest:
        target.delete_manifest(location.digest)
        return Deleted(location.target, None, location.digest)
    found = target.resolve(chosen)
    if found is None:
        raise _absent(text)
    try:
        target.delete_tag(chosen)
    except RegistryError as error:
        if error.temporary:
            raise
        raise _tag_stays(location.target, chosen, found.digest, error) from None
    return Deleted(location.target, chosen, found.digest)


def _tag_stays(name: str, tag: str, digest: Digest, error: RegistryError) -> RefusedError:
    said = ", ".join((str(error.status), *error.codes))
    return RefusedError(
        f"{name}: this registry does not delete tags ({said}); deleting the image {digest} instead "
        f"would remove every other tag on it together with {tag!r}",
        hint=f"if that is what you want: liftlock delete {name}@{digest}",
    )


# -- helpers


def _reference(location: Location) -> str:
    """What to ask the target for; a layout or archive finds its only image by an empty reference."""
    return location.reference or ("latest" if location.kind == "registry" else "")


def _absent(text: str) -> NotFound:
    return NotFound(f"{text} does not exist")


def _is_image_config(media_type: str) -> bool:
    from liftlock.oci.media_types import DOCKER_CONFIG, OCI_CONFIG

    return media_type in (DOCKER_CONFIG, OCI_CONFIG)


def _json_blob(target: Target, blob: Descriptor) -> Mapping[str, Any] | None:
    """A small JSON blob, verified; None when it is no JSON object, which is its author's business."""
    import json

    try:
        found = json.loads(read_blob(target, blob))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
