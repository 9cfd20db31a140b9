"""`liftlock codepipeline`."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

import click

from liftlock.cli.commands import SETTINGS
from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import debug_option, output_option
from liftlock.cli.output import document, fields, line, table
from liftlock.cli.project import assignments
from liftlock.errors import Cancelled, ConfigError, LiftlockError

if TYPE_CHECKING:
    from liftlock.ci.codepipeline.results import StageResult
    from liftlock.ci.codepipeline.run import Log, Workplace
    from liftlock.ci.codepipeline.stage import Stage

__all__ = ["codepipeline"]

EXAMPLES = (
    "liftlock codepipeline run pipeline.yaml --stage Promote --input App=. --docker liftlock",
    "liftlock codepipeline run pipeline.yaml projects.yaml --stage Promote --input App=. --dry-run",
)


@click.group(context_settings=SETTINGS)
def codepipeline() -> None:
    """Run a stage of an AWS CodePipeline on this machine."""


@codepipeline.command(cls=Verb, examples=EXAMPLES)
@click.argument("templates", metavar="TEMPLATE...", nargs=-1, required=True)
@click.option("--stage", metavar="NAME", required=True, help="The stage to run.")
@click.option("--pipeline", metavar="NAME", default="", help="The pipeline, when the templates have several.")
@click.option(
    "--input", "inputs", metavar="NAME=FOLDER", multiple=True, help="The content of an input artifact (repeatable)."
)
@click.option(
    "--artifacts",
    metavar="FOLDER",
    help="Where output artifacts are kept, each in a folder of its own. Without it they last as long as the run.",
)
@click.option(
    "--parameter",
    "parameters",
    metavar="NAME=VALUE",
    multiple=True,
    help="A parameter of the templates, or what Ref of a resource is (repeatable).",
)
@click.option(
    "--variable",
    "variables",
    metavar="SPACE.NAME=VALUE",
    multiple=True,
    help="What #{SPACE.NAME} is, where no action of this stage exports it (repeatable).",
)
@click.option("--account", metavar="DIGITS", default="", help="AWS::AccountId. Else AWS_ACCOUNT_ID, else AWS is asked.")
@click.option("--region", metavar="NAME", default="", help="AWS::Region. Else AWS_REGION or the AWS configuration.")
@click.option(
    "--docker",
    type=click.Choice(("liftlock",)),
    help="What docker is for the commands: liftlock, which needs no daemon. Else what PATH has.",
)
@click.option("--dry-run", is_flag=True, help="Show the actions and what they would get; run nothing.")
@output_option("text", "json")
@debug_option
@pass_invocation
def run(
    invocation: Invocation,
    *,
    templates: tuple[str, ...],
    stage: str,
    pipeline: str,
    inputs: tuple[str, ...],
    artifacts: str | None,
    parameters: tuple[str, ...],
    variables: tuple[str, ...],
    account: str,
    region: str,
    docker: Literal["liftlock"] | None,
    dry_run: bool,
) -> None:
    """Run a stage of a pipeline as CodePipeline and CodeBuild would.

    Each TEMPLATE is CloudFormation, in YAML or JSON: a whole template, or a piece cut out of one, which is a list of
    stages, or resources by name. The stage's actions run by their RunOrder, equal ones side by side; what they inherit
    is this environment. Exit 1 when one of them fails.
    """
    from liftlock.ci.buildspec.aws import Aws
    from liftlock.ci.codepipeline.cloud import Cloud
    from liftlock.ci.codepipeline.files import gather
    from liftlock.ci.codepipeline.run import Workplace, check
    from liftlock.ci.codepipeline.stage import read_stage
    from liftlock.ci.codepipeline.values import Values

    folders = {name: Path(folder) for name, folder in assignments(inputs, "--input").items()}
    cloud = Cloud(os.environ, account=account, region=region)
    gathered = gather([(path, _content(path)) for path in templates])
    values = Values(gathered, cloud, assignments(parameters, "--parameter", empty=True))
    found = read_stage(
        gathered,
        values,
        pipeline=pipeline,
        stage=stage,
        given=assignments(variables, "--variable", empty=True),
        inputs=folders,
    )
    known_account, known_region = cloud.known
    place = Workplace(
        inputs=folders,
        outputs=Path(artifacts) if artifacts else None,
        log=_log(sys.stdout if invocation.output == "text" else sys.stderr, named=len(list(found.actions)) > 1),
        lookups=lambda place: Aws(region=place or known_region, environment=os.environ),
        clock=lambda: datetime.now(UTC),
        environment=os.environ,
        account=known_account,
        region=known_region,
        secrets=values.secrets,
        docker=docker,
        cancel=invocation.cancel,
    )
    if dry_run:
        check(found, place)
        _show(invocation, found, values.secrets)
        return
    _run(invocation, found, place)


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}", path=path) from None


def _run(invocation: Invocation, stage: Stage, place: Workplace) -> None:
    from liftlock.ci.codepipeline.results import Status
    from liftlock.ci.codepipeline.run import run as run_stage

    with invocation.stopped_by_signals():
        result = run_stage(stage, place)
    if invocation.output == "json":
        document("StageRun", result.to_json(kept=place.outputs is not None))
    else:
        _summary(result, kept=place.outputs is not None)
    failed = result.failed
    if failed is not None:
        if failed.error is not None:
            raise failed.error
        raise LiftlockError(f"the action {failed.action.name} failed: {failed.reason}")
    if result.status is Status.STOPPED:
        raise Cancelled("the stage was stopped", hint="nothing more was run; what its commands did is not undone")


def _log(to: TextIO, *, named: bool) -> Log:
    """Writes the log of actions line by line; with their names, where there are several."""
    lock = threading.Lock()

    def write(action: str, text: str) -> None:
        with lock:
            # As it is, colours and all: it is what the user's own commands say.
            to.write(f"{action}: {text}\n" if named else f"{text}\n")
            to.flush()

    return write


def _show(invocation: Invocation, stage: Stage, secrets: frozenset[str]) -> None:
    """What would be run."""
    from liftlock.ci.buildspec.masking import Mask
    from liftlock.ci.codepipeline.describe import describe

    content = describe(stage, Mask(secrets).text)
    if invocation.output == "json":
        document("StagePlan", content)
        return
    line(f"pipeline {stage.pipeline}, stage {stage.name}")
    for action in content["actions"]:
        _show_action(action)
    _not_imitated(content["notImitated"])


def _show_action(action: Mapping[str, Any]) -> None:
    line(f"{action['order']}. {action['name']}")
    fields(
        (f"   {name}", value)
        for name, value in (
            ("project", action["project"]),
            ("buildspec", action["buildspec"]),
            ("inputs", ", ".join(action["inputs"])),
            ("primary", action["primary"] if len(action["inputs"]) > 1 else ""),
            ("outputs", ", ".join(action["outputs"])),
            ("namespace", action["namespace"]),
            ("timeout", f"{action['timeoutMinutes']:g} minutes"),
        )
    )
    for each in action["environment"]:
        plain = each["type"] == "PLAINTEXT"
        line(
            f"   {each['name']}={each['value']}" if plain else f"   {each['name']} from {each['type']} {each['value']}"
        )


def _not_imitated(notes: Sequence[Mapping[str, Any]]) -> None:
    if notes:
        line("not imitated here:")
        table([[f"{note['path']}:{note['line']}", note["what"]] for note in notes], indent="   ")


def _summary(result: StageResult, *, kept: bool) -> None:
    line(f"stage {result.stage.name}: {result.status}")
    rows = []
    for each in result.actions:
        seconds = sum(phase.seconds for phase in each.build.phases) if each.build is not None else 0.0
        folders = ", ".join(map(str, each.outputs.values())) if kept else ""
        rows.append([each.action.name, each.status.value, f"{seconds:.1f} s", folders or each.reason])
    table(rows, indent="   ")
