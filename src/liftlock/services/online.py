"""Whether the registries of a pipeline answer, and whether these credentials may push there; nothing is pushed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from liftlock.errors import AccessDenied, Cancelled, ConfigError, LiftlockError, NotFound, UsageError
from liftlock.release.pipeline import Pipeline
from liftlock.release.place import LAYOUT, parse_place
from liftlock.release.release import check_variables
from liftlock.release.template import Template
from liftlock.services.session import Session

__all__ = ["Checked", "check", "require"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One place of some stages, and what came of asking for it."""

    registry: str
    repository: str
    """Within the registry; empty where it is only known with a release, and the registry alone was asked."""
    stages: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    """The variables that only a release has; where the registry itself depends on one, nothing was asked."""
    problem: LiftlockError | None = None

    @property
    def place(self) -> str:
        return f"{self.registry}/{self.repository}" if self.repository else self.registry

    def to_json(self) -> dict[str, Any]:
        problem = self.problem
        return {
            "registry": self.registry,
            "repository": self.repository,
            "stages": list(self.stages),
            "unknown": list(self.unknown),
            "mayPush": None if problem is None and self.unknown else problem is None,
            "problem": problem and {"code": problem.code, "message": problem.message, "hint": problem.hint},
        }


def check(pipeline: Pipeline, session: Session, *, variables: Mapping[str, str] | None = None) -> list[Checked]:
    """Ask every registry of every stage, each repository once, several at a time; in the order of the stages.

    ``variables`` are those of ``--var``. Raises `UsageError` for one that nothing uses, and `ConfigError` for a text
    that names no place once its variables are known; what a registry says is in the answer.
    """
    from liftlock.targets.registry_probe import probe_answer, probe_push
    from liftlock.transfer.pool import gather

    def asked(place: Checked) -> Checked:
        if not place.registry:
            return place
        try:
            if place.repository:
                probe_push(session.authorizer, place.registry, place.repository)
            else:
                probe_answer(session.authorizer, place.registry)
        except Cancelled:
            raise
        except LiftlockError as error:
            access = session.registries.get(place.registry)
            made = isinstance(error, NotFound) and access is not None and access.create is not None
            return place if made else replace(place, problem=error)  # a push makes it
        return place

    return gather(asked, _places(pipeline, {**pipeline.variables, **check_variables(pipeline, variables or {})}))


def require(found: list[Checked]) -> None:
    """Raise when any place had a problem: `AccessDenied` when credentials were one, else `LiftlockError`."""
    failed = [each.problem for each in found if each.problem]
    if not failed:
        return
    denied = any(isinstance(problem, AccessDenied) for problem in failed)
    what = "1 place of the pipeline does" if len(failed) == 1 else f"{len(failed)} places of the pipeline do"
    raise (AccessDenied if denied else LiftlockError)(f"{what} not take a push")


def _places(pipeline: Pipeline, values: Mapping[str, str]) -> list[Checked]:
    """Where a release would go, as far as that is known without one: each place once."""
    found: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for stage in pipeline.stages:
        for to in stage.to:
            for image in pipeline.images:
                place = _place(to, {**values, "image": image})
                if place is not None:
                    stages = found.setdefault(place, [])
                    if stage.name not in stages:
                        stages.append(stage.name)
    return [
        Checked(registry=registry, repository=repository, unknown=unknown, stages=tuple(stages))
        for (registry, repository, unknown), stages in found.items()
    ]


def _place(to: Template, values: Mapping[str, str]) -> tuple[str, str, tuple[str, ...]] | None:
    """Registry, repository and unknown variables of a target; None for a layout, which nobody has to be asked for."""
    if to.text.startswith(LAYOUT):
        return None
    unknown = tuple(dict.fromkeys(name for name in to.variables if name not in values))
    if not unknown:
        place = to.resolve(values, parse_place)
        if place.startswith(LAYOUT):
            return None
        registry, _, repository = place.partition("/")
        return registry, repository, ()
    host = Template(text=to.text.partition("/")[0], path=to.path, line=to.line)
    if set(host.variables) & set(unknown):
        return "", "", unknown
    try:
        registry = parse_place(f"{host.expand(values)}/any/place").partition("/")[0]
    except (UsageError, ConfigError):
        return "", "", unknown
    return registry, "", unknown
