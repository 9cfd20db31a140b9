"""How an artifact is written, and what its publication has started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from liftlock.cli.invocation import Invocation
from liftlock.cli.output import document, fields, line, table
from liftlock.cli.standing import named, next_step

if TYPE_CHECKING:
    from liftlock.services.project import Project
    from liftlock.services.publish import Publication
    from liftlock.services.standing import Standing
    from liftlock.store.artifacts import Published

__all__ = ["show_artifact", "show_publication"]


def show_publication(invocation: Invocation, project: Project, publication: Publication) -> None:
    """The artifact, the release that was made of it, and where that goes by itself."""
    if invocation.output != "text":
        from liftlock.services.publish import artifact_json

        release = publication.release
        document(
            "Artifact",
            {
                **artifact_json(project, publication.published),
                "release": release.id if release else None,
                "promotions": [each.to_json() for each in publication.asked],
            },
        )
        return
    _write(publication.published)
    if publication.release is None:
        return
    line("")
    fields([("release", named(publication.release))])
    if publication.asked:
        line("")
        table([_row(project, each) for each in publication.asked], indent="  ")


def show_artifact(invocation: Invocation, project: Project, published: Published) -> None:
    """An artifact: its build, and its images."""
    if invocation.output == "json":
        from liftlock.services.publish import artifact_json

        document("Artifact", artifact_json(project, published))
        return
    _write(published)


def _write(published: Published) -> None:
    made = published.artifact
    fields(
        [
            ("artifact", made.id),
            ("build", made.build),
            ("commit", made.commit),
            ("author", published.author),
            *((f"{name} url", link) for name, link in made.links.items()),
            ("labels", ", ".join(f"{key}={value}" for key, value in made.labels.items())),
        ]
    )
    line("")
    table([[name, image.digest] for name, image in made.images.items()], indent="  ")


def _row(project: Project, standing: Standing) -> list[str]:
    promotion = standing.promotion
    why = "; ".join(each.reason for each in standing.unmet) or (promotion.last.reason if promotion.last else "")
    return [promotion.stage, promotion.state, why or promotion.reason or next_step(project, standing)]
