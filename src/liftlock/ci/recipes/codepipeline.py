"""The recipe for AWS CodePipeline: a CodeBuild project and a role for each stage, the stages themselves, a buildspec.

Projects are not privileged, since no daemon runs in them. Each has a role of its own, which may read the repositories
that its stage takes images from, and write those that it brings them to. The actions are those of the distribution
protocol's calls (Amazon ECR user guide, "IAM permissions for pulling", "… for pushing an image").
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from liftlock import __version__
from liftlock.auth.ecr import EcrRegistry
from liftlock.ci.recipes import scripts
from liftlock.ci.recipes.blueprint import Blueprint, Job, Place, cloud_of
from liftlock.ci.recipes.writing import fill
from liftlock.errors import ConfigError

__all__ = ["APPROVALS", "texts"]

APPROVALS = "in CodePipeline, a manual approval is an action before the stage's own"

BUILDSPEC = "buildspec-promote.yml"
PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
PUSH = (*PULL, "ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart")
CREATE = ("ecr:CreateRepository", "ecr:PutLifecyclePolicy", "ecr:TagResource")
"""What `liftlock.targets.ecr` calls where the pipeline file says ``create``."""


def texts(blueprint: Blueprint) -> dict[str, str]:
    """The files, by their names in the repository. Raises `ConfigError` for what the projects could not reach."""
    _require(blueprint)
    head = {"version": __version__, "file": blueprint.file}
    exported = [f"- LIFTLOCK_{what}_{word}" for what in ("DIGEST", "IMAGE") for word in blueprint.words.values()]
    return {
        "liftlock-promote.yaml": fill(
            "codepipeline/template.yaml",
            **head,
            pipeline=blueprint.pipeline.name,
            inputs="\n".join(
                f'{_parameter(env)}:\n  Type: String\n  Description: "{{{name}}} in {blueprint.file}"'
                for name, env in blueprint.inputs.items()
            ),
            projects="\n".join(_project(blueprint, job) for job in blueprint.jobs),
            repositories="\n".join(f"- {each}" for each in _pushed(blueprint)),
        ),
        "liftlock-stages.yaml": fill(
            "codepipeline/stages.yaml", **head, stages="\n".join(_stage(blueprint, job) for job in blueprint.jobs)
        ),
        BUILDSPEC: fill(
            "codepipeline/buildspec.yml",
            **head,
            exported="\n".join(exported),
            install=scripts.install(blueprint),
            promote=scripts.promote_any(blueprint, "--summary liftlock.md", "--variables liftlock.env"),
        ),
    }


def _require(blueprint: Blueprint) -> None:
    if blueprint.pipeline.source is None:
        raise blueprint.document.error(
            (), "the recipe for CodePipeline promotes what a registry holds, and this pipeline has no source",
            "say where the images are before the first stage: source: REGISTRY/staging-{image}:{tag}",
        )  # fmt: skip
    for place in (place for job in blueprint.jobs for place in (*job.reads, *job.writes)):
        if cloud_of(place.host) != "aws" or EcrRegistry.parse(place.host).is_public:
            raise _line_of(blueprint, place.host)


def _line_of(blueprint: Blueprint, host: str) -> ConfigError:
    source = blueprint.pipeline.source
    texts = [*([source] if source else []), *(to for job in blueprint.jobs for to in job.stage.to)]
    text = next(each for each in texts if host in each.text or host == "docker.io")
    return text.error(
        f"{host} is no private registry of Amazon ECR, and a role gives no right there",
        hint="the recipe for CodePipeline is for registries of ECR; elsewhere, take the recipe of another system",
    )


def _logical(job: Job) -> str:
    return "".join(part[:1].upper() + part[1:] for part in job.word.split("_"))


def _named(blueprint: Blueprint, job: Job) -> str:
    """The project's name: letters, digits, hyphens and underscores."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", f"{blueprint.pipeline.name}-promote-{job.stage.name}")


