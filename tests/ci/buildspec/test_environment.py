"""Which value a variable has, what CodeBuild sets, and that secrets are used and never shown."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from liftlock.ci.buildspec.surroundings import Identity, Stream, Variable, VariableType
from liftlock.errors import ConfigError, LiftlockError, NotFound
from tests.ci.buildspec.conftest import Build, Shelf

PARAMETER, SECRET = VariableType.PARAMETER_STORE, VariableType.SECRETS_MANAGER
PASSWORD = "correct-horse-battery"


def test_the_start_wins_over_the_project_and_that_over_the_file(build: Build) -> None:
    ran = build(
        "version: 0.2\nenv:\n  variables: {A: file, B: file, C: file, PATH_LIKE: '$PATH:/x'}\n"
        "phases:\n  build: {commands: ['echo $A $B $C $D', 'echo $PATH_LIKE']}\n",
        environment={"PATH": os.environ["PATH"], "A": "inherited", "D": "inherited"},
        project=(Variable(name="B", value="project"), Variable(name="C", value="project")),
        overrides=(Variable(name="C", value="start"),),
    )

    assert ran.printed == ["file project start inherited", "$PATH:/x"]


def test_codebuilds_variables_are_set(build: Build, source: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    ran = build(
        "version: 0.2\nphases:\n  build: {commands: ['env | grep -E \"^(AWS|CODEBUILD)_\" | sort']}\n",
        environment={"PATH": os.environ["PATH"], "CODEBUILD_WEBHOOK_EVENT": "of another build"},
        identity=Identity(
            project="Promote",
            id="7d2a",
            number=12,
            initiator="codepipeline/app",
            region="eu-west-1",
            account="123456789012",
            image="aws/codebuild/standard:5.0",
            resolved_source_version="4f1c",
        ),
        extra_sources={"Config": tmp_path / "other"},
    )

    assert ran.printed == [
        "AWS_DEFAULT_REGION=eu-west-1",
        "AWS_REGION=eu-west-1",
        "CODEBUILD_BUILD_ARN=arn:aws:codebuild:eu-west-1:123456789012:build/Promote:7d2a",
        "CODEBUILD_BUILD_ID=Promote:7d2a",
        "CODEBUILD_BUILD_IMAGE=aws/codebuild/standard:5.0",
        "CODEBUILD_BUILD_NUMBER=12",
        "CODEBUILD_BUILD_SUCCEEDING=1",
        "CODEBUILD_CI=true",
        "CODEBUILD_INITIATOR=codepipeline/app",
        "CODEBUILD_KMS_KEY_ID=arn:aws:kms:eu-west-1:123456789012:alias/aws/s3",
        "CODEBUILD_LAST_EXIT=0",
        "CODEBUILD_LOG_PATH=7d2a",
        "CODEBUILD_RESOLVED_SOURCE_VERSION=4f1c",
        f"CODEBUILD_SRC_DIR={source}",
        f"CODEBUILD_SRC_DIR_Config={tmp_path / 'other'}",
        "CODEBUILD_START_TIME=1795352400000",
    ]


def test_a_region_that_is_not_known_is_not_invented(commands: Build) -> None:
    ran = commands("echo ${AWS_REGION-unset}", environment={"PATH": os.environ["PATH"]})

    assert ran.printed == ["unset"]


SECRETS = """\
version: 0.2
env:
  parameter-store: {PASSWORD: /prod/password}
  secrets-manager: {TOKEN: "app:token:AWSPREVIOUS"}
phases:
  build:
    commands:
