"""Collecting: artifacts that nobody needs any more leave the store, and what a store holds for nobody.

**What is decided first is written down first.** In one transaction, alone in every pipeline, the artifacts that stay
are chosen, and the others are recorded as collected: from then on nobody takes them from the store. Then the store is
brought into line: documents and tags, then content that no tag leads to. Interrupted, the next collection finds what
is left, since it looks at the store and not at what it meant to do.

**Nobody publishes meanwhile**: a folder is locked, in a bucket the two tell of each other (`liftlock.store`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from liftlock.oci.digest import Digest
from liftlock.release.people import Actor
from liftlock.release.retention import LAST, needed_releases
from liftlock.services.project import Project
from liftlock.services.publish import artifact_json
from liftlock.services.session import Session
from liftlock.store.artifact_store import Swept
from liftlock.store.artifacts import Published
from liftlock.store.store import Transaction

__all__ = ["KEEP", "Collection", "collect"]

KEEP = dt.timedelta(days=30)
"""How long an artifact is kept after anything happened with it, unless somebody says otherwise."""

GRACE = dt.timedelta(hours=1)
"""Content without a tag that is younger stays: another program may be about to tag it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What left a store, or would leave it."""

    place: str
    """The store, as its target is named."""
    removed: Sequence[Published]
    kept: Mapping[Digest, str]
    """Why each of the others stays, by artifact."""
    swept: Swept
    dry_run: bool

    def to_json(self, project: Project) -> dict[str, Any]:
        return {
            "store": self.place,
            "dryRun": self.dry_run,
            "collected": [artifact_json(project, each) for each in self.removed],
            "kept": [{"artifact": artifact, "reason": reason} for artifact, reason in self.kept.items()],
            "objects": self.swept.objects,
            "bytes": self.swept.size,
            "notes": list(self.swept.notes),
        }


def collect(
    project: Project,
    session: Session,
    by: Actor,
    *,
    last: int = LAST,
    keep: dt.timedelta = KEEP,
    dry_run: bool = False,
) -> Collection:
    """Remove from the pipeline's store what no stage holds, may go back to or waits for, and is old enough.

    ``last`` is how many earlier releases each stage may go back to, ``keep`` how long an artifact stays after it was
    published, released or asked for. Raises `Conflict` while somebody publishes; then nothing has changed.
    """
    store = project.artifacts(session.targets)
    here = project.written(store.place)
    with nullcontext() if dry_run else store.alone():
        with project.home.store.read() if dry_run else project.home.store.begin() as tx:
            pipelines = sorted({*tx.ledger.pipelines(), *filter(None, [project.namespace])})
            for pipeline in () if dry_run else pipelines:
                tx.alone(pipeline)
            kept = _kept(tx, pipelines, last, keep)
            unneeded = [each for each in tx.artifacts.all() if each.artifact.id not in kept]
            removed = [each for each in unneeded if any(origin.stored == here for origin in each.origins.values())]
            if not dry_run:
                for each in removed:
                    _record(tx, each, here, by)
        swept = store.collect([each.artifact for each in unneeded], before=project.clock() - GRACE, dry_run=dry_run)
    return Collection(place=store.place, removed=removed, kept=kept, swept=swept, dry_run=dry_run)


def _kept(tx: Transaction, pipelines: Sequence[str], last: int, keep: dt.timedelta) -> Mapping[Digest, str]:
    """Every artifact that stays, with the reason."""
    found: dict[Digest, str] = {}
    used: dict[Digest, dt.datetime] = {each.artifact.id: each.published_at for each in tx.artifacts.all()}
    for pipeline in pipelines:
        history, releases = tx.promotions.history(pipeline), tx.releases.of(pipeline)
        artifacts = {each.release.id: each.release.artifact.id for each in releases}
        for release, reason in needed_releases(history, last).items():
            found.setdefault(artifacts[release], reason)
        for created in releases:
            _touch(used, created.release.artifact.id, created.created_at)
        for promotion in history:
            _touch(used, artifacts[promotion.release], promotion.requested_at)
    for artifact, at in used.items():
        if at > tx.now - keep:
            found.setdefault(artifact, f"it was used on {at:%Y-%m-%d}")
    return found


def _touch(used: dict[Digest, dt.datetime], artifact: Digest, at: dt.datetime) -> None:
    used[artifact] = max(used.get(artifact, at), at)


def _record(tx: Transaction, published: Published, place: str, by: Actor) -> None:
    artifact = published.artifact
    tx.artifacts.collect(artifact.id, place)
    for pipeline in tx.artifacts.pipelines(artifact.id):
        tx.ledger.append(
            pipeline,
            "artifact.collected",
            by,
            {"artifact": str(artifact.id), "build": artifact.build, "store": place},
        )
