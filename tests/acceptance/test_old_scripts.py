"""Pipelines as teams have them, run unmodified: a stage of CodePipeline, its project and buildspec, Docker's commands.

Amazon's own command line talks to moto; the images are in real registries; no daemon runs.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import MakeRegistry
from tests.support import aws, images, remote
from tests.support.aws import Moto
from tests.support.processes import Result, liftlock
from tests.support.registry import Registry

pytestmark = pytest.mark.acceptance

REGION = "eu-central-1"
"""Not the one that the environment says: that of the template has to count."""
ECR = aws.ecr_host(region=REGION)
PLATFORMS = ("linux/amd64", "linux/arm64")

PAGE = """\
The last phase of our pipeline brings the tested images from their staging repositories to those of production.
Its stage, in the pipeline's CloudFormation:

        - Name: BringToProduction
          Actions:
            - Name: BringToProduction
              ActionTypeId:
                Category: Build
                Owner: AWS
                Version: 1
                Provider: CodeBuild
              Configuration:
                ProjectName: !Ref CodeBuildBringToProductionProject
              InputArtifacts:
                - Name: Source
              OutputArtifacts:
                - Name: BringToProductionOutput
              RunOrder: 7

The project of this stage:

  CodeBuildBringToProductionProject:
    Type: AWS::CodeBuild::Project
    Properties:
      Name: BringToProduction
      Description: "From staging to production"
      Artifacts:
        Type: CODEPIPELINE
      Source:
        Type: CODEPIPELINE
        BuildSpec: "codebuild-bring-to-production.yaml"
      Environment:
        ComputeType: "BUILD_GENERAL1_SMALL"
        Image: "aws/codebuild/standard:7.0"
        Type: "LINUX_CONTAINER"
        PrivilegedMode: true
        EnvironmentVariables:
          - Name: AWS_REGION
            Value: !Ref AWS::Region
          - Name: WEB_STAGING
            Value: "staging-web"
          - Name: WEB_PRODUCTION
            Value: "prod-web"
          - Name: WORKER_STAGING
            Value: "staging-worker"
          - Name: WORKER_PRODUCTION
            Value: "prod-worker"
          - Name: DOCKER_REG
            Value: !Sub "${AWS::AccountId}.dkr.ecr.${AWS::Region}.amazonaws.com"
      ServiceRole: !Ref CodeBuildServiceRole

And the commands, in codebuild-bring-to-production.yaml:



version: 0.2
phases:
  build:
    commands:
      - aws ecr get-login-password --region $AWS_REGION | docker login --username AWS --password-stdin $DOCKER_REG
      - docker pull "$DOCKER_REG/$WEB_STAGING"
      - docker tag "$DOCKER_REG/$WEB_STAGING:latest" "$DOCKER_REG/$WEB_PRODUCTION:latest"
      - docker image push -a "$DOCKER_REG/$WEB_PRODUCTION"
      - docker pull "$DOCKER_REG/$WORKER_STAGING"
      - docker tag "$DOCKER_REG/$WORKER_STAGING:latest" "$DOCKER_REG/$WORKER_PRODUCTION:latest"
      - docker image push -a "$DOCKER_REG/$WORKER_PRODUCTION"

What became of it is behind the link "Details" of the stage.
"""

LEVELS = """\
Parameters:
  BuildRegistry: {Type: String}
  DevRegistry: {Type: String}
  TestRegistry: {Type: String}
  ProdRegistry: {Type: String}
Resources:
  Build:
    Type: AWS::CodeBuild::Project
    Properties:
      Artifacts: {Type: CODEPIPELINE}
      Source:
        Type: CODEPIPELINE
        BuildSpec: |
          version: 0.2
          env:
            exported-variables: [BUILD_ID]
          phases:
            build:
              commands:
                - docker pull "$REGISTRY/$IMAGE"
                - docker tag "$REGISTRY/$IMAGE" "$IMAGE"
                - docker save "$IMAGE" -o image.tar
                - BUILD_ID=1742
          artifacts:
            files: [image.tar]
      Environment:
        ComputeType: BUILD_GENERAL1_SMALL
        Image: aws/codebuild/standard:7.0
        Type: LINUX_CONTAINER
        EnvironmentVariables:
          - {Name: REGISTRY, Value: !Ref BuildRegistry}
          - {Name: IMAGE, Value: app}
      ServiceRole: !GetAtt Role.Arn
  Release:
    Type: AWS::CodeBuild::Project
    Properties:
      Artifacts: {Type: CODEPIPELINE}
      Source:
        Type: CODEPIPELINE
        BuildSpec: |
          version: 0.2
          phases:
            build:
              commands:
                - echo "$PASSWORD" | docker login "$REGISTRY" --username deployer --password-stdin
                - docker load --input image.tar
                - docker tag "$IMAGE" "$REGISTRY/$IMAGE:$BUILD_ID"
                - docker push "$REGISTRY/$IMAGE:$BUILD_ID"
      Environment:
        ComputeType: BUILD_GENERAL1_SMALL
        Image: aws/codebuild/standard:7.0
        Type: LINUX_CONTAINER
        EnvironmentVariables:
          - {Name: IMAGE, Value: app}
          - {Name: PASSWORD, Value: /levels/password, Type: PARAMETER_STORE}
      ServiceRole: !GetAtt Role.Arn
  Levels:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      RoleArn: !GetAtt Role.Arn
      Stages:
        - Name: Levels
          Actions:
            - Name: Build
              ActionTypeId: &build {Category: Build, Owner: AWS, Provider: CodeBuild, Version: "1"}
              Configuration: {ProjectName: !Ref Build}
              InputArtifacts: [{Name: Source}]
              OutputArtifacts: [{Name: drop}]
              Namespace: Build
              RunOrder: 1
