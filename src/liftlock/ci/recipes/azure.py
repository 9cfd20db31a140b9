"""The recipe for Azure Pipelines: build, save, publish, and one deployment job for each stage."""

from __future__ import annotations

from textwrap import indent

from liftlock import __version__
from liftlock.ci.recipes import scripts
from liftlock.ci.recipes.blueprint import Blueprint, Job, secret_word
from liftlock.ci.recipes.writing import fill, listed

__all__ = ["APPROVALS", "texts"]

APPROVALS = "in Azure Pipelines, approvals are a check of the stage's environment"

FOLDER = ".azure-pipelines"
SAVED = "$(Agent.TempDirectory)/saved.tar"
PACKED = "$(Build.ArtifactStagingDirectory)/images.tar"
ARCHIVE = "$(Pipeline.Workspace)/images/images.tar"
RESULTS = ('--summary "$(Agent.TempDirectory)/liftlock.md"', '--variables "$(Agent.TempDirectory)/liftlock.env"')
KEYS = {
    "aws": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "gcp": ("GOOGLE_APPLICATION_CREDENTIALS",),
}
"""What the variable groups have for a cloud. Azure needs none there: a service connection says who a job is."""


def texts(blueprint: Blueprint) -> dict[str, str]:
    """The files, by their names in the repository."""
    stages = [_stage(blueprint, job) for job in blueprint.jobs]
    return {
        "azure-pipelines.yml": fill(
            "azure/pipeline.yml",
            version=__version__,
            file=blueprint.file,
            todo=_todo(blueprint),
            trigger="trigger:\n  branches:\n    include: [main]" if blueprint.built else "trigger: none",
            parameters=_parameters(blueprint),
            variables="\n".join(f"{env}: ${{{{ parameters.{env.lower()} }}}}" for env in blueprint.inputs.values()),
            stages="\n".join([_build(blueprint), *stages] if blueprint.built else stages),
        ),
        f"{FOLDER}/liftlock-install.yml": fill(
            "azure/install.yml", version=__version__, install=scripts.install(blueprint)
        ),
        f"{FOLDER}/liftlock-results.yml": fill("azure/results.yml", version=__version__),
    }


def _connected(job: Job) -> bool:
    """Whether a job talks to registries of Azure, and so needs a service connection."""
    return "azure" in job.clouds


def _todo(blueprint: Blueprint) -> str:
    names = ", ".join(job.stage.name for job in blueprint.jobs)
    items = ["how the images are built: the stage build"] if blueprint.built else []
    items.append(f"Pipelines > Environments: {names}. What has to hold before a stage is a check of its environment")
    for job in blueprint.jobs:
        group = f"liftlock-{job.stage.name}"
        if secrets := _secrets(job):
            items.append(f"Pipelines > Library: the variable group {group}, with {', '.join(secrets)}")
        if _connected(job):
            items.append(
                f"Project settings > Service connections: {group} (Azure Resource Manager, workload identity "
                "federation), which may pull and push where the stage does"
            )
    return listed(items)


def _secrets(job: Job) -> list[str]:
    named = [f"{secret_word(host)}_{what}" for host in job.logins for what in ("USERNAME", "PASSWORD")]
    return [*named, *job.secrets] + [key for cloud, keys in KEYS.items() if cloud in job.clouds for key in keys]


def _parameters(blueprint: Blueprint) -> str:
    # A run that a push has started is asked for nothing, so there has to be a value.
    default = '\n    default: ""' if blueprint.built else ""
    listed = [
        f'  - name: {env.lower()}\n    displayName: "{{{name}}} in {blueprint.file}"\n    type: string{default}'
        for name, env in blueprint.inputs.items()
    ]
    return "\n".join(["parameters:", *listed, "", ""]) if listed else ""


def _build(blueprint: Blueprint) -> str:
    return fill(
        "azure/build.yml",
        build=scripts.build(blueprint),
        save=scripts.save(blueprint, SAVED),
        pack=scripts.pack(blueprint, SAVED, PACKED),
    )


def _stage(blueprint: Blueprint, job: Job) -> str:
    starts = job.first and blueprint.built
    return fill(
        "azure/stage.yml",
        word=job.word,
        stage=job.stage.name,
        needs=", ".join(job.needs or (("build",) if starts else ())),
        variables=_variables(job),
        download="- download: current\n  artifact: images" if starts else "- download: none",
        logins="\n".join(_login(host) for host in job.logins),
        publish=_step(scripts.publish(blueprint, ARCHIVE), "Make a release of the artifact") if starts else "",
        promote=_promote(job, f"set -eu\n{scripts.promote(blueprint, job, *RESULTS)}"),
    )


def _variables(job: Job) -> str:
    groups = [f"  - group: liftlock-{job.stage.name}"] if _secrets(job) else []
    handed = [
        f"  - name: {name}\n    value: $[ stageDependencies.{job.needs[0]}.promote.outputs['promote.results.{name}'] ]"
        for name in ("LIFTLOCK_BUILD", "LIFTLOCK_IMAGES")
        if job.needs
    ]
    return "\n".join(["variables:", *groups, *handed]) if groups or handed else ""


def _login(host: str) -> str:
    word = secret_word(host)
    env = f"  env:\n    REGISTRY_USERNAME: $({word}_USERNAME)\n    REGISTRY_PASSWORD: $({word}_PASSWORD)"
    return f"{_step(scripts.login(host, 'REGISTRY_USERNAME', 'REGISTRY_PASSWORD'), f'Log in to {host}')}\n{env}"


def _step(script: str, name: str) -> str:
    return f"- bash: |\n    set -eu\n{indent(script, '    ')}\n  displayName: {name}"


def _promote(job: Job, script: str) -> str:
    env = {key: f"$({key})" for cloud, keys in KEYS.items() if cloud in job.clouds for key in keys}
    env |= {name: f"$({name})" for name in job.secrets}
    if _connected(job):
        # The task lends the service connection's identity, which Liftlock proves with the job's own token.
        env = {"SYSTEM_ACCESSTOKEN": "$(System.AccessToken)", **env}
        step = (
            f"- task: AzureCLI@2\n  inputs:\n    azureSubscription: liftlock-{job.stage.name}\n    scriptType: bash\n"
        )
        step += f"    scriptLocation: inlineScript\n    inlineScript: |\n{indent(script, '      ')}"
    else:
        step = f"- bash: |\n{indent(script, '    ')}"
    lines = [step, f"  displayName: Promote to {job.stage.name}"]
    lines += ["  env:", *(f"    {name}: {value}" for name, value in env.items())] if env else []
    return "\n".join(lines)
