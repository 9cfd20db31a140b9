"""Images that the destination's registry fetches by itself, before anything else of a plan is done.

What was fetched is looked at, every manifest of it: Azure, for one, says no more than that it is done. An import that
the registry will not do is no failure: its image is copied, and a note says why.
"""

from __future__ import annotations

from liftlock.errors import CorruptContent
from liftlock.oci.digest import Digest
from liftlock.transfer.events import Cancel, Event, OnEvent
from liftlock.transfer.model import ImageSurvey, ImportStep, Opener, Plan, Survey
from liftlock.transfer.plan import make_plan
from liftlock.transfer.pool import gather
from liftlock.transfer.sides import at

__all__ = ["AT_ONCE", "import_images"]

AT_ONCE = 4
"""Imports under way at a time: the registry does the work, and limits how many it takes."""


def import_images(plan: Plan, targets: Opener, on_event: OnEvent, cancel: Cancel) -> Plan:
    """Do a plan's imports; returns the plan of what is left to do.

    Raises what the importers raise, and `CorruptContent` when something is not there that should have been fetched.
    """
    on_event(Event("phase", "imports", total=len(plan.imports)))

    def run(step: ImportStep) -> str:
        refused = _run(step, targets, cancel)
        name = f"{step.destination}@{step.digest}"
        on_event(Event("note", f"{name}: {refused}") if refused else Event("manifest", name, detail="imported"))
        return refused

    refusals = gather(run, plan.imports, workers=AT_ONCE, cancel=cancel)
    outcome = {(step.destination, step.digest): (step, why) for step, why in zip(plan.imports, refusals, strict=True)}
    images: list[ImageSurvey] = []
    imported: set[int] = set()
    for position, image in enumerate(plan.images):
        step, why = outcome.get((image.request.destination, image.target_digest), (None, ""))
        if step is None or plan.strategies[position] != "import":
            images.append(image)
        elif why:
            images.append(image._replace(notes=(*image.notes, f"{step.destination}: copied instead: {why}")))
        else:
            imported.add(position)
            images.append(image._replace(present=image.present.union(step.manifests)))
    rest = make_plan(Survey(images, plan.options, plan.homes, lockers=plan.lockers))
    ways = ["import" if number in imported else way for number, way in enumerate(rest.strategies)]
    return rest._replace(strategies=ways)


def _run(step: ImportStep, targets: Opener, cancel: Cancel) -> str:
    with at("destination"):
        destination = targets.open_writable(step.destination)
        importer = destination.importer
        if importer is None:
            return "its registry imports no images"
        refused = importer.import_image(step.source, step.digest, cancel.wait)
        missing = [] if refused else [each for each in step.manifests if not _is_there(step.destination, each, targets)]
    if missing:
        raise CorruptContent(
            f"{step.destination}@{missing[0]} was imported, but is not there",
            side="destination",
            hint="no tag has moved; without import: in the pipeline file the image is copied",
        )
    return refused


def _is_there(destination: str, digest: Digest, targets: Opener) -> bool:
    found = targets.open_writable(destination).resolve(digest)
    return found is not None and found.digest == digest
