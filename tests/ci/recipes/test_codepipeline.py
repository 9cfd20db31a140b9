"""The recipe for CodePipeline: checked by cfn-lint, made in moto, and its stages run by our own runner."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from liftlock.ci.recipes.table import make
from tests.acceptance.workshop import two_images
from tests.ci.recipes.machines import is_install
from tests.conftest import MakeRegistry
from tests.support import aws, remote
from tests.support.aws import Moto
from tests.support.processes import liftlock

pytestmark = pytest.mark.acceptance

ECR = aws.ecr_host()
OTHER = "210987654321.dkr.ecr.eu-central-1.amazonaws.com"
ROLE = "arn:aws:iam::210987654321:role/promoter"

PIPELINE = f"""\
    pipeline: my.shop
    images: [web, worker]
    source: {ECR}/staging-{{image}}:{{tag}}
    stages:
      - name: test
        to: {ECR}/test-{{image}}
        tags: ["{{tag}}"]
      - name: prod-eu
        after: [test]
        to: {ECR}/prod/{{image}}
        tags: ["{{build}}", stable]
"""

ACCOUNTS = f"""\
    pipeline: shop
    images: [web]
    source: {ECR}/{{team}}/{{image}}:latest
    registries:
      {ECR}: {{create: true}}
      {OTHER}: {{role: "{ROLE}", create: true}}
    stages:
      - {{name: test, to: "{ECR}/test/{{image}}", tags: [latest]}}
      - name: prod
        after: [test]
        to: "{OTHER}/{{image}}"
        tags: [latest]
        notify: [{{webhook: {{url: env:HOOK}}}}]
"""

PIPE = """\
  Pipe:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      PipelineType: V2
      RoleArn: !Sub arn:${AWS::Partition}:iam::${AWS::AccountId}:role/pipeline
      ArtifactStore: {Type: S3, Location: !Ref ArtifactBucket}
      Stages:
        - Name: Source
          Actions:
            - Name: Source
              ActionTypeId: {Category: Source, Owner: AWS, Provider: S3, Version: "1"}
              Configuration: {S3Bucket: !Ref ArtifactBucket, S3ObjectKey: source.zip}
              OutputArtifacts: [{Name: Source}]
STAGES
"""


def recipe(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder.mkdir()
    (folder / "liftlock.yaml").write_text(dedent(text))
    monkeypatch.chdir(folder)
    make("codepipeline", "liftlock.yaml", ".")
    return folder


@pytest.mark.parametrize("text", [PIPELINE, ACCOUNTS], ids=["one account", "two accounts"])
def test_cfn_lint_has_nothing_to_say(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of the template, nor of the stages, put into a pipeline."""
    folder = recipe(tmp_path / "recipe", text, monkeypatch)
    template = (folder / "liftlock-promote.yaml").read_text()
    stages = re.sub("^(?=.)", " " * 8, (folder / "liftlock-stages.yaml").read_text(), flags=re.MULTILINE)
    whole = folder / "whole.yaml"
    whole.write_text(template.replace("\nOutputs:", f"\n{PIPE.replace('STAGES', stages)}\nOutputs:"))

    done = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", "liftlock-promote.yaml", "whole.yaml"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def stack(moto: Moto, folder: Path, name: str, **parameters: str) -> dict[str, str]:
    """Make the template's resources; their physical ids by their logical ones."""
    cloud = moto.client("cloudformation")
    cloud.create_stack(
        StackName=name,
        TemplateBody=(folder / "liftlock-promote.yaml").read_text(),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    found = cloud.list_stack_resources(StackName=name)["StackResourceSummaries"]
    assert {each["ResourceStatus"] for each in found} == {"CREATE_COMPLETE"}
    return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}


def rights(moto: Moto, role: str) -> dict[str, tuple[list[str], list[str]]]:
    """What a role may do, and with what, by the name of the statement."""
    document = moto.client("iam").get_role_policy(RoleName=role, PolicyName="promote")["PolicyDocument"]
    if isinstance(document, str):  # moto writes what CloudFormation gave it as Python does
        document = ast.literal_eval(document)
    return {each["Sid"]: (each["Action"], each["Resource"]) for each in document["Statement"]}


