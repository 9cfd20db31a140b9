"""Round trips are the product: what each copy costs, counted in the registries' own access logs.

The least that the distribution spec allows, plus the named cost of each safety.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from liftlock.oci.digest import Digest
from liftlock.transfer.model import CopyRequest, Options
from tests.conftest import NewRepository
from tests.support import images, remote
from tests.support.registry import Registry
from tests.transfer.conftest import Copier

CHECK = 1
"""HEAD of the destination's tag, before anything else: what does it hold?"""
READ_BACK = 1
"""HEAD of the tag after it was set."""
EXPECT = 1
"""HEAD of the tag just before it is set, for --expect and --no-clobber."""
REFERRERS = 2
"""The source's tag list, for cosign's legacy tags and fallback tags, and one question whether it has a referrers API:
that is not remembered from run to run, since a registry that learns it would seem to have lost its signatures."""
BY_DIGEST = 2
"""Of each of several images: its root comes by digest first, and is looked at, before any tag moves."""
LISTED = 1
"""Per subject with referrers: they are listed at the destination before the tag moves."""

BARE = Options(referrers=False)


@pytest.fixture(autouse=True)
def known_hosts(
    copy: Copier, registry: Registry, other_registry: Registry, *, tmp_path: Path, new_repo: NewRepository
) -> None:
    """Every host was met before: what can be learnt of it is known."""
    layout = tmp_path / "known"
    images.make_image(layout, "known", layers=1)
    for place in (registry, other_registry):
        for name in (new_repo("known"), new_repo("known")):
            remote.push(layout, "known", place, name)
            copy(CopyRequest(f"oci:{layout}", "known", f"{place.host}/{name}", ("known", "again")))
            copy(CopyRequest(f"{place.host}/{name}", "known", f"{place.host}/{name}-other", ("known",)))


def _image(tmp_path: Path, place: Registry, repository: str, **options: object) -> images.Image:
    image = images.make_image(tmp_path / "image", "v1", seed=repository, **options)  # type: ignore[arg-type]
    remote.push(image.layout, "v1", place, repository)
    place.forget()
    return image


def test_retag_in_one_repository(copy: Copier, registry: Registry, repo: str, tmp_path: Path) -> None:
    _image(tmp_path, registry, repo)

    copy(CopyRequest(f"{registry.host}/{repo}", "v1", f"{registry.host}/{repo}", ("stable",)))

    assert len(registry.requests()) == 2 + CHECK + READ_BACK


def test_retag_of_an_index_costs_no_more(copy: Copier, registry: Registry, repo: str, tmp_path: Path) -> None:
    _image(tmp_path, registry, repo, platforms=("linux/amd64", "linux/arm64"))

    copy(CopyRequest(f"{registry.host}/{repo}", "v1", f"{registry.host}/{repo}", ("stable",)))

    assert len(registry.requests()) == 2 + CHECK + READ_BACK


@pytest.mark.parametrize("options", [BARE, Options()], ids=["bare", "referrers"])
def test_mount_within_one_registry(
    copy: Copier, registry: Registry, new_repo: NewRepository, tmp_path: Path, options: Options
) -> None:
    staging, production = new_repo("staging"), new_repo("production")
    image = _image(tmp_path, registry, staging)

    result = copy(
        CopyRequest(f"{registry.host}/{staging}", "v1", f"{registry.host}/{production}", ("v1",)), options=options
    )

    assert (result.mounted, result.copied, result.copied_bytes) == (len(image.blobs), 0, 0)
    assert len(registry.requests()) == len(image.blobs) + 2 + CHECK + READ_BACK + REFERRERS * options.referrers


def test_index_within_one_registry(copy: Copier, registry: Registry, new_repo: NewRepository, tmp_path: Path) -> None:
    staging, production = new_repo("staging"), new_repo("production")
    image = _image(tmp_path, registry, staging, platforms=("linux/amd64", "linux/arm64"))

    copy(CopyRequest(f"{registry.host}/{staging}", "v1", f"{registry.host}/{production}", ("v1",)), options=BARE)

    children = len(image.platforms)
    assert len(registry.requests()) == len(image.blobs) + 2 + 2 * children + CHECK + READ_BACK


