"""Which content the tags of a target lead to: what a collection must leave."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from liftlock.errors import CorruptContent, NotFound
from liftlock.oci.digest import Digest
from liftlock.oci.distribution import fallback_tag
from liftlock.targets.base import Target

__all__ = ["Reach", "dropped_tags", "reachable"]

WORKERS = 8

_ATTACHED = re.compile(r"(sha(?:256|512)-[0-9a-f]{64,128})(?:\.[a-z]+)?\Z")
"""Tags that belong to another image: lists of referrers, and cosign's. They keep nothing by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What was found."""

    manifests: set[Digest] = field(default_factory=set)
    blobs: dict[Digest, int] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)
    """The attached tags of these manifests."""

    def __contains__(self, digest: Digest) -> bool:
        return digest in self.manifests or digest in self.blobs


def reachable(target: Target, tags: Collection[str], *, roots: Iterable[Digest] | None = None) -> Reach:
    """Everything that these tags lead to, or these roots: children, what refers to them, and cosign's tags for them.

    What a manifest names and is not there leads nowhere. Any other trouble is raised: a collection that does not know
    what is needed must not go on.
    """
    attached: dict[str, list[str]] = {}
    for tag in tags:
        if match := _ATTACHED.match(tag):
            attached.setdefault(match[1], []).append(tag)
    try:
        with ThreadPoolExecutor(WORKERS) as pool:
            if roots is None:
                named = [tag for tag in tags if not _ATTACHED.match(tag)]
                roots = [digest for digest in pool.map(lambda tag: _root(target, tag), named) if digest is not None]
            return _walk(target, set(roots), attached, frozenset(tags), pool.map)
    except CorruptContent as error:
        hint = error.hint or "publish that build again, which writes it anew: what it needs is not known until then"
        raise CorruptContent(error.message, hint=hint) from None


def _root(target: Target, tag: str) -> Digest | None:
    """What a tag names; None when that is gone. What is damaged is raised: `resolve` says of it that it is gone."""
    found = target.resolve(tag)
    try:
        return found.digest if found else target.manifest(tag).digest
    except NotFound:
        return None


def dropped_tags(tags: Iterable[str], reach: Reach) -> list[str]:
    """The attached tags whose image is not reached any more."""
    return [tag for tag in tags if _ATTACHED.match(tag) and tag not in reach.tags]


def _walk(
    target: Target,
    frontier: set[Digest],
    attached: Mapping[str, list[str]],
    tags: frozenset[str],
    each: Callable[[Callable[[Digest], set[Digest]], Iterable[Digest]], Iterable[set[Digest]]],
) -> Reach:
    reach = Reach()

    def visit(digest: Digest) -> set[Digest]:
        try:
            manifest = target.manifest(digest)
        except NotFound:
            return set()
        reach.manifests.add(digest)
        reach.blobs.update((blob.digest, blob.size) for blob in manifest.blobs)
        found = {child.digest for child in manifest.manifests}
        found |= {referrer.digest for referrer in target.referrers(digest, tags)}
        for tag in attached.get(fallback_tag(digest), ()):
            reach.tags.add(tag)
            if (about := target.resolve(tag)) is not None:
                found.add(about.digest)
        return found

    seen: set[Digest] = set()
    while frontier:
        seen |= frontier
        frontier = set().union(*each(visit, sorted(frontier))) - seen
    return reach
