"""The recipe for GitLab CI, and the component: their scripts run as the runner runs them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from liftlock.ci.recipes.table import make
from tests.ci.recipes.machines import PASSWORD, SOURCE, TWO_STAGES, USER, Machines, Ran, is_install, written

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

COMPONENT = Path(__file__).parents[3] / "templates" / "promote" / "template.yml"
PIPELINE_ID = "967"


class Runner:
    """GitLab as far as the recipe uses it: ``extends``, variables, ``needs`` with artifacts and dotenv reports.

    A double: GitLab cannot be had here. Made from docs.gitlab.com/ci: "CI/CD YAML syntax reference" (``extends`` merges
    mappings; ``needs`` fetches artifacts), "dotenv" reports (their variables go to the jobs that need the job),
    "Shell executors" (commands of before_script and script run in one shell that stops at the first error).
    """

    def __init__(self, machines: Machines, document: Any, pipeline: str) -> None:
        self.machines, self.document, self.pipeline = machines, document, pipeline
        self.kept: dict[str, Path] = {}
        """By job, the folder with what it left."""
        self.given = {"CI_PIPELINE_ID": PIPELINE_ID, "CI_COMMIT_SHA": "c0ffee", "GITLAB_CI": "true", "CI": "true"}
        for host in ("DEV_EXAMPLE", "PROD_EXAMPLE"):
            self.given |= {f"{host}_USERNAME": USER, f"{host}_PASSWORD": PASSWORD}

    def job(self, name: str) -> Any:
        job = self.document[name]
        parent = self.job(job["extends"]) if "extends" in job else {}
        return {**parent, **job}

    def run(self, name: str) -> Ran:
        """A job, to its end."""
        job = self.job(name)
        room = self.machines.room(self.pipeline)
        env = dict(self.given)
        for variable, value in {**self.document.get("variables", {}), **job.get("variables", {})}.items():
            text = value["value"] if isinstance(value, dict) else value
            env.setdefault(variable, re.sub(r"\$(\w+)", lambda match: self.given.get(match[1], ""), text))
        env |= {token: f"token for {each['aud']}" for token, each in job.get("id_tokens", {}).items()}
        for before in job.get("needs", []):
            left = self.kept[before]
            shutil.copytree(left, room.checkout, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.env"))
            if (left / "liftlock.env").exists():
                env |= values(left / "liftlock.env")
        lines = [*job.get("before_script", []), *job["script"]]
        done = room.bash("\n".join(line for line in lines if not is_install(line)), env, "-eo", "pipefail")
        self._keep(name, job["artifacts"], room.checkout, failed=done.code != 0)
        return done

    def _keep(self, name: str, artifacts: Any, checkout: Path, *, failed: bool) -> None:
        self.kept[name] = self.machines.folder / f"kept-{len(self.kept)}"
        self.kept[name].mkdir()
        if not failed or artifacts.get("when") == "always":
            for path in [*artifacts["paths"], *artifacts.get("reports", {}).values()]:
                shutil.copy(checkout / path, self.kept[name])


def values(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def recipe(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    folder.mkdir()
    (folder / "liftlock.yaml").write_text(dedent(text))
    monkeypatch.chdir(folder)
    make("gitlab", "liftlock.yaml", ".")
    return written(folder, ".gitlab-ci.yml")


def valid(file: Path) -> None:
    program = Path(sys.executable).parent / "check-jsonschema"
    transformed = ("--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
    done = subprocess.run([program, *transformed, file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_build_travels_through_jobs_that_share_nothing(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Runner(machines, recipe(tmp_path / "recipe", TWO_STAGES, monkeypatch), TWO_STAGES)
    machines.builds(PIPELINE_ID)

    ran = [runner.run(name) for name in ("liftlock-build", "liftlock-pack", "promote-dev", "promote-prod-eu")]

    assert [each.code for each in ran] == [0] * len(ran), "\n".join(map(str, ran))
    digests = machines.digests("dev", PIPELINE_ID)
    assert None not in digests.values()
    assert machines.digests("prod", PIPELINE_ID) == machines.digests("prod", "stable") == digests
    assert values(runner.kept["promote-prod-eu"] / "liftlock.env")["LIFTLOCK_DIGEST_WEB"] == digests["web"]
    assert "→ prod-eu: succeeded" in (runner.kept["promote-prod-eu"] / "liftlock.md").read_text().replace("\\", "")
    assert PASSWORD not in machines.said


def test_what_failed_leaves_its_result(machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is in staging under this tag."""
    runner = Runner(machines, recipe(tmp_path / "recipe", SOURCE, monkeypatch), SOURCE)
    runner.given["VAR_TAG"] = "2.0"

    ended = runner.run("promote-test")

    assert ended.code == 5, str(ended)
    assert values(runner.kept["promote-test"] / "liftlock.env")["LIFTLOCK_STATE"] == "errored"
    told = (runner.kept["promote-test"] / "liftlock.md").read_text()
    assert re.search(r"source: dev\.example/staging-(web|worker):2\.0 does not exist", told)


