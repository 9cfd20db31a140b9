"""A stage runs as CodePipeline would run it: by order, side by side, each action with folders of its own."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from liftlock.ci.buildspec.aws import Aws
from liftlock.ci.codepipeline.results import StageResult, Status
from liftlock.ci.codepipeline.run import Workplace, check, run
from liftlock.ci.codepipeline.stage import Stage
from liftlock.errors import ConfigError, LiftlockError, UsageError
from liftlock.transfer.events import Cancel
from tests.ci.codepipeline.stages import line_of, stage_of

HEAD = """\
Parameters:
  Password: {Type: String, NoEcho: true, Default: opensesame7}
Resources:
  Pipe:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      Name: shop
      Stages:
        - Name: Promote
          Actions:
"""
ACTION = """\
            - Name: {name}
              ActionTypeId: {{Category: Build, Owner: AWS, Provider: CodeBuild, Version: 1}}
              Configuration:
                ProjectName: {name}
                PrimarySource: {primary}
                EnvironmentVariables: '{variables}'
              InputArtifacts: [{inputs}]
              OutputArtifacts: [{outputs}]
              Namespace: {name}
              RunOrder: {order}
"""
PROJECT = """\
  {name}:
    Type: AWS::CodeBuild::Project
    Properties:
      Name: {name}
      Artifacts: {{Type: CODEPIPELINE}}
      Source:
        Type: CODEPIPELINE
        BuildSpec: |
          version: 0.2
          env:
            exported-variables: [SAID]
          phases:
            build:
              commands:
{commands}
{artifacts}
      Environment:
        EnvironmentVariables:
          - {{Name: AWS_REGION, Value: eu-north-1}}
          - {{Name: TAG, Value: project}}
          - {{Name: PASSWORD, Value: !Ref Password}}
"""


@dataclass
class Step:
    """An action and its project."""

    name: str
    commands: Sequence[str] = ("true",)
    order: int = 1
    inputs: Sequence[str] = ("App",)
    outputs: Sequence[str] = ()
    variables: str = "[]"
    artifacts: str = ""


def _named(artifacts: Sequence[str]) -> str:
    return ", ".join(f"{{Name: {each}}}" for each in artifacts)


@dataclass
class Bench:
    """Runs stages, and keeps their log."""

    folder: Path
    log: list[str] = field(default_factory=list)
    cancel: Cancel = field(default_factory=Cancel)
    outputs: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": os.environ["PATH"]})
    heard: Callable[[str], None] = lambda line: None

    def input(self, name: str, **files: str) -> Path:
        folder = self.folder / "inputs" / name
        folder.mkdir(parents=True)
        for file, text in files.items():
            (folder / file).write_text(text)
        return folder

    def template(self, *steps: Step) -> str:
        actions = "".join(
            ACTION.format(
                name=step.name,
                primary=step.inputs[0],
                variables=step.variables,
                inputs=_named(step.inputs),
                outputs=_named(step.outputs),
                order=step.order,
            )
            for step in steps
        )
        projects = "".join(
            PROJECT.format(
                name=step.name,
                commands="\n".join(f"                - {command}" for command in step.commands),
                artifacts=step.artifacts,
            )
            for step in steps
        )
        return HEAD + actions + projects

    def stage(self, *steps: Step, **settings: Any) -> Stage:
        if not (self.folder / "inputs" / "App").is_dir():
            self.input("App")
        inputs = {each.name: each for each in (self.folder / "inputs").iterdir()}
        return stage_of(self.template(*steps), inputs=inputs, **settings)

    def place(self) -> Workplace:
        def write(action: str, line: str) -> None:
            self.log.append(f"{action}: {line}")
            self.heard(self.log[-1])

        return Workplace(
            inputs={each.name: each for each in (self.folder / "inputs").iterdir()},
            outputs=self.outputs,
            log=write,
            lookups=lambda region: Aws(region=region, environment={}),
            clock=lambda: datetime.now(UTC),
            environment=self.environment,
            account="123456789012",
            region="eu-west-1",
            secrets=frozenset({"opensesame7"}),
            cancel=self.cancel,
        )

    def run(self, *steps: Step) -> StageResult:
        return run(self.stage(*steps), self.place())

    def said(self, action: str) -> list[str]:
        """What the commands of an action printed."""
        lines = [line.removeprefix(f"{action}: ") for line in self.log if line.startswith(f"{action}: ")]
        return [line for line in lines if not line.startswith("[Container]")]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def statuses(result: StageResult) -> dict[str, Status]:
    return {each.action.name: each.status for each in result.actions}


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_actions_run_by_their_order_and_stop_after_a_failed_one(bench: Bench) -> None:
    result = bench.run(
        Step("Third", ["echo never"], order=3),
        Step("Second", ["echo two", "exit 4"], order=2),
        Step("Beside", ["echo beside"], order=2),
        Step("First", ["echo one"], order=1),
    )

    assert statuses(result) == {
        "First": Status.SUCCEEDED,
        "Second": Status.FAILED,
        "Beside": Status.SUCCEEDED,
        "Third": Status.NOT_RUN,
    }
    assert (result.status, result.stopped) == (Status.FAILED, False)
    assert (bench.said("First"), bench.said("Beside"), bench.said("Third")) == (["one"], ["beside"], [])
    failed = result.failed
    assert failed is not None
    assert failed.action.name == "Second"
    assert failed.reason.endswith("BUILD: Error while executing command: exit 4. Reason: exit status 4")


def test_what_fails_in_an_inline_buildspec_is_named_with_the_line_of_the_template(bench: Bench) -> None:
    steps = [Step("Build", ["echo one", "test -f nowhere"])]

    failed = bench.run(*steps).failed

    assert failed is not None
    assert failed.reason.startswith(f"t.yaml:{line_of(bench.template(*steps), 'test -f nowhere')}: BUILD: ")


def test_actions_of_one_order_run_side_by_side(bench: Bench) -> None:
    """Each waits for the other at a pipe: one after the other, they would wait for ever."""
    pipe = bench.folder / "pipe"
    os.mkfifo(pipe)

    result = bench.run(Step("Gives", [f"echo hello > {pipe}"]), Step("Takes", [f"cat {pipe}"]))

    assert result.status is Status.SUCCEEDED
    assert bench.said("Takes") == ["hello"]


def test_each_action_has_a_copy_of_its_inputs(bench: Bench) -> None:
    app = bench.input("App", file="as it was")

    result = bench.run(
        Step("One", ["cat file", "echo one > file", "echo more > new"]), Step("Two", ["cat file", "ls"], order=2)
    )

    assert result.status is Status.SUCCEEDED
    assert bench.said("Two") == ["as it was", "file"]
    assert files(app) == {"file": "as it was"}


def test_outputs_are_inputs_of_later_actions_by_their_name(bench: Bench) -> None:
    bench.outputs = bench.folder / "out"
    artifacts = """\
          artifacts:
            files: [all.txt]
            secondary-artifacts:
              Report:
                files: ['*.xml']
              Other:
                files: [nothing]
