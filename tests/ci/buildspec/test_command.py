"""`liftlock buildspec run` as a process: exit codes, formats, signals, and what it loads."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.aws import Moto
from tests.support.processes import Result, liftlock, loaded_modules, started

GOOD = """\
version: 0.2
env:
  variables: {NAME: you}
  exported-variables: [DIGEST]
phases:
  build:
    commands:
      - echo hello $NAME
      - DIGEST=sha256:1
      - touch app.zip
artifacts:
  files: [app.zip]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def run(folder: Path, text: str, *options: str, env: Mapping[str, str] | None = None, check: bool = True) -> Result:
    (folder / "buildspec.yml").write_text(text)
    return liftlock("buildspec", "run", "buildspec.yml", *options, cwd=folder, env=env, check=check)


def test_a_good_build(folder: Path) -> None:
    ran = run(folder, GOOD, "--env", "NAME=all", "--artifacts", "out", "--build-id", "7d2a", "--initiator", "me")

    lines = ran.out.splitlines()
    assert "hello all" in lines
    assert any(line.startswith("[Container] 20") and line.endswith(" Running command touch app.zip") for line in lines)
    assert lines[lines.index("build local:7d2a: SUCCEEDED") + 3].split() == [
        "BUILD",
        "SUCCEEDED",
        *lines[-5].split()[2:],
    ]
    assert lines[-2:] == ["  DIGEST=sha256:1", "  out: 1 file"]
    assert (folder / "out" / "app.zip").exists()
    assert ran.err == ""


def test_a_failed_build(folder: Path) -> None:
    ran = run(folder, GOOD.replace("touch app.zip", "(exit 4)"), check=False)

    assert ran.code == 1
    assert ran.err == (
        "error: the build failed: buildspec.yml:10: Error while executing command: (exit 4). Reason: exit status 4\n"
    )
    assert "build local:" in ran.out


def test_json_has_the_result_alone_on_stdout(folder: Path) -> None:
    ran = run(folder, GOOD, "-o", "json")

    assert ran.json()["kind"] == "Build"
    assert ran.json()["exportedVariables"] == {"DIGEST": "sha256:1"}
    assert "hello you" in ran.err.splitlines()


def test_ndjson_has_the_log_as_events(folder: Path) -> None:
    ran = run(folder, GOOD.replace("touch app.zip", "exit 4"), "-o", "ndjson", check=False)

    *log, result = ran.lines()
    assert {"apiVersion": "liftlock/v1", "kind": "BuildLog", "stream": "command", "line": "hello you"} in log
    assert (result["kind"], result["status"], result["failure"]["line"]) == ("Build", "FAILED", 10)
    assert json.loads(ran.err)["exitCode"] == ran.code == 1


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("version: 0.1\n", (), "error: buildspec.yml:1: version '0.1' is not run here\nhint: "),
        (GOOD, ("--env", "NAME"), "error: --env 'NAME' is not NAME=VALUE\n"),
        (GOOD, ("--env", "CODEBUILD_X=1"), "error: --env: CODEBUILD_X: names that begin with CODEBUILD_"),
        (GOOD, ("--source", "nowhere"), "error: the source folder nowhere is not there\n"),
        (GOOD, ("--artifacts", "."), "error: the folder for artifacts . is not empty\n"),
        (GOOD, ("--docker", "podman"), "error: Invalid value for '--docker'"),
    ],
)
def test_what_cannot_be_run_is_refused(text: str, options: tuple[str, ...], said: str, folder: Path) -> None:
    ran = run(folder, text, *options, check=False)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(said)
    assert not (folder / "app.zip").exists()


def test_a_file_that_is_not_there(folder: Path) -> None:
    ran = liftlock("buildspec", "run", "none.yml", cwd=folder, check=False)

    assert (ran.code, ran.err) == (2, "error: none.yml: it cannot be read: No such file or directory\n")


def test_several_artifacts_each_get_a_folder(folder: Path) -> None:
    text = GOOD + "  secondary-artifacts:\n    Digests: {files: [app.zip]}\n"

    run(folder, text, "--artifacts", "out")

    assert (folder / "out" / "primary" / "app.zip").exists()
    assert (folder / "out" / "Digests" / "app.zip").exists()


def test_a_dry_run_shows_and_does_nothing(folder: Path) -> None:
    text = GOOD.replace("variables: {NAME: you}", "variables: {NAME: you}\n  parameter-store: {P: /prod/password}")

    ran = run(folder, text, "--dry-run", "--env", "NAME=all")

    assert ran.out == (
        "file    buildspec.yml\n"
        f"source  {folder}\n"
        "shell   /bin/sh\n"
        "NAME=all\n"
        "P from PARAMETER_STORE /prod/password\n"
        "BUILD (on failure: CONTINUE)\n"
        "     9  echo hello $NAME\n"
        "    10  DIGEST=sha256:1\n"
        "    11  touch app.zip\n"
        "artifact primary: app.zip\n"
    )
    plan = run(folder, text, "--dry-run", "-o", "json").json()
    assert (plan["kind"], plan["phases"][0]["commands"][0]) == ("BuildPlan", {"line": 9, "command": "echo hello $NAME"})
    assert not (folder / "app.zip").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_stops_the_build(number: int, code: int, folder: Path) -> None:
    (folder / "b.yml").write_text(
        "version: 0.2\nphases:\n  build:\n    commands: [echo ready $$; sleep 1000]\n    finally: [echo never]\n"
    )
    with started("buildspec", "run", "b.yml", cwd=folder) as process:
        assert process.stdout is not None
        ready = next(line for line in process.stdout if line.startswith(b"ready"))
        process.send_signal(number)
        out, err = process.communicate(timeout=30)

    assert process.returncode == code
    assert b"BUILD State: STOPPED" in out
    assert b": STOPPED\n" in out
    assert b"never" not in out
    assert b"error: the build was stopped" in err
    assert not os.path.exists(f"/proc/{int(ready.split()[1])}")  # noqa: PTH110 - no path of ours


def test_parameters_are_hidden_in_all_that_is_shown(folder: Path, moto: Moto) -> None:
    moto.client("ssm").put_parameter(Name="/command/password", Value="correct-horse", Type="SecureString")
    text = (
        "version: 0.2\nenv:\n  parameter-store: {P: /command/password}\n  exported-variables: [P]\n"
        "phases:\n  build: {commands: [echo $P, '(exit 4) || test $P != correct-horse']}\n"
    )

    for form in ("text", "ndjson"):
        ran = run(folder, text, "-o", form, env=moto.env, check=False)
        assert ran.code == 1
        assert "***" in ran.out + ran.err
        assert "correct-horse" not in ran.out + ran.err


def test_a_parameter_that_is_not_there(folder: Path, moto: Moto) -> None:
    text = "version: 0.2\nenv:\n  parameter-store:\n    P: /none\nphases:\n  build: {commands: [touch ran]}\n"

    ran = run(folder, text, env=moto.env, check=False)

    assert (ran.code, ran.out) == (5, "")
    assert ran.err.startswith("error: buildspec.yml:4: parameter /none: ssm:GetParameters finds none in eu-west-1")
    assert not (folder / "ran").exists()


def test_nothing_of_aws_is_loaded_without_need(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "buildspec.yml").write_text(GOOD)
    monkeypatch.chdir(folder)

    loaded = loaded_modules("buildspec", "run", "buildspec.yml", "-o", "json")

    assert {"boto3", "botocore", "pydantic", "sqlalchemy", "dbos"} & loaded == set()
    assert "liftlock.ci.buildspec.run" in loaded
