"""The definition: images, registries, groups and stages; what a release takes a snapshot of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from liftlock.errors import CorruptContent, NotFound
from liftlock.oci.canonical import canonical_json
from liftlock.oci.digest import Digest
from liftlock.release.names import suggestion
from liftlock.release.stage import Stage
from liftlock.release.template import Template, is_built_in

__all__ = ["PIPELINE_TYPE", "Pipeline", "RegistryOptions", "RepositoryOptions"]

PIPELINE_TYPE = "application/vnd.liftlock.pipeline.v1+json"
"""The snapshot's media type, part of the snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryOptions:
    """What a missing repository is made like."""

    immutable: bool = False
    scan_on_push: bool = False
    encryption: str = ""
    """``AES256``, ``KMS``, the ARN of a key; empty for the registry's default."""
    lifecycle: str = ""
    """A JSON file, as written: relative to the pipeline file's folder."""
    tags: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "immutable": self.immutable,
            "scan-on-push": self.scan_on_push,
            "encryption": self.encryption,
            "lifecycle": self.lifecycle,
            "tags": dict(self.tags),
        }

    @classmethod
    def from_json(cls, value: Any) -> RepositoryOptions:
        return cls(
            immutable=value["immutable"],
            scan_on_push=value["scan-on-push"],
            encryption=value["encryption"],
            lifecycle=value["lifecycle"],
            tags=value["tags"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryOptions:
    """How one registry is talked to."""

    plain_http: bool = False
    ca_file: str = ""
    """A PEM file, as written: relative to the pipeline file's folder."""
    endpoint: str = ""
    """The URL at which it is spoken to, where that is not its own host."""
    role: str = ""
    """The AWS role to assume for it."""
    create: RepositoryOptions | None = None
    """What missing repositories are made like; None: they are not made."""
    import_into: str = ""
    """The Azure resource id of the registry that may import images by itself."""
    lock: bool = False
    """Whether promoted tags and digests are locked."""

    def to_json(self) -> dict[str, Any]:
        """For the snapshot. What came after the first version is there only where it was written."""
        value: dict[str, Any] = {"plain-http": self.plain_http, "ca-file": self.ca_file}
        texts = {"endpoint": self.endpoint, "role": self.role, "import": self.import_into}
        value |= {key: text for key, text in texts.items() if text}
        if self.create:
            value["create"] = self.create.to_json()
        if self.lock:
            value["lock"] = True
        return value

    @classmethod
    def from_json(cls, value: Any) -> RegistryOptions:
        return cls(
            plain_http=value["plain-http"],
            ca_file=value["ca-file"],
            endpoint=value.get("endpoint", ""),
            role=value.get("role", ""),
            create=RepositoryOptions.from_json(value["create"]) if "create" in value else None,
            import_into=value.get("import", ""),
            lock=value.get("lock", False),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """What `liftlock.yaml` says. `liftlock.release.check.flaws` tells what does not fit together in one."""

    name: str
    images: tuple[str, ...]
    stages: tuple[Stage, ...]
    """In the file's order."""
    store: str = ""
    """The artifact store, as written: a folder, relative to the pipeline file's; empty for the default."""
    source: Template | None = None
    """For each image, the reference that is pinned when a promotion starts without a release."""
    events: str = ""
    """The URL of the Amazon SQS queue that says when something was pushed to the source; empty for none."""
    registries: Mapping[str, RegistryOptions] = field(default_factory=dict)
    """By host, with port."""
    variables: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Persons, by the name of their group. A server takes them from its sign-in instead."""
    _id: Digest | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def id(self) -> Digest:
        if self._id is None:  # asked for again and again, and nothing that it is made of changes
            object.__setattr__(self, "_id", Digest.of(self.document))
        return cast(Digest, self._id)

    @property
    def document(self) -> bytes:
        """The snapshot: canonical JSON (RFC 8785) of everything that was written, without where in the file it was."""
        value: dict[str, Any] = {
            "mediaType": PIPELINE_TYPE,
            "pipeline": self.name,
            "images": self.images,
            "store": self.store,
            "source": self.source.text if self.source else "",
            "registries": {host: options.to_json() for host, options in self.registries.items()},
            "variables": dict(self.variables),
            "stages": [stage.to_json() for stage in self.stages],
        }
        if self.events:
            value["events"] = {"sqs": self.events}
        if self.groups:
            value["groups"] = {name: list(persons) for name, persons in self.groups.items()}
        return canonical_json(value)

    @classmethod
    def parse(cls, document: bytes, expected: Digest) -> Pipeline:
        """Read a snapshot back; raises `CorruptContent` unless it is, to the byte, what ``expected`` names."""
        expected.verify(document, f"pipeline snapshot {expected.short}")
        try:
            pipeline = cls._from_json(json.loads(document))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CorruptContent(f"pipeline snapshot {expected.short} cannot be read: {error!r}") from error
        if pipeline.document != document:
            raise CorruptContent(
                f"pipeline snapshot {expected.short} has parts that this version does not know",
                hint="it was made by a newer Liftlock: upgrade this one",
            )
        return pipeline

    @classmethod
    def _from_json(cls, value: Any) -> Pipeline:
        return cls(
            name=value["pipeline"],
            images=tuple(value["images"]),
            store=value["store"],
            source=Template(text=value["source"]) if value["source"] else None,
            events=value["events"]["sqs"] if "events" in value else "",
            registries={host: RegistryOptions.from_json(options) for host, options in value["registries"].items()},
            variables=value["variables"],
            groups={name: tuple(persons) for name, persons in value.get("groups", {}).items()},
            stages=tuple(Stage.from_json(stage) for stage in value["stages"]),
        )

    def members(self, groups: Iterable[str]) -> frozenset[str]:
        """The persons in any of these groups."""
        return frozenset(person for group in groups for person in self.groups.get(group, ()))

    def stage(self, name: str) -> Stage:
        """The stage of this name; raises `NotFound` with the names there are."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise NotFound(
            f"pipeline {self.name!r} has no stage {name!r}",
            hint=suggestion(name, [stage.name for stage in self.stages], "its stages are "),
        )

    @property
    def stage_variables(self) -> frozenset[str]:
        """Every variable that decides where a release goes: those of all stages' ``to`` and ``tags``."""
        return frozenset(name for stage in self.stages for text in (*stage.to, *stage.tags) for name in text.variables)

    @property
    def undeclared(self) -> dict[str, Template]:
        """The variables that have to be given with ``--var``, each with a text that uses it."""
        texts = [text for stage in self.stages for text in (*stage.to, *stage.tags)]
        if self.source:
            texts.append(self.source)
        return {
            name: text
            for text in reversed(texts)
            for name in text.variables
            if not is_built_in(name) and name not in self.variables
        }
