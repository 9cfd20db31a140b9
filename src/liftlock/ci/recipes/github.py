"""The recipe for GitHub Actions: a job for each stage, in the stage's environment."""

from __future__ import annotations

from textwrap import indent

from liftlock import __version__
from liftlock.ci.recipes import scripts
from liftlock.ci.recipes.blueprint import Blueprint, Job, secret_word
from liftlock.ci.recipes.writing import fill, listed

__all__ = ["APPROVALS", "texts"]

APPROVALS = "in GitHub Actions, required reviewers belong to the stage's environment"

SAVED = "$RUNNER_TEMP/saved.tar"
PACKED = "$RUNNER_TEMP/images.tar"
RESULTS = ('--summary "$GITHUB_STEP_SUMMARY"', '--variables "$GITHUB_OUTPUT"')
CONTAINERS = "ghcr.io"
"""GitHub's own registry, which takes the job's token."""


def texts(blueprint: Blueprint) -> dict[str, str]:
    """The files, by their names in the repository."""
    jobs = [_job(blueprint, job) for job in blueprint.jobs]
    return {
        ".github/workflows/promote.yml": fill(
            "github/workflow.yml",
            version=__version__,
            file=blueprint.file,
            todo=_todo(blueprint),
            push="push:\n  branches: [main]" if blueprint.built else "",
            inputs=_inputs(blueprint),
            permissions=_permissions(blueprint),
            variables=_variables(blueprint),
            jobs="\n".join([_build(blueprint), *jobs] if blueprint.built else jobs),
        )
    }


def _todo(blueprint: Blueprint) -> str:
    items = ["how the images are built: the job build"] if blueprint.built else []
    names = ", ".join(job.stage.name for job in blueprint.jobs)
    items.append(f"Settings > Environments: {names}. Required reviewers and wait timers are rules of theirs")
    for job in blueprint.jobs:
        secrets = [f"{secret_word(h)}_{w}" for h in job.logins if h != CONTAINERS for w in ("USERNAME", "PASSWORD")]
        secrets += job.secrets
        named = [name for cloud in sorted(job.clouds) for name in _NAMES[cloud]]
        if secrets:
            items.append(f"secrets of the environment {job.stage.name}: {', '.join(secrets)}")
        if named:
            items.append(f"variables of the environment {job.stage.name}: {', '.join(named)}")
    return listed(items)


_NAMES = {
    "aws": ("AWS_ROLE_ARN",),
    "azure": ("AZURE_TENANT_ID", "AZURE_CLIENT_ID"),
    "gcp": ("GCP_WORKLOAD_IDENTITY_PROVIDER", "GCP_SERVICE_ACCOUNT"),
}
"""Variables that say who a job is in a cloud. None is a secret: the job proves itself with its own token (OIDC)."""


def _permissions(blueprint: Blueprint) -> str:
    lines = ["contents: read"]
    if blueprint.clouds:
        lines.append("id-token: write # so that jobs can prove to clouds who they are, without stored secrets")
    if CONTAINERS in blueprint.hosts:
        lines.append("packages: write")
    return "\n".join(lines)


def _inputs(blueprint: Blueprint) -> str:
    listed = [
        f'  {env.lower()}:\n    description: "{{{name}}} in {blueprint.file}"\n    type: string\n    required: true'
        for name, env in blueprint.inputs.items()
    ]
    return "\n".join(["inputs:", *listed]) if listed else ""


def _variables(blueprint: Blueprint) -> str:
    given = [f"  {env}: ${{{{ inputs.{env.lower()} }}}}" for env in blueprint.inputs.values()]
    return "\n".join(["env:", *given, "", ""]) if given else ""


def _build(blueprint: Blueprint) -> str:
    return fill(
        "github/build.yml",
        build=scripts.build(blueprint),
        save=scripts.save(blueprint, SAVED),
        install=scripts.install(blueprint),
        pack=scripts.pack(blueprint, SAVED, PACKED),
    )


def _job(blueprint: Blueprint, job: Job) -> str:
    starts = job.first and blueprint.built
    needs = job.needs or (("build",) if starts else ())
    images = [
        f"image_{w.lower()}: ${{{{ steps.promote.outputs.LIFTLOCK_IMAGE_{w} }}}}" for w in blueprint.words.values()
    ]
    return fill(
        "github/job.yml",
        word=job.word,
        stage=job.stage.name,
        needs=f"needs: [{', '.join(needs)}]" if needs else "",
        images="\n".join(images),
        env=_env(job, starts=starts),
        download=_DOWNLOAD if starts else "",
        install=scripts.install(blueprint),
        identities="\n".join(_IDENTITIES[cloud] for cloud in sorted(job.clouds) if cloud in _IDENTITIES),
        logins="\n".join(_login(host) for host in job.logins),
        publish=_step(scripts.publish(blueprint, PACKED), "Make a release of the artifact") if starts else "",
        script=scripts.promote(blueprint, job, *RESULTS),
    )


def _env(job: Job, *, starts: bool) -> str:
    handed = {"LIFTLOCK_BUILD": "needs.build.outputs.build"} if starts else {}
    if job.needs:
        before = f"needs.{job.needs[0]}.outputs"
        handed = {"LIFTLOCK_BUILD": f"{before}.build", "LIFTLOCK_IMAGES": f"{before}.images"}
    if "azure" in job.clouds:
        handed |= {name: f"vars.{name}" for name in _NAMES["azure"]}
    handed |= {name: f"secrets.{name}" for name in job.secrets}
    lines = [f"  {name}: ${{{{ {value} }}}}" for name, value in handed.items()]
    return "\n".join(["env:", *lines]) if lines else ""


_DOWNLOAD = """\
- uses: actions/download-artifact@v4
  with:
    name: images
    path: ${{ runner.temp }}
"""

_IDENTITIES = {
    "aws": """\
- name: Become a role of AWS
  uses: aws-actions/configure-aws-credentials@v4
  with:
    role-to-assume: ${{ vars.AWS_ROLE_ARN }}
    aws-region: ${{ vars.AWS_REGION || 'us-east-1' }}
    mask-aws-account-id: false # what is masked cannot be handed to the next job
""",
    "gcp": """\
- name: Become a service account of Google Cloud
  uses: google-github-actions/auth@v2
  with:
    workload_identity_provider: ${{ vars.GCP_WORKLOAD_IDENTITY_PROVIDER }}
    service_account: ${{ vars.GCP_SERVICE_ACCOUNT }}
""",
}
"""Steps before the first that needs them. Azure needs none: Liftlock shows the job's token there itself."""


def _login(host: str) -> str:
    user, password = ("github.actor", "secrets.GITHUB_TOKEN")
    if host != CONTAINERS:
        user, password = (f"secrets.{secret_word(host)}_{what}" for what in ("USERNAME", "PASSWORD"))
    step = _step(scripts.login(host, "REGISTRY_USERNAME", "REGISTRY_PASSWORD"), f"Log in to {host}")
    env = f"REGISTRY_USERNAME: ${{{{ {user} }}}}\nREGISTRY_PASSWORD: ${{{{ {password} }}}}"
    return f"{step}\n  env:\n{indent(env, '    ')}"


def _step(script: str, name: str) -> str:
    return f"- name: {name}\n  run: |\n{indent(script, '    ')}"
