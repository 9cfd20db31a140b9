"""Referrers: read from the API or the fallback tag; the fallback tag kept where there is no API.

Sources: distribution spec 1.1, "Listing Referrers", "Pushing Manifests with Subject", "Referrers Tag Schema".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from liftlock.errors import AccessDenied, Conflict, CorruptContent, LiftlockError, RegistryError
from liftlock.oci import media_types as mt
from liftlock.oci.digest import Digest
from liftlock.oci.distribution import fallback_tag, referrers_path, tags_path
from liftlock.oci.manifest import Descriptor, Manifest
from liftlock.targets.registry_endpoint import MAX_PAGES, Endpoint
from liftlock.targets.registry_errors import Answer, failure
from liftlock.targets.registry_manifests import fetch, find, store
from liftlock.transport.messages import Headers
from liftlock.typed import Any

__all__ = ["Referrers"]

ROUNDS = 5
"""Times that a lost update of a fallback tag is repeated."""

_NO_API = (400, 404, 405, 406, 501)
"""How registries without the API answer; the spec says 404."""

_EMPTY: dict[str, Any] = {"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": []}

Edit = Callable[[list[dict[str, Any]]], "list[dict[str, Any]] | None"]
"""Changes the entries of a fallback index; None when they are right as they are."""


class Referrers:
    """The referrers of one repository's manifests."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._home = endpoint.home

    def of(self, subject: Digest, tags: frozenset[str] | None = None) -> Sequence[Descriptor]:
        """Manifests that refer to ``subject``; ``tags``, when known, save a request for a fallback tag."""
        listed = self._listed(subject)
        tagged: Sequence[Descriptor] = ()
        tag = fallback_tag(subject)
        # Where the tag is known to be there, an API does not make it needless: one that was switched on later, or that
        # a proxy answers for, may lack what was attached before.
        if tag in tags if tags is not None else listed is None:
            tagged = self._tagged(subject, tag, beside_api=listed is not None)
        found = {entry.digest: entry for entry in (*tagged, *(listed or ()))}
        return [entry for entry in found.values() if entry.digest != subject]

    def add(self, subject: Digest, manifest: Manifest) -> None:
        """List a manifest in its subject's fallback index, unless it is there."""
        entry = manifest.referrer_descriptor().to_json()

        def edit(entries: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
            return None if any(each.get("digest") == manifest.digest for each in entries) else [*entries, entry]

        self._rewrite(subject, edit)

    def remove(self, subject: Digest, digest: Digest) -> None:
        """Take a manifest out of its subject's fallback index, so that nobody looks for it in vain."""

        def edit(entries: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
            kept = [each for each in entries if each.get("digest") != digest]
            return kept if len(kept) < len(entries) else None

        self._rewrite(subject, edit)

    # -- the API

    def _listed(self, subject: Digest) -> list[Descriptor] | None:
        """What the API says; None where there is none. Of many who ask at once, one finds out whether there is."""
        if self._home.referrers_api is None:
            with self._home.lock("referrers API"):
                if self._home.referrers_api is None:
                    return self._from_api(subject)
        return self._from_api(subject) if self._home.referrers_api else None

    def _from_api(self, subject: Digest) -> list[Descriptor] | None:
        """Every page of the API's answer; None where there is no API."""
        action = f"list referrers of {subject}"
        url: str | None = self._home.base_url + referrers_path(self._endpoint.repository, subject)
        found: list[Descriptor] = []
        seen: set[str] = set()
        while url is not None:
            if url in seen or len(seen) == MAX_PAGES:
                raise RegistryError(f"{self._endpoint.place}: cannot {action}: the list does not end", status=200)
            seen.add(url)
            answer = self._ask(action, url)
            if answer.status in _NO_API:
                if found:
                    raise failure(answer, self._endpoint.place, action)
                # An absent repository or subject says nothing about the API; then it is asked again the next time.
                if not answer.codes or answer.status != 404:
                    self._home.referrers_api = False
                return None
            with self._endpoint.doing(action):
                index = _listing(answer)
            if index is None:
                # Something that answers 200 to everything is no API either.
                self._home.referrers_api = False
                return None
            found.extend(index.manifests)
            url = self._endpoint.next_page(answer)
        self._home.referrers_api = True
        return found

    def _ask(self, action: str, url: str) -> Answer:
        def attempt() -> Answer:
            return self._endpoint.once(action, "GET", url, expect=(200, *_NO_API), headers={"Accept": mt.OCI_INDEX})

        return self._endpoint.retrying(attempt)

    # -- the fallback tag

    def _tagged(self, subject: Digest, tag: str, *, beside_api: bool) -> Sequence[Descriptor]:
        """What the fallback tag lists. Beside an API it may well be something else: then that lists nothing."""
        try:
            index = self._endpoint.retrying(lambda: self._index(subject, tag))
        except Conflict:
            if beside_api:
                return ()
            raise
        return index[0].manifests if index else ()

    def _index(self, subject: Digest, tag: str) -> tuple[Manifest, Headers] | None:
        """The index under a fallback tag; None when there is none.

        Some registries take the tag for the digest itself and answer with the subject: then there is none
        (oras-project/oras#2148). Anything else that is no index raises `Conflict`.
        """
        try:
            fetched = fetch(self._endpoint, tag)
        except AccessDenied:
            if not self._is_missed(tag):
                raise
            return None
        if fetched is None or fetched[0].digest == subject:
            return None
        if fetched[0].media_type != mt.OCI_INDEX:
            raise Conflict(
                f"{self._endpoint.place}:{tag} should be the index of referrers, but is {fetched[0].media_type}",
                hint="somebody uses this tag for something else: move that away, or copy without referrers",
            )
        return fetched

    def _is_missed(self, tag: str) -> bool:
        """Whether a tag that may not be read is merely not there, as in Artifactory's virtual repositories
        (google/go-containerregistry#1691). Only the list of all tags says so: where that is denied, so is the tag."""
        try:
            return tag not in set(self._endpoint.pages("list tags", tags_path(self._endpoint.repository), "tags"))
        except AccessDenied:
            return False

    def _rewrite(self, subject: Digest, edit: Edit) -> None:
        """Read, change, write and read again. No registry offers more: another writer's update may come between."""
        tag = fallback_tag(subject)
        refused: Conflict | None = None
        before: Digest | None = None
        with self._home.lock(f"{self._endpoint.place}:{tag}"):
            for _ in range(ROUNDS):
                fetched = self._endpoint.retrying(lambda: self._index(subject, tag))
                now = fetched[0].digest if fetched else None
                if refused is not None and now == before:
                    raise refused  # nobody was faster: the registry does not let the tag be replaced
                before = now
                document = dict(fetched[0].json) if fetched else _EMPTY
                entries = edit(list(document["manifests"] or ()))
                if entries is None:
                    return
                index = Manifest.build({**document, "manifests": entries})
                etag = fetched[1].get("etag") if fetched else ""
                refused = self._store(index, tag, {"If-Match": etag} if etag else {})
                if refused is None and self._holds(tag, index.digest):
                    return
        raise Conflict(
            f"{self._endpoint.place}:{tag} changed {ROUNDS} times while it was updated",
            hint="others attach to the same image at this moment: run the same command again",
        )

    def _store(self, index: Manifest, tag: str, headers: Mapping[str, str]) -> Conflict | None:
        """Write the index; the error when the registry does not let it replace what is there."""
        try:
            store(self._endpoint, index, tag, headers)
        except Conflict as error:
            return error
        return None

    def _holds(self, tag: str, digest: Digest) -> bool:
        found = self._endpoint.retrying(lambda: find(self._endpoint, tag))
        return found is not None and found.digest == digest


def _listing(answer: Answer) -> Manifest | None:
    """The index in an API's answer; None when the answer is something else altogether."""
    media_type = answer.headers.get("content-type").partition(";")[0].strip()
    try:
        index = Manifest.parse(answer.body, media_type)
    except CorruptContent:
        if media_type == mt.OCI_INDEX:
            raise
        return None
    except LiftlockError:
        return None
    return index if index.is_index else None
