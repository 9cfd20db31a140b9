"""`liftlock buildspec`."""

from __future__ import annotations

import getpass
import os
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from liftlock.cli.commands import SETTINGS
from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import debug_option, output_option
from liftlock.cli.output import count, document, fields, line, table
from liftlock.cli.project import assignments
from liftlock.errors import Cancelled, ConfigError, LiftlockError, UsageError

if TYPE_CHECKING:
    from liftlock.ci.buildspec.model import Buildspec
    from liftlock.ci.buildspec.result import BuildResult
    from liftlock.ci.buildspec.surroundings import Output, Stream, Surroundings

__all__ = ["buildspec"]

EXAMPLES = (
    "liftlock buildspec run buildspec.yml",
    "liftlock buildspec run ci/promote.yml --docker liftlock --env IMAGE_TAG=1.4",
    "liftlock buildspec run buildspec.yml --dry-run",
)
PRIMARY = "primary"
"""The folder of the primary artifact, where there are others beside it."""


@click.group(context_settings=SETTINGS)
def buildspec() -> None:
    """Run an AWS CodeBuild buildspec on this machine."""


@buildspec.command(cls=Verb, examples=EXAMPLES)
@click.argument("file")
@click.option(
    "--env",
    "variables",
    metavar="NAME=VALUE",
    multiple=True,
    help="Set a variable; it wins over the file (repeatable).",
)
@click.option(
    "--source",
    metavar="DIR",
    default=".",
    show_default="the current folder",
    help="Where the commands start: CODEBUILD_SRC_DIR. They work in it, not in a copy.",
)
@click.option("--artifacts", metavar="DIR", help="Collect the artifacts here: a folder that is new or empty.")
@click.option(
    "--docker",
    type=click.Choice(("liftlock",)),
    help="What docker is for the commands: liftlock, which needs no daemon. Else what PATH has.",
)
@click.option("--build-id", metavar="ID", default="", help="The build's id; a new one when it is not given.")
@click.option("--initiator", metavar="NAME", default="", help="Who started the build; you, when it is not given.")
@click.option("--dry-run", is_flag=True, help="Show what would run, with which variables; run and look up nothing.")
@output_option("text", "json", "ndjson")
@debug_option
@pass_invocation
def run(
    invocation: Invocation,
    *,
    file: str,
    variables: tuple[str, ...],
    source: str,
    artifacts: str | None,
    docker: Literal["liftlock"] | None,
    build_id: str,
    initiator: str,
    dry_run: bool,
) -> None:
    """Run a buildspec (version 0.2) as CodeBuild would.

    FILE's commands run in one shell, phase after phase, with this environment. Parameters and secrets are looked up
    with the AWS credentials of this environment, and hidden in all that is shown. Exit 1 when the build fails.
    """
    from liftlock.ci.buildspec.aws import Aws
    from liftlock.ci.buildspec.read import read
    from liftlock.ci.buildspec.surroundings import Identity, Surroundings, Variable

    spec = read(_content(file), file)
    given = assignments(variables, "--env", empty=True)
    folders = _folders(spec, artifacts)
    surroundings = Surroundings(
        source=Path(source),
        output=_output(invocation),
        lookups=Aws(environment=os.environ),
        clock=lambda: datetime.now(UTC),
        cancel=invocation.cancel,
        environment=os.environ,
        overrides=tuple(Variable(name=name, value=value, path="--env") for name, value in given.items()),
        identity=Identity(
            id=build_id or str(uuid.uuid4()),
            initiator=initiator or _user(),
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "",
        ),
        artifacts=folders.pop("", None),
        secondary_artifacts=folders,
        docker=docker,
    )
    if dry_run:
        _describe(invocation, spec, surroundings)
    else:
        _run(invocation, spec, surroundings)


def _run(invocation: Invocation, spec: Buildspec, surroundings: Surroundings) -> None:
    from liftlock.ci.buildspec.result import BuildStatus
    from liftlock.ci.buildspec.run import run as run_buildspec

    with invocation.stopped_by_signals():
        result = run_buildspec(spec, surroundings)
    if invocation.output == "text":
        _show(result)
    else:
        document("Build", result.to_json(), compact=invocation.output == "ndjson")
    if result.status is BuildStatus.STOPPED:
        raise Cancelled("the build was stopped", hint="nothing more was run; what its commands did is not undone")
    failure = result.failure
    if failure:
        raise LiftlockError(f"the build failed: {failure.path}:{failure.line}: {failure.message}")


def _content(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}", path=file) from None


def _folders(spec: Buildspec, artifacts: str | None) -> dict[str, Path]:
    """Where each artifact goes: one alone into the folder itself, of several each into its own below it."""
    if not artifacts:
        return {}
    root = Path(artifacts)
    if not spec.secondary_artifacts:
        return {"": root}
    if spec.artifacts and PRIMARY in spec.secondary_artifacts:
        line_ = spec.secondary_artifacts[PRIMARY].line
        raise UsageError(
            f"{spec.where(line_)}: the artifact {PRIMARY!r} and the primary one would share a folder",
            hint="give it another identifier",
        )
    return {"": root / PRIMARY} | {name: root / name for name in spec.secondary_artifacts}


def _user() -> str:
    """Who started this; nobody's name when the system knows none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _output(invocation: Invocation) -> Output:
    """Takes the log: on stdout, or for the JSON of the result on stderr; as events for ndjson."""
    log = sys.stderr if invocation.output == "json" else sys.stdout

    def as_text(text: str, stream: Stream) -> None:  # noqa: ARG001 - the signature of an output
        # As it is, colours and all: it is what the user's own commands say.
        log.write(f"{text}\n")
        log.flush()

    def as_event(text: str, stream: Stream) -> None:
        document("BuildLog", {"stream": stream, "line": text}, compact=True)
        sys.stdout.flush()

    return as_event if invocation.output == "ndjson" else as_text


def _show(result: BuildResult) -> None:
    line("")
    line(f"build {result.identity.build_id}: {result.status}")
    if result.phases:
        table([[each.name, each.status.value, f"{each.seconds:.1f} s"] for each in result.phases], indent="  ")
    for name, value in result.masked().items():
        line(f"  {name}={value}")
    for artifact in result.artifacts.values():
        name = f"{result.mask(artifact.name)} in " if artifact.name else ""
        line(f"  {name}{artifact.folder}: {count(len(artifact.files), 'file')}")


def _describe(invocation: Invocation, spec: Buildspec, surroundings: Surroundings) -> None:
    from liftlock.ci.buildspec.describe import describe

    content = describe(spec, surroundings)
    if invocation.output != "text":
        document("BuildPlan", content, compact=invocation.output == "ndjson")
        return
    fields((("file", content["path"]), ("source", content["source"]), ("shell", content["shell"])))
    for each in content["variables"]:
        plain = each["type"] == "PLAINTEXT"
        line(f"{each['name']}={each['value']}" if plain else f"{each['name']} from {each['type']} {each['value']}")
    for phase in content["phases"]:
        line(f"{phase['name']} (on failure: {phase['onFailure']})")
        for command in phase["commands"]:
            _command(command, "")
        for command in phase["finally"]:
            _command(command, "finally: ")
    for artifact in content["artifacts"]:
        line(f"artifact {artifact['id'] or PRIMARY}: {', '.join(artifact['files'])}")


def _command(command: Mapping[str, Any], kind: str) -> None:
    first, *more = command["command"].splitlines()
    line(f"  {command['line']:>4}  {kind}{first}")
    for each in more:
        line(f"        {each}")
