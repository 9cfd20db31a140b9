"""Which phases and commands run, as CodeBuild's rules have it, and what is left at the end."""

from __future__ import annotations

import pytest

from liftlock.ci.buildspec.result import BuildStatus
from tests.ci.buildspec.conftest import Build

PHASES = ("install", "pre_build", "build", "post_build")
ALL = ("INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD", "UPLOAD_ARTIFACTS")

# The failing phase and its on-failure → the phases that are entered.
ENTERED = {
    ("install", None): ALL[:1],
    ("install", "ABORT"): ALL[:1],
    ("install", "CONTINUE"): ALL,
    ("pre_build", None): ALL[:2],
    ("pre_build", "ABORT"): ALL[:2],
    ("pre_build", "CONTINUE"): ALL,
    ("build", None): ALL,
    ("build", "ABORT"): ("INSTALL", "PRE_BUILD", "BUILD", "UPLOAD_ARTIFACTS"),
    ("build", "CONTINUE"): ALL,
    ("post_build", None): ALL,
    ("post_build", "ABORT"): ALL,
    ("post_build", "CONTINUE"): ALL,
}


def spec(failing: str, on_failure: str | None, block: str) -> str:
    text = "version: 0.2\nphases:\n"
    for name in PHASES:
        text += f"  {name}:\n"
        if name == failing and on_failure:
            text += f"    on-failure: {on_failure}\n"
        for each in ("commands", "finally"):
            text += f"    {each}:\n      - echo {name} {each} $CODEBUILD_BUILD_SUCCEEDING\n"
            if (name, each) == (failing, block):
                text += "      - (exit 7)\n      - echo never\n"
    return text


@pytest.mark.parametrize("block", ["commands", "finally"])
@pytest.mark.parametrize(("failing", "on_failure"), ENTERED)
def test_what_runs_after_a_failure(failing: str, on_failure: str | None, block: str, build: Build) -> None:
    ran = build(spec(failing, on_failure, block))
    entered = ENTERED[failing, on_failure]

    assert ran.result.status is BuildStatus.FAILED
    assert ran.phases == {name: "FAILED" if name == failing.upper() else "SUCCEEDED" for name in entered}
    expected, succeeding = [], 1
    for name in PHASES:
        if name.upper() in entered:
            expected.append(f"{name} commands {succeeding}")
            succeeding = 0 if (name, "commands") == (failing, block) else succeeding
            expected.append(f"{name} finally {succeeding}")
            succeeding = 0 if name == failing else succeeding
    assert ran.printed == expected
    failure = ran.result.failure
    assert failure is not None
    assert (failure.phase, failure.command, failure.exit_status) == (failing.upper(), "(exit 7)", 7)
    assert spec(failing, on_failure, block).splitlines()[failure.line - 1] == "      - (exit 7)"


def test_everything_succeeds(build: Build) -> None:
    ran = build(spec("none", None, "commands"))

    assert ran.result.status is BuildStatus.SUCCEEDED
    assert tuple(ran.phases) == ALL
    assert ran.result.failure is None
    assert [line for line in ran.printed if line.endswith("0")] == []


def test_phases_that_the_file_lacks_have_no_commands(build: Build) -> None:
    ran = build("version: 0.2\nphases:\n  build:\n    commands: [echo]\n")

    assert tuple(ran.phases) == ALL


def test_the_failure_is_the_first_one(build: Build) -> None:
    text = "version: 0.2\nphases:\n  build:\n    commands: [(exit 1)]\n    finally: [(exit 2)]\n"
    ran = build(text + "  post_build:\n    commands: [(exit 3)]\n")

    assert ran.result.failure is not None
    assert ran.result.failure.exit_status == 1


def test_the_log_is_codebuilds(build: Build) -> None:
    ran = build("version: 0.2\nphases:\n  build:\n    commands: [echo a, (exit 2)]\n")

    assert (
        "Entering phase BUILD\n"
        "Running command echo a\n"
        "Running command (exit 2)\n"
        "Command did not exit successfully (exit 2) exit status 2\n"
        "Phase complete: BUILD State: FAILED\n"
        "Phase context status code: COMMAND_EXECUTION_ERROR Message: "
        "Error while executing command: (exit 2). Reason: exit status 2\n"
        "Entering phase POST_BUILD\n"
        "Phase complete: POST_BUILD State: SUCCEEDED\n"
        "Phase context status code:  Message:\n"
    ) in f"{ran.said}\n"
    assert ("container", "[Container] 2026/11/22 13:00:00 Entering phase BUILD") in ran.log


def test_exported_variables_are_read_after_post_build(build: Build) -> None:
    ran = build(
        "version: 0.2\n"
        "env:\n"
        "  variables: {GIVEN: a b}\n"
        "  exported-variables: [GIVEN, DIGEST, LINES, MISSING]\n"
        "phases:\n"
        "  build: {commands: [DIGEST=early]}\n"
        "  post_build:\n"
        "    commands: [DIGEST=sha256:1]\n"
        "    finally: ['LINES=$(printf \"a\\nb\")']\n"
    )

    assert ran.result.exported == {"GIVEN": "a b", "DIGEST": "sha256:1", "LINES": "a\nb"}
    assert "The exported variable MISSING is not set" in ran.said


def test_a_build_that_does_not_reach_post_build_exports_nothing(build: Build) -> None:
    text = "version: 0.2\nenv: {exported-variables: [A]}\nphases:\n  pre_build: {commands: [A=1, (exit 1)]}\n"

    assert build(text).result.exported == {}


def test_the_result_is_told_to_programs(build: Build) -> None:
    ran = build("version: 0.2\nphases:\n  build:\n    commands: [(exit 2)]\n")
    content = ran.result.to_json()

    assert content["status"] == "FAILED"
    assert [phase["name"] for phase in content["phases"]] == list(ALL)
    assert content["failure"] == {
        "phase": "BUILD",
        "message": "Error while executing command: (exit 2). Reason: exit status 2",
        "path": "buildspec.yml",
        "line": 4,
        "command": "(exit 2)",
        "exitStatus": 2,
    }
