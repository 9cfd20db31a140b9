"""`liftlock copy` as a process, between real registries."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import NewRepository
from tests.support import archives, images, remote
from tests.support.images import Image
from tests.support.processes import liftlock
from tests.support.registry import Registry

pytestmark = pytest.mark.acceptance


def contents(registry: Registry, repository: str) -> set[str]:
    """Digests of the image v1 and all that is attached; the list of referrers itself may be written differently."""
    found = remote.walk(registry, repository, "v1")
    root = remote.digest_of(registry, repository, "v1")
    assert root is not None
    return set(found) - {remote.digest_of(registry, repository, images.fallback_tag(root)) or ""}


def test_copies_everything_and_says_what_moved(
    registry: Registry, other_registry: Registry, repo: str, new_repo: NewRepository, image: Image
) -> None:
    destination = new_repo("prod")

    done = liftlock("copy", f"{registry.host}/{repo}:v1", f"{other_registry.host}/{destination}", "--tag", "stable")

    assert contents(other_registry, destination) == contents(registry, repo)
    assert remote.digest_of(other_registry, destination, "stable") == image.digest
    lines = dict(line.split(maxsplit=1) for line in done.out.splitlines())
    assert lines["digest"] == image.digest
    assert lines["source"] == f"{registry.host}/{repo}:v1"
    assert lines["destination"] == f"{other_registry.host}/{destination}"
    assert lines["tags"] == "v1 (new), stable (new)"
    assert lines["attached"] == "application/spdx+json"
    # Config and layers, the SBOM and its empty config.
    assert lines["blobs"].startswith(f"{len(image.blobs) + 2} copied (")


def test_a_second_run_has_nothing_to_do(
    registry: Registry, other_registry: Registry, repo: str, new_repo: NewRepository, image: Image
) -> None:
    pair = (f"{registry.host}/{repo}:v1", f"{other_registry.host}/{new_repo()}:v1")
    liftlock("copy", *pair)

    again = liftlock("copy", *pair)

    assert "v1 (unchanged)" in again.out
    assert "nothing to do" in again.out
    assert image.digest in again.out


def test_the_json_result_is_versioned_and_whole(
    registry: Registry, repo: str, new_repo: NewRepository, image: Image
) -> None:
    destination = new_repo("prod")

    done = liftlock("copy", f"{registry.host}/{repo}:v1", f"{registry.host}/{destination}:v2", "-o", "json")

    found = done.json()
    assert (found["apiVersion"], found["kind"]) == ("liftlock/v1", "CopyResult")
    assert found["images"][0]["digest"] == image.digest
    assert found["tags"] == [
        {"destination": f"{registry.host}/{destination}", "tag": "v2", "old": None, "new": image.digest}
    ]
    assert found["blobs"] == {"present": 0, "mounted": len(image.blobs) + 2, "copied": 0}
    assert found["copiedBytes"] == 0
    assert found["requests"] > 0
    assert done.err == ""


def test_ndjson_tells_events_as_they_come_and_ends_with_the_result(
    registry: Registry, other_registry: Registry, repo: str, new_repo: NewRepository, image: Image
) -> None:
    name = f"{other_registry.host}/{new_repo()}"

    done = liftlock("copy", f"{registry.host}/{repo}:v1", name, "-o", "ndjson")

    documents = done.lines()
    assert {document["apiVersion"] for document in documents} == {"liftlock/v1"}
    *events, result = documents
    assert result["kind"] == "CopyResult"
    phases = [event["subject"] for event in events if event.get("event") == "phase"]
    assert phases == ["blobs", "manifests", "verification", "tags"]
    blobs = {event["subject"] for event in events if event.get("event") == "blob"}
    assert {blob.digest for blob in image.blobs} <= blobs
    assert [event["subject"] for event in events if event.get("event") == "tag"] == [f"{name}:v1"]
    assert done.err == ""


def test_a_dry_run_says_exactly_what_would_move_and_moves_nothing(
    registry: Registry, other_registry: Registry, repo: str, new_repo: NewRepository, image: Image
) -> None:
    destination = new_repo()
    pair = (f"{registry.host}/{repo}:v1", f"{other_registry.host}/{destination}:v1")

    text = liftlock("copy", *pair, "--dry-run")
    plan = liftlock("copy", *pair, "--dry-run", "-o", "json").json()

    assert remote.list_tags(other_registry, destination) == []
    assert not any(remote.has_blob(other_registry, destination, blob.digest) for blob in image.blobs)
    assert plan["kind"] == "CopyPlan"
    assert plan["blobs"]["copy"]["count"] == len(image.blobs) + 2
    assert plan["tags"][0] == {"destination": pair[1][:-3], "tag": "v1", "old": None, "new": image.digest}
    lines = dict(line.split(maxsplit=1) for line in text.out.splitlines())
    assert lines["tags"] == "v1 (new)"
    assert text.out.count("to copy") == 1
    assert f"{len(image.blobs) + 2} blobs" in text.out

    done = liftlock("copy", *pair, "-o", "json").json()
    assert done["blobs"]["copied"] == plan["blobs"]["copy"]["count"]
    assert done["copiedBytes"] == plan["blobs"]["copy"]["bytes"]


def test_a_dry_run_names_what_a_tag_holds_now(
    registry: Registry, repo: str, push_image: Callable[..., Image], new_repo: NewRepository
) -> None:
    old, new = push_image("v1"), push_image("v2")
    destination = f"{registry.host}/{new_repo()}:live"
    liftlock("copy", f"{registry.host}/{repo}:v1", destination)

    done = liftlock("copy", f"{registry.host}/{repo}:v2", destination, "--dry-run")

    assert f"live (was sha256:{old.digest.removeprefix('sha256:')[:12]})" in done.out
    assert new.digest in done.out


def test_several_pairs_and_a_file_are_one_copy(
    registry: Registry, repo: str, push_image: Callable[..., Image], new_repo: NewRepository, tmp_path: Path
) -> None:
    made = {tag: push_image(tag) for tag in ("a", "b", "c")}
    places = {tag: new_repo(tag) for tag in made}
    listing = tmp_path / "images.txt"
    listing.write_text(
        "# the rest of the release\n"
        f"{registry.host}/{repo}:b {registry.host}/{places['b']}   # with a comment\n"
        "\n"
        f"{registry.host}/{repo}:c\t{registry.host}/{places['c']}:live\n"
    )

    done = liftlock("copy", f"{registry.host}/{repo}:a", f"{registry.host}/{places['a']}", "--from", listing)

    assert remote.digest_of(registry, places["a"], "a") == made["a"].digest
    assert remote.digest_of(registry, places["b"], "b") == made["b"].digest
    assert remote.digest_of(registry, places["c"], "live") == made["c"].digest
    shown = [line.split() for line in done.out.splitlines() if line.startswith("sha256:")]
    assert [row[0] for row in shown] == [made[tag].digest for tag in "abc"]


def test_pairs_come_from_stdin_too(registry: Registry, repo: str, image: Image, new_repo: NewRepository) -> None:
    destination = new_repo()

    liftlock("copy", "--from", "-", input=f"{registry.host}/{repo}:v1 {registry.host}/{destination}:v9\n")

    assert remote.digest_of(registry, destination, "v9") == image.digest


def test_a_bad_line_is_named_by_file_and_line(tmp_path: Path) -> None:
    listing = tmp_path / "images.txt"
    listing.write_text("a.example/app:1 b.example/app:1\na.example/App:1 b.example/app:2\n")

    done = liftlock("copy", "--from", listing, check=False)

    assert done.code == 2
    assert f"{listing}:2: " in done.err
    assert "'App'" in done.err


def test_a_platform_subset_is_a_new_index_and_is_reported(
    registry: Registry, repo: str, push_image: Callable[..., Image], new_repo: NewRepository
) -> None:
    made = push_image(platforms=("linux/amd64", "linux/arm64", "linux/s390x"))
    destination = new_repo()
    platforms = ("--platform", "linux/amd64", "--platform", "linux/arm64")

    done = liftlock("copy", f"{registry.host}/{repo}:v1", f"{registry.host}/{destination}:v1", *platforms, "-o", "json")

    index = remote.get_manifest(registry, destination, "v1")
    assert index is not None
    children = [entry["digest"] for entry in json.loads(index.raw)["manifests"]]
    assert children == [made.platforms[0].manifest.digest, made.platforms[1].manifest.digest]
    assert done.json()["images"][0]["digest"] == index.digest != made.digest


def test_no_referrers_leaves_them_behind(registry: Registry, repo: str, image: Image, new_repo: NewRepository) -> None:
    destination = new_repo()

    liftlock("copy", f"{registry.host}/{repo}:v1", f"{registry.host}/{destination}:v1", "--no-referrers")

    assert remote.list_tags(registry, destination) == ["v1"]
    assert remote.digest_of(registry, destination, "v1") == image.digest


def test_no_clobber_keeps_a_tag_that_holds_another_image(
    registry: Registry, repo: str, push_image: Callable[..., Image], new_repo: NewRepository
) -> None:
    old, _ = push_image("v1"), push_image("v2")
    destination = new_repo()
    liftlock("copy", f"{registry.host}/{repo}:v1", f"{registry.host}/{destination}:live")

    refused = liftlock(
        "copy", f"{registry.host}/{repo}:v2", f"{registry.host}/{destination}:live", "--no-clobber", check=False
    )

    assert refused.code == 6
    assert refused.out == ""
    assert f"{destination}:live" in refused.err
    assert remote.digest_of(registry, destination, "live") == old.digest


def test_expect_compares_before_the_tag_moves(
    registry: Registry, repo: str, push_image: Callable[..., Image], new_repo: NewRepository
) -> None:
    old, new = push_image("v1"), push_image("v2")
    destination = new_repo()
    place = f"{registry.host}/{destination}:live"
    liftlock("copy", f"{registry.host}/{repo}:v1", place)

    stale = liftlock("copy", f"{registry.host}/{repo}:v2", place, "--expect", f"sha256:{'0' * 64}", check=False)
    assert stale.code == 6
    assert old.digest in stale.err
    assert remote.digest_of(registry, destination, "live") == old.digest

    liftlock("copy", f"{registry.host}/{repo}:v2", place, "--expect", old.digest)
    assert remote.digest_of(registry, destination, "live") == new.digest


def test_a_destination_pinned_to_another_digest_is_a_conflict(
    registry: Registry, repo: str, image: Image, new_repo: NewRepository
) -> None:
    destination = new_repo()
    wrong = f"sha256:{'0' * 64}"

    refused = liftlock("copy", f"{registry.host}/{repo}:v1", f"{registry.host}/{destination}@{wrong}", check=False)
    assert refused.code == 6
    assert image.digest in refused.err
    assert wrong in refused.err

    liftlock("copy", f"{registry.host}/{repo}:v1", f"{registry.host}/{destination}@{image.digest}", "--no-referrers")
    assert remote.list_tags(registry, destination) == []
    assert remote.get_manifest(registry, destination, image.digest) is not None


def test_a_source_by_digest_gives_no_tag_to_a_destination_without_one(
    registry: Registry, repo: str, image: Image, new_repo: NewRepository
) -> None:
    destination = new_repo()

    done = liftlock(
        "copy", f"{registry.host}/{repo}@{image.digest}", f"{registry.host}/{destination}", "--no-referrers"
    )

    assert remote.list_tags(registry, destination) == []
    assert "reachable by digest only" in done.out


def test_through_a_layout_and_an_archive_the_digest_stays(
    *, registry: Registry, other_registry: Registry, repo: str, image: Image, new_repo: NewRepository, tmp_path: Path
) -> None:
    layout, archive = f"oci:{tmp_path / 'layout'}", f"oci-archive:{tmp_path / 'app.tar'}"
    destination = new_repo()

    liftlock("copy", f"{registry.host}/{repo}:v1", layout)
    liftlock("copy", layout, f"{archive}:v1")
    liftlock("copy", archive, f"{other_registry.host}/{destination}:v1")

    assert contents(other_registry, destination) == contents(registry, repo)
    assert images.tags(tmp_path / "layout")["v1"].digest == image.digest


def test_a_docker_archive_gives_its_tag(
    registry: Registry, image: Image, new_repo: NewRepository, tmp_path: Path
) -> None:
    tar = archives.skopeo_docker_archive(tmp_path / "app.tar", image, "example.org/app:1.0")
    named, only = new_repo("named"), new_repo("only")

    done = liftlock("copy", f"docker-archive:{tar}:example.org/app:1.0", f"{registry.host}/{named}")
    liftlock("copy", f"docker-archive:{tar}", f"{registry.host}/{only}:1.0")

    digest = remote.digest_of(registry, named, "1.0")
    assert digest is not None
    assert digest in done.out
    assert f"docker-archive:{tar}:example.org/app:1.0" in done.out
    assert remote.digest_of(registry, only, "1.0") == digest


def test_a_layout_without_a_tag_needs_one_at_the_destination(registry: Registry, image: Image) -> None:
    done = liftlock("copy", f"oci:{image.layout}", f"{registry.host}/x/y", check=False)

    assert done.code == 2
    assert f"hint: write {registry.host}/x/y:TAG" in done.err


def test_a_docker_archive_cannot_be_a_destination() -> None:
    done = liftlock("copy", "a.example/app:1", "docker-archive:app.tar", check=False)

    assert done.code == 2
    assert "oci-archive:" in done.err


def test_verbose_shows_requests_and_what_moved(
    registry: Registry, repo: str, image: Image, new_repo: NewRepository
) -> None:
    registry.forget()

    done = liftlock(
        "copy", f"{registry.host}/{repo}:v1", f"{registry.host}/{new_repo()}:v1", "--no-referrers", "-v",
        "--progress", "none",
    )  # fmt: skip

    *requests, summary = done.err.splitlines()
    seen = registry.requests()
    assert len(requests) == len(seen)
    assert sorted(line.split()[0] for line in requests) == sorted(request.method for request in seen)
    assert summary == f"{len(seen)} requests, {len(image.blobs)} mounted, 0 B copied"


def test_progress_is_plain_lines_where_nobody_watches(
    registry: Registry, other_registry: Registry, repo: str, image: Image, new_repo: NewRepository
) -> None:
    done = liftlock("copy", f"{registry.host}/{repo}:v1", f"{other_registry.host}/{new_repo()}:v1")

    assert "\x1b" not in done.err
    assert "\r" not in done.err
    assert [line.partition(" (")[0] for line in done.err.splitlines()] == [
        "copying", "storing manifests", "verifying", "setting tags",
    ]  # fmt: skip
    assert image.digest in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to copy"),
        (["a.example/app:1"], "a destination is missing"),
        (["a.example/app:1", "b.example/app:1", "c.example/app:1"], "'c.example/app:1' is a source without"),
        (["a.example/a:1", "b.example/a", "c.example/x:1", "d.example/y", "--expect", f"sha256:{'0' * 64}"], "several"),
        (["a.example/app:1", "b.example/app", "--expect", "v1"], "--expect"),
        (["a.example/app:1", "b.example/app", "--platform", "arm64"], "'arm64' is not a platform"),
        (["docker://a.example/app:1", "b.example/app"], "docker:"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_a_usage_error(arguments: list[str], said: str) -> None:
    done = liftlock("copy", *arguments, check=False)

    assert done.code == 2
    assert done.err.startswith("error: ")
    assert said in done.err
    assert "Traceback" not in done.err
