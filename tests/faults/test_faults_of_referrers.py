"""Attachments whose lists lie, fail or do not end: an image never arrives without them and without a word."""

from __future__ import annotations

import json

import pytest

from liftlock.errors import AccessDenied, Conflict, CorruptContent, LiftlockError, RegistryError
from tests.faults.conftest import MakeCopying
from tests.faults.table import listing
from tests.faults.world import BY_DIGEST, FALLBACK, REFERRERS, Copying
from tests.support import faults, images
from tests.support.front import Action, Exchange

pytestmark = pytest.mark.fault

SLOW = pytest.mark.slow


def _entries(copying: Copying) -> list[dict[str, object]]:
    """The children of the image's own index, as they are listed there."""
    image = copying.cargo.images["web"]
    found = images.read_json(image.layout, image.digest)["manifests"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(faults.respond(200, b"<html>welcome</html>", {"Content-Type": "text/html"}), id="a page"),
        pytest.param(listing(), id="an empty list"),
        pytest.param(
            listing({"mediaType": images.OCI_MANIFEST, "digest": "sha256:" + "0" * 64, "size": 7}),
            id="something that is not there",
        ),
        pytest.param(faults.error(405, "UNSUPPORTED"), id="405"),
        pytest.param(faults.respond(200, b""), id="nothing", marks=SLOW),
        pytest.param(faults.error(400, "UNSUPPORTED"), id="400", marks=SLOW),
        pytest.param(faults.respond(501), id="501", marks=SLOW),
        pytest.param(faults.error(404, "MANIFEST_UNKNOWN"), id="404 of the subject", marks=SLOW),
    ],
)
def test_what_is_attached_is_found_whatever_the_api_says(make_copying: MakeCopying, answer: Action) -> None:
    copying = make_copying("index")
    rule = copying.source.rule("GET", REFERRERS, answer, times=None)

    copying.survives()
    assert rule.hits


def test_children_that_are_given_for_referrers_are_none(make_copying: MakeCopying) -> None:
    """oras-project/oras#2148."""
    copying = make_copying("index")
    copying.source.rule("GET", REFERRERS, listing(*_entries(copying)), times=None)

    copying.survives()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (faults.error(500), RegistryError),
        (faults.error(403, "DENIED"), AccessDenied),
        (faults.huge(64 << 20, images.OCI_INDEX), CorruptContent),
        (faults.respond(200, b"{", {"Content-Type": images.OCI_INDEX}), CorruptContent),
    ],
    ids=["500", "403", "huge", "broken"],
)
def test_a_list_that_cannot_be_read_is_an_error(
    make_copying: MakeCopying, answer: Action, error: type[LiftlockError]
) -> None:
    copying = make_copying("index")
    copying.source.rule("GET", REFERRERS, answer, times=None)

    raised = copying.fails(error, "source")
    assert "referrers" in str(raised)


@pytest.mark.parametrize("advance", [True, False], ids=["endless", "circle"])
def test_a_list_without_an_end_is_an_error(
    make_copying: MakeCopying, monkeypatch: pytest.MonkeyPatch, advance: bool
) -> None:
    monkeypatch.setattr("liftlock.targets.registry_referrers.MAX_PAGES", 20)
    copying = make_copying("index")
    pages = 0

    def page(exchange: Exchange) -> None:
        nonlocal pages
        pages += advance
        body = json.dumps({"schemaVersion": 2, "mediaType": images.OCI_INDEX, "manifests": []}).encode()
        link = f'<{exchange.request.path}?last={pages}>; rel="next"'
        exchange.reply(200, body, {"Content-Type": images.OCI_INDEX, "Link": link})

    copying.source.rule("GET", REFERRERS, page, times=None)

    error = copying.fails(RegistryError, "source")
    assert "does not end" in str(error)


def test_a_referrer_of_another_size_than_listed_is_corrupt(make_copying: MakeCopying) -> None:
    copying = make_copying("index")
    (child, *_) = _entries(copying)
    # Its children are fetched already: what is listed is checked all the same.
    wrong = {**child, "size": 7}
    copying.source.rule("GET", REFERRERS, listing(wrong), times=None)

    error = copying.fails(CorruptContent, "source")
    assert "its descriptor says 7" in str(error)


@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_fallback_tag_that_is_no_index(make_copying: MakeCopying, side: str) -> None:
    copying = make_copying("index")
    image = copying.cargo.images["web"]
    other = image.platforms[0].manifest
    raw = images.read_blob(image.layout, other.digest)
    told = {"Content-Type": other.media_type, "Docker-Content-Digest": other.digest}
    copying.front(side).rule("GET", FALLBACK, faults.respond(200, raw, told), times=None)

    error = copying.fails(Conflict, side)
    assert error.exit_code == 6
    assert "should be the index of referrers" in str(error)


def test_a_fallback_tag_that_answers_with_its_subject_lists_nothing(make_copying: MakeCopying) -> None:
    """At the destination: what is attached is written there, and found."""
    copying = make_copying("index")
    image = copying.cargo.images["web"]
    raw = images.read_blob(image.layout, image.digest)
    pattern = f"/manifests/{images.fallback_tag(image.digest)}$"
    rule = copying.destination.rule("GET", pattern, faults.respond(200, raw, {"Content-Type": image.root.media_type}))

    copying.survives()
    assert rule.hits


def test_a_destination_that_claims_to_list_referrers_and_does_not(make_copying: MakeCopying) -> None:
    copying = make_copying("index")

    def claim(exchange: Exchange) -> None:
        answer = exchange.forward()
        subject = json.loads(exchange.request.body).get("subject")
        if subject:
            answer.set("OCI-Subject", subject["digest"])
        exchange.relay(answer)

    copying.destination.rule("PUT", BY_DIGEST, claim, times=None)

    error = copying.fails(LiftlockError, "destination", again=False)
    assert "lists 0 of them" in str(error)
    assert "no tag has moved" in error.hint


def test_a_destination_whose_list_lies(make_copying: MakeCopying) -> None:
    copying = make_copying("index")
    copying.destination.rule("GET", REFERRERS, listing(), times=None)

    error = copying.fails(LiftlockError, "destination")
    assert "lists 0 of them" in str(error)


def test_a_fallback_index_that_loses_what_is_written(make_copying: MakeCopying) -> None:
    """Another writer replaces it each time: given up after a while, with no tag moved."""
    copying = make_copying("index")
    rule = copying.destination.rule("PUT", FALLBACK, faults.respond(201), times=None)

    error = copying.fails(Conflict, "destination")
    assert rule.hits > 1
    assert "while it was updated" in str(error) or "changed" in str(error)


def test_beside_an_api_a_fallback_tag_may_be_anything(make_copying: MakeCopying) -> None:
    """Synthetic: the front is the API that distribution 2.8 lacks."""
    copying = make_copying("index")
    image = copying.cargo.images["web"]
    sizes, attached = copying.cargo.held["web"]

    def api(exchange: Exchange) -> None:
        subject = exchange.request.path.rpartition("/")[2]
        entries = [
            {"mediaType": images.OCI_MANIFEST, "digest": digest, "size": sizes[digest], "artifactType": kind}
            for digest, kind in attached.get(subject, [])
        ]
        listing(*entries)(exchange)

    raw = images.read_blob(image.layout, image.platforms[0].manifest.digest)
    other = faults.respond(200, raw, {"Content-Type": images.OCI_MANIFEST})
    copying.source.rule("GET", REFERRERS, api, times=None)
    rule = copying.source.rule("GET", FALLBACK, other, times=None)

    copying.survives()
    assert rule.hits
