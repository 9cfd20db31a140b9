"""Where the images of a stage go: checked texts, before anything is opened."""

from __future__ import annotations

from dataclasses import dataclass

from liftlock.errors import UsageError
from liftlock.oci.bucket import SERVICES, BucketName
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.oci.reference import Reference, is_tag
from liftlock.release.names import is_clean

__all__ = [
    "LAYOUT",
    "REGISTRY_STORE",
    "Destination",
    "parse_place",
    "parse_source",
    "parse_store",
    "parse_tag",
]

LAYOUT = "oci:"
"""What the name of an OCI layout folder begins with."""

REGISTRY_STORE = "oci://"
"""What the name of an artifact store in a registry begins with."""

_OTHERS = (
    *("docker-archive:", "oci-archive:", "docker:", "docker-daemon:", "dir:", "containers-storage:"),
    *(f"{scheme}://" for scheme in SERVICES),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where one image of a release goes in one stage."""

    image: str
    content: Descriptor
    target: str
    """``registry/repository``, or ``oci:folder`` as written."""
    tags: tuple[str, ...]

    @property
    def digest(self) -> Digest:
        return self.content.digest

    @property
    def references(self) -> tuple[str, ...]:
        """``target:tag`` for every tag."""
        return tuple(f"{self.target}:{tag}" for tag in self.tags)


def parse_place(text: str) -> str:
    """A target's name in its one spelling; raises `UsageError` when it names no repository and no layout."""
    if text.startswith(LAYOUT):
        folder = text.removeprefix(LAYOUT)
        if not folder or not is_clean(folder, 4096):
            raise UsageError(f"{text!r} names no folder", hint="write oci:folder")
        if ":" in folder or "@" in folder:
            raise UsageError(f"{text!r} has a tag or digest", hint="the tags of a stage are listed under tags")
        return text
    if text.startswith(_OTHERS):
        raise UsageError(f"{text!r} cannot be a stage", hint="a stage is a registry's repository or oci:folder")
    reference = Reference.parse(text)
    if reference.tag or reference.digest:
        raise UsageError(f"{text!r} has a tag or digest", hint="the tags of a stage are listed under tags")
    return reference.name


def parse_store(text: str) -> str:
    """An artifact store that is no folder, in its one spelling; raises `UsageError`."""
    if "@" in text.partition("://")[2].partition("/")[0]:
        # Not shown: it may be a password.
        raise UsageError("a store is written without user and password", hint="credentials come from the environment")
    if not text.startswith(REGISTRY_STORE):
        return str(BucketName.parse(text))
    reference = Reference.parse(text.removeprefix(REGISTRY_STORE))
    if reference.tag or reference.digest:
        raise UsageError(f"the store {text!r} has a tag or digest", hint="write oci://registry/repository")
    return REGISTRY_STORE + reference.name


def parse_source(text: str) -> Reference:
    """A reference to pin; raises `UsageError` without a tag or digest, since a default would be a guess."""
    reference = Reference.parse(text)
    if not reference.tag and not reference.digest:
        raise UsageError(f"source {text!r} has neither tag nor digest", hint=f"write {text}:latest if that is meant")
    return reference


def parse_tag(text: str) -> str:
    """The tag itself; raises `UsageError` when it is not well formed."""
    if not is_tag(text):
        raise UsageError(
            f"{text[:160]!r} is not a tag",
            hint="a tag has at most 128 letters, digits, '.', '_' or '-', and starts with none of '.' and '-'",
        )
    return text
