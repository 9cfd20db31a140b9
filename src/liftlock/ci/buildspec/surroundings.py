"""What a buildspec is run in: its project's settings, the build's identity, folders, and the services it asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

from liftlock.auth.secret import Secret
from liftlock.transfer.events import Cancel

__all__ = ["Identity", "Lookups", "Output", "Stream", "Surroundings", "Variable", "VariableType"]

Stream = Literal["command", "container"]
"""Who wrote a line of the log: a command (stdout and stderr, in their order), or the runner (``[Container] …``)."""


class VariableType(StrEnum):
    """How a variable's value is meant, in CodeBuild's words."""

    PLAINTEXT = "PLAINTEXT"
    PARAMETER_STORE = "PARAMETER_STORE"
    SECRETS_MANAGER = "SECRETS_MANAGER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable that a project, or the start of a build, sets.

    ``value`` is the value itself, a parameter's name, or a secret's reference (``secret-id:json-key:stage:version``).
    ``path`` and ``line`` say where it was written, for messages; line 0: not in a file.
    """

    name: str
    value: str
    type: VariableType = VariableType.PLAINTEXT
    path: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which build this is: what ``CODEBUILD_*`` variables say of it."""

    project: str = "local"
    id: str = "00000000-0000-0000-0000-000000000000"
    """Without the project's name."""
    number: int = 1
    initiator: str = ""
    """A person's name, or ``codepipeline/<name>``."""
    region: str = ""
    """Empty: not known here; then ``AWS_REGION`` is whatever the environment says, and the ARN says ``us-east-1``."""
    account: str = "000000000000"
    image: str = ""
    """``CODEBUILD_BUILD_IMAGE``; nothing runs in it."""
    kms_key: str = ""
    source_version: str = ""
    resolved_source_version: str = ""
    source_repo_url: str = ""

    @property
    def build_id(self) -> str:
        """``project:id``."""
        return f"{self.project}:{self.id}"

    @property
    def arn(self) -> str:
        """The build's ARN."""
        return f"arn:aws:codebuild:{self.region or 'us-east-1'}:{self.account}:build/{self.build_id}"


class Lookups(Protocol):
    """What AWS is asked for. `liftlock.ci.buildspec.aws.Aws` asks it; nothing is asked that no variable needs.

    Both raise `NotFound`, `AccessDenied` (refused, or the credentials have expired), `ConfigError` (no credentials, no
    region, boto3 not installed) or `TransportError`, naming the service's action; the runner adds file and line.
    """

    def parameter(self, name: str) -> Secret:
        """A parameter of Systems Manager, decrypted."""
        ...

    def secret(self, id: str, key: str, stage: str, version: str) -> Secret:  # noqa: A002 - AWS's word
        """A secret of Secrets Manager; ``key``, ``stage`` and ``version`` may be empty."""
        ...


class Output(Protocol):
    """Takes the log, line by line, secrets masked, without the line's end; lines are at most 64 KiB.

    An exception of it stops the build and is raised by `run`.
    """

    def __call__(self, line: str, stream: Stream, /) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Everything besides the file. Of variables with one name, ``overrides`` win, then ``project``, then the file."""

    source: Path
    """``CODEBUILD_SRC_DIR``: where the first command starts; commands work in it, not in a copy."""
    output: Output
    lookups: Lookups
    clock: Callable[[], datetime]
    """The time now, aware, in UTC."""
    cancel: Cancel = field(default_factory=Cancel)
    """A request to stop ends every process of the build; nothing more is run."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What the commands inherit, as from CodeBuild's image; all others win over it."""
    project: tuple[Variable, ...] = ()
    overrides: tuple[Variable, ...] = ()
    identity: Identity = field(default_factory=Identity)
    extra_sources: Mapping[str, Path] = field(default_factory=dict)
    """Further source folders, by identifier: ``CODEBUILD_SRC_DIR_<identifier>``."""
    artifacts: Path | None = None
    """An empty folder (or none yet) for the files of ``artifacts``; None: they are collected nowhere."""
    secondary_artifacts: Mapping[str, Path] = field(default_factory=dict)
    """The same for each entry of ``secondary-artifacts``, by its identifier."""
    docker: Literal["liftlock"] | None = None
    """``liftlock``: the command ``docker`` is Liftlock's own, first on ``PATH``."""
