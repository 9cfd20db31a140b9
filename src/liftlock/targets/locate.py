"""Where an image is, as it is written on the command line, and the targets of one operation, opened by name.

    registry.example/app:1          a registry's repository, with tag, digest, both or neither
    oci:build/app[:tag]             an OCI layout folder
    oci-archive:app.tar[:tag]       a tar of one
    docker-archive:app.tar[:ref]    what docker save or podman save wrote
    s3://bucket/prefix[:tag]        a repository in an object store (az:// and gs:// too)

In the three of files the path ends at the first colon; what follows is the reference, which may hold colons and slashes
itself, as in ``docker-archive:app.tar:localhost:5000/app:1``. A digest is written ``@sha256:…`` in all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import lru_cache

from liftlock.errors import Cancelled, CorruptContent, LiftlockError, UsageError
from liftlock.oci.digest import HEX_LENGTH, Digest
from liftlock.oci.reference import Reference, is_tag
from liftlock.targets.base import Target, WritableTarget
from liftlock.typed import TYPE_CHECKING, Literal, NamedTuple, cast

if TYPE_CHECKING:
    from liftlock.auth.access import RegistryAccess
    from liftlock.auth.authorizer import Authorizer
    from liftlock.targets.registry import RegistryTarget, Verify
    from liftlock.targets.registry_home import Home
    from liftlock.targets.registry_profile import Profile

__all__ = ["Kind", "Location", "Targets"]

Kind = Literal["registry", "oci", "oci-archive", "docker-archive", "object"]

_FORMS = "write registry/repository[:tag], oci:folder[:tag], oci-archive:file[:tag] or docker-archive:file[:reference]"
_URLS: Mapping[str, str] = {
    "docker": "a registry needs no prefix: drop it",
    "registry": "a registry needs no prefix: drop it",
    "http": "a registry is written without a scheme: host[:port]/repository",
    "https": "a registry is written without a scheme: host[:port]/repository",
    "ocidir": "write oci:folder",
    "oci": "write oci:folder",
    "oci-archive": "write oci-archive:file",
    "docker-archive": "write docker-archive:file",
}
"""Schemes, and what to write instead. Only with ``//``: ``docker:24`` is an image of Docker Hub."""
_BUCKETS = ("s3", "az", "gs")
_PREFIXES: Mapping[str, str] = {
    "docker-daemon": "no Docker daemon is used: docker save the image, then write docker-archive:file",
    "containers-storage": "podman save --format oci-archive the image, then write oci-archive:file",
    "dir": "make it an OCI layout first (skopeo copy dir:… oci:…), then write oci:folder",
}
"""Other tools' prefixes for places that Liftlock does not read."""


class Location(NamedTuple):
    """A place of an image: which target, and what in it."""

    kind: Kind
    target: str
    """The target's `Target.name`."""
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Location:
        """Read what was written; raises `UsageError` naming what is wrong and how to write it."""
        prefix, colon, rest = text.partition(":")
        if rest.startswith("//"):
            if _has_user(rest[2:].partition("/")[0]):
                # Not shown: it may be a password.
                raise UsageError(
                    "a place is written without user and password",
                    hint="sign in with liftlock login, or with the cloud",
                )
            if prefix in _BUCKETS:
                return _in_a_bucket(text)
            raise UsageError(f"{text!r} is written as a URL", hint=_URLS.get(prefix, _FORMS))
        if colon and prefix in _PREFIXES:
            raise UsageError(f"{prefix}: is not a place that Liftlock knows ({text!r})", hint=_PREFIXES[prefix])
        if colon and prefix in ("oci", "oci-archive", "docker-archive"):
            return _in_a_file(cast(Kind, prefix), rest, text)
        reference = Reference.parse(text)
        return cls("registry", reference.name, reference.tag, reference.digest)

    @property
    def reference(self) -> str | None:
        """What to ask the target for: the digest when there is one, else the tag; None when nothing was written."""
        return self.digest or self.tag

    def __str__(self) -> str:
        return self.target + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def _has_user(authority: str) -> bool:
    """Whether a URL's host has somebody before it; a bucket may have a digest behind it."""
    before, _, after = authority.rpartition("@")
    return "@" in (before if after.partition(":")[0] in HEX_LENGTH else authority)


def _in_a_file(kind: Kind, rest: str, text: str) -> Location:
    digest = None
    before, at, after = rest.rpartition("@")
    # A folder may be called app@2x: only what names an algorithm is meant as a digest.
    if at and after.partition(":")[0] in HEX_LENGTH:
        try:
            digest = Digest(after)
        except CorruptContent as error:
            raise UsageError(f"{text!r}: {error.message}", hint=error.hint) from None
        rest = before
    path, colon, tag = rest.partition(":")
    if not path:
        raise UsageError(f"{text!r} names no {'folder' if kind == 'oci' else 'file'}", hint=_FORMS)
    if colon and not tag:
        raise UsageError(f"{text!r} ends in a colon", hint="name the tag after it, or drop it")
    return Location(kind, f"{kind}:{path}", tag or None, digest)