"""
LEVEL = """\
            - Name: {level}
              ActionTypeId: *build
              Configuration:
                ProjectName: !Ref Release
                EnvironmentVariables: !Sub >-
                  [{{"name": "REGISTRY", "value": "${{{level}Registry}}"}},
                   {{"name": "BUILD_ID", "value": "#{{Build.BUILD_ID}}"}}]
              InputArtifacts: [{{Name: drop}}]
              RunOrder: {order}
"""
PASSWORD = "open-sesame-please"


def block(page: str, beginning: str) -> str:
    """The lines of a page from the one that begins so up to the next empty one, as they are."""
    lines = page.splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if line.startswith(beginning))
    end = next(number for number, line in enumerate(lines) if number > start and not line.strip())
    return "".join(lines[start:end])


def run(moto: Moto, *words: str | Path, endpoints: Mapping[str, str] | None = None, cwd: Path) -> Result:
    env = {
        **moto.env,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LIFTLOCK_ENDPOINTS": ",".join(f"{name}={url}" for name, url in (endpoints or {}).items()),
        "PYTHONWARNINGS": "",  # of Amazon's command line
    }
    return liftlock("codepipeline", "run", *words, "--docker", "liftlock", env=env, cwd=cwd)


def secrets_of(password: str, user: str) -> list[str]:
    return [password, base64.b64encode(f"{user}:{password}".encode()).decode()]


def moved(registry: Registry) -> list[str]:
    """The requests in which bytes of blobs travelled."""
    return [
        str(seen)
        for seen in registry.requests()
        if "/blobs/" in seen.path
        and (seen.method in ("PATCH", "PUT") or (seen.method == "GET" and seen.status in (200, 206)))
    ]


def test_a_stage_cut_out_of_a_page_promotes_two_images(moto: Moto, make_registry: MakeRegistry, tmp_path: Path) -> None:
    registry = make_registry(user="AWS", password=aws.registry_password())
    digests = {}
    for name in ("web", "worker"):
        image = images.make_image(tmp_path / name, platforms=PLATFORMS, seed=name)
        digests[name] = remote.push(image.layout, "latest", registry, f"staging-{name}")
    registry.forget()
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (tmp_path / "stage.yaml").write_text(block(PAGE, "        - Name: BringToProduction"))
    (tmp_path / "project.yaml").write_text(block(PAGE, "  CodeBuildBringToProductionProject:"))
    (checkout / "codebuild-bring-to-production.yaml").write_text(block(PAGE, "version: 0.2"))

    done = run(
        moto,
        *("stage.yaml", "project.yaml", "--stage", "BringToProduction", "--input", f"Source={checkout}"),
        *("--region", REGION, "--artifacts", "out"),
        endpoints={ECR: registry.url},
        cwd=tmp_path,
    )

    assert "Login Succeeded" in done.out.splitlines()
    assert "stage BringToProduction: Succeeded" in done.out.splitlines()
    assert digests == {name: remote.digest_of(registry, f"prod-{name}", "latest") for name in digests}
    assert moved(registry) == []
    assert list((tmp_path / "out" / "BringToProductionOutput").iterdir()) == []
    for secret in secrets_of(aws.registry_password(), "AWS"):
        assert secret not in done.out + done.err


def test_an_image_saved_by_the_build_is_one_digest_at_every_level(
    moto: Moto, registry: Registry, make_registry: MakeRegistry, tmp_path: Path, repo: str
) -> None:
    levels = {name: make_registry(user="deployer", password=PASSWORD) for name in ("Dev", "Test", "Prod")}
    build = f"{registry.host}/{repo.removesuffix('/app')}"
    image = images.make_image(tmp_path / "layout", platforms=PLATFORMS, seed=repo)
    digest = remote.push(image.layout, "latest", registry, repo)
    moto.client("ssm").put_parameter(Name="/levels/password", Value=PASSWORD, Type="SecureString")
    actions = "".join(LEVEL.format(level=name, order=order) for order, name in enumerate(levels, 2))
    (tmp_path / "template.yaml").write_text(LEVELS + actions)
    (tmp_path / "source").mkdir()

    done = run(
        moto,
        *("template.yaml", "--stage", "Levels", "--input", "Source=source", "--parameter", f"BuildRegistry={build}"),
        *(word for name, each in levels.items() for word in ("--parameter", f"{name}Registry={each.host}")),
        cwd=tmp_path,
    )

    assert [line.split()[:2] for line in done.out.splitlines()[-4:]] == [
        [name, "Succeeded"] for name in ("Build", *levels)
    ]
    for level in levels.values():
        assert remote.digest_of(level, "app", "1742") == digest
        assert remote.list_tags(level, "app") == ["1742"]
        assert remote.walk(level, "app", "1742").keys() >= {blob.digest for blob in (*image.blobs, *image.manifests)}
    for secret in secrets_of(PASSWORD, "deployer"):
        assert secret not in done.out + done.err
