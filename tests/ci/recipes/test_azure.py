"""The recipe for Azure Pipelines: its steps run as the agent runs them, each stage on a machine of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from liftlock.ci.recipes.table import make
from tests.ci.recipes.machines import PASSWORD, SOURCE, THREE_STAGES, USER, Machines, Ran, Room, is_install, written

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

BUILD = "1815"
FAILED = "A_STEP_HAS_FAILED"
_OUTPUT = r"^##vso\[task\.setvariable variable=(\w+);isOutput=true\](.*)$"


class Agent:
    """Azure Pipelines as far as the recipe uses it: templates, macros, output variables, artifacts.

    A double: Azure DevOps cannot be had here. Made from learn.microsoft.com/azure/devops/pipelines: "Template usage",
    "Define variables" (macros are replaced in scripts before they run, and in the env of a step; an unknown one stays),
    "Set variables in scripts", "Deployment jobs".
    """

    def __init__(
        self, machines: Machines, recipe: Path, pipeline: str, parameters: dict[str, str] | None = None
    ) -> None:
        self.machines, self.recipe, self.pipeline = machines, recipe, pipeline
        self.document: Any = written(recipe, "azure-pipelines.yml")
        self.parameters = parameters or {}
        self.outputs: dict[tuple[str, str], dict[str, str]] = {}
        """By stage and ``job.step``."""
        self.artifacts: dict[str, Path] = {}

    def run(self, name: str, **instead: str) -> list[Ran]:
        """A stage's job, to its end; ``instead`` says from which other stage a variable's value is taken."""
        stage = next(each for each in self.document["stages"] if each["stage"] == name)
        (job,) = stage["jobs"]
        word = job.get("job") or job["deployment"]
        steps = job["steps"] if "job" in job else job["strategy"]["runOnce"]["deploy"]["steps"]
        room = self.machines.room(self.pipeline)
        macros = {
            "Build.BuildId": BUILD,
            "Agent.TempDirectory": str(room.temp),
            "Build.ArtifactStagingDirectory": str(room.folder / "staging"),
            "Pipeline.Workspace": str(room.folder),
            "System.AccessToken": "the-jobs-own-token",
        }
        (room.folder / "staging").mkdir()
        variables = {n: self._filled(str(v), macros) for n, v in self.document["variables"].items()}
        for item in job.get("variables", []):
            if "group" in item:
                group = ("DEV_EXAMPLE", "PROD_EXAMPLE")
                macros |= {f"{host}_{n}": v for host in group for n, v in (("USERNAME", USER), ("PASSWORD", PASSWORD))}
            else:
                variables[item["name"]] = self._handed(item["value"], instead.get(item["name"]))
        macros |= variables
        env = {**variables, "TF_BUILD": "True", "BUILD_BUILDID": BUILD, "BUILD_SOURCEVERSION": "c0ffee"}
        ran: list[Ran] = []
        for step in self._flat(steps):
            done = self._step(step, room, macros, env if not any(e.code for e in ran) else {**env, FAILED: "true"})
            if done is not None:
                ran.append(done)
                said = re.findall(_OUTPUT, done.out, re.MULTILINE)
                if said:
                    self.outputs[name, f"{word}.{step['name']}"] = dict(said)
        return ran

    def _flat(self, steps: list[Any]) -> list[Any]:
        found = []
        for step in steps:
            if "template" in step:
                inner: Any = written(self.recipe, step["template"])
                found += inner["steps"]
            else:
                found.append(step)
        return found

    def _step(self, step: Any, room: Room, macros: dict[str, str], env: dict[str, str]) -> Ran | None:
        """Do it; None for what runs no script, or does not run since another has failed."""
        if "publish" in step:
            self.artifacts[step["artifact"]] = Path(self._filled(step["publish"], macros))
        elif step.get("download") == "current":
            shutil.copytree(self.artifacts[step["artifact"]], room.folder / step["artifact"])
        elif step.get("task") == "UsePythonVersion@0":
            return None
        elif "checkout" not in step and step.get("download") != "none":
            script = step["inputs"]["inlineScript"] if step.get("task") == "AzureCLI@2" else step["bash"]
            own = {name: self._filled(str(value), macros) for name, value in step.get("env", {}).items()}
            if not is_install(script) and (FAILED not in env or step.get("condition") == "always()"):
                return room.bash(self._filled(script, macros), {**env, **own})
        return None

    def _filled(self, text: str, macros: dict[str, str]) -> str:
        text = re.sub(r"\$\{\{ parameters\.(\w+) \}\}", lambda match: self.parameters[match[1]], text)
        return re.sub(r"\$\(([A-Za-z_.]+)\)", lambda match: macros.get(match[1], match[0]), text)

    def _handed(self, text: str, instead: str | None) -> str:
        match = re.fullmatch(r"\$\[ stageDependencies\.(\w+)\.(\w+)\.outputs\['([\w.]+)\.(\w+)'\] \]", text)
        assert match is not None, text
        stage, job, step, name = match.groups()
        assert step.startswith(f"{job}."), "in a deployment job, the name of the job comes first"
        return self.outputs.get((instead or stage, step), {}).get(name, "")


def recipe(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder.mkdir()
    (folder / "liftlock.yaml").write_text(dedent(text))
    monkeypatch.chdir(folder)
    make("azure-pipelines", "liftlock.yaml", ".")
    return folder


def test_a_build_travels_through_stages_that_share_nothing(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(machines, recipe(tmp_path / "recipe", THREE_STAGES, monkeypatch), THREE_STAGES)
    machines.builds(BUILD)

    ran = [*agent.run("build"), *agent.run("dev")]
    early = agent.run("prod_eu", LIFTLOCK_BUILD="dev", LIFTLOCK_IMAGES="dev")
    refused = agent.outputs["prod_eu", "promote.results"]
    ran += [*agent.run("test"), *agent.run("prod_eu")]

    assert [each.code for each in ran] == [0] * len(ran), "\n".join(map(str, ran))
    digests = machines.digests("dev", BUILD)
    assert None not in digests.values()
    for stage, tag in (("dev", "latest"), ("test", BUILD), ("prod", BUILD), ("prod", "stable")):
        assert machines.digests(stage, tag) == digests
    outputs = agent.outputs["prod_eu", "promote.results"]
    assert (outputs["LIFTLOCK_STATE"], outputs["LIFTLOCK_BUILD"]) == ("succeeded", BUILD)
    assert (outputs["LIFTLOCK_DIGEST_WEB"], outputs["LIFTLOCK_DIGEST_WORKER"]) == tuple(digests.values())
    # Prod asked before test: refused, said beside the run, and told to what follows all the same.
    assert [each.code for each in early] == [0, 0, 3, 0]
    assert "##vso[task.logissue type=error;code=refused;]" in early[2].out
    assert "##vso[task.uploadsummary]" in early[3].out
    assert refused["LIFTLOCK_STATE"] == "refused"
    assert PASSWORD not in machines.said


@pytest.mark.slow
def test_what_a_registry_holds_is_promoted_and_pinned_once(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(machines, recipe(tmp_path / "recipe", SOURCE, monkeypatch), SOURCE, {"var_tag": "2.0"})
    made = machines.stages("2.0")

    ran = agent.run("test")
    machines.stages("2.0", "another")
    ran += agent.run("prod_eu")

    assert [each.code for each in ran] == [0] * len(ran), "\n".join(map(str, ran))
    assert machines.digests("prod", BUILD) == {name: image.digest for name, image in made.items()}


CLOUDS = """\
    pipeline: shop
    images: [web]
    variables: {team: blue}
    stages:
      - {name: dev, to: "acmedev.azurecr.io/{team}/{image}", tags: ["{build}"]}
      - {name: 2-test, after: [dev], to: "europe-docker.pkg.dev/p/test/{image}", tags: ["{build}-{suffix}"]}
      - name: prod
        after: [dev, 2-test]
        to: ["123456789012.dkr.ecr.eu-west-1.amazonaws.com/prod-{image}", "prod.example/{image}"]
        tags: [stable]