def repository(name: str) -> str:
    return f"arn:aws:ecr:{aws.REGION}:{aws.ACCOUNT}:repository/{name}"


def test_each_role_has_the_rights_of_its_stage(moto: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = recipe(tmp_path / "recipe", ACCOUNTS, monkeypatch)

    made = stack(moto, folder, "accounts", ArtifactBucket="the-bucket", VarTeam="blue")

    assert not [name for name in made if name.startswith("Push")], "the queue is there when it is asked for"
    test, prod = rights(moto, made["TestRole"]), rights(moto, made["ProdRole"])
    assert set(test) == {"RegistryPassword", "TakeImages", "BringImages", "MakeRepositories", "Log", "Artifacts"}
    assert test["TakeImages"][1] == [repository("*/web")]
    assert test["BringImages"][1] == test["MakeRepositories"][1] == [repository("test/web")]
    assert "ecr:PutImage" not in test["TakeImages"][0]
    assert set(prod) == {"RegistryPassword", "TakeImages", "Secrets", "BecomeRoles", "Log", "Artifacts"}
    assert prod["TakeImages"][1] == [repository("test/web")]
    assert prod["Secrets"][1] == [f"arn:aws:ssm:{aws.REGION}:{aws.ACCOUNT}:parameter/liftlock/shop/HOOK"]
    assert prod["BecomeRoles"] == (["sts:AssumeRole"], [ROLE])
    assert prod["Artifacts"][1] == ["arn:aws:s3:::the-bucket/*"]
    everything = [name for role in (test, prod) for name, (_, resources) in role.items() if "*" in resources]
    assert everything == ["RegistryPassword"] * 2, "a password is the account's; nothing else is asked of everything"
    trust = moto.client("iam").get_role(RoleName=made["TestRole"])["Role"]["AssumeRolePolicyDocument"]
    assert trust["Statement"][0]["Condition"] == {"StringEquals": {"aws:SourceAccount": aws.ACCOUNT}}


def test_a_push_to_the_source_reaches_the_queue(moto: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = recipe(tmp_path / "recipe", PIPELINE, monkeypatch)
    made = stack(moto, folder, "with", ArtifactBucket="the-bucket", VarTag="latest", PushEvents="yes")
    queue = made["PushQueue"]

    for name, result in (("staging-web", "SUCCESS"), ("staging-web", "FAILURE"), ("test-web", "SUCCESS")):
        detail = {"result": result, "repository-name": name, "action-type": "PUSH", "image-tag": "latest"}
        entry = {"Source": "aws.ecr", "DetailType": "ECR Image Action", "Detail": json.dumps(detail)}
        moto.client("events").put_events(Entries=[entry])
    messages = moto.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])

    assert [json.loads(each["Body"])["detail"]["repository-name"] for each in messages] == ["staging-web"]