CLOUDS = """\
    pipeline: shop
    images: [web]
    source: registry.gitlab.com/acme/{image}:{tag}
    stages:
      - {name: dev, to: "acmedev.azurecr.io/{image}", tags: ["{tag}"]}
      - {name: 2-prod, after: [dev], to: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/{image}", tags: [stable]}
"""


@pytest.mark.parametrize("text", [TWO_STAGES, SOURCE, CLOUDS], ids=["build", "source", "clouds"])
def test_it_is_what_the_public_schema_wants(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe(tmp_path / "recipe", text, monkeypatch)

    valid(tmp_path / "recipe" / ".gitlab-ci.yml")


def test_clouds_are_shown_a_token_instead_of_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = recipe(tmp_path / "recipe", CLOUDS, monkeypatch)

    dev, prod = document["promote-dev"], document["promote-2-prod"]
    assert dev["id_tokens"] == {"AZURE_ID_TOKEN": {"aud": "api://AzureADTokenExchange"}}
    assert 'export AZURE_FEDERATED_TOKEN_FILE="$HOME/azure-id-token"' in dev["script"][0]
    assert prod["id_tokens"].keys() == {"AWS_ID_TOKEN", "AZURE_ID_TOKEN"}
    assert 'export AWS_WEB_IDENTITY_TOKEN_FILE="$HOME/aws-id-token"' in prod["script"][0]
    assert '"$CI_REGISTRY_PASSWORD" | liftlock login registry.gitlab.com' in dev["script"][0]
    assert prod["needs"] == ["promote-dev"]
    assert document["stages"] == ["dev", "2-prod"]


# --- the component ---------------------------------------------------------------------------------------------------


def component(**inputs: Any) -> Any:
    """The component's jobs with these inputs, as GitLab fills them in: an array where one is the whole value."""
    head, body = COMPONENT.read_text().split("\n---\n")
    given = {name: each.get("default") for name, each in yaml.safe_load(head)["spec"]["inputs"].items()} | inputs
    missing = [name for name, value in given.items() if value is None]
    assert not missing
    body = re.sub(r"\$\[\[ inputs\.([\w-]+) \]\]", lambda match: str(given[match[1]]), body)
    return yaml.safe_load(body)


def test_the_component_is_what_the_public_schema_wants(tmp_path: Path) -> None:
    file = tmp_path / ".gitlab-ci.yml"
    file.write_text(yaml.safe_dump({"stages": ["deploy"], **component(stage="test")}))

    valid(file)


def test_the_component_promotes_and_hands_on(machines: Machines) -> None:
    made = machines.stages("2.0")
    jobs = {
        **component(stage="test", variables="tag=2.0"),
        **component(stage="prod-eu", variables="tag=2.0", needs=["promote-test"]),
    }
    runner = Runner(machines, jobs, SOURCE)
    runner.given |= {"LIFTLOCK_REGISTRY": "prod.example", "LIFTLOCK_USERNAME": USER, "LIFTLOCK_PASSWORD": PASSWORD}
    runner.given |= {"CI_REGISTRY": "dev.example", "CI_REGISTRY_USER": USER, "CI_REGISTRY_PASSWORD": PASSWORD}

    ran = [runner.run("promote-test"), runner.run("promote-prod-eu")]

    assert [each.code for each in ran] == [0, 0], "\n".join(map(str, ran))
    assert machines.digests("prod", PIPELINE_ID) == {name: image.digest for name, image in made.items()}
