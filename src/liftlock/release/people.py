"""What people say: who acts, and the approvals, overrides and holds that they leave.

A person is a name: an e-mail address, a user's name. How it is known that somebody is who they say is not decided here:
`Actor.asserted` says whether it was proven at all.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from liftlock.oci.canonical import canonical_json
from liftlock.oci.digest import Digest
from liftlock.release.release import Release

__all__ = ["ENGINE", "Actor", "Approval", "Hold", "Override", "binding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does something."""

    person: str
    """As groups of the pipeline name them."""
    asserted: bool = True
    """Nobody has proven it: the person said so (an embedded Liftlock takes the user's word)."""

    def __str__(self) -> str:
        return f"local:{self.person}" if self.asserted else self.person


ENGINE = Actor(person="liftlock", asserted=False)
"""What is done by no person: a trigger, a gate that passed, a time that came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One person's yes or no to one promotion. The newest of a person counts."""

    by: Actor
    approved: bool
    at: dt.datetime
    binding: Digest
    """What it was said about (`binding`); said about something else, it counts for nothing."""
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A promotion that goes ahead although its conditions do not hold, because somebody took that on themselves."""

    by: Actor
    reason: str
    at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A manual stop: while it is there, nothing is admitted."""

    id: int
    pipeline: str
    stage: str
    """Empty: every stage."""
    by: Actor
    reason: str
    since: dt.datetime
    by_rollback: bool = False
    """A rollback set it, to keep later releases out; it does not keep out another rollback."""


def binding(release: Release, stage: str) -> Digest:
    """What an approval is bound to: the digests of release, pipeline snapshot and images, and the stage."""
    return Digest.of(
        canonical_json(
            {
                "release": str(release.id),
                "pipeline": str(release.pipeline.id),
                "images": {name: str(digest) for name, digest in release.artifact.digests.items()},
                "stage": stage,
            }
        )
    )