def test_the_projects_are_not_privileged(moto: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """moto's CloudFormation makes no projects, so they are made from the template by CodeBuild's own call."""
    folder = recipe(tmp_path / "recipe", PIPELINE, monkeypatch)
    template = yaml.load((folder / "liftlock-promote.yaml").read_text(), _Template)
    wanted = [
        each["Properties"] for each in template["Resources"].values() if each["Type"] == "AWS::CodeBuild::Project"
    ]
    builds = moto.client("codebuild")

    for each in wanted:
        asked = lower(each)
        role = asked["serviceRole"].replace("GetAtt ", f"arn:aws:iam::{aws.ACCOUNT}:role/")
        asked["environment"]["environmentVariables"] = [
            lower(each) for each in each["Environment"]["EnvironmentVariables"]
        ]
        for key in ("source", "artifacts"):
            asked[key]["location"] = "moto wants one"
        builds.create_project(**{**asked, "serviceRole": role})

    made = builds.batch_get_projects(names=["my-shop-promote-test", "my-shop-promote-prod-eu"])["projects"]
    assert [each["environment"]["privilegedMode"] for each in made] == [False, False]
    assert [each["environment"]["environmentVariables"][0]["value"] for each in made] == ["test", "prod-eu"]
    assert {each["source"]["buildspec"] for each in made} == {"buildspec-promote.yml"}


class _Template(yaml.SafeLoader):
    """Functions of a template as text."""


_Template.add_multi_constructor("!", lambda _, name, node: f"{name} {node.value}")


def lower(value: Any) -> Any:
    """CloudFormation's properties as CodeBuild's own call names them."""
    if not isinstance(value, dict):
        return value
    names = {"BuildSpec": "buildspec", "TimeoutInMinutes": "timeoutInMinutes"}
    return {names.get(key, key[:1].lower() + key[1:]): lower(each) for key, each in value.items()}


@pytest.mark.timeout(240)
def test_its_stages_promote_what_staging_holds(
    make_registry: MakeRegistry, moto: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = make_registry(user="AWS", password=aws.registry_password())
    images = two_images(tmp_path / "build", "shop", platforms=("linux/amd64", "linux/arm64"))
    for name, image in images.items():
        remote.push(image.layout, image.tag, registry, f"staging-{name}", to="2.0")
    folder = recipe(tmp_path / "recipe", PIPELINE, monkeypatch)
    without_install(folder / "buildspec-promote.yml")
    env = {
        **moto.env,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LIFTLOCK_ENDPOINTS": f"{ECR}={registry.url}",
    }

    def run(stage: str, source: str, *more: str, code: int = 0) -> Any:
        checkout = tmp_path / source
        checkout.mkdir()
        for name in ("liftlock.yaml", "buildspec-promote.yml"):
            (checkout / name).write_text((folder / name).read_text())
        done = liftlock(
            *("codepipeline", "run", "liftlock-stages.yaml", "liftlock-promote.yaml", "--stage", stage, "-o", "json"),
            *("--input", f"Source={checkout}", "--artifacts", str(tmp_path / f"{source}-out"), "--region", aws.REGION),
            *("--account", aws.ACCOUNT, "--parameter", "VarTag=2.0", "--parameter", "ArtifactBucket=b", *more),
            cwd=folder, env=env, check=False, timeout=100,
        )  # fmt: skip
        assert done.code == code, str(done)
        return done.json() if done.out else None

    tested = exported(run("test", "one"))
    handed = [f"promote_test.{name}={tested[name]}" for name in ("LIFTLOCK_BUILD", "LIFTLOCK_IMAGES")]
    live = exported(run("prod-eu", "two", *(word for each in handed for word in ("--variable", each))))

    digests = {name: image.digest for name, image in images.items()}
    assert tested["LIFTLOCK_STATE"] == live["LIFTLOCK_STATE"] == "succeeded"
    assert (live["LIFTLOCK_DIGEST_WEB"], live["LIFTLOCK_DIGEST_WORKER"]) == tuple(digests.values())
    for tag in ("stable", tested["LIFTLOCK_BUILD"]):
        assert {n: remote.digest_of(registry, f"prod/{n}", tag) for n in images} == digests
    (result,) = (tmp_path / "two-out").rglob("liftlock.json")
    assert json.loads(result.read_text())["state"] == "succeeded"
    assert "→ prod-eu: succeeded" in result.with_suffix(".md").read_text().replace("\\", "")


def without_install(buildspec: Path) -> None:
    """Take out the phase that installs, which does nothing else."""
    text = buildspec.read_text()
    match = re.search(r"^  install:\n    commands:\n      - (.*)\n(?=  build:)", text, re.MULTILINE)
    assert match is not None
    assert is_install(match[1])
    rest = text.replace(match[0], "")
    assert not re.search(r"\bpip\b", rest)
    buildspec.write_text(rest)


def exported(ran: Any) -> dict[str, str]:
    """The variables that the stage's one action has exported."""
    (action,) = ran["actions"]
    found: dict[str, str] = action["variables"] if "variables" in action else action["build"]["exportedVariables"]
    return found
