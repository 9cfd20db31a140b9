"""What the tests of the command line share: an image in a registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import images, remote
from tests.support.images import Image
from tests.support.registry import Registry

PushImage = Callable[..., Image]


@pytest.fixture
def push_image(tmp_path: Path, registry: Registry, repo: str) -> PushImage:
    """Makes an image (`images.make_image`'s options) with an SBOM attached, and pushes it to `registry`, `repo`."""

    def push(tag: str = "v1", **options: object) -> Image:
        layout = tmp_path / "layouts" / tag
        image = images.make_image(layout, tag, **{"seed": f"{repo} {tag}", **options})  # type: ignore[arg-type]
        images.attach_referrer(layout, image.root, "application/spdx+json", f"sbom of {repo}".encode())
        remote.push(layout, tag, registry, repo)
        return image

    return push


@pytest.fixture
def image(push_image: PushImage) -> Image:
    """An image of one platform, pushed to `registry` as `repo`:v1."""
    return push_image()
