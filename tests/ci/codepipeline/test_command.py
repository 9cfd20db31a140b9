"""The command: what it prints, and how it ends."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.ci.codepipeline.stages import TEMPLATE, changed, line_of
from tests.support.processes import Result, liftlock, started
from tests.support.waiting import until

VARIABLES = """\
          - Name: TAG
            Value: !Sub '${Tag}-${AWS::Region}'
          - Name: TOKEN
            Value: tokens:deploy
            Type: SECRETS_MANAGER
          - Name: PASSWORD
            Value: !Ref Password
"""
PARAMETERS = """\
Parameters:
  Tag: {Type: String, Default: latest}
  Password: {Type: String, NoEcho: true}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    return tmp_path


def spec(folder: Path, command: str, more: str = "") -> None:
    text = f"version: 0.2\nphases:\n  build:\n    commands:\n      - {command}\n{more}"
    (folder / "app" / "spec.yml").write_text(text)


def run(folder: Path, *words: str, stage: str = "Promote", check: bool = True) -> Result:
    given = ("codepipeline", "run", "t.yaml", "--stage", stage, "--input", "App=app", *words)
    return liftlock(*given, cwd=folder, check=check, env={"AWS_REGION": "eu-west-1"})


def test_the_log_comes_first_and_then_how_it_ended(folder: Path) -> None:
    spec(folder, r"printf '\033[1mhello\033[0m\t%s\n' $TAG; echo x > made", "artifacts: {files: [made]}\n")

    done = run(folder, "--artifacts", "out")

    lines = done.out.splitlines()
    assert "\033[1mhello\033[0m\tlatest" in lines
    assert lines[-2] == "stage Promote: Succeeded"
    assert lines[-1].split()[:2] == ["Build", "Succeeded"]
    assert lines[-1].endswith("out/Out")
    assert (folder / "out" / "Out" / "made").read_text() == "x\n"
    assert done.err == ""


def test_a_failed_action_fails_the_run_and_json_tells_how(folder: Path) -> None:
    spec(folder, "exit 7")

    done = run(folder, "-o", "json", check=False)

    result = done.json()
    assert done.code == 1
    assert (result["kind"], result["status"], result["pipeline"]) == ("StageRun", "Failed", "shop")
    (action,) = result["actions"]
    assert (action["name"], action["project"], action["status"], action["outputs"]) == (
        "Build",
        "promote",
        "Failed",
        {},
    )
    assert action["reason"].startswith("app/spec.yml:5: BUILD: Error while executing command: exit 7")
    assert action["build"]["failure"]["exitStatus"] == 7
    assert {"path": "t.yaml", "line": line_of(TEMPLATE, "PrivilegedMode"), "what": "PrivilegedMode (true)"} in result[
        "notImitated"
    ]
    assert "Running command exit 7" in done.err
    assert '"message": "the action Build failed: app/spec.yml:5: BUILD' in done.err.splitlines()[-1]


def test_a_dry_run_shows_what_would_run_without_secrets(folder: Path) -> None:
    text = changed("Resources:\n", f"{PARAMETERS}Resources:\n")
    text = changed("          - Name: TAG\n            Value: latest\n", VARIABLES, text)
    (folder / "t.yaml").write_text(text)
    spec(folder, "touch /nowhere/at/all")
    words = ("--parameter", "Password=opensesame7", "--parameter", "Tag=1.4", "--dry-run")

    shown, told = run(folder, *words), run(folder, *words, "-o", "json").json()

    assert [line.strip() for line in shown.out.splitlines()[:10]] == [
        "pipeline shop, stage Promote",
        "1. Build",
        "project    promote",
        "buildspec  spec.yml",
        "inputs     App",
        "outputs    Out",
        "timeout    60 minutes",
        "TAG=1.4-eu-west-1",
        "TOKEN from SECRETS_MANAGER tokens:deploy",
        "PASSWORD=***",
    ]
    assert f"t.yaml:{line_of(text, 'PrivilegedMode')}  PrivilegedMode (true)" in shown.out
    assert told["kind"] == "StagePlan"
    assert told["actions"][0]["environment"][2] == {"name": "PASSWORD", "type": "PLAINTEXT", "value": "***"}
    assert "opensesame7" not in shown.out + shown.err + str(told)


def test_what_is_wrong_ends_with_2_and_its_line(folder: Path) -> None:
    spec(folder, "true")
    (folder / "t.yaml").write_text(changed("Provider: CodeBuild", "Provider: Manual"))

    assert "error: t.yaml:13: the action Build is of the provider Manual" in run(folder, check=False).err
    assert run(folder, check=False).code == 2
    (folder / "t.yaml").unlink()
    assert run(folder, check=False).err == "error: t.yaml: it cannot be read: No such file or directory\n"


def test_a_stage_that_is_not_there_ends_with_5_and_names_those_that_are(folder: Path) -> None:
    done = run(folder, stage="Prod", check=False)

    assert (done.code, done.err) == (
        5,
        "error: the pipeline shop has no stage 'Prod'\nhint: stages: Source, Promote\n",
    )


def _running(folder: Path) -> list[int]:
    """Processes of the build's command."""
    found = []
    for each in Path("/proc").iterdir():
        with suppress(OSError):  # of those that are ending
            if each.name.isdigit() and f"{folder}/app/spec.yml".encode() in (each / "cmdline").read_bytes().split(
                b"\0"
            ):
                found.append(int(each.name))
    return found


def test_ctrl_c_stops_what_it_started(folder: Path) -> None:
    spec(folder, f"tail -f {folder}/app/spec.yml")
    words = ("codepipeline", "run", "t.yaml", "--stage", "Promote", "--input", "App=app")

    with started(*words, cwd=folder, env={"TMPDIR": str(folder)}) as process:
        (tail,) = until(lambda: _running(folder), "the build's command")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert b"stage Promote: Stopped" in out
    assert b"error: the stage was stopped" in err
    assert tail not in _running(folder)
    assert not list(folder.glob("liftlock-*"))