def _in_a_bucket(text: str) -> Location:
    from liftlock.oci.bucket import BucketName

    name, at, pinned = text.partition("@")
    place, colon, tag = name.rpartition(":")
    if place in _BUCKETS:  # that colon is the scheme's
        place, colon, tag = name, "", ""
    if colon and not is_tag(tag):
        raise UsageError(f"{text!r}: {tag!r} is not a tag", hint="write s3://bucket/prefix:tag")
    try:
        digest = Digest(pinned) if at else None
    except CorruptContent as error:
        raise UsageError(f"{text!r}: {error.message}", hint=error.hint) from None
    return Location("object", str(BucketName.parse(place)), tag or None, digest)


class Targets:
    """The targets of one operation: each is opened once, whatever thread asks for it.

    Everything of one registry shares one `Home`, so that what it can do is learnt once. ``verify`` is for registries,
    see `registry.Verify`; ``profiles`` replace those of particular hosts, ``registries`` are their options, ``env``
    is the environment, in which their clouds are asked. Connections belong to the authorizer's transport, which its
    maker closes.
    """

    def __init__(
        self,
        authorizer: Authorizer,
        *,
        verify: Verify = "auto",
        profiles: Mapping[str, Profile] | None = None,
        registries: Mapping[str, RegistryAccess] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._authorizer = authorizer
        self._verify = verify
        self._profiles = profiles or {}
        self._registries = registries or {}
        self._env = env or {}
        self._homes: dict[str, Home] = {}
        self._opened: dict[str, Target] = {}
        self._lock = threading.Lock()
        self._aborted = False

    def open(self, name: str) -> Target:
        """The target of this name; raises `UsageError` when it names none. Files are not looked at before use."""
        location = _bare(name)
        with self._lock:
            if self._aborted:
                raise Cancelled("cancelled")
            target = self._opened.get(location.target)
            if target is None:
                target = self._opened[location.target] = self._make(location)
            return target

    def open_writable(self, name: str) -> WritableTarget:
        """The same target as a destination; raises `UsageError` for kinds that are only read."""
        location = _bare(name)
        if location.kind == "docker-archive":
            raise UsageError(
                f"{name} cannot be written: docker archives are only read",
                hint="write oci-archive:FILE instead; skopeo and podman load read that",
            )
        target = cast(WritableTarget, self.open(name))
        if location.kind == "registry":
            cast("RegistryTarget", target).will_write()
        return target

    def add(self, target: Target) -> None:
        """Use this target whenever its name is asked for: one that was made with more than its name says."""
        with self._lock:
            self._opened[target.name] = target

    def abort(self) -> None:
        """From another thread: every stalled call of every target raises `Cancelled`, and none is opened any more."""
        with self._lock:
            self._aborted = True
            opened = list(self._opened.values())
        for target in opened:
            target.abort()

    def close(self) -> None:
        """Close every target, which finishes archives that were written; raises the first error, after all of them."""
        with self._lock:
            opened = list(self._opened.values())
            self._opened.clear()
        errors: list[LiftlockError] = []
        for target in opened:
            try:
                target.close()
            except LiftlockError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _make(self, location: Location) -> Target:
        """Only what is used is imported: the kinds know nothing of each other."""
        if location.kind == "registry":
            return self._registry(location.target)
        if location.kind == "object":
            from liftlock.targets.object_store import ObjectTarget

            return ObjectTarget(location.target, self._env)
        path = location.target.partition(":")[2]
        if location.kind == "oci":
            from liftlock.targets.layout import LayoutTarget

            return LayoutTarget(path)
        if location.kind == "oci-archive":
            from liftlock.targets.oci_archive import OciArchive

            return OciArchive(path)
        from liftlock.targets.docker_archive import DockerArchive

        return DockerArchive(path)

    def _registry(self, name: str) -> Target:
        from liftlock.targets.registry import RegistryTarget
        from liftlock.targets.registry_home import Home

        registry, _, repository = name.partition("/")
        home = self._homes.get(registry)
        if home is None:
            access = self._registries.get(registry)
            home = Home(self._authorizer, registry, self._profiles.get(registry), access=access, env=self._env)
            self._homes[registry] = home
        return RegistryTarget(self._authorizer, registry, repository, verify=self._verify, home=home)


@lru_cache(maxsize=1024)
def _bare(name: str) -> Location:
    location = Location.parse(name)
    if location.reference is not None:
        raise UsageError(f"{name!r} names an image, not a place of images", hint="leave out the tag or digest")
    return location
