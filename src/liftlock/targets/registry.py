"""One repository of a registry as a target: the distribution spec 1.1, in as few requests as it allows.

What each call costs at least: `resolve` a HEAD, `manifest` a GET, `put_blob` a POST when the blob is present or
mounted and POST + PUT when it is new, `put_manifest` a PUT. What is particular to some registries is data in
`registry_profile`; what a registry can do is learnt from its answers and kept by its `Home`.

How blobs move and what refers to an image is imported where it is used: a look at a tag needs none of it, nor does a
new one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import cached_property

from liftlock.auth.authorizer import Authorizer
from liftlock.errors import NotFound, RegistryError
from liftlock.oci.digest import Digest
from liftlock.oci.distribution import Scope, manifest_path, tags_path
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.targets.base import BlobReader, BlobSource, Importer, Locker, Placed
from liftlock.targets.registry_endpoint import Endpoint, catalog
from liftlock.targets.registry_errors import failure, is_absent
from liftlock.targets.registry_home import VERIFIES_DIGESTS, Home
from liftlock.targets.registry_manifests import fetch, find, pinned, store
from liftlock.targets.registry_profile import Profile
from liftlock.typed import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from liftlock.targets.registry_referrers import Referrers

__all__ = ["RegistryTarget", "Verify", "catalog"]

Verify = Literal["auto", "destination", "client"]
"""Who checks a blob's digest: the registry that stores it, we while it is sent, or the registry once that is proven."""

WORTH_PROVING: Final = 32 * 1024 * 1024
"""Bytes to upload from which the two requests of the proof cost less than the hashing they save."""
CACHED_BYTES: Final = 8 * 1024 * 1024
"""Bytes of manifests that are kept to be used again within an operation."""


