"""Copying images from anywhere to anywhere. Nothing here prints."""

from __future__ import annotations

from collections.abc import Sequence

from liftlock.errors import Conflict
from liftlock.services.pairs import Wanted
from liftlock.services.session import Session
from liftlock.targets.locate import Location
from liftlock.transfer.events import Cancel, OnEvent, ignore
from liftlock.transfer.model import CopyRequest, Options, Plan, Result
from liftlock.typed import Any, NamedTuple

__all__ = ["Copied", "copy"]

DEFAULT = Options()


class Copied(NamedTuple):
    """What a copy did; with ``result`` None what it would do."""

    plan: Plan
    result: Result | None
    requests: int
    """Registry requests made, to look and to copy."""
    prepared: Sequence[str] = ()
    """What is worth telling of the archives that were read."""

    @property
    def notes(self) -> Sequence[str]:
        """What is worth telling a person."""
        return [*self.prepared, *(note for image in self.plan.images for note in image.notes)]

    def to_json(self) -> dict[str, Any]:
        from liftlock.transfer.render import plan_json

        plan = plan_json(self.plan)
        if self.result is None:
            return plan
        done = self.result.to_json()
        ways = done.pop("strategies")
        images = [{**each, "strategy": way["strategy"]} for each, way in zip(plan["images"], ways, strict=True)]
        return {"images": images, **done, "requests": self.requests}


def copy(
    session: Session,
    wanted: Sequence[Wanted],
    options: Options = DEFAULT,
    *,
    dry_run: bool = False,
    on_event: OnEvent = ignore,
    cancel: Cancel | None = None,
) -> Copied:
    """Copy images, all content first, tags last. ``dry_run`` looks at everything and changes nothing.

    Raises `Conflict` when a destination is pinned to another digest than its source has, or a tag may not move; and
    everything that survey and execute raise.
    """
    from liftlock.transfer.plan import make_plan
    from liftlock.transfer.survey import survey

    if dry_run:
        options = options._replace(exact=True)
    requests = [each.request for each in wanted]
    notes = _prepared(session, requests, on_event)
    plan = make_plan(survey(requests, session.targets, options, cancel=cancel))
    for each, image in zip(wanted, plan.images, strict=True):
        if each.pinned is not None and image.target_digest != each.pinned:
            raise Conflict(
                f"{image.request.source}:{image.request.reference} is {image.target_digest}; "
                f"its destination is pinned to {each.pinned}",
                hint="a digest at the destination has to be the digest of what is copied there",
                side="source",
            )
    if dry_run:
        return Copied(plan, None, session.requests, notes)
    from liftlock.transfer.execute import execute

    result = execute(plan, session.targets, state=session.folders.state, on_event=on_event, cancel=cancel)
    return Copied(plan, result, session.requests, notes)


def _prepared(session: Session, requests: Sequence[CopyRequest], on_event: OnEvent) -> Sequence[str]:
    """Bring the images of docker archives into the form of registries, which must be done before they are surveyed."""
    archives = [request for request in requests if request.source.startswith("docker-archive:")]
    if not archives:
        return ()
    from liftlock.services.archives import prepare_archives

    locations = (Location.parse(request.source) for request in archives)
    named = (place._replace(tag=request.reference) for place, request in zip(locations, archives, strict=True))
    return prepare_archives(session, named, on_event)
