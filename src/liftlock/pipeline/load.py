"""Reading a pipeline file, and saying what is wrong with it where it is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from liftlock.errors import ConfigError, NotFound
from liftlock.pipeline.document import MAX_BYTES, Document, parse
from liftlock.pipeline.findings import explained, keys_of
from liftlock.pipeline.kinds import Kinds, NoKinds
from liftlock.pipeline.model import (
    NOTIFY_KEYS,
    AnyKeys,
    ApprovalKeys,
    CreateKeys,
    NotifyKeys,
    OverrideKeys,
    PipelineFile,
    RegistryKeys,
    RuleKeys,
    SamplingKeys,
    ScheduleKeys,
    StageKeys,
)
from liftlock.pipeline.options import chosen
from liftlock.release.check import Place, flaws
from liftlock.release.durations import seconds
from liftlock.release.pipeline import Pipeline, RegistryOptions, RepositoryOptions
from liftlock.release.stage import ApprovalRule, GateRule, NotifyRule, Queue, Sampling, Stage, Trigger
from liftlock.release.template import Template

__all__ = ["DEFAULT_FILE", "load", "read"]

DEFAULT_FILE = "liftlock.yaml"
_RULES = frozenset(keys_of(RuleKeys))


def read(
    path: str | os.PathLike[str] = DEFAULT_FILE, gates: Kinds | None = None, notifiers: Kinds | None = None
) -> Pipeline:
    """The pipeline of a file; raises `NotFound` when there is none, `ConfigError` for what is wrong with it.

    ``gates`` and ``notifiers`` say which kinds there are; without them there are none.
    """
    name = os.fspath(path)
    try:
        with Path(name).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(
            f"there is no pipeline file {name}", hint="name it with --file, or make one: liftlock init"
        ) from None
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}", path=name) from None
    return load(data, name, gates, notifiers)


def load(
    data: bytes | str, path: str = DEFAULT_FILE, gates: Kinds | None = None, notifiers: Kinds | None = None
) -> Pipeline:
    """The pipeline that a text describes; ``path`` is for messages, the others as for `read`.

    Raises `ConfigError` naming file and line for the first thing that is no YAML, that this version does not know or
    support, that is missing, or that does not fit together. What it returns has no flaws.
    """
    document = parse(data.encode() if isinstance(data, str) else data, path)
    if not isinstance(document.value, dict):
        raise document.error((), "it is not a pipeline file", "it begins with pipeline: NAME")
    try:
        keys = PipelineFile.model_validate(document.value)
    except ValidationError as error:
        raise explained(document, error) from None
    pipeline = _Reading(document, keys, gates or NoKinds(), notifiers or NoKinds()).pipeline()
    found = [document.error(_origin(document, place), *said) for place, *said in flaws(pipeline)]
    if found:
        raise min(found, key=lambda error: error.line)
    return pipeline


def _origin(document: Document, place: Place) -> Place:
    """Where something was written that a stage has: in the stage, or in the defaults."""
    if place[:1] == ("stages",) and len(place) > 2 and place[2] in _RULES and place[:3] not in document.lines:
        return ("defaults", *place[2:])
    return place


class _Reading:
    """From keys of the right kinds to the values of `liftlock.release`; the defaults become part of each stage."""

    def __init__(self, document: Document, keys: PipelineFile, gates: Kinds, notifiers: Kinds) -> None:
        self._document = document
        self._keys = keys
        self._gates = gates
        self._notifiers = notifiers

    def pipeline(self) -> Pipeline:
        keys = self._keys
        return Pipeline(
            name=keys.pipeline,
            images=tuple(keys.images),
            store=keys.store,
            source=self._template(keys.source, "source") if keys.source else None,
            events=keys.events.sqs if keys.events else "",
            registries={host: _registry(options) for host, options in keys.registries.items()},
            variables=keys.variables,
            groups={name: tuple(persons) for name, persons in keys.groups.items()},
            stages=tuple(self._stage(stage, ("stages", at)) for at, stage in enumerate(keys.stages)),
        )

    def _template(self, text: str, *place: str | int) -> Template:
        return Template(text=text, path=self._document.path, line=self._document.lines[place])

    def _stage(self, stage: StageKeys, place: Place) -> Stage:
        rules = self._keys.defaults.model_copy(
            update={name: getattr(stage, name) for name in RuleKeys.model_fields if name in stage.model_fields_set}
        )
        trigger, schedule = _trigger(rules.trigger)
        after = stage.after
        return Stage(
            name=stage.name,
            after=tuple(after.any if isinstance(after, AnyKeys) else after),
            after_any=isinstance(after, AnyKeys),
            to=(self._template(stage.to, *place, "to"),)
            if isinstance(stage.to, str)
            else tuple(self._template(to, *place, "to", number) for number, to in enumerate(stage.to)),
            tags=tuple(self._template(tag, *place, "tags", number) for number, tag in enumerate(stage.tags)),
            trigger=trigger,
            schedule=schedule,
            queue=Queue(rules.queue),
            gates=tuple(self._gate(item, at) for item, at in self._items(rules.gates, place, "gates")),
            sampling=_sampling(rules.sampling),
            approvals=_approvals(rules.approvals),
            override=tuple(rules.override.groups) if isinstance(rules.override, OverrideKeys) else (),
            rollback_without=tuple(rules.rollback.without),
            freeze=tuple(rules.freeze),
            notify=tuple(self._notify(item, at) for item, at in self._items(rules.notify, place, "notify")),
        )

    def _items(self, items: list[dict[str, Any]], stage: Place, key: str) -> list[tuple[dict[str, Any], Place]]:
        """The items of a list of a stage, each with where it was written."""
        place = _origin(self._document, (*stage, key))
        return [(item, (*place, number)) for number, item in enumerate(items)]

    def _gate(self, item: Mapping[str, Any], place: Place) -> GateRule:
        kind, options, line = chosen(self._document, place, item, self._gates, noun="gate")
        return GateRule(kind=kind, options=options, line=line)

    def _notify(self, item: Mapping[str, Any], place: Place) -> NotifyRule:
        kind, options, line = chosen(self._document, place, item, self._notifiers, noun="notifier", beside=NOTIFY_KEYS)
        try:
            beside = NotifyKeys.model_validate({key: item[key] for key in NOTIFY_KEYS if key in item})
        except ValidationError as error:
            raise explained(self._document, error, place, "a notifier") from None
        return NotifyRule(kind=kind, options=options, on=tuple(beside.on), required=beside.required, line=line)


def _registry(keys: RegistryKeys) -> RegistryOptions:
    create = CreateKeys() if keys.create is True else keys.create or None
    return RegistryOptions(
        plain_http=keys.plain_http,
        ca_file=keys.ca_file,
        endpoint=keys.endpoint,
        role=keys.role,
        create=RepositoryOptions(
            immutable=create.immutable,
            scan_on_push=create.scan_on_push,
            encryption=create.encryption,
            lifecycle=create.lifecycle,
            tags=create.tags,
        )
        if create
        else None,
        import_into=keys.import_into,
        lock=keys.lock,
    )


def _trigger(written: str | ScheduleKeys) -> tuple[Trigger, str]:
    if isinstance(written, ScheduleKeys):
        return Trigger.SCHEDULE, written.schedule
    return Trigger(written), ""


def _sampling(keys: SamplingKeys) -> Sampling:
    return Sampling(delay=seconds(keys.delay), every=seconds(keys.every), timeout=seconds(keys.timeout))


def _approvals(keys: ApprovalKeys | str) -> ApprovalRule | None:
    if not isinstance(keys, ApprovalKeys):
        return None
    return ApprovalRule(
        groups=tuple(keys.groups),
        count=keys.count,
        requester_may_approve=keys.requester_may_approve,
        expires=seconds(keys.expires),
    )
