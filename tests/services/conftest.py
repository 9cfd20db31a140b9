"""What the tests of the services share: a project whose stages are layouts, and builds to release."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from liftlock.release.people import Actor
from liftlock.release.release import Release
from liftlock.services.project import OpenImages, Project
from liftlock.services.promote import Promoted, promote
from liftlock.services.publish import Build, publish
from liftlock.services.releases import create_release
from liftlock.services.session import Session
from tests.support import images
from tests.support.images import Image

ANNA = Actor(person="anna")

PIPELINE = """\
pipeline: demo
images: [web]
stages:
  - {name: dev, to: "oci:dev", tags: ["{build}", latest]}
  - {name: test, after: [dev], to: "oci:test", tags: ["{build}"]}
  - {name: prod, after: [test], to: "oci:prod", tags: [stable]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "liftlock.yaml").write_text(PIPELINE)
    return tmp_path / "project"


@pytest.fixture
def project(folder: Path) -> Iterator[Project]:
    with Project(str(folder / "liftlock.yaml")) as opened:
        yield opened


@pytest.fixture
def open_images(home: Path) -> OpenImages:
    """Opens registries and layouts for a worker."""
    return lambda pipeline: Session({"HOME": str(home), "PATH": os.environ["PATH"]})


@pytest.fixture
def session(home: Path) -> Iterator[Session]:
    with Session({"HOME": str(home), "PATH": os.environ["PATH"]}) as opened:
        yield opened


MakeRelease = Callable[..., Release]
PromoteTo = Callable[[Release, str], Promoted]


@pytest.fixture
def made(tmp_path: Path) -> Mapping[str, Image]:
    """The image of each build that `released` made."""
    return {}


@pytest.fixture
def released(tmp_path: Path, project: Project, session: Session, made: dict[str, Image]) -> MakeRelease:
    """Publishes a build of one image (`images.make_image`'s options), and makes a release of it."""

    def make(build: str, *, labels: Mapping[str, str] | None = None, **options: object) -> Release:
        made[build] = images.make_image(tmp_path / build, "v", **{"seed": build, "layers": 1, **options})  # type: ignore[arg-type]
        facts = Build(id=build, commit=f"c{build}", labels=labels or {})
        publish(project, session, {"web": f"oci:{tmp_path / build}:v"}, facts, ANNA)
        return create_release(project, build, {}, ANNA).release

    return make


@pytest.fixture
def promoted(project: Project, open_images: OpenImages) -> PromoteTo:
    return lambda release, stage: promote(project, open_images, release, stage, ANNA)
