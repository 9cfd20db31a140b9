"""The last phase: tags that are immutable, that others move, that are stored wrongly, that move only in part."""

from __future__ import annotations

import pytest

from liftlock.errors import Conflict, LiftlockError, RegistryError
from liftlock.transfer.model import Options
from tests.faults.conftest import MakeCopying
from tests.faults.table import wrong_digest
from tests.faults.world import KINDS, TAG, UPLOAD, Copying
from tests.support import faults, images, remote
from tests.support.front import Action, Exchange, Recorded
from tests.support.images import Image

pytestmark = pytest.mark.fault

SLOW = pytest.mark.slow
SECOND = [pytest.param(kind, marks=SLOW if kind == "index" else ()) for kind in KINDS]


def last_repository(copying: Copying) -> str:
    return list(copying.repositories.values())[-1]


@pytest.mark.parametrize(
    "refusal",
    [faults.immutable_tag(400, "TAG_INVALID"), faults.immutable_tag(412, "PRECONDITION")],
    ids=["ECR", "Harbor"],
)
@pytest.mark.parametrize("kind", SECOND)
def test_a_tag_that_is_immutable_and_holds_another_image(make_copying: MakeCopying, kind: str, refusal: Action) -> None:
    copying = make_copying(kind)
    repository = last_repository(copying)
    copying.destination.rule("PUT", f"{repository}/manifests/stable", refusal, times=None)

    # `v1` is new, and this registry removes no tag: it is named.
    error = copying.run()
    assert isinstance(error, LiftlockError)
    assert f"{repository}" in str(error)
    assert "does not let it be replaced" in str(error)
    copying.tags_are_as_they_were(error)
    copying.succeeds_again()


def test_a_tag_that_is_immutable_alone_is_a_conflict(make_copying: MakeCopying) -> None:
    copying = make_copying("several")
    copying.destination.rule("PUT", TAG, faults.immutable_tag(), times=None)

    error = copying.fails(Conflict, "destination")
    assert error.exit_code == 6


@pytest.mark.parametrize("kind", SECOND)
def test_an_immutable_tag_that_got_this_very_image_meanwhile_is_success(make_copying: MakeCopying, kind: str) -> None:
    copying = make_copying(kind)
    for name, repository in copying.repositories.items():
        image = copying.cargo.images[name]

        def overtake(request: Recorded, image: Image = image, repository: str = repository) -> None:
            tag = request.path.rpartition("/")[2]
            raw = images.read_blob(image.layout, image.digest)
            remote.put_manifest(copying.registry, repository, tag, raw, image.root.media_type)

        rule = copying.destination.rule("PUT", f"{repository}{TAG}", faults.immutable_tag(), times=None, do=overtake)
        assert rule.method == "PUT"

    copying.survives()


def test_an_immutable_tag_that_holds_the_image_already_is_not_touched(make_copying: MakeCopying) -> None:
    copying = make_copying("index")
    copying.survives()
    copying.destination.rule("PUT", "/manifests/", faults.immutable_tag(), times=None)

    copying.survives()
    assert copying.destination.count("PUT", UPLOAD + "|" + TAG, status=400) == 0


@pytest.mark.parametrize("kind", SECOND)
def test_a_tag_that_somebody_else_moves_at_the_same_moment(make_copying: MakeCopying, kind: str, old: Image) -> None:
    copying = make_copying(kind)
    repository = last_repository(copying)

    def first(exchange: Exchange) -> None:
        answer = exchange.forward()
        raw = images.read_blob(old.layout, old.digest)
        remote.put_manifest(copying.registry, repository, "stable", raw, old.root.media_type)
        exchange.relay(answer)

    rule = copying.destination.rule("PUT", f"{repository}/manifests/stable$", first)

    error = copying.run()
    assert rule.hits
    assert isinstance(error, LiftlockError)
    assert "another" in f"{error} {error.hint}" or "was set to" in str(error)
    copying.tags_are_as_they_were(error)
    copying.succeeds_again()


def test_tags_that_were_set_but_whose_answers_are_lost_are_put_back_or_named(make_copying: MakeCopying) -> None:
    copying = make_copying("several")
    copying.destination.rule("PUT", TAG, faults.cut_before_response(), times=None)

    error = copying.fails(LiftlockError, "destination")
    assert "not every tag could be put back" in str(error)


