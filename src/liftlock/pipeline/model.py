"""The keys of a pipeline file, as pydantic models: what the JSON Schema is made from.

They say which keys there are and of which kind; whether the parts fit together is `liftlock.release.check`'s work, and
what a kind of gate or notifier takes is said by that kind (`liftlock.pipeline.options`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from liftlock.pipeline.kinds import Duration
from liftlock.release.names import IMAGE_NAME, NAME, VARIABLE_NAME

__all__ = [
    "NOTIFY_KEYS",
    "NOT_YET",
    "AnyKeys",
    "ApprovalKeys",
    "CreateKeys",
    "NotifyKeys",
    "OverrideKeys",
    "PipelineFile",
    "RegistryKeys",
    "RollbackKeys",
    "RuleKeys",
    "SamplingKeys",
    "ScheduleKeys",
    "StageKeys",
]

NOT_YET = frozenset({"evidence", "verify"})
"""Keys that mean something to Liftlock's design and nothing to this version: refused by that name, never ignored."""

NOTIFY_KEYS = ("on", "required")
"""The keys of an item of ``notify`` that are not its kind."""

Text = Annotated[str, Field(min_length=1)]
Names = Annotated[list[Text], Field(min_length=1)]
Person = Annotated[str, Field(min_length=1, max_length=256)]
TriggerWord = Literal["manual", "on-publish", "on-success"]
Occasion = Literal["success", "failure", "waiting", "approval-needed"]


def _without_default(schema: dict[str, Any]) -> None:
    """Leave out a default that could not be written: an empty text means that the key is not there."""
    del schema["default"]


def _by_shape(shape: type, then: str, otherwise: str) -> Callable[[object], str]:
    """Which of two readings a value asks for, by its shape alone, so that errors speak of that one only.

    The names are in brackets: they come up in the places of errors, and are taken out there.
    """
    return lambda value: then if isinstance(value, shape) else otherwise


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CreateKeys(_Keys):
    """What a repository is made like that is missing when images are to go there (Amazon ECR)."""

    immutable: bool = Field(default=False, description="Whether its tags cannot be moved.")
    scan_on_push: bool = Field(default=False, alias="scan-on-push", description="Whether each image is scanned.")
    encryption: Annotated[str, Field(pattern=r"^(AES256|KMS|arn:.+)$")] = Field(
        default="", json_schema_extra=_without_default, description="AES256, KMS, or the ARN of a KMS key."
    )
    lifecycle: Text = Field(
        default="",
        json_schema_extra=_without_default,
        description="A file with its lifecycle policy, as JSON, relative to this file's folder.",
    )
    tags: dict[str, str] = Field(default={}, description="Tags of the repository, as a cloud's resource.")


class RegistryKeys(_Keys):
    """How one registry is talked to."""

    plain_http: bool = Field(
        default=False, alias="plain-http", description="Talk plain HTTP to it. Loopback hosts need no asking."
    )
    ca_file: Text = Field(
        default="",
        json_schema_extra=_without_default,
        alias="ca-file",
        description="A PEM file with the authorities that may sign its certificate, relative to this file's folder.",
    )
    endpoint: Annotated[str, Field(pattern=r"^https?://[^/@\s]+$")] = Field(
        default="",
        json_schema_extra=_without_default,
        description="The URL at which it is spoken to instead of at its own host, such as a private address of it.",
    )
    role: Annotated[str, Field(pattern=r"^arn:[a-z-]+:iam::[0-9]{12}:role/.+$")] = Field(
        default="", json_schema_extra=_without_default, description="The AWS role that is assumed for it."
    )
    create: Annotated[
        Annotated[bool, Tag("(word)")] | Annotated[CreateKeys, Tag("(mapping)")],
        Discriminator(_by_shape(dict, "(mapping)", "(word)")),
    ] = Field(default=False, description="Whether missing repositories are made (Amazon ECR), or what they are like.")
    import_into: Annotated[str, Field(pattern=r"^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/.+$")] = Field(
        default="",
        json_schema_extra=_without_default,
        alias="import",
        description="The Azure resource id of this registry: it then fetches images itself, where it may.",
    )
    lock: bool = Field(
        default=False, description="Whether promoted tags and digests are locked (Azure Container Registry)."
    )


class EventsKeys(_Keys):
    """Where a registry tells what was pushed to it."""

    sqs: Text = Field(
        description="The URL of an Amazon SQS queue that EventBridge sends ECR's events to.",
        examples=["https://sqs.eu-west-1.amazonaws.com/123456789012/images"],
    )


class ScheduleKeys(_Keys):
    """The clock starts a promotion."""

    schedule: Text = Field(
        description="Five cron fields (minute, hour, day of the month, month, day of the week) and a time zone's name.",
        examples=["0 6 * * 1-5 Europe/Berlin"],
    )


class AnyKeys(_Keys):
    """A success in one of several stages is enough."""

    any: Names = Field(description="The stages of which one is enough.")


class SamplingKeys(_Keys):
    """How a stage's gates are asked."""

    delay: Duration = Field(default="0s", description="How long to wait before the gates are asked first.")
    every: Duration = Field(default="5m", description="The time from one asking to the next; all have to pass in one.")
    timeout: Duration = Field(default="14d", description="A promotion whose gates have not passed by then expires.")


class ApprovalKeys(_Keys):
    """Who has to approve."""

    groups: Names = Field(alias="from", description="The groups whose members may approve.")
    count: Annotated[int, Field(ge=1)] = Field(default=1, description="How many persons have to.")
    requester_may_approve: bool = Field(
        default=False, alias="requester-may-approve", description="Whether who asked for the promotion may be one."
    )
    expires: Duration = Field(
        default="7d", description="How long after the request a promotion without its approvals expires."
    )