class RegistryTarget:
    """A repository of a registry. Several targets of one registry should share its `Home`; `Targets` sees to that.

    ``verify`` says who checks the digests of uploaded blobs (see `Verify`); a ``profile`` replaces the one that the
    host has in `registry_profile`.
    """

    def __init__(
        self,
        authorizer: Authorizer,
        registry: str,
        repository: str,
        *,
        profile: Profile | None = None,
        verify: Verify = "auto",
        home: Home | None = None,
    ) -> None:
        self._home = home or Home(authorizer, registry, profile)
        self._endpoint = Endpoint(self._home, Scope(repository, frozenset({"pull"})))
        self._verify = verify
        self._cache = _Cache()

    @cached_property
    def _referrers(self) -> Referrers:
        from liftlock.targets.registry_referrers import Referrers

        return Referrers(self._endpoint)

    @property
    def name(self) -> str:
        return self._endpoint.place

    @property
    def home(self) -> str:
        # Where nothing is mounted, each repository holds bytes of its own.
        return self._home.registry if self._home.profile.mount else self.name

    @property
    def metered(self) -> bool:
        return self._home.profile.metered

    @property
    def importer(self) -> Importer | None:
        access = self._home.access
        if access is None or not access.import_into:
            return None
        from liftlock.targets.acr import AcrImporter

        return AcrImporter(self._home, self._endpoint.repository, access.import_into)

    @property
    def locker(self) -> Locker | None:
        access = self._home.access
        if access is None or not access.lock:
            return None
        from liftlock.targets.acr import AcrLocker

        return AcrLocker(self._home, self._endpoint.repository)

    # -- reading

    def resolve(self, reference: str) -> Descriptor | None:
        return self._endpoint.retrying(lambda: find(self._endpoint, reference))

    def manifest(self, reference: str) -> Manifest:
        digest = pinned(reference)
        cached = self._cache.get(digest)
        if cached is not None:
            return cached
        fetched = self._endpoint.retrying(lambda: fetch(self._endpoint, reference))
        if fetched is None:
            raise NotFound(f"{self.name}{'@' if digest else ':'}{reference} does not exist")
        self._cache.put(fetched[0])
        return fetched[0]

    def open_blob(self, blob: Descriptor) -> BlobReader:
        from liftlock.targets.registry_download import BlobDownload

        return BlobDownload(self._endpoint, blob)

    def referrers(self, subject: Digest, tags: frozenset[str] | None = None) -> Sequence[Descriptor]:
        return self._referrers.of(subject, tags)

    def tags(self) -> Iterator[str]:
        return self._endpoint.pages("list tags", tags_path(self._endpoint.repository), "tags")

    def has_blob(self, digest: Digest) -> bool:
        from liftlock.targets.registry_upload import has_blob

        return self._endpoint.retrying(lambda: has_blob(self._endpoint, digest))

    # -- writing

    def will_write(self) -> None:
        """Declare early that this is a destination, so that the first token allows it."""
        self._endpoint.allow("pull", "push")

    def prepare(self, upload_bytes: int) -> None:
        self.will_write()
        if self._verify != "auto" or upload_bytes < WORTH_PROVING:
            return
        with self._home.lock(VERIFIES_DIGESTS):
            if self._home.fact(VERIFIES_DIGESTS) is None:
                from liftlock.targets.registry_upload import prove_verification

                prove_verification(self._endpoint)

    def put_blob(
        self, blob: Descriptor, source: BlobSource | None, *, mount_from: Sequence[str] = (), absent: bool = False
    ) -> Placed:
        from liftlock.targets.registry_upload import Upload

        self.will_write()
        proven = self._verify == "destination" or (self._verify == "auto" and self._home.fact(VERIFIES_DIGESTS) is True)
        origin = self._origin(mount_from)
        return Upload(self._endpoint, blob, source, origin=origin, absent=absent, hashing=not proven).run()

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        self.will_write()
        answered = store(self._endpoint, manifest, tag or manifest.digest)
        subject = manifest.subject
        if subject is None:
            return
        if answered is None and self._home.referrers_api:
            return  # it was there, and so it is listed
        if answered is not None and answered.get("oci-subject") == subject.digest:
            self._home.referrers_api = True
            return
        self._referrers.add(subject.digest, manifest)

    def delete_tag(self, tag: str) -> None:
        self._endpoint.allow("pull", "delete")
        action = f"delete tag {tag}"
        path = manifest_path(self._endpoint.repository, tag)
        answer = self._endpoint.retrying(
            lambda: self._endpoint.once(action, "DELETE", path, expect=(200, 202, 204, 400, 404, 405))
        )
        if answer.status < 300:
            return
        # distribution answers 400 DIGEST_INVALID, whether the tag exists or not (distribution/distribution#3234).
        if self.resolve(tag) is None:
            raise NotFound(f"{self.name}:{tag} does not exist")
        raise RegistryError(
            f"{self.name}: cannot {action}: this registry does not delete tags "
            f"({', '.join((str(answer.status), *answer.codes))})",
            status=answer.status,
            codes=answer.codes,
            hint="delete the manifest by its digest instead: that removes every tag on it",
        )

    def delete_manifest(self, digest: Digest) -> None:
        self._endpoint.allow("pull", "delete")
        subject = self._subject(digest)
        action = f"delete manifest {digest}"
        path = manifest_path(self._endpoint.repository, digest)
        answer = self._endpoint.retrying(
            lambda: self._endpoint.once(action, "DELETE", path, expect=(200, 202, 204, 404))
        )
        if answer.status == 404:
            if is_absent(answer):
                raise NotFound(f"{self.name}@{digest} does not exist")
            raise failure(answer, self.name, action)
        self._cache.drop(digest)
        if subject is not None:
            self.will_write()
            self._referrers.remove(subject, digest)

    def abort(self) -> None:
        self._home.abort()

    def close(self) -> None:
        """Nothing: the transport's owner closes the connections."""

    def _origin(self, mount_from: Sequence[str]) -> str | None:
        """The first repository of this registry, other than this one, from which a blob can be mounted."""
        prefix = f"{self._home.registry}/"
        for name in mount_from if self._home.profile.mount else ():
            repository = name.removeprefix(prefix)
            if name.startswith(prefix) and repository != self._endpoint.repository:
                self._home.authorizer.want(self._home.registry, Scope(repository, frozenset({"pull"})))
                return repository
        return None

    def _subject(self, digest: Digest) -> Digest | None:
        """What a manifest refers to, where that is written in a fallback tag."""
        if self._home.referrers_api:
            return None
        fetched = self._endpoint.retrying(lambda: fetch(self._endpoint, digest))
        if fetched is None:
            raise NotFound(f"{self.name}@{digest} does not exist")
        subject = fetched[0].subject
        return subject.digest if subject else None


class _Cache:
    """Manifests by digest, the oldest dropped first. What was only *sent* is not in it: that has to be read back."""

    def __init__(self) -> None:
        self._manifests: dict[Digest, Manifest] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, digest: Digest | None) -> Manifest | None:
        return self._manifests.get(digest) if digest is not None else None

    def put(self, manifest: Manifest) -> None:
        with self._lock:
            if manifest.digest in self._manifests:
                return
            self._manifests[manifest.digest] = manifest
            self._bytes += manifest.size
            while self._bytes > CACHED_BYTES:
                self._forget(next(iter(self._manifests)))

    def drop(self, digest: Digest) -> None:
        with self._lock:
            if digest in self._manifests:
                self._forget(digest)

    def _forget(self, digest: Digest) -> None:
        self._bytes -= self._manifests.pop(digest).size