@pytest.mark.parametrize("options", [BARE, Options()], ids=["bare", "referrers"])
def test_across_registries(
    copy: Copier, registry: Registry, other_registry: Registry, repo: str, *, tmp_path: Path, options: Options
) -> None:
    image = _image(tmp_path, registry, repo)
    other_registry.forget()

    result = copy(
        CopyRequest(f"{registry.host}/{repo}", "v1", f"{other_registry.host}/{repo}", ("v1",)), options=options
    )

    blobs = len(image.blobs)
    assert result.copied == blobs
    assert len(registry.requests()) == 1 + blobs + REFERRERS * options.referrers
    assert len(other_registry.requests()) == 2 * blobs + 1 + CHECK + READ_BACK


def test_nothing_changed(copy: Copier, registry: Registry, other_registry: Registry, repo: str, tmp_path: Path) -> None:
    image = _image(tmp_path, registry, repo)
    remote.push(image.layout, "v1", other_registry, repo)
    other_registry.forget()

    copy(CopyRequest(f"{registry.host}/{repo}", "v1", f"{other_registry.host}/{repo}", ("v1",)), options=BARE)

    assert (len(registry.requests()), len(other_registry.requests())) == (1, 1)


def test_nothing_changed_and_pinned(
    copy: Copier, registry: Registry, other_registry: Registry, repo: str, tmp_path: Path
) -> None:
    image = _image(tmp_path, registry, repo)
    remote.push(image.layout, "v1", other_registry, repo)
    other_registry.forget()

    copy(CopyRequest(f"{registry.host}/{repo}", image.digest, f"{other_registry.host}/{repo}", ("v1",)), options=BARE)

    assert (len(registry.requests()), len(other_registry.requests())) == (0, 1)


def test_expect_costs_one_more_look(copy: Copier, registry: Registry, repo: str, tmp_path: Path) -> None:
    before = images.make_image(tmp_path / "before", "v1", seed=f"before {repo}")
    remote.push(before.layout, "v1", registry, repo, to="stable")
    _image(tmp_path, registry, repo)

    copy(
        CopyRequest(f"{registry.host}/{repo}", "v1", f"{registry.host}/{repo}", ("stable",), Digest(before.digest)),
        options=BARE,
    )

    assert len(registry.requests()) == 2 + CHECK + EXPECT + READ_BACK


def test_referrers_of_an_image(copy: Copier, registry: Registry, new_repo: NewRepository, tmp_path: Path) -> None:
    staging, production = new_repo("staging"), new_repo("production")
    image = images.make_image(tmp_path / "image", "v1", seed=staging)
    images.attach_referrer(image.layout, image.root, "application/vnd.example.sbom", b"the parts")
    remote.push(image.layout, "v1", registry, staging)
    registry.forget()

    copy(CopyRequest(f"{registry.host}/{staging}", "v1", f"{registry.host}/{production}", ("v1",)))

    minimum = len(image.blobs) + 2
    found = 1 + 1  # the fallback index, and the referrer it names
    blobs = 2  # its payload and its empty config
    stored = 1 + 1  # the referrer; and the root once more, by digest, since something refers to it
    fallback = 3  # this registry has no referrers API: read the fallback index, write it, read it again
    looked = 1  # the root, before its tag moves
    assert len(registry.requests()) == (
        minimum + CHECK + READ_BACK + REFERRERS + found + blobs + stored + fallback + looked + LISTED
    )


def test_several_images_share_what_they_share(
    copy: Copier, registry: Registry, other_registry: Registry, new_repo: NewRepository, tmp_path: Path
) -> None:
    names = [new_repo("web"), new_repo("worker")]
    layout = tmp_path / "app"
    made = [
        images.make_image(layout, f"v{number}", layers=3, shared_layers=2, shared_seed=names[0], seed=name)
        for number, name in enumerate(names)
    ]
    for image, name in zip(made, names, strict=True):
        remote.push(layout, image.tag, registry, name)
    registry.forget()
    other_registry.forget()

    result = copy(
        *(
            CopyRequest(f"{registry.host}/{name}", image.tag, f"{other_registry.host}/{name}", ("v1",))
            for image, name in zip(made, names, strict=True)
        ),
        options=BARE,
    )

    unique = {blob.digest for image in made for blob in image.blobs}
    every = sum(len(image.blobs) for image in made)
    assert (result.copied, result.mounted) == (len(unique), every - len(unique))
    assert len(registry.requests()) == len(unique) + len(made)
    assert len(other_registry.requests()) == (
        2 * len(unique) + (every - len(unique)) + len(made) * (1 + CHECK + READ_BACK + BY_DIGEST)
    )