"""


def test_secrets_are_looked_up_and_hidden_wherever_they_appear(build: Build) -> None:
    shelf = Shelf({"/prod/password": PASSWORD, "app|token|AWSPREVIOUS": "tok/en+1"})
    ran = build(
        SECRETS + '      - test "$PASSWORD" = correct-horse-battery && test "$TOKEN" = tok/en+1\n'
        '      - echo $PASSWORD; echo $TOKEN >&2; printf $PASSWORD | base64; printf "u:$PASSWORD" | base64\n'
        "      - printf correct-; sleep 0; printf horse-battery\n"
        "      - (exit 3) && echo correct-horse-battery\n",
        lookups=shelf,
    )

    assert sorted(shelf.asked) == ["/prod/password", "app|token|AWSPREVIOUS"]
    assert [phase.failure.command for phase in ran.result.phases if phase.failure] == ["(exit 3) && echo ***"]
    assert ran.printed[:2] == ["***", "***"]
    assert "***" in ran.printed[2]
    assert "***" in ran.printed[3]
    assert ran.printed[4] == "***"
    everything = f"{ran.log}{ran.result.to_json()}{ran.result}"
    assert PASSWORD not in everything
    assert "tok/en" not in everything


def test_a_secret_of_many_lines_is_hidden_line_by_line(build: Build) -> None:
    shelf = Shelf({"/prod/password": "BEGIN-of-key\nabcdefgh1234\n", "app|token|AWSPREVIOUS": "x-x-x-x-x"})

    ran = build(SECRETS + '      - echo "$PASSWORD"; echo $PASSWORD | cut -d" " -f2\n', lookups=shelf)

    assert [line for line in ran.printed if line] == ["***", "***"]


def test_secrets_of_the_project_and_the_start_are_hidden_too(commands: Build) -> None:
    ran = commands(
        "echo $A $B",
        lookups=Shelf({"p": "parameter-1", "s|key": "secret-1"}),
        project=(Variable(name="A", value="p", type=PARAMETER),),
        overrides=(Variable(name="B", value="s:key", type=SECRET),),
    )

    assert ran.printed == ["*** ***"]


def test_the_keys_of_aws_are_passed_on_and_hidden(commands: Build) -> None:
    keys = {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AWS_SESSION_TOKEN": "FwoGZXIvYXdzEXAMPLE",
    }
    ran = commands("env | grep -c ^AWS_; env | grep ^AWS_ | sort", environment={"PATH": os.environ["PATH"], **keys})

    assert ran.printed == ["3", "AWS_ACCESS_KEY_ID=***", "AWS_SECRET_ACCESS_KEY=***", "AWS_SESSION_TOKEN=***"]


def test_an_exported_secret_is_real_for_whom_it_is_meant_and_hidden_when_shown(build: Build) -> None:
    ran = build(
        "version: 0.2\nenv:\n  parameter-store: {P: p}\n  exported-variables: [P, WITH]\n"
        "phases:\n  build: {commands: ['WITH=user:$P']}\n",
        lookups=Shelf({"p": PASSWORD}),
    )

    assert ran.result.exported == {"P": PASSWORD, "WITH": f"user:{PASSWORD}"}
    assert ran.result.masked() == {"P": "***", "WITH": "user:***"}
    assert ran.result.to_json()["exportedVariables"] == {"P": "***", "WITH": "user:***"}


def test_what_is_overridden_is_not_looked_up(build: Build) -> None:
    shelf = Shelf()

    ran = build(
        "version: 0.2\nenv:\n  parameter-store: {P: p}\nphases:\n  build: {commands: [echo $P]}\n",
        lookups=shelf,
        overrides=(Variable(name="P", value="given"),),
    )

    assert (ran.printed, shelf.asked) == (["given"], [])


def test_secrets_are_in_no_argument_and_in_no_file(
    commands: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    looked: list[str] = []

    def look(line: str, stream: Stream) -> None:
        if line != "look":
            return
        looked.append(line)
        for room in (tmp_path / "tmp").iterdir():
            assert stat.S_IMODE(room.stat().st_mode) == 0o700
            for file in room.rglob("*"):
                assert not file.is_file() or PASSWORD not in file.read_text()
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                arguments = process.read_bytes()
            except OSError:
                continue  # it is over
            assert PASSWORD.encode() not in arguments

    commands("echo look", "exit 1", lookups=Shelf({"p": PASSWORD}), output=look, project=(
        Variable(name="P", value="p", type=PARAMETER),
    ))  # fmt: skip

    assert looked == ["look"]


def test_a_missing_parameter_is_named_with_its_line(build: Build) -> None:
    with pytest.raises(NotFound) as raised:
        build(SECRETS + "      - echo\n", lookups=Shelf({"app|token|AWSPREVIOUS": "x"}))

    assert raised.value.message == "buildspec.yml:3: /prod/password: none (for the variable PASSWORD)"


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        (Variable(name="A-B", value="", path="p.yaml", line=7), "p.yaml:7: 'A-B' is no name"),
        (Variable(name="CODEBUILD_X", value="", path="--env"), "--env: CODEBUILD_X: names that begin with CODEBUILD_"),
        (Variable(name="A", value="a\0b", path="p.yaml", line=7), "p.yaml:7: the value of A has a zero byte"),
        (Variable(name="A", value=":x", type=SECRET, path="p.yaml", line=7), "p.yaml:7: A: it does not name a secret"),
    ],
)
def test_a_variable_that_cannot_be_one_is_refused(variable: Variable, words: str, commands: Build) -> None:
    with pytest.raises(ConfigError) as raised:
        commands("echo", project=(variable,))

    assert words in str(raised.value)


def test_a_secret_of_the_project_is_not_exported(build: Build) -> None:
    with pytest.raises(ConfigError) as raised:
        build(
            "version: 0.2\nenv:\n  exported-variables:\n    - P\nphases:\n  build: {commands: [echo]}\n",
            project=(Variable(name="P", value="p", type=PARAMETER),),
        )

    assert "buildspec.yml:4: env.exported-variables: P is a secret of the project" in str(raised.value)


def test_an_environment_that_is_too_large_is_said_so(commands: Build) -> None:
    with pytest.raises(LiftlockError, match="the shell cannot be started: Argument list too long"):
        commands("echo", project=(Variable(name="A", value="a" * 3_000_000),))


def test_a_source_folder_that_is_not_there_is_refused(commands: Build, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not there"):
        commands("echo", source=tmp_path / "nowhere")


def test_docker_is_liftlocks_when_asked_for(commands: Build) -> None:
    ran = commands("command -v docker; grep -c liftlock.ci.docker $(command -v docker)", docker="liftlock")

    assert ran.printed[0].endswith("/bin/docker")
    assert ran.printed[1] == "1"


def test_each_build_begins_without_images(commands: Build) -> None:
    here = {"PATH": os.environ["PATH"]}
    first, second = (commands("echo $LIFTLOCK_DOCKER_STORE", docker="liftlock", environment=here) for _ in range(2))
    chosen = commands(
        "echo $LIFTLOCK_DOCKER_STORE", docker="liftlock", environment={**here, "LIFTLOCK_DOCKER_STORE": "/i"}
    )

    assert first.printed != second.printed
    assert not Path(first.printed[0]).exists()
    assert chosen.printed == ["/i"]


def test_a_file_that_is_called_like_a_secret_is_hidden(build: Build, tmp_path: Path) -> None:
    ran = build(
        "version: 0.2\nenv: {parameter-store: {P: p}}\nphases:\n  build: {commands: [touch $P.txt]}\n"
        "artifacts: {files: ['*.txt']}\n",
        lookups=Shelf({"p": PASSWORD}),
        artifacts=tmp_path / "out",
    )

    assert ran.result.to_json()["artifacts"][0]["files"] == ["***.txt"]