"""


@pytest.mark.parametrize("text", [THREE_STAGES, SOURCE, CLOUDS], ids=["build", "source", "clouds"])
def test_it_is_what_the_public_schema_wants(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates too: to the schema, a file with steps is a pipeline."""
    folder = recipe(tmp_path / "recipe", text, monkeypatch)

    done = subprocess.run(
        [
            Path(sys.executable).parent / "check-jsonschema", "--regex-variant", "nonunicode",
            "--builtin-schema", "vendor.azure-pipelines", "azure-pipelines.yml",
            *(folder / ".azure-pipelines").glob("*.yml"),
        ],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr


def test_each_cloud_says_who_a_job_is_in_its_own_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = recipe(tmp_path / "recipe", CLOUDS, monkeypatch)

    document: Any = written(folder, "azure-pipelines.yml")

    stages = {each["stage"]: each for each in document["stages"]}
    assert list(stages) == ["build", "dev", "_2_test", "prod"]
    steps = {n: s["jobs"][0]["strategy"]["runOnce"]["deploy"]["steps"] for n, s in stages.items() if n != "build"}
    dev, test, prod = ([each for each in steps[name] if "displayName" in each] for name in list(stages)[1:])
    assert dev[-1]["inputs"]["azureSubscription"] == "liftlock-dev"
    assert dev[-1]["env"] == {"SYSTEM_ACCESSTOKEN": "$(System.AccessToken)"}
    assert test[-1]["env"]["GOOGLE_APPLICATION_CREDENTIALS"] == "$(GOOGLE_APPLICATION_CREDENTIALS)"
    assert [each["displayName"] for each in prod] == ["Log in to prod.example", "Promote to prod"]
    assert prod[-1]["env"]["AWS_SECRET_ACCESS_KEY"] == "$(AWS_SECRET_ACCESS_KEY)"
    assert stages["prod"]["dependsOn"] == ["dev", "_2_test"]
    assert "liftlock[aws,azure,gcp]==" in (folder / ".azure-pipelines" / "liftlock-install.yml").read_text()
    assert document["parameters"] == [
        {"name": "var_suffix", "displayName": "{suffix} in liftlock.yaml", "type": "string", "default": ""}
    ]
