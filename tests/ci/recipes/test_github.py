"""The recipe for GitHub Actions, and the composite action: their steps run as the runner runs them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from liftlock.ci.recipes.table import make
from tests.ci.recipes.machines import PASSWORD, SOURCE, TWO_STAGES, USER, Machines, Ran, Room, is_install, written

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[3]
WORKFLOW = ".github/workflows/promote.yml"
RUN = "1658821493"


class Runner:
    """GitHub Actions as far as the recipe uses it: expressions, the files of a step, artifacts, outputs of jobs.

    A double: GitHub cannot be had here. Made from docs.github.com/actions: "Contexts reference", "Workflow commands"
    (environment files), "Workflow syntax" (``run`` is a file for ``bash -e``).
    """

    def __init__(self, machines: Machines, recipe: Path, pipeline: str, **inputs: str) -> None:
        self.machines, self.pipeline = machines, pipeline
        self.document: Any = written(recipe, WORKFLOW)
        self.context = {f"inputs.{name}": value for name, value in inputs.items()} | {"github.run_id": RUN}
        for host in ("DEV_EXAMPLE", "PROD_EXAMPLE"):
            self.context |= {f"secrets.{host}_USERNAME": USER, f"secrets.{host}_PASSWORD": PASSWORD}
        self.artifacts: dict[str, Path] = {}
        self.summary = ""

    def run(self, name: str, attempt: str = "1") -> list[Ran]:
        """A job, to its end."""
        job = self.document["jobs"][name]
        room = self.machines.room(self.pipeline)
        context = {**self.context, "runner.temp": str(room.temp), "github.run_attempt": attempt}
        env = {n: filled(v, context) for n, v in {**self.document.get("env", {}), **job.get("env", {})}.items()}
        env |= {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": RUN, "GITHUB_RUN_ATTEMPT": attempt}
        env |= {"RUNNER_TEMP": str(room.temp), "GITHUB_SHA": "c0ffee"}
        ran: list[Ran] = []
        for step in job["steps"]:
            if "uses" in step:
                self._used(step, context)
            elif not is_install(step["run"]) and not any(each.code for each in ran):
                own = {n: filled(v, context) for n, v in step.get("env", {}).items()}
                ran.append(run_step(room, filled(step["run"], context), {**env, **own}))
                context |= {f"steps.{step.get('id')}.outputs.{n}": v for n, v in values(room, "output").items()}
        self.context |= {f"needs.{name}.outputs.{n}": filled(v, context) for n, v in job.get("outputs", {}).items()}
        self.summary += (room.temp / "summary").read_text()
        return ran

    def _used(self, step: Any, context: dict[str, str]) -> None:
        action = step["uses"].partition("@")[0]
        given = {name: filled(str(value), context) for name, value in step.get("with", {}).items()}
        if action == "actions/upload-artifact":
            self.artifacts[given["name"]] = Path(given["path"])
        elif action == "actions/download-artifact":
            shutil.copy(self.artifacts[given["name"]], given["path"])
        else:
            assert action in ("actions/checkout", "actions/setup-python")


def filled(text: str, context: dict[str, str]) -> str:
    """Expressions that name one value of a context; one that is not there is empty."""
    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda match: context.get(match[1], ""), text)


def run_step(room: Room, script: str, env: dict[str, str]) -> Ran:
    files = {"GITHUB_OUTPUT": room.temp / "output", "GITHUB_STEP_SUMMARY": room.temp / "summary"}
    for file in files.values():
        file.touch()
    return room.bash(script, {**env, **{name: str(file) for name, file in files.items()}}, "-e")


def values(room: Room, name: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (room.temp / name).read_text().splitlines())


def recipe(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder.mkdir()
    (folder / "liftlock.yaml").write_text(dedent(text))
    monkeypatch.chdir(folder)
    make("github", "liftlock.yaml", ".")
    return folder


def valid(schema: str, file: Path) -> None:
    program = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run(
        [program, "--builtin-schema", schema, file], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_build_travels_through_jobs_that_share_nothing(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last job is repeated on another attempt, which counts as the same build."""
    runner = Runner(machines, recipe(tmp_path / "recipe", TWO_STAGES, monkeypatch), TWO_STAGES)
    machines.builds(f"{RUN}-1")

    ran = [*runner.run("build"), *runner.run("dev"), *runner.run("prod_eu", attempt="2")]

    assert [each.code for each in ran] == [0] * len(ran), "\n".join(map(str, ran))
    digests = machines.digests("dev", f"{RUN}-1")
    assert None not in digests.values()
    assert machines.digests("prod", f"{RUN}-1") == machines.digests("prod", "stable") == digests
    assert runner.context["needs.prod_eu.outputs.image_web"] == f"prod.example/prod-web@{digests['web']}"
    assert "→ dev: succeeded\n" in runner.summary
    assert PASSWORD not in machines.said


