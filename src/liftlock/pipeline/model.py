"""The keys of a pipeline file, as pydantic models: what the JSON Schema is made from.

They say which keys there are and of which kind; whether the parts fit together is `liftlock.release.check`'s work.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema

from liftlock.release.names import IMAGE_NAME, NAME, VARIABLE_NAME

__all__ = ["NOT_YET", "PipelineFile", "schema"]

NOT_YET = frozenset({
    "approvals", "create", "defaults", "evidence", "freeze", "gates", "groups", "hold", "notify", "queue", "role",
    "schedule", "verify",
})  # fmt: skip
"""Keys that mean something to Liftlock's design and nothing to this version: refused by that name, never ignored."""

Text = Annotated[str, Field(min_length=1)]


def _without_default(schema: dict[str, Any]) -> None:
    """Leave out a default that could not be written: an empty text means that the key is not there."""
    del schema["default"]


class _Schema(GenerateJsonSchema):
    """Leaves out the titles that would only repeat the keys."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002  # pydantic's signature
        return False


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


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


class StageKeys(_Keys):
    """One level that a release passes through."""

    name: Annotated[str, Field(pattern=NAME, description="What the stage is called.")]
    after: list[Text] = Field(
        default=[], description="The stages in which a release must have succeeded before it may come here."
    )
    trigger: Literal["manual"] = Field(
        default="manual", description="What starts a promotion into this stage. This version knows only manual."
    )
    to: Text = Field(
        description="Where each image goes, without tag: registry/repository or oci:folder. May have {variables}."
    )
    tags: Annotated[list[Text], Field(min_length=1)] = Field(
        description="The tags that are set when everything else is there. May have {variables}."
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
        description="The folder that published artifacts are kept in, relative to this file's folder.",
    )
    source: Text = Field(
        default="",
        json_schema_extra=_without_default,
        description="The reference of each image in a registry, pinned when a promotion starts without a release.",
    )
    registries: dict[str, RegistryKeys] = Field(default={}, description="Options of registries, by host or host:port.")
    variables: dict[Annotated[str, Field(pattern=VARIABLE_NAME)], str] = Field(
        default={},
        description="The pipeline's own variables: {name} in to, tags and source.",
        json_schema_extra={"additionalProperties": False},
    )
    stages: Annotated[list[StageKeys], Field(min_length=1)] = Field(
        description="The stages, in the order they are shown."
    )


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a pipeline file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **PipelineFile.model_json_schema(by_alias=True, schema_generator=_Schema),
        "title": "Liftlock pipeline",
    }
