"""One level of a pipeline, and the rules that a promotion into it has to meet."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from liftlock.release.template import Template

__all__ = ["ApprovalRule", "GateRule", "NotifyRule", "Queue", "Sampling", "Stage", "Trigger"]

DAY = 86_400


class Trigger(enum.Enum):
    """What asks for a promotion into a stage."""

    MANUAL = "manual"
    """Somebody."""
    ON_PUBLISH = "on-publish"
    """The publication of an artifact."""
    ON_SUCCESS = "on-success"
    """A success in the stages of ``after``."""
    SCHEDULE = "schedule"
    """The clock: the newest release that may come."""


class Queue(enum.Enum):
    """What becomes of promotions that could go to a stage at the same time. One goes at a time, always."""

    QUEUE = "queue"
    """They go in the order they were asked for."""
    SUPERSEDE = "supersede"
    """Once a later one is ready to go, the earlier ones that still wait are superseded."""
    REJECT = "reject"
    """While one waits or is under way, another is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRule:
    """A gate of a stage: a kind, and what that kind needs to know (its options as written, without defaults)."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    line: int = field(default=0, compare=False)

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "options": dict(self.options)}


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyRule:
    """Whom a stage tells, and when."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    on: tuple[str, ...] = ("success",)
    """``success``, ``failure``, ``waiting``, ``approval-needed``."""
    required: bool = False
    """Whether the promotion has failed when this cannot be delivered."""
    line: int = field(default=0, compare=False)

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "options": dict(self.options), "on": list(self.on), "required": self.required}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How gates are asked. All times in seconds."""

    delay: int = 0
    """How long a promotion waits before its gates are asked for the first time."""
    every: int = 300
    """The time from one sample to the next; a sample is as old as this when it no longer counts."""
    timeout: int = 14 * DAY
    """A promotion whose gates have not passed after this time expires."""

    def to_json(self) -> dict[str, Any]:
        return {"delay": self.delay, "every": self.every, "timeout": self.timeout}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRule:
    """Who has to approve: ``count`` persons out of the groups."""

    groups: tuple[str, ...]
    count: int = 1
    requester_may_approve: bool = False
    expires: int = 7 * DAY
    """Seconds from the request, after which a promotion without its approvals expires."""

    def to_json(self) -> dict[str, Any]:
        return {
            "from": list(self.groups),
            "count": self.count,
            "requester-may-approve": self.requester_may_approve,
            "expires": self.expires,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One level: where its images live, which tags move, and what has to hold before."""

    name: str
    to: tuple[Template, ...]
    """The targets: for each image a repository (``registry/repository``) or a layout (``oci:folder``), without tag."""
    tags: tuple[Template, ...]
    after: tuple[str, ...] = ()
    """The stages in which a release must have succeeded before it may come here: all of them, or any (`after_any`)."""
    after_any: bool = False
    trigger: Trigger = Trigger.MANUAL
    schedule: str = ""
    """Five cron fields and a time zone's name; only with `Trigger.SCHEDULE`."""
    queue: Queue = Queue.QUEUE
    gates: tuple[GateRule, ...] = ()
    sampling: Sampling = Sampling()
    approvals: ApprovalRule | None = None
    override: tuple[str, ...] = ()
    """The groups whose members may override; nobody may when there are none."""
    rollback_without: tuple[str, ...] = ()
    """What a rollback need not meet: kinds of gates, ``approvals``, ``freeze``, ``hold``."""
    freeze: tuple[str, ...] = ()
    """Windows in which nothing is admitted, as written (`liftlock.release.freeze`)."""
    notify: tuple[NotifyRule, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For the snapshot. What has its default is left out: a snapshot of an earlier version stays as it is."""
        value: dict[str, Any] = {
            "name": self.name,
            "after": {"any": list(self.after)} if self.after_any else list(self.after),
            "to": self.to[0].text if len(self.to) == 1 else [each.text for each in self.to],
            "tags": [tag.text for tag in self.tags],
        }
        if self.trigger is not Trigger.MANUAL:
            value["trigger"] = self.trigger.value
        if self.schedule:
            value["schedule"] = self.schedule
        if self.queue is not Queue.QUEUE:
            value["queue"] = self.queue.value
        if self.gates:
            value["gates"] = [gate.to_json() for gate in self.gates]
        if self.sampling != Sampling():
            value["sampling"] = self.sampling.to_json()
        if self.approvals:
            value["approvals"] = self.approvals.to_json()
        for key, names in (
            ("override", self.override),
            ("rollback-without", self.rollback_without),
            ("freeze", self.freeze),
        ):
            if names:
                value[key] = list(names)
        if self.notify:
            value["notify"] = [rule.to_json() for rule in self.notify]
        return value

    @classmethod
    def from_json(cls, value: Any) -> Stage:
        """The reverse of `to_json`; raises what a value of another shape raises."""
        after, to = value["after"], value["to"]
        approvals = value.get("approvals")
        return cls(
            name=value["name"],
            after=tuple(after["any"] if isinstance(after, dict) else after),
            after_any=isinstance(after, dict),
            to=tuple(Template(text=each) for each in ([to] if isinstance(to, str) else to)),
            tags=tuple(Template(text=tag) for tag in value["tags"]),
            trigger=Trigger(value.get("trigger", "manual")),
            schedule=value.get("schedule", ""),
            queue=Queue(value.get("queue", "queue")),
            gates=tuple(GateRule(kind=gate["kind"], options=gate["options"]) for gate in value.get("gates", ())),
            sampling=Sampling(**value.get("sampling", {})),
            approvals=approvals
            and ApprovalRule(
                groups=tuple(approvals["from"]),
                count=approvals["count"],
                requester_may_approve=approvals["requester-may-approve"],
                expires=approvals["expires"],
            ),
            override=tuple(value.get("override", ())),
            rollback_without=tuple(value.get("rollback-without", ())),
            freeze=tuple(value.get("freeze", ())),
            notify=tuple(
                NotifyRule(kind=rule["kind"], options=rule["options"], on=tuple(rule["on"]), required=rule["required"])
                for rule in value.get("notify", ())
            ),
        )
