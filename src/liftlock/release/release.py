"""What travels: one artifact with a snapshot of the pipeline."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from liftlock.errors import CorruptContent, RefusedError, UsageError
from liftlock.oci.canonical import canonical_json
from liftlock.oci.digest import Digest
from liftlock.oci.reference import Reference
from liftlock.release.artifact import Artifact
from liftlock.release.check import variable_flaw
from liftlock.release.names import suggestion
from liftlock.release.pipeline import Pipeline
from liftlock.release.place import Destination, parse_place, parse_source, parse_tag

__all__ = ["RELEASE_TYPE", "Release", "check_variables", "require_images", "sources"]

RELEASE_TYPE = "application/vnd.liftlock.release.v1+json"
"""The document's media type, part of the document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One artifact, one pipeline snapshot, and the values that were chosen for this journey. Make one with `create`.

    Its `id` covers exactly what decides where the release goes, so that creating it again, on another machine or
    after its state was lost, gives the same release; and any difference, however small, gives another.
    """

    artifact: Artifact
    pipeline: Pipeline
    variables: Mapping[str, str] = field(default_factory=dict)
    """Given with ``--var``, and used by some stage."""
    date: str = ""
    """``YYYY-MM-DD``, UTC, of its first creation; only when a stage uses ``{date}``."""
    _id: Digest | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def create(
        cls,
        artifact: Artifact,
        pipeline: Pipeline,
        *,
        created: dt.datetime,
        variables: Mapping[str, str] | None = None,
    ) -> Release:
        """A release of this artifact; ``created`` is aware and gives ``{date}``.

        Raises `RefusedError` when artifact and pipeline do not name the same images, `UsageError` for a variable that
        is not well formed or that nothing uses.
        """
        require_images(pipeline, artifact.images, f"artifact {artifact.build or artifact.id.short}")
        given = check_variables(pipeline, variables or {})
        used = pipeline.stage_variables
        return cls(
            artifact=artifact,
            pipeline=pipeline,
            variables={name: value for name, value in given.items() if name in used},
            date=created.astimezone(dt.UTC).date().isoformat() if "date" in used else "",
        )

    @property
    def id(self) -> Digest:
        if self._id is None:  # asked for again and again, and nothing that it is made of changes
            object.__setattr__(self, "_id", Digest.of(self.document))
        return cast(Digest, self._id)

    @property
    def name(self) -> str:
        """What people call it: its build id, else the beginning of its id."""
        return self.artifact.build or self.id.short

    @property
    def document(self) -> bytes:
        """Its canonical JSON (RFC 8785): the ids of artifact and snapshot, and the chosen values."""
        return canonical_json(
            {
                "mediaType": RELEASE_TYPE,
                "artifact": str(self.artifact.id),
                "pipeline": str(self.pipeline.id),
                "variables": dict(self.variables),
                "date": self.date,
            }
        )

    @classmethod
    def parse(cls, document: bytes, expected: Digest, *, artifact: Artifact, pipeline: Pipeline) -> Release:
        """Read a stored document back; raises `CorruptContent` unless it is, to the byte, what ``expected`` names."""
        expected.verify(document, f"release {expected.short}")
        try:
            value: Any = json.loads(document)
            release = cls(artifact=artifact, pipeline=pipeline, variables=value["variables"], date=value["date"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise CorruptContent(f"release {expected.short} cannot be read: {error!r}") from error
        if release.document != document:
            raise CorruptContent(
                f"release {expected.short} is not of this artifact and pipeline, or has parts that are not known",
                hint="if it was made by a newer Liftlock, upgrade this one",
            )
        return release

    def destinations(self, stage: str) -> tuple[Destination, ...]:
        """Where each image goes in a stage: target by target, in the pipeline's order of images.

        Raises `NotFound` for an unknown stage, and `ConfigError` (with file and line when the pipeline was read from
        a file) for a variable without a value, for a text that is no repository or tag once its variables are known,
        and for two images that would get the same reference.
        """
        chosen = self.pipeline.stage(stage)
        values = self._values()
        found: list[Destination] = []
        taken: dict[str, str] = {}
        for to in chosen.to:
            for name in self.pipeline.images:
                here = {**values, "image": name}
                destination = Destination(
                    image=name,
                    content=self.artifact.images[name],
                    target=to.resolve(here, parse_place),
                    tags=tuple(dict.fromkeys(tag.resolve(here, parse_tag) for tag in chosen.tags)),
                )
                for reference in destination.references:
                    other = taken.setdefault(reference, name)
                    if other != name:
                        raise to.error(
                            f"in stage {stage!r} {reference} would be both {other!r} and {name!r}",
                            hint="use {image} in to, or in each tag",
                        )
                if any(destination.target == each.target and name == each.image for each in found):
                    raise to.error(
                        f"in stage {stage!r} {destination.target} is named twice", hint="name each target once"
                    )
                found.append(destination)
        return tuple(found)

    def _values(self) -> dict[str, str]:
        artifact = self.artifact
        built_in = {"release": self.id.short, "date": self.date, "build": artifact.build, "commit": artifact.commit}
        labels = {f"label.{key}": value for key, value in artifact.labels.items()}
        return {
            **self.pipeline.variables,
            **self.variables,
            **{name: value for name, value in built_in.items() if value},
            **labels,
        }


def sources(
    pipeline: Pipeline, *, variables: Mapping[str, str] | None = None, build: str = "", commit: str = ""
) -> dict[str, Reference]:
    """By image, the references of ``source`` that a promotion without a release pins. Each has a tag or a digest.

    Raises `UsageError` when the pipeline has no ``source`` or a variable is not well formed or not used by anything,
    `ConfigError` for a variable without a value, and for a text that is no reference once its variables are known.
    """
    if pipeline.source is None:
        raise UsageError(
            f"pipeline {pipeline.name!r} has no source",
            hint="publish an artifact and name its release, or say in the file where its images are: source: …",
        )
    values = {**pipeline.variables, **check_variables(pipeline, variables or {})}
    values |= {name: value for name, value in (("build", build), ("commit", commit)) if value}
    found: dict[str, Reference] = {}
    for name in pipeline.images:
        reference = pipeline.source.resolve({**values, "image": name}, parse_source)
        if reference in found.values():
            raise pipeline.source.error(f"two images would come from {reference}", hint="use {image} in it")
        found[name] = reference
    return found


def check_variables(pipeline: Pipeline, given: Mapping[str, str]) -> Mapping[str, str]:
    """The values of ``--var``; raises `UsageError` for one that is not well formed, or that would be ignored."""
    known: Iterable[str] = sorted({*pipeline.variables, *pipeline.undeclared})
    for name, value in given.items():
        if said := variable_flaw(name, value):
            raise UsageError(f"--var {name}: {said[0]}", hint=said[1])
        if name not in known:
            raise UsageError(
                f"--var {name}: nothing in pipeline {pipeline.name!r} uses this variable",
                hint=suggestion(name, known, "it uses "),
            )
    return given


def require_images(pipeline: Pipeline, names: Iterable[str], what: str) -> None:
    """Raise `RefusedError` unless these are exactly the images that the pipeline is for; ``what`` has them."""
    wanted, there = set(pipeline.images), set(names)
    if wanted == there:
        return
    parts = []
    if wanted - there:
        parts.append(f"lacks {', '.join(sorted(wanted - there))}")
    if there - wanted:
        parts.append(f"has {', '.join(sorted(there - wanted))} besides")
    raise RefusedError(
        f"pipeline {pipeline.name!r} is for the images {', '.join(pipeline.images)}; {what} {' and '.join(parts)}",
        hint="publish exactly the images that the pipeline names, or change its images",
    )
