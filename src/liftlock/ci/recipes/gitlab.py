"""The recipe for GitLab CI: a job for each stage, in the stage's environment."""

from __future__ import annotations

from liftlock import __version__
from liftlock.ci.recipes import scripts
from liftlock.ci.recipes.blueprint import Blueprint, Job, secret_word
from liftlock.ci.recipes.writing import fill, listed

__all__ = ["APPROVALS", "texts"]

APPROVALS = "in GitLab CI, approvals belong to the stage's protected environment, or say when: manual in its job"

SAVED = "saved.tar"
PACKED = "images.tar"
RESULTS = ("--summary liftlock.md", "--variables liftlock.env")
OWN = "registry.gitlab.com"
"""GitLab's own registry, which takes the job's token."""

_AUDIENCES = {"aws": "sts.amazonaws.com", "azure": "api://AzureADTokenExchange"}
"""For whom a job's token is, by cloud."""
_TOKENS = {
    "aws": 'printf %s "$AWS_ID_TOKEN" > "$HOME/aws-id-token"\nexport AWS_WEB_IDENTITY_TOKEN_FILE="$HOME/aws-id-token"',
    "azure": 'printf %s "$AZURE_ID_TOKEN" > "$HOME/azure-id-token"\n'
    'export AZURE_FEDERATED_TOKEN_FILE="$HOME/azure-id-token"',
}
_NAMES = {
    "aws": ("AWS_ROLE_ARN",),
    "azure": ("AZURE_TENANT_ID", "AZURE_CLIENT_ID"),
    "gcp": ("GOOGLE_APPLICATION_CREDENTIALS (of type file)",),
}
"""Variables that say who a job is in a cloud. Only Google's is more than a name."""


def texts(blueprint: Blueprint) -> dict[str, str]:
    """The files, by their names in the repository."""
    jobs = [_job(blueprint, job) for job in blueprint.jobs]
    return {
        ".gitlab-ci.yml": fill(
            "gitlab/pipeline.yml",
            version=__version__,
            file=blueprint.file,
            todo=_todo(blueprint),
            stages="\n".join(f"- {name}" for name in _stages(blueprint)),
            variables=_variables(blueprint),
            install=scripts.install(blueprint),
            jobs="\n".join([_build(blueprint), *jobs] if blueprint.built else jobs),
        )
    }


def _stages(blueprint: Blueprint) -> list[str]:
    return [*(("liftlock-build",) if blueprint.built else ()), *(f'"{job.stage.name}"' for job in blueprint.jobs)]


def _todo(blueprint: Blueprint) -> str:
    items = ["how the images are built: the job liftlock-build"] if blueprint.built else []
    names = ", ".join(job.stage.name for job in blueprint.jobs)
    items.append(f"Operate > Environments: {names}. Who may deploy there, and who approves it, are rules of theirs")
    for job in blueprint.jobs:
        named = [f"{secret_word(h)}_{what}" for h in job.logins if h != OWN for what in ("USERNAME", "PASSWORD")]
        named += job.secrets
        named += [name for cloud in sorted(job.clouds) for name in _NAMES[cloud]]
        if named:
            items.append(f"Settings > CI/CD > Variables, for the environment {job.stage.name}: {', '.join(named)}")
    return listed(items)


def _variables(blueprint: Blueprint) -> str:
    listed = [
        f'  {env}:\n    value: ""\n    description: "{{{name}}} in {blueprint.file}"'
        for name, env in blueprint.inputs.items()
    ]
    return "\n".join(["variables:", *listed, "", ""]) if listed else ""


def _build(blueprint: Blueprint) -> str:
    return fill(
        "gitlab/build.yml",
        build=scripts.build(blueprint),
        save=scripts.save(blueprint, SAVED),
        pack=scripts.pack(blueprint, SAVED, PACKED),
    )


def _job(blueprint: Blueprint, job: Job) -> str:
    starts = job.first and blueprint.built
    needs = [f"- promote-{_named(blueprint, word)}" for word in job.needs] or (["- liftlock-pack"] if starts else [])
    logins = [_login(host) for host in job.logins]
    tokens = [_TOKENS[cloud] for cloud in sorted(job.clouds) if cloud in _TOKENS]
    script = scripts.promote(blueprint, job, *RESULTS)
    if starts:
        script = f"{scripts.publish(blueprint, PACKED)}\n{script}"
    return fill(
        "gitlab/job.yml",
        stage=job.stage.name,
        needs="\n".join(["needs:", *(f"  {need}" for need in needs)]) if needs else "needs: []",
        variables="variables:\n  LIFTLOCK_BUILD: $CI_PIPELINE_ID" if starts else "",
        tokens=_id_tokens(job),
        script="\n".join([*tokens, *logins, script]),
    )


def _named(blueprint: Blueprint, word: str) -> str:
    return next(job.stage.name for job in blueprint.jobs if job.word == word)


def _id_tokens(job: Job) -> str:
    listed = [f"  {c.upper()}_ID_TOKEN:\n    aud: {_AUDIENCES[c]}" for c in sorted(job.clouds) if c in _AUDIENCES]
    return "\n".join(["id_tokens:", *listed]) if listed else ""


def _login(host: str) -> str:
    if host == OWN:
        return scripts.login(host, "CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD")
    word = secret_word(host)
    return scripts.login(host, f"{word}_USERNAME", f"{word}_PASSWORD")
