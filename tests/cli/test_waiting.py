"""promote: how long it waits, how it is stopped, and how several of them get along."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.acceptance.workshop import Workshop
from tests.conftest import MakeFront
from tests.support import faults, images, remote
from tests.support.front import Front
from tests.support.images import Image
from tests.support.registry import Registry
from tests.support.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.fault]

PIPELINE = """\
    pipeline: demo
    images: [web]
    stages:
      - name: dev
        to: {host}/{repo}
        tags: [latest]
"""


@pytest.fixture
def front(make_front: MakeFront, registry: Registry) -> Front:
    return make_front(registry)


@pytest.fixture
def builds(tmp_path: Path) -> dict[str, Image]:
    return {build: images.make_image(tmp_path / build, "v", seed=f"{tmp_path} {build}") for build in ("1", "2")}


@pytest.fixture
def workshop(tmp_path: Path, front: Front, repo: str, builds: dict[str, Image]) -> Workshop:
    """Two builds, released; `dev` is behind the front."""
    made = Workshop(tmp_path / "project", PIPELINE.format(host=front.host, repo=repo))
    for build, image in builds.items():
        made.release(build, web=f"oci:{image.layout}:v")
    return made


PROMOTE = ("promote", "1", "--to", "dev")


def test_when_the_time_runs_out_it_stops_and_goes_on_later(
    workshop: Workshop, front: Front, registry: Registry, repo: str, builds: dict[str, Image]
) -> None:
    front.rule("PUT", "/blobs/uploads/", faults.Stall(), times=None)

    said = workshop.fails(7, *PROMOTE, "--wait=0.5s")

    assert "not done within 0.5 s" in said
    assert "hint: the same command goes on where it stopped" in said
    assert workshop.states()["1"] == {"dev": "canceled"}
    assert "canceled by local:" in workshop.run("trace", "1").out
    front.clear()
    workshop.run(*PROMOTE, "--wait=10m")
    assert remote.digest_of(registry, repo, "latest") == builds["1"].digest


def test_the_time_in_the_queue_counts_too(workshop: Workshop, front: Front) -> None:
    stall = faults.Stall()
    held = front.rule("PUT", "/blobs/uploads/", stall, times=None)
    with workshop.started(*PROMOTE) as first:
        held.wait()

        workshop.fails(7, "promote", "2", "--to", "dev", "--wait=0.2s")

        assert workshop.states() == {"1": {"dev": "running"}, "2": {"dev": "waiting"}}, "it goes on waiting"
        stall.release()
        assert first.wait(30) == 0
    assert workshop.states()["1"] == {"dev": "here"}


def test_queued_is_only_written_down(
    workshop: Workshop, registry: Registry, repo: str, builds: dict[str, Image]
) -> None:
    queued = workshop.run(*PROMOTE, "--no-wait").out

    assert "carried out by a worker, or by: liftlock release watch 1" in queued
    assert workshop.states()["1"] == {"dev": "queued"}
    assert remote.list_tags(registry, repo) == []

    promoted = workshop.json(*PROMOTE)

    assert promoted["promotion"] == 1, "what was queued"
    assert workshop.states()["1"] == {"dev": "here"}
    assert remote.digest_of(registry, repo, "latest") == builds["1"].digest


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_attempt(workshop: Workshop, front: Front, number: signal.Signals, code: int) -> None:
    held = front.rule("PUT", "/blobs/uploads/", faults.Stall(), times=None)
    with workshop.started(*PROMOTE) as process:
        held.wait()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)

    assert process.returncode == code, err
    assert b"Traceback" not in err
    assert workshop.states()["1"] == {"dev": "canceled"}
    front.clear()
    workshop.run(*PROMOTE)
    assert workshop.states()["1"] == {"dev": "here"}


def test_a_signal_in_the_queue_cancels_only_its_own(workshop: Workshop, front: Front) -> None:
    stall = faults.Stall()
    held = front.rule("PUT", "/blobs/uploads/", stall, times=None)
    with workshop.started(*PROMOTE) as first:
        held.wait()
        with workshop.started("promote", "2", "--to", "dev") as second:
            until(lambda: workshop.states()["2"] == {"dev": "waiting"}, "the second's place in the queue")
            second.send_signal(signal.SIGINT)
            assert second.wait(30) == 130
        assert workshop.states() == {"1": {"dev": "running"}, "2": {"dev": "canceled"}}
        stall.release()
        assert first.wait(30) == 0


def test_two_promotions_to_one_stage_take_turns(
    workshop: Workshop, front: Front, registry: Registry, repo: str, builds: dict[str, Image]
) -> None:
    stall = faults.Stall()
    held = front.rule("PUT", "/manifests/latest", stall)
    with workshop.started(*PROMOTE, "-o", "json") as first:
        held.wait()
        with workshop.started("promote", "2", "--to", "dev", "-o", "json") as second:
            until(lambda: workshop.states()["2"] == {"dev": "waiting"}, "the second's place in the queue")
            stall.release()
            results = [json.loads(each.communicate(timeout=30)[0]) for each in (first, second)]

    assert [each["state"] for each in results] == ["succeeded", "succeeded"]
    assert results[1]["tags"][0]["old"] == builds["1"].digest, "the second saw what the first had done"
    assert remote.digest_of(registry, repo, "latest") == builds["2"].digest
    assert workshop.states() == {"1": {"dev": "was here"}, "2": {"dev": "here"}}


def test_the_same_promotion_twice_at_once_is_done_once(workshop: Workshop, front: Front) -> None:
    stall = faults.Stall()
    held = front.rule("PUT", "/manifests/latest", stall)
    with workshop.started(*PROMOTE, "-o", "json") as first:
        held.wait()
        with workshop.started(*PROMOTE, "-v", "-o", "json") as second:
            # Nothing tells when the second has come to wait; however far it is, it moves nothing.
            stall.release()
            results = [json.loads(each.communicate(timeout=30)[0]) for each in (first, second)]

    assert [len(each["tags"]) for each in results] == [1, 0]
    assert front.count("PUT", "/manifests/latest") == 1


def test_two_copies_to_one_tag_do_not_interleave(
    front: Front, registry: Registry, repo: str, builds: dict[str, Image], tmp_path: Path
) -> None:
    workshop = Workshop(tmp_path / "anywhere")
    stall = faults.Stall()
    held = front.rule("PUT", "/manifests/v$", stall)
    copies = [("copy", f"oci:{image.layout}:v", f"{front.host}/{repo}:v") for image in builds.values()]
    with workshop.started(*copies[0]) as first:
        held.wait()
        with workshop.started(*copies[1]) as second:
            last = builds["2"].blobs[-1].digest.removeprefix("sha256:")
            until(lambda: front.count("PUT", f"/blobs/uploads/.*{last}", 201), "the second's content")
            front.forget()
            stall.release()
            assert (first.wait(30), second.wait(30)) == (0, 0)

    after = [request.method for request in front.find(None, "/manifests/v$")]
    assert after == ["HEAD", "PUT", "HEAD"], "the first's read-back, and only then the second's tag"
    assert remote.digest_of(registry, repo, "v") == builds["2"].digest


@pytest.mark.parametrize("words", [("--wait=soon",), ("--wait=0s",), ("--wait", "1"), ("--wait=1s", "--no-wait")])
def test_a_time_that_is_none_is_not_understood(workshop: Workshop, words: tuple[str, ...]) -> None:
    """`--wait 1 --to dev` would take the release for the time."""
    assert "error: " in workshop.fails(2, "promote", *words, "1", "--to", "dev")
