"""A pipeline file as jobs of a CI system, which share nothing: what every recipe is written from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from liftlock.ci.recipes.fitness import misfits
from liftlock.ci.results import image_words
from liftlock.errors import ConfigError, UsageError
from liftlock.gates.table import GATES
from liftlock.notify.table import NOTIFIERS
from liftlock.oci.hosts import matches
from liftlock.oci.reference import Reference
from liftlock.pipeline.document import Document, parse
from liftlock.pipeline.load import DEFAULT_FILE, read
from liftlock.release.pipeline import Pipeline
from liftlock.release.stage import Stage
from liftlock.release.template import Template

__all__ = ["Blueprint", "Job", "Place", "cloud_of", "read_blueprint", "secret_word"]

_CLOUDS = (
    ("aws", ("*.dkr.ecr.*.amazonaws.com", "*.dkr.ecr.*.amazonaws.com.cn", "*.dkr-ecr.*.on.aws", "public.ecr.aws")),
    ("azure", ("*.azurecr.io", "*.azurecr.cn", "*.azurecr.us")),
    ("gcp", ("*-docker.pkg.dev", "gcr.io", "*.gcr.io")),
)
"""The extra of the package, and the registries whose credentials that cloud gives out."""
ENV = "env:"
"""How a pipeline file says that a secret is in a variable."""
OWN = ("build",)
"""Names that recipes give to jobs of their own."""
UNKNOWN = "unknown0variable"
"""Stands for what only a release knows, while the rest of a text is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A repository that a job reads or writes."""

    host: str
    repository: str
    """Within the registry; ``*`` stands for what is known only with a release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One stage, as a job."""

    stage: Stage
    word: str
    """The stage's name as CI systems take names: letters, digits and underscores. No two jobs share one."""
    needs: tuple[str, ...]
    """The words of the jobs of ``after``."""
    reads: tuple[Place, ...]
    writes: tuple[Place, ...]

    @property
    def first(self) -> bool:
        """Whether nothing comes before it."""
        return not self.needs

    @property
    def hosts(self) -> tuple[str, ...]:
        """The registries that it talks to, those it reads from first."""
        return tuple(dict.fromkeys(place.host for place in (*self.reads, *self.writes)))

    @property
    def logins(self) -> tuple[str, ...]:
        """Those that no cloud gives credentials for."""
        return tuple(host for host in self.hosts if not cloud_of(host))

    @property
    def secrets(self) -> tuple[str, ...]:
        """The variables in which the stage's gates and notifiers look up their secrets (``env:NAME``)."""
        options = [*(gate.options for gate in self.stage.gates), *(rule.options for rule in self.stage.notify)]
        return tuple(dict.fromkeys(_looked_up(options)))

    @property
    def clouds(self) -> frozenset[str]:
        """The clouds that give out the credentials of the others."""
        return frozenset(filter(None, map(cloud_of, self.hosts)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """What a recipe is written from."""

    file: str
    """The pipeline file, as it is named from the folder that the CI system checks out."""
    document: Document
    pipeline: Pipeline
    jobs: tuple[Job, ...]
    """In the file's order."""
    inputs: Mapping[str, str]
    """The variables of ``--var`` that nobody has given a value, each with the name of its environment variable."""
    words: Mapping[str, str]
    """By image, its word in the names of variables."""

    @property
    def built(self) -> bool:
        """Whether the images come from a build, and not from a registry that has them already."""
        return self.pipeline.source is None

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(host for job in self.jobs for host in job.hosts))

    @property
    def clouds(self) -> tuple[str, ...]:
        """The clouds whose registries the pipeline uses."""
        return tuple(sorted({cloud for host in self.hosts if (cloud := cloud_of(host))}))

    @property
    def extras(self) -> str:
        """What of the package is needed: ``[aws,azure]``, or nothing."""
        return f"[{','.join(self.clouds)}]" if self.clouds else ""


def cloud_of(host: str) -> str:
    """``aws``, ``azure`` or ``gcp`` where that cloud gives out the registry's credentials; empty for all others."""
    return next((cloud for cloud, patterns in _CLOUDS if any(matches(each, host) for each in patterns)), "")


def read_blueprint(file: str = DEFAULT_FILE, *, approvals: str) -> Blueprint:
    """Read a pipeline file; ``approvals`` is a hint: how the CI system itself asks people.

    Raises `NotFound`, `UsageError` for a file that a recipe cannot name, `ConfigError` for what is wrong with it, and
    for what jobs that share nothing cannot know.
    """
    if Path(file).is_absolute() or Path(file).parts[:1] == ("..",):
        raise UsageError(f"{file} is not in the current folder", hint="run it where the repository begins")
    if not re.fullmatch(r"[\w./ -]+", file):
        raise UsageError(
            f"{file!r} cannot be written into a recipe", hint="name it with letters, digits, '.', '_', '-'"
        )
    pipeline = read(file, GATES, NOTIFIERS)
    document = parse(Path(file).read_bytes(), file)
    found = [document.error(*each) for each in misfits(pipeline, document.lines, approvals)]
    if found:
        raise min(found, key=lambda error: error.line)
    words = _words((stage.name for stage in pipeline.stages), "stages", OWN)
    variables = _words(pipeline.undeclared, "variables")
    return Blueprint(
        file=file,
        document=document,
        pipeline=pipeline,
        jobs=tuple(_job(pipeline, stage, words) for stage in pipeline.stages),
        inputs={name: f"VAR_{word.upper()}" for name, word in variables.items()},
        words=image_words(pipeline.images),
    )


def _looked_up(value: object) -> Iterator[str]:
    if isinstance(value, str) and value.startswith(ENV):
        yield value.removeprefix(ENV)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _looked_up(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _looked_up(each)


def secret_word(host: str) -> str:
    """A registry's word in the names of secrets: ``REGISTRY_EXAMPLE``. No name begins with a digit."""
    word = re.sub(r"[^A-Z0-9]", "_", host.upper())
    return f"REGISTRY_{word}" if word[0].isdigit() else word


def _job(pipeline: Pipeline, stage: Stage, words: Mapping[str, str]) -> Job:
    before = [to for name in stage.after for to in pipeline.stage(name).to]
    if not stage.after and pipeline.source:
        before.append(pipeline.source)
    return Job(
        stage=stage,
        word=words[stage.name],
        needs=tuple(words[name] for name in stage.after),
        reads=_places(pipeline, before),
        writes=_places(pipeline, stage.to),
    )


def _places(pipeline: Pipeline, texts: Iterable[Template]) -> tuple[Place, ...]:
    """The repositories of every image, as far as the file alone tells them."""
    found: dict[Place, None] = {}
    for text in texts:
        for image in pipeline.images:
            values = {**pipeline.variables, "image": image}
            unknown = {name: UNKNOWN for name in text.variables if name not in values}
            reference = text.resolve({**values, **unknown}, Reference.parse)
            if UNKNOWN in reference.registry:
                raise text.error(
                    f"{text.text!r}: the registry is known only with a release",
                    hint="a recipe asks for its credentials: write the registry out",
                )
            repository = reference.repository.replace(UNKNOWN, "*")
            found[Place(host=reference.registry, repository=repository)] = None
    return tuple(found)


def _words(names: Iterable[str], what: str, own: Iterable[str] = ()) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        word = re.sub(r"^(?=[0-9])|[^A-Za-z0-9]", "_", name)
        if word.lower() in own:
            raise ConfigError(f"the stage {name!r} would be called like the recipe's own", hint="call it otherwise")
        if word.lower() in (taken.lower() for taken in found.values()):
            raise ConfigError(
                f"two {what} would both be called {word} in CI", hint="names that differ only in such signs are one"
            )
        found[name] = word
    return found
