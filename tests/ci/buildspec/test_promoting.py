"""A buildspec that promotes images with Docker's commands and the AWS command line, without a daemon."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.conftest import MakeRegistry
from tests.support import aws, images, remote
from tests.support.aws import Moto
from tests.support.processes import liftlock

ECR = aws.ecr_host()
SPEC = """\
version: 0.2
env:
  exported-variables: [DIGEST]
phases:
  pre_build:
    commands:
      - aws ecr get-login-password --region $AWS_REGION | docker login --username AWS --password-stdin $DOCKER_REG
  build:
    commands:
      - docker pull "$DOCKER_REG/$STAGING_IMAGE_NAME"
      - docker tag "$DOCKER_REG/$STAGING_IMAGE_NAME:latest" "$DOCKER_REG/$PROD_IMAGE_NAME:latest"
      - docker image push -a "$DOCKER_REG/$PROD_IMAGE_NAME"
  post_build:
    commands:
      - DIGEST=$(docker inspect --format '{{index .RepoDigests 0}}' "$DOCKER_REG/$PROD_IMAGE_NAME:latest")
"""


@pytest.mark.acceptance
@pytest.mark.slow
def test_an_image_is_promoted(make_registry: MakeRegistry, moto: Moto, tmp_path: Path) -> None:
    registry = make_registry(user="AWS", password=aws.registry_password())
    image = images.make_image(tmp_path / "app", platforms=("linux/amd64", "linux/arm64"), seed="app")
    digest = remote.push(image.layout, "latest", registry, "staging-demo-app")
    (tmp_path / "buildspec.yml").write_text(SPEC)
    variables = {
        "AWS_REGION": aws.REGION,
        "STAGING_IMAGE_NAME": "staging-demo-app",
        "PROD_IMAGE_NAME": "prod-demo-app",
        "DOCKER_REG": ECR,
        "PYTHONWARNINGS": "",  # of Amazon's program
    }

    ran = liftlock(
        *("buildspec", "run", "buildspec.yml", "--docker", "liftlock", "-o", "json"),
        *(word for name, value in variables.items() for word in ("--env", f"{name}={value}")),
        cwd=tmp_path,
        env={
            **moto.env,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LIFTLOCK_ENDPOINTS": f"{ECR}={registry.url}",
        },
    )

    assert "Login Succeeded" in ran.err
    assert remote.digest_of(registry, "prod-demo-app", "latest") == digest
    assert ran.json()["exportedVariables"]["DIGEST"].endswith(f"@{digest}")
