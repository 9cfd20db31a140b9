"""From one account's ECR to another's: two registries, two roles, an empty home, AWS's keys in the environment.

moto plays AWS's APIs and docker-registry ECR's data plane (`tests.support.ecr` says what is imitated): real AWS is not
touched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.acceptance.workshop import Workshop, two_images
from tests.support import remote
from tests.support.aws import ACCOUNT, Moto
from tests.support.ecr import Ecr
from tests.support.images import Image

pytestmark = pytest.mark.acceptance

PRODUCTION = "210987654321"

PIPELINE = """\
    pipeline: shop
    images: [web, worker]
    source: {build}/{prefix}/staging-{{image}}:{{tag}}
    registries:
      {build}:
        role: arn:aws:iam::{account}:role/read
      {production}:
        role: arn:aws:iam::{production_account}:role/promote
        create: {{immutable: true, scan-on-push: true, lifecycle: lifecycle.json, tags: {{team: shop}}}}
    stages:
      - name: production
        to: {production}/{prefix}/{{image}}
        tags: ["{{tag}}"]
"""

POLICY = {
    "rules": [
        {
            "rulePriority": 1,
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 500},
            "action": {"type": "expire"},
        }
    ]
}


@pytest.fixture(scope="module")
def build(moto: Moto) -> Iterator[Ecr]:
    """The account in which images are built."""
    with Ecr(moto) as running:
        yield running


@pytest.fixture(scope="module")
def production(moto: Moto) -> Iterator[Ecr]:
    """Another account, in another region; its password is another."""
    with Ecr(moto, PRODUCTION, "eu-central-1") as running:
        yield running


@pytest.fixture
def prefix(repo: str) -> str:
    return repo.partition("/")[0]


@pytest.fixture
def env(moto: Moto, build: Ecr, production: Ecr) -> Mapping[str, str]:
    return {**moto.env, "LIFTLOCK_ENDPOINTS": f"{build.endpoint},{production.endpoint}"}


@pytest.fixture
def staged(tmp_path: Path, build: Ecr, prefix: str) -> dict[str, Image]:
    """Version 2.0 of two multi-platform images, where the build left them."""
    made = two_images(tmp_path / "build", prefix, platforms=("linux/amd64", "linux/arm64"))
    for name, image in made.items():
        build.api.create_repository(repositoryName=f"{prefix}/staging-{name}")
        remote.push(image.layout, image.tag, build.registry, f"{prefix}/staging-{name}", to="2.0")
    return made


@pytest.fixture
def job(tmp_path: Path, build: Ecr, production: Ecr, prefix: str) -> Workshop:
    """A CI job: a checkout, and nothing at home."""
    (tmp_path / "home").mkdir()
    text = PIPELINE.format(
        build=build.host,
        production=production.host,
        account=ACCOUNT,
        production_account=PRODUCTION,
        prefix=prefix,
    )
    job = Workshop(tmp_path / "checkout", text, home=tmp_path / "home")
    (job.folder / "lifecycle.json").write_text(json.dumps(POLICY))
    return job


def test_two_images_go_from_one_account_to_another(
    job: Workshop, build: Ecr, production: Ecr, *, env: Mapping[str, str], staged: dict[str, Image], prefix: str
) -> None:
    build.front.forget()

    said = job.json("promote", "--to", "production", "--var", "tag=2.0", env=env)

    assert said["state"] == "succeeded"
    for name, image in staged.items():
        repository = f"{prefix}/{name}"
        assert remote.digest_of(production.registry, repository, "2.0") == image.digest
        assert remote.walk(production.registry, repository, "2.0")
        found = production.repository(repository)
        assert found is not None
        assert (found["registryId"], found["imageTagMutability"]) == (PRODUCTION, "IMMUTABLE")
        assert build.repository(repository) is None
        policy = production.api.get_lifecycle_policy(repositoryName=repository)["lifecyclePolicyText"]
        assert json.loads(policy) == POLICY
    assert not build.front.find("POST"), "the source's role was used to write"


def test_without_create_the_repository_is_named_and_nothing_moves(
    job: Workshop, production: Ecr, env: Mapping[str, str], staged: dict[str, Image], prefix: str
) -> None:
    assert staged
    file = job.folder / "liftlock.yaml"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if "create:" not in line))

    said = job.fails(5, "promote", "--to", "production", "--var", "tag=2.0", env=env)

    assert f"the repository {prefix}/w" in said
    assert f"does not exist in registry {production.host}" in said
    assert "aws ecr create-repository --repository-name" in said
    assert production.repository(f"{prefix}/web") is None


def test_who_is_nobody_at_aws_is_told_so(
    job: Workshop, build: Ecr, env: Mapping[str, str], staged: dict[str, Image]
) -> None:
    assert staged
    nobody = {name: value for name, value in env.items() if name not in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}

    said = job.fails(4, "promote", "--to", "production", "--var", "tag=2.0", env=nobody)

    assert f"{build.host}: cannot call ecr:GetAuthorizationToken: this environment has no AWS credentials" in said
    assert "hint: give the job a role" in said


def test_an_online_check_asks_both_accounts(job: Workshop, production: Ecr, env: Mapping[str, str]) -> None:
    """What a release alone tells is not known; that the registry lets this identity in is."""
    said = job.run("validate", "--online", env=env)

    assert production.host in said.out + said.err
