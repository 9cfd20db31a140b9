"""A buildspec as a value: what `read` makes of a file. Every part knows the line it stands in (from 1).

The names are those of AWS's buildspec reference:
https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "ArtifactsSection",
    "Buildspec",
    "Command",
    "EnvSection",
    "OnFailure",
    "Phase",
    "PhaseName",
    "SecretReference",
    "Shell",
    "Text",
]


class PhaseName(StrEnum):
    """The four phases that have commands, in their order; the value is the key in the file."""

    INSTALL = "install"
    PRE_BUILD = "pre_build"
    BUILD = "build"
    POST_BUILD = "post_build"


class OnFailure(StrEnum):
    """What follows a failed phase. Where the file does not say it, CodeBuild's own transitions do."""

    ABORT = "ABORT"  # no further phase, not even post_build
    CONTINUE = "CONTINUE"  # the next phase, with CODEBUILD_BUILD_SUCCEEDING=0


class Shell(StrEnum):
    """The shell that commands are run with."""

    SH = "/bin/sh"
    BASH = "bash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text of the file, and its line."""

    text: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command: text for the shell, of one line or many."""

    text: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """The commands of one phase."""

    name: PhaseName
    line: int
    commands: tuple[Command, ...] = ()
    finally_: tuple[Command, ...] = ()
    """Run whenever the phase began; a failing one fails the phase."""
    on_failure: OnFailure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretReference:
    """A secret of AWS Secrets Manager: ``secret-id:json-key:version-stage:version-id``."""

    id: str
    """A name or an ARN."""
    key: str = ""
    """The key of a secret that is a JSON object; empty for the whole text."""
    stage: str = ""
    """A staging label; empty for ``AWSCURRENT``."""
    version: str = ""

    def __str__(self) -> str:
        return ":".join((self.id, self.key, self.stage, self.version)).rstrip(":")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvSection:
    """What ``env`` says; each mapping is from a variable's name."""

    shell: Shell = Shell.SH
    variables: Mapping[str, Text] = field(default_factory=dict)
    """Literal values: ``$`` in them stays what it is."""
    parameter_store: Mapping[str, Text] = field(default_factory=dict)
    """Names of parameters."""
    secrets_manager: Mapping[str, tuple[SecretReference, int]] = field(default_factory=dict)
    """Secrets, each with its line."""
    exported_variables: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactsSection:
    """What ``artifacts``, or one entry of ``secondary-artifacts``, says."""

    line: int
    files: tuple[Text, ...]
    """Patterns, relative to the base directory."""
    base_directory: Text | None = None
    """A folder, or a pattern for folders, relative to the source folder."""
    discard_paths: bool = False
    exclude_paths: tuple[Text, ...] = ()
    name: Text | None = None
    """Text that the shell expands when the build is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildspec:
    """A whole file. A phase that the file does not have has no commands, as in CodeBuild."""

    path: str
    """For messages; as it was given to `read`."""
    phases: Mapping[PhaseName, Phase]
    env: EnvSection = field(default_factory=EnvSection)
    artifacts: ArtifactsSection | None = None
    secondary_artifacts: Mapping[str, ArtifactsSection] = field(default_factory=dict)
    """By artifact identifier."""

    def where(self, line: int) -> str:
        """``buildspec.yml:12``."""
        return f"{self.path}:{line}"