class OverrideKeys(_Keys):
    """Who may let a promotion through although its conditions do not hold."""

    groups: Names = Field(alias="from", description="The groups whose members may override.")


class RollbackKeys(_Keys):
    """What a rollback need not wait for."""

    without: list[Text] = Field(description="approvals, freeze, hold, and kinds of gates.")


After = Annotated[
    Annotated[list[Text], Tag("(list)")] | Annotated[AnyKeys, Tag("(mapping)")],
    Discriminator(_by_shape(dict, "(mapping)", "(list)")),
]
To = Annotated[
    Annotated[Text, Tag("(text)")] | Annotated[Names, Tag("(list)")],
    Discriminator(_by_shape(list, "(list)", "(text)")),
]
Trigger = Annotated[
    Annotated[TriggerWord, Tag("(word)")] | Annotated[ScheduleKeys, Tag("(mapping)")],
    Discriminator(_by_shape(dict, "(mapping)", "(word)")),
]
Approvals = Annotated[
    Annotated[Literal["none"], Tag("(word)")] | Annotated[ApprovalKeys, Tag("(mapping)")],
    Discriminator(_by_shape(str, "(word)", "(mapping)")),
]
Override = Annotated[
    Annotated[Literal["none"], Tag("(word)")] | Annotated[OverrideKeys, Tag("(mapping)")],
    Discriminator(_by_shape(str, "(word)", "(mapping)")),
]


class RuleKeys(_Keys):
    """What every stage has unless it says otherwise."""

    trigger: Trigger = Field(
        default="manual",
        description="What starts a promotion into this stage: somebody, a publication, a success, or the clock.",
    )
    queue: Literal["queue", "supersede", "reject"] = Field(
        default="queue",
        description="What becomes of promotions that could go at the same time: they go in the order they were asked "
        "for, later ones supersede earlier ones, or all but the first are refused.",
    )
    gates: list[dict[str, Any]] = Field(
        default=[], description="What has to pass, asked together. Each is one key, its kind, with the kind's options."
    )
    sampling: SamplingKeys = Field(default=SamplingKeys(), description="How the gates are asked.")
    approvals: Approvals = Field(default="none", description="Who has to approve; none for nobody.")
    override: Override = Field(
        default="none", description="Who may let a promotion through that its conditions keep; none for nobody."
    )
    rollback: RollbackKeys = Field(
        default=RollbackKeys(without=[]), description="What a rollback need not wait for. By default it waits for all."
    )
    freeze: list[Text] = Field(
        default=[],
        description="Windows in which nothing is promoted.",
        examples=[["fri 16:00 - mon 08:00 Europe/Berlin"]],
    )
    notify: list[dict[str, Any]] = Field(
        default=[], description="Who is told. Each has its kind with the kind's options, and may have on and required."
    )


class StageKeys(RuleKeys):
    """One level that a release passes through."""

    name: Annotated[str, Field(pattern=NAME, description="What the stage is called.")]
    after: After = Field(
        default=[],
        description="The stages in which a release must have succeeded before it may come here: a list means all of "
        "them, {any: list} one of them.",
    )
    to: To = Field(
        description="Where each image goes, without tag: registry/repository or oci:folder, or a list of such places. "
        "May have {variables}."
    )
    tags: Names = Field(description="The tags that are set when everything else is there. May have {variables}.")


class NotifyKeys(_Keys):
    """What an item of ``notify`` says besides its kind."""

    on: Annotated[list[Occasion], Field(min_length=1)] = Field(
        default=["success"], description="The occasions on which to tell."
    )
    required: bool = Field(
        default=False, description="Whether the promotion has failed when this cannot be delivered. Tags stay."
    )


class PipelineFile(_Keys):
    """A Liftlock pipeline: what one build makes, and the stages it passes through."""

    pipeline: Annotated[str, Field(pattern=NAME, description="What the pipeline is called.")]
    images: Annotated[list[Annotated[str, Field(pattern=IMAGE_NAME, max_length=128)]], Field(min_length=1)] = Field(
        description="The names of the images that one build makes."
    )
    store: Text = Field(
        default="",
        json_schema_extra=_without_default,
        description="Where published artifacts are kept: a folder, relative to this file's, s3://bucket/prefix, "
        "az://container/prefix, gs://bucket/prefix, or oci://registry/repository.",
    )
    source: Text = Field(
        default="",
        json_schema_extra=_without_default,
        description="The reference of each image in a registry, pinned when a promotion starts without a release.",
    )
    events: EventsKeys | None = Field(
        default=None,
        json_schema_extra=_without_default,
        description="Where it is said that something was pushed to the source: workers look, and make a release.",
    )
    groups: dict[Annotated[str, Field(pattern=NAME)], Annotated[list[Person], Field(min_length=1)]] = Field(
        default={},
        description="Persons, by the name of their group: who may approve and override.",
        json_schema_extra={"additionalProperties": False},
    )
    registries: dict[str, RegistryKeys] = Field(default={}, description="Options of registries, by host or host:port.")
    variables: dict[Annotated[str, Field(pattern=VARIABLE_NAME)], str] = Field(
        default={},
        description="The pipeline's own variables: {name} in to, tags and source.",
        json_schema_extra={"additionalProperties": False},
    )
    defaults: RuleKeys = Field(default=RuleKeys(), description="What every stage has unless it says otherwise.")
    stages: Annotated[list[StageKeys], Field(min_length=1)] = Field(
        description="The stages, in the order they are shown."
    )
