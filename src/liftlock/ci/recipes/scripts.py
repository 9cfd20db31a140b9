"""The commands of a recipe's steps, for a POSIX shell: the same in every CI system.

They read the environment that a recipe sets: ``LIFTLOCK_BUILD`` is the build's id, ``LIFTLOCK_IMAGES`` what the job
before had in its stage, and ``VAR_…`` the values of variables. All else a CI system does with its own means.
"""

from __future__ import annotations

from shlex import quote

from liftlock import __version__
from liftlock.ci.recipes.blueprint import Blueprint, Job
from liftlock.pipeline.load import DEFAULT_FILE
from liftlock.release.stage import Trigger

__all__ = ["build", "install", "login", "pack", "promote", "promote_any", "publish", "save"]


def install(blueprint: Blueprint) -> str:
    """The one command that installs something, pinned to the version that wrote the recipe."""
    return f'python3 -m pip install --quiet "liftlock{blueprint.extras}=={__version__}"'


def login(host: str, user: str, password: str) -> str:
    """Store a credential; ``user`` and ``password`` are names of variables."""
    return f'printf %s "${password}" | liftlock login {host} --username "${user}" --password-stdin'


def build(blueprint: Blueprint) -> str:
    """Where the user's own build goes."""
    return "\n".join(f'docker build --tag "{name}:$LIFTLOCK_BUILD" {name}' for name in blueprint.pipeline.images)


def save(blueprint: Blueprint, file: str) -> str:
    """What was built, as one tar."""
    saved = " ".join(f'"{name}:$LIFTLOCK_BUILD"' for name in blueprint.pipeline.images)
    return f'docker save --output "{file}" {saved}'


def pack(blueprint: Blueprint, saved: str, packed: str) -> str:
    """The tar of docker save becomes an archive in which every image has the digest it will have everywhere."""
    sources = [f'"{name}=docker-archive:{saved}:{name}:$LIFTLOCK_BUILD"' for name in blueprint.pipeline.images]
    exported = f'liftlock artifact export{_file(blueprint)} "$LIFTLOCK_BUILD" "oci-archive:{packed}"'
    return f"{_published(blueprint, sources)}\n{exported}"


def publish(blueprint: Blueprint, packed: str) -> str:
    """The archive becomes a release in the job of the first stage."""
    sources = [f'"{name}=oci-archive:{packed}:{name}"' for name in blueprint.pipeline.images]
    published = _published(blueprint, sources)
    if _releases_itself(blueprint):
        return published
    return (
        published + "\n" + _command(f'liftlock release create{_file(blueprint)} "$LIFTLOCK_BUILD"', *_vars(blueprint))
    )


def promote(blueprint: Blueprint, job: Job, *results: str) -> str:
    """Bring it into the job's stage; ``results`` are the options that say where the results go.

    A first job takes the release it has published, or what the pipeline's source names. Every later one takes, by
    digest, what the job before had; that the stages before really have it is asked of their registries.
    """
    command = f"liftlock promote{_file(blueprint)}"
    if job.first and blueprint.built:
        return _command(f'{command} "$LIFTLOCK_BUILD" --to {job.stage.name}', *results)
    handed = () if job.first else ('--build "$LIFTLOCK_BUILD" --image "$LIFTLOCK_IMAGES"',)
    return _command(f"{command} --to {job.stage.name}", *handed, *_vars(blueprint), *results)


def promote_any(blueprint: Blueprint, *results: str) -> str:
    """The same for a job that may be any stage's: ``LIFTLOCK_STAGE`` says which, and the array ``pins`` what of."""
    command = f'liftlock promote{_file(blueprint)} --to "$LIFTLOCK_STAGE" "${{pins[@]}}"'
    return _command(command, *_vars(blueprint), *results, "-o json > liftlock.json")


def _file(blueprint: Blueprint) -> str:
    return "" if blueprint.file == DEFAULT_FILE else f" --file {quote(blueprint.file)}"


def _published(blueprint: Blueprint, sources: list[str]) -> str:
    # Publishing takes variables where it makes a release by itself, and nowhere else.
    variables = _vars(blueprint) if _releases_itself(blueprint) else ()
    return _command(f'liftlock artifact publish{_file(blueprint)} --build "$LIFTLOCK_BUILD"', *variables, *sources)


def _releases_itself(blueprint: Blueprint) -> bool:
    """Whether publishing makes a release."""
    return any(stage.trigger is Trigger.ON_PUBLISH for stage in blueprint.pipeline.stages)


def _vars(blueprint: Blueprint) -> list[str]:
    return [f'--var "{name}=${variable}"' for name, variable in blueprint.inputs.items()]


def _command(*words: str) -> str:
    return " \\\n  ".join(words)