"""
    result = bench.run(
        Step("Build", ["echo made > all.txt", "echo x > r.xml"], outputs=["Main", "Report"], artifacts=artifacts),
        Step("Use", ["cat all.txt $CODEBUILD_SRC_DIR_Report/r.xml"], order=2, inputs=["Main", "Report"]),
        Step("Nothing", outputs=["Declared"], order=3),
        Step("Empty", ["ls -A"], order=4, inputs=["Declared"]),
    )

    assert statuses(result) == dict.fromkeys(["Build", "Use", "Nothing", "Empty"], Status.SUCCEEDED)
    assert (bench.said("Use"), bench.said("Empty")) == (["made", "x"], [])
    assert files(bench.outputs) == {"Main/all.txt": "made\n", "Report/r.xml": "x\n"}
    assert (bench.outputs / "Declared").is_dir()


def test_one_output_may_be_a_secondary_artifact(bench: Bench) -> None:
    bench.outputs = bench.folder / "out"
    artifacts = "          artifacts:\n            secondary-artifacts:\n              Main: {files: [a]}\n"

    result = bench.run(Step("Build", ["echo a > a"], outputs=["Main"], artifacts=artifacts))

    assert result.status is Status.SUCCEEDED
    assert files(bench.outputs) == {"Main/a": "a\n"}


def test_outputs_within_an_input_are_not_copied_with_it(bench: Bench) -> None:
    app = bench.input("App", file="x")
    bench.outputs = app / "out"
    artifacts = "          artifacts:\n            files: ['**/*']\n"

    bench.run(Step("Build", ["ls -A"], outputs=["Main"], artifacts=artifacts))

    assert bench.said("Build") == ["file"]
    assert files(app) == {"file": "x", "out/Main/file": "x"}


def test_variables_of_the_action_come_before_those_of_the_project(bench: Bench) -> None:
    bench.run(
        Step("Plain", ["echo $TAG"]),
        Step("Own", ["echo $TAG"], variables='[{"name":"TAG","value":"action"}]'),
    )

    assert (bench.said("Plain"), bench.said("Own")) == (["project"], ["action"])


def test_exported_variables_are_there_for_later_actions(bench: Bench) -> None:
    asks = '[{"name":"TAG","value":"<#{First.SAID}|#{codepipeline.PipelineExecutionId}>"}]'

    said = "it-works#{codepipeline.PipelineExecutionId}"
    result = bench.run(Step("First", [f"SAID='{said}'"]), Step("Second", ['echo "$TAG"'], order=2, variables=asks))

    assert bench.said("Second") == [f"<{said}|{result.execution}>"], "what is filled in is not filled itself"


def test_a_variable_that_nobody_exported_fails_the_action_that_wants_it(bench: Bench) -> None:
    asks = '[{"name":"TAG","value":"#{First.SAID}"}]'

    result = bench.run(Step("First"), Step("Second", order=2, variables=asks))

    failed = result.failed
    assert failed is not None
    assert failed.action.name == "Second"
    assert "#{First.SAID} has no value: no action has exported it" in failed.reason
    assert isinstance(failed.error, LiftlockError)


def test_a_build_knows_its_pipeline_project_region_and_folders(bench: Bench) -> None:
    bench.input("App", a="")
    bench.input("Config", b="")
    shown = "echo $CODEBUILD_INITIATOR ${CODEBUILD_BUILD_ID%:*} $AWS_REGION $AWS_DEFAULT_REGION"

    bench.run(Step("Build", [shown, "ls $CODEBUILD_SRC_DIR $CODEBUILD_SRC_DIR_Config"], inputs=["App", "Config"]))

    said = bench.said("Build")
    assert said[0] == "codepipeline/shop Build eu-north-1 eu-west-1"
    assert [Path(line).name for line in said[1:] if line] == ["App:", "a", "Config:", "b"]


def test_secrets_of_the_template_are_in_no_output(bench: Bench) -> None:
    result = bench.run(
        Step("Build", ['echo "password $PASSWORD"', 'SAID="$PASSWORD"', 'test -z "$PASSWORD" || exit 3'])
    )

    assert bench.said("Build")[0] == "password ***"
    assert "opensesame7" not in "\n".join(bench.log) + str(result.to_json(kept=True))


def test_a_build_that_takes_too_long_is_ended(bench: Bench) -> None:
    stage = bench.stage(Step("Slow", ["echo begun", "tail -f /dev/null"]))
    (action,) = stage.actions
    hurried = dataclasses.replace(stage, groups=((dataclasses.replace(action, timeout=0.3),),))

    result = run(hurried, bench.place())

    assert statuses(result) == {"Slow": Status.TIMED_OUT}
    assert result.status is Status.FAILED
    assert "it was ended after 0.005 minutes" in result.actions[0].reason


def test_a_request_to_stop_ends_every_action(bench: Bench) -> None:
    """It comes when both have begun; the third does not begin any more."""
    begun: set[str] = set()

    def heard(line: str) -> None:
        if line.endswith(": here"):
            begun.add(line)
            if len(begun) == 2:
                bench.cancel.request()

    bench.heard = heard
    wait = ["echo here", "tail -f /dev/null"]

    result = bench.run(Step("One", wait), Step("Two", wait), Step("Three", order=2))

    assert statuses(result) == {"One": Status.STOPPED, "Two": Status.STOPPED, "Three": Status.NOT_RUN}
    assert (result.status, result.stopped) == (Status.STOPPED, True)


def test_a_log_that_nobody_takes_ends_the_run(bench: Bench) -> None:
    def heard(line: str) -> None:
        if line.endswith(": here"):
            raise BrokenPipeError

    bench.heard = heard

    with pytest.raises(BrokenPipeError):
        bench.run(Step("One", ["echo here"]), Step("Two", ["tail -f /dev/null"]))


def test_folders_are_looked_at_before_anything_runs(bench: Bench) -> None:
    stage = bench.stage(Step("Build", outputs=["Main"]))
    bench.outputs = bench.folder / "out"
    (bench.outputs / "Main" / "old").mkdir(parents=True)

    with pytest.raises(UsageError, match="out/Main, where the output artifact Main goes, is there already"):
        run(stage, bench.place())
    (bench.folder / "inputs" / "App").rmdir()
    (bench.folder / "inputs" / "App").write_text("no folder")
    with pytest.raises(UsageError, match="inputs/App, the input artifact App, is no folder"):
        check(stage, bench.place())
    assert bench.log == []


def test_a_buildspec_that_is_wrong_is_known_before_anything_runs(bench: Bench) -> None:
    right, wrong = Step("Right"), Step("Wrong", ["cmd: x"], order=2)
    stage = bench.stage(right, wrong)

    with pytest.raises(ConfigError) as raised:
        run(stage, bench.place())

    assert (raised.value.path, raised.value.line) == ("t.yaml", line_of(bench.template(right, wrong), "cmd: x"))
    assert bench.log == []


def test_a_buildspec_may_be_a_file_of_the_input_or_of_what_was_made_before(bench: Bench) -> None:
    spec = "version: 0.2\nphases: {build: {commands: [echo from %s]}}\n"
    bench.input("App", **{"spec.yml": spec % "input", "later.yml": spec % "output"})
    artifacts = "          artifacts: {files: [later.yml]}\n"
    steps = [
        Step("File"),
        Step("Make", outputs=["Made"], artifacts=artifacts),
        Step("Later", order=2, inputs=["Made"]),
        Step("Gone", order=3, inputs=["Made"]),
    ]
    stage = bench.stage(*steps)
    named = {"File": "spec.yml", "Later": "later.yml", "Gone": "gone.yml"}
    groups = tuple(
        tuple(
            dataclasses.replace(each, buildspec=dataclasses.replace(each.buildspec, file=named.get(each.name, "")))
            for each in group
        )
        for group in stage.groups
    )

    result = run(dataclasses.replace(stage, groups=groups), bench.place())

    assert (bench.said("File"), bench.said("Later")) == (["from input"], ["from output"])
    assert [each.status for each in result.actions] == [Status.SUCCEEDED] * 3 + [Status.FAILED]
    assert (
        "the buildspec gone.yml cannot be read from the input artifact Made: No such file" in result.actions[3].reason
    )