@pytest.mark.parametrize("kind", SECOND)
def test_tags_that_moved_are_put_back_when_one_cannot(make_copying: MakeCopying, kind: str) -> None:
    """`stable` held something: it does again. `v1` is new and cannot be removed here: it is named."""
    copying = make_copying(kind)
    repository = last_repository(copying)
    copying.destination.rule("PUT", f"{repository}/manifests/v1$", faults.error(500), times=None)

    error = copying.run()
    assert isinstance(error, LiftlockError)
    copying.tags_are_as_they_were(error)
    stable = {each: copying.holds(each, "stable") for each in copying.repositories.values()}
    assert stable == {each: copying.before[each, "stable"] for each in copying.repositories.values()}
    copying.succeeds_again()


def test_a_new_tag_is_removed_where_the_registry_does_that(make_copying: MakeCopying) -> None:
    """Synthetic: distribution 2.8 removes no tags, so the front does it."""
    copying = make_copying("several")
    repository = last_repository(copying)

    def remove(exchange: Exchange) -> None:
        name, _, tag = exchange.request.path.removeprefix("/v2/").partition("/manifests/")
        link = copying.registry.folder / "data/docker/registry/v2/repositories" / name / "_manifests/tags" / tag
        (link / "current" / "link").unlink()
        exchange.reply(202)

    copying.destination.rule("DELETE", "/manifests/", remove, times=None)
    copying.destination.rule("PUT", f"{repository}/manifests/stable$", faults.error(403, "DENIED"), times=None)

    error = copying.run()
    assert isinstance(error, LiftlockError)
    assert error.exit_code == 4
    assert "tags that had moved were put back" in error.hint
    for each in copying.repositories.values():
        assert copying.holds(each, "stable") == copying.before[each, "stable"]
        assert copying.holds(each, "v1") is None
    assert not copying.journals()


@pytest.mark.parametrize("kind", SECOND)
def test_a_tag_that_is_stored_as_something_else_does_not_stay_so(make_copying: MakeCopying, kind: str) -> None:
    """The line (or a proxy that rewrites JSON) changes the manifest under a tag, where no digest protects it."""
    copying = make_copying(kind)
    repository = last_repository(copying)
    (image,) = [copying.cargo.images[name] for name, each in copying.repositories.items() if each == repository]
    offset = images.read_blob(image.layout, image.digest).index(b"org.example.name") + 3
    rule = copying.destination.rule("PUT", f"{repository}/manifests/stable$", faults.corrupt_request(offset), times=2)

    error = copying.run()
    assert rule.hits == 2
    assert isinstance(error, LiftlockError)
    assert "was stored as" in str(error)
    copying.tags_are_as_they_were(error)
    assert copying.holds(repository, "stable") == copying.before[repository, "stable"]
    copying.succeeds_again()


def test_a_registry_that_always_says_a_wrong_digest_of_tags(make_copying: MakeCopying) -> None:
    copying = make_copying("several")
    copying.destination.rule(None, TAG, wrong_digest, times=None)

    error = copying.run()
    assert isinstance(error, LiftlockError)
    copying.tags_are_as_they_were(error)
    copying.succeeds_again()


def test_no_clobber_refuses_before_anything_moves(make_copying: MakeCopying, kind: str) -> None:
    copying = make_copying(kind)
    copying.options = Options(no_clobber=True)

    error = copying.fails(Conflict, "destination", again=False)
    assert error.exit_code == 6
    assert copying.destination.count("POST") == copying.destination.count("PUT") == 0


def test_a_read_back_that_fails_for_good(make_copying: MakeCopying) -> None:
    copying = make_copying("single")
    copying.destination.rule("HEAD", TAG, faults.error(500), nth=3, times=None)

    error = copying.run()
    assert isinstance(error, LiftlockError)
    assert "look for manifest" in str(error)
    copying.tags_are_as_they_were(error)
    copying.succeeds_again()


def test_old_content_that_is_gone_cannot_be_put_back_and_is_said(make_copying: MakeCopying) -> None:
    copying = make_copying("single")
    (repository,) = copying.repositories.values()
    old = copying.before[repository, "stable"]
    copying.destination.rule("PUT", "/manifests/v1$", faults.error(403, "DENIED"), times=None)
    copying.destination.rule("GET", f"/manifests/{old}", faults.error(404, "MANIFEST_UNKNOWN"), times=None)

    error = copying.run()
    assert isinstance(error, (LiftlockError, RegistryError))
    copying.tags_are_as_they_were(error)
    copying.succeeds_again()
