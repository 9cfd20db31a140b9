"""What registries prove where nothing is on record: that an earlier stage holds exactly these images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from liftlock.errors import NotFound, RefusedError
from liftlock.release.place import Destination
from liftlock.release.release import Release
from liftlock.release.stage import Queue, Stage
from liftlock.services.project import Project
from liftlock.services.session import Session
from liftlock.transfer.events import Cancel
from liftlock.transfer.pool import gather

__all__ = ["Proof", "prove", "require_proof", "without_state"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a stage's registries say about a release."""

    stage: str
    lacking: tuple[str, ...]
    """What speaks against it, a clause each; nothing when every tag of the stage holds the release's image."""


def prove(
    project: Project, session: Session, release: Release, stages: Iterable[str], cancel: Cancel | None = None
) -> tuple[Proof, ...]:
    """Ask the registries of these stages what each of their tags holds, as the release's own snapshot names them."""
    places = [
        (stage, destination, tag)
        for stage in stages
        for destination in release.destinations(stage)
        for tag in destination.tags
    ]

    def ask(place: tuple[str, Destination, str]) -> str:
        _, destination, tag = place
        name = project.target(destination.target)
        try:
            found = session.targets.open(name).resolve(tag)
        except NotFound:
            found = None
        if found is not None and found.digest == destination.digest:
            return ""
        held = f"holds {found.digest}" if found else "does not exist"
        return f"{project.written(name)}:{tag} {held}"

    said = gather(ask, places, cancel=cancel)
    return tuple(
        Proof(
            stage=stage,
            lacking=tuple(text for (where, _, _), text in zip(places, said, strict=True) if text and where == stage),
        )
        for stage in dict.fromkeys(where for where, _, _ in places)
    )


def require_proof(
    project: Project, session: Session, release: Release, stage: str, cancel: Cancel | None = None
) -> frozenset[str]:
    """The stages of ``after`` that are proven; raises `RefusedError`, naming what would prove it, when too few are."""
    rule = release.pipeline.stage(stage)
    proofs = prove(project, session, release, rule.after, cancel)
    proven = frozenset(each.stage for each in proofs if not each.lacking)
    if proven if rule.after_any else len(proven) == len(rule.after):
        return proven
    missing = [each for each in proofs if each.lacking]
    digests = ", ".join(f"{name}@{digest}" for name, digest in release.artifact.digests.items())
    raise RefusedError(
        f"nothing may go to {stage!r}: that these images are in {' and '.join(each.stage for each in missing)} is "
        f"neither on record in {project.home.folder} nor proven by the registries: "
        + "; ".join(text for each in missing for text in each.lacking),
        hint=f"it is proven when all tags of {missing[0].stage!r} hold {digests}",
    )


def without_state(stage: Stage) -> None:
    """Raise `RefusedError` for what a stage asks for that no registry can prove, where nothing is kept."""
    needs = [
        name
        for name, needed in (
            ("approvals", stage.approvals is not None),
            ("a soak", any(gate.kind == "soak" for gate in stage.gates)),
            (f"queue: {stage.queue.value}", stage.queue is not Queue.QUEUE),
        )
        if needed
    ]
    if needs:
        raise RefusedError(
            f"nothing may go to {stage.name!r} from here: {' and '.join(needs)} cannot be known without state that is "
            "kept, and there is none",
            hint="keep the folder .liftlock from one job to the next, publish an artifact and name its release; "
            "or set LIFTLOCK_DATABASE_URL",
        )
