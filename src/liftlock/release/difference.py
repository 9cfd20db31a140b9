"""What differs between two releases: what one of them would put where the other would put something else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from liftlock.errors import ConfigError
from liftlock.release.artifact import Artifact
from liftlock.release.release import Release

__all__ = ["Change", "Difference", "differences"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing under its name: before in the first release, after in the second."""

    name: str
    before: str
    """Empty: it was not there."""
    after: str
    """Empty: it is not there."""

    def to_json(self) -> dict[str, str | None]:
        """With null for what is not there."""
        return {"name": self.name, "before": self.before or None, "after": self.after or None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Everything that differs between two releases, each part sorted by name."""

    before: str
    """The first release's id."""
    after: str
    images: tuple[Change, ...]
    """Digests, by the image's name."""
    facts: tuple[Change, ...]
    """What the artifact says besides: ``build``, ``commit``, ``label.KEY``, ``link.KEY``."""
    variables: tuple[Change, ...]
    """What was chosen with ``--var``, and ``date``."""
    definition: tuple[Change, ...]
    """Keys of the pipeline's snapshot (``stages.prod.approvals.count``), values as JSON."""
    destinations: Mapping[str, tuple[Change, ...]]
    """By stage, the digest that each reference (``registry/repository:tag``) would get; only stages that differ."""
    unknown: Mapping[str, str]
    """By stage, why it cannot be said where one of the releases would go."""

    @property
    def is_empty(self) -> bool:
        """Whether they are the same."""
        return self.before == self.after

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "before": self.before,
            "after": self.after,
            "images": [change.to_json() for change in self.images],
            "facts": [change.to_json() for change in self.facts],
            "variables": [change.to_json() for change in self.variables],
            "definition": [change.to_json() for change in self.definition],
            "destinations": {
                stage: [change.to_json() for change in changes] for stage, changes in self.destinations.items()
            },
            "unknown": dict(self.unknown),
        }


def differences(before: Release, after: Release) -> Difference:
    """Compare two releases; of one pipeline, as a rule, though any two can be compared."""
    destinations: dict[str, tuple[Change, ...]] = {}
    unknown: dict[str, str] = {}
    for stage in dict.fromkeys(stage.name for each in (before, after) for stage in each.pipeline.stages):
        try:
            changes = _changes(_references(before, stage), _references(after, stage))
        except ConfigError as error:
            unknown[stage] = error.message
            continue
        if changes:
            destinations[stage] = changes
    return Difference(
        before=str(before.id),
        after=str(after.id),
        images=_changes(_digests(before.artifact), _digests(after.artifact)),
        facts=_changes(_facts(before.artifact), _facts(after.artifact)),
        variables=_changes(_chosen(before), _chosen(after)),
        definition=_changes(_definition(before), _definition(after)),
        destinations=destinations,
        unknown=unknown,
    )


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    return tuple(
        Change(name=name, before=before.get(name, ""), after=after.get(name, ""))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    )


def _digests(artifact: Artifact) -> dict[str, str]:
    return {name: str(digest) for name, digest in artifact.digests.items()}


def _facts(artifact: Artifact) -> dict[str, str]:
    named = {"build": artifact.build, "commit": artifact.commit}
    named |= {f"label.{key}": value for key, value in artifact.labels.items()}
    return {**named, **{f"link.{key}": value for key, value in artifact.links.items()}}


def _chosen(release: Release) -> dict[str, str]:
    return {**release.variables, **({"date": release.date} if release.date else {})}


def _references(release: Release, stage: str) -> dict[str, str]:
    """What the release would put where; nothing when its pipeline has no such stage."""
    if stage not in (each.name for each in release.pipeline.stages):
        return {}
    return {
        reference: str(destination.digest)
        for destination in release.destinations(stage)
        for reference in destination.references
    }


def _definition(release: Release) -> dict[str, str]:
    value = json.loads(release.pipeline.document)
    stages = {stage["name"]: stage for stage in value.pop("stages")}
    # The order of the stages decides nothing but how they are shown, which is a difference still.
    return dict(_leaves({**value, "stages": stages, "order": list(stages)}, ""))


def _leaves(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Every value that is no mapping, by the keys that lead to it; an empty mapping is a value, too."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else key)
    else:
        yield name, json.dumps(value, ensure_ascii=False)
