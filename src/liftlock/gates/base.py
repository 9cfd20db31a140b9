"""What a gate is asked, and what it may use to answer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from liftlock.kinds.tools import Tools
from liftlock.pipeline.kinds import Options
from liftlock.release.conditions import Verdict
from liftlock.release.promotion import Promotion
from liftlock.release.release import Release

__all__ = ["Gate", "Question"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """May this release enter this stage now? Plain values: what a gate reads is what was known when it was asked."""

    release: Release
    stage: str
    now: dt.datetime
    promotion: Promotion | None = None
    """None while nobody has asked for it (`explain`)."""
    mine: Sequence[Promotion] = ()
    """Every promotion of this release, in any stage."""
    later: Mapping[str, Sequence[Promotion]] = field(default_factory=dict)
    """For each stage of ``after``: what other releases succeeded there after this one did for the first time."""
    author: str = ""
    """Who wrote the artifact's commit, as far as known."""
    publisher: str = ""

    def to_json(self) -> dict[str, Any]:
        """What expressions, commands and servers are given: no secrets, and ``now`` in RFC 3339, UTC."""
        artifact = self.release.artifact
        return {
            "stage": self.stage,
            "now": self.now.astimezone(dt.UTC).isoformat(),
            "pipeline": self.release.pipeline.name,
            "release": {"id": str(self.release.id), "name": self.release.name},
            "artifact": {
                "id": str(artifact.id),
                "build": artifact.build,
                "commit": artifact.commit,
                "author": self.author,
                "publisher": self.publisher,
                "labels": dict(artifact.labels),
                "links": dict(artifact.links),
                "images": {name: str(digest) for name, digest in artifact.digests.items()},
            },
        }


class Gate(Protocol):
    """One kind of gate. Made without arguments, asked from any thread; it keeps nothing between two questions.

    What it raises counts as a ``wait`` with the error's sentence: an erring gate never passes.
    """

    api_version: ClassVar[int]
    """1. A kind from outside that was written for another version is refused by name."""

    @property
    def options(self) -> type[Options]:
        """What a pipeline file may say about it; a class attribute will do."""
        ...

    def evaluate(self, question: Question, options: Any, tools: Tools) -> Verdict:
        """The answer; ``options`` is an instance of what `options` says."""
        ...