def _parameter(env: str) -> str:
    return "".join(part.capitalize() for part in env.split("_"))


def _project(blueprint: Blueprint, job: Job) -> str:
    variables = [f"- Name: {env}\n  Value: !Ref {_parameter(env)}" for env in blueprint.inputs.values()]
    variables += [
        f"- Name: {name}\n  Type: PARAMETER_STORE\n  Value: {_stored(blueprint, name)}" for name in job.secrets
    ]
    return fill(
        "codepipeline/project.yaml",
        logical=_logical(job),
        name=_named(blueprint, job),
        stage=job.stage.name,
        buildspec=BUILDSPEC,
        variables="\n".join(variables),
        statements="\n".join(_statements(blueprint, job)),
    )


def _statements(blueprint: Blueprint, job: Job) -> Iterable[str]:
    """What the role may do with registries: itself, or by becoming the role that the pipeline file names."""
    registries = blueprint.pipeline.registries
    roles = {host: registries[host].role for host in job.hosts if host in registries and registries[host].role}
    if set(job.hosts) - set(roles):
        # A password is the account's, not a repository's.
        yield _statement("RegistryPassword", ["ecr:GetAuthorizationToken"], ['"*"'])
    reads = [_arn(place) for place in job.reads if place.host not in roles]
    writes = [_arn(place) for place in job.writes if place.host not in roles]
    created = [
        _arn(place)
        for place in job.writes
        if place.host not in roles and place.host in registries and registries[place.host].create
    ]
    for name, actions, resources in (
        ("TakeImages", PULL, [each for each in reads if each not in writes]),
        ("BringImages", PUSH, writes),
        ("MakeRepositories", CREATE, created),
    ):
        if resources:
            yield _statement(name, actions, resources)
    if job.secrets:
        place = "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter"
        stored = [f'!Sub "{place}{_stored(blueprint, name)}"' for name in job.secrets]
        yield _statement("Secrets", ["ssm:GetParameters"], stored)
    if roles:
        yield _statement("BecomeRoles", ["sts:AssumeRole"], sorted(set(roles.values())))


def _statement(name: str, actions: Iterable[str], resources: Iterable[str]) -> str:
    lines = [f"- Sid: {name}", "  Effect: Allow", "  Action:", *(f"    - {each}" for each in actions)]
    return "\n".join([*lines, "  Resource:", *(f"    - {each}" for each in dict.fromkeys(resources))])


def _stored(blueprint: Blueprint, name: str) -> str:
    """The parameter of the Systems Manager in which a secret of gates and notifiers is to be kept."""
    return f"/liftlock/{blueprint.pipeline.name}/{name}"


def _arn(place: Place) -> str:
    where = EcrRegistry.parse(place.host)
    return f'!Sub "arn:${{AWS::Partition}}:ecr:{where.region}:{where.account}:repository/{place.repository}"'


def _pushed(blueprint: Blueprint) -> list[str]:
    """The repositories of the source, as a rule of EventBridge compares names."""
    places = dict.fromkeys(place.repository for job in blueprint.jobs if job.first for place in job.reads)
    return [f'wildcard: "{name}"' if "*" in name else f'"{name}"' for name in places]


def _stage(blueprint: Blueprint, job: Job) -> str:
    handed = [
        {"name": name, "value": f"#{{{_namespace(job.needs[0])}.{name}}}"}
        for name in ("LIFTLOCK_BUILD", "LIFTLOCK_IMAGES")
        if job.needs
    ]
    return fill(
        "codepipeline/stage.yaml",
        stage=job.stage.name,
        namespace=_namespace(job.word),
        name=_named(blueprint, job),
        variables=f"EnvironmentVariables: '{json.dumps(handed)}'" if handed else "",
        output=f"Promoted{_logical(job)}",
    )


def _namespace(word: str) -> str:
    return f"promote_{word}"