@pytest.mark.slow
def test_what_a_registry_holds_is_promoted(machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner(machines, recipe(tmp_path / "recipe", SOURCE, monkeypatch), SOURCE, var_tag="2.0")
    made = machines.stages("2.0")
    assert runner.run("prod_eu")[-1].code == 2, "nothing was handed on"

    ran = [*runner.run("test"), *runner.run("prod_eu")]

    assert [each.code for each in ran] == [0] * len(ran), "\n".join(map(str, ran))
    assert machines.digests("prod", f"{RUN}-1") == {name: image.digest for name, image in made.items()}


CLOUDS = """\
    pipeline: shop
    images: [web]
    source: ghcr.io/acme/{image}:{tag}
    stages:
      - {name: dev, to: "acmedev.azurecr.io/{image}", tags: ["{tag}"]}
      - {name: test, after: [dev], to: "europe-docker.pkg.dev/p/test/{image}", tags: ["{tag}"]}
      - {name: prod, after: [dev, test], to: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/{image}", tags: [stable]}
"""


@pytest.mark.parametrize("text", [TWO_STAGES, SOURCE, CLOUDS], ids=["build", "source", "clouds"])
def test_it_is_what_the_public_schema_wants(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    valid("vendor.github-workflows", recipe(tmp_path / "recipe", text, monkeypatch) / WORKFLOW)


def test_clouds_are_shown_a_token_instead_of_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = recipe(tmp_path / "recipe", CLOUDS, monkeypatch)

    document: Any = written(folder, WORKFLOW)

    assert document["permissions"] == {"contents": "read", "id-token": "write", "packages": "write"}
    used = {
        name: [s["uses"].partition("@")[0] for s in job["steps"] if "uses" in s and "setup-python" not in s["uses"]]
        for name, job in document["jobs"].items()
    }
    assert used == {
        "dev": ["actions/checkout"],
        "test": ["actions/checkout", "google-github-actions/auth"],
        "prod": ["actions/checkout", "aws-actions/configure-aws-credentials", "google-github-actions/auth"],
    }
    assert document["jobs"]["dev"]["env"]["AZURE_CLIENT_ID"] == "${{ vars.AZURE_CLIENT_ID }}"
    text = (folder / WORKFLOW).read_text()
    assert set(re.findall(r"secrets\.\w+", text)) == {"secrets.GITHUB_TOKEN"}, "for GitHub's own registry"


# --- the composite action --------------------------------------------------------------------------------------------


def test_the_action_is_what_the_public_schema_wants() -> None:
    valid("vendor.github-actions", ROOT / "action" / "action.yml")


def test_the_action_promotes_and_hands_on(machines: Machines) -> None:
    made = machines.stages("2.0")

    first = act(machines, SOURCE, stage="test", variables="tag=2.0\n")
    again = act(machines, SOURCE, stage="prod-eu", variables="tag=2.0", images=first["images"], build=first["build"])

    assert (first["state"], again["state"]) == ("succeeded", "succeeded")
    assert machines.digests("prod", f"{RUN}-1") == {name: image.digest for name, image in made.items()}
    assert again["images"].startswith("web=prod.example/prod-web@sha256:")


def act(machines: Machines, pipeline: str, **given: str) -> dict[str, str]:
    """The action's outputs; logging in is the caller's own step, and was done."""
    action: Any = written(ROOT, "action/action.yml")
    room = machines.room(pipeline)
    inputs = {name: each.get("default", "") for name, each in action["inputs"].items()} | given
    context = {f"inputs.{name}": value for name, value in inputs.items()} | {"github.action_path": str(ROOT / "action")}
    env = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": RUN, "RUNNER_TEMP": str(room.temp)}
    secret = {"auth": b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
    (room.home / ".docker").mkdir()
    (room.home / ".docker" / "config.json").write_text(
        json.dumps({"auths": dict.fromkeys(("dev.example", "prod.example"), secret)})
    )
    for step in action["runs"]["steps"]:
        if "uses" in step:
            assert step["uses"] == "actions/setup-python@v5"
            continue
        assert step["shell"] == "bash"
        if "pip install" in step["run"]:
            assert step["run"].count("\n") == 0, "this step does nothing else"
            continue
        own = {name: filled(value, context) for name, value in step.get("env", {}).items()}
        done = run_step(room, filled(step["run"], context), {**env, **own})
        assert done.code == 0, str(done)
        context |= {f"steps.{step.get('id')}.outputs.{n}": v for n, v in values(room, "output").items()}
    return {name: filled(each["value"], context) for name, each in action["outputs"].items()}
