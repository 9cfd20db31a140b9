"""`inspect`, `ls`, `digest`, `tag` and `delete` as processes, on a real registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MakeRegistry
from tests.support import images, remote
from tests.support.images import Image
from tests.support.processes import liftlock
from tests.support.registry import Registry

pytestmark = pytest.mark.acceptance


def test_inspect_shows_a_single_image(registry: Registry, repo: str, image: Image) -> None:
    done = liftlock("inspect", f"{registry.host}/{repo}:v1")

    assert image.digest in done.out
    assert "linux/amd64" in done.out
    assert "/bin/true" in done.out
    assert "application/spdx+json" in done.out


def test_inspect_shows_the_platforms_of_an_index(
    registry: Registry, repo: str, push_image: Callable[..., Image]
) -> None:
    made = push_image(platforms=("linux/amd64", "linux/arm64"))

    text = liftlock("inspect", f"{registry.host}/{repo}:v1").out
    found = liftlock("inspect", f"{registry.host}/{repo}:v1", "-o", "json").json()

    for each in made.platforms:
        assert f"{each.platform}  {each.manifest.digest}" in text
    assert (found["apiVersion"], found["kind"], found["digest"]) == ("liftlock/v1", "Image", made.digest)
    assert [entry["digest"] for entry in found["manifests"]] == [each.manifest.digest for each in made.platforms]
    assert [entry["artifactType"] for entry in found["referrers"]] == ["application/spdx+json"]


def test_inspect_json_has_config_and_layers(registry: Registry, repo: str, image: Image) -> None:
    found = liftlock("inspect", f"{registry.host}/{repo}@{image.digest}", "-o", "json").json()

    config = remote.get_blob(registry, repo, image.platforms[0].config.digest)
    assert config is not None
    assert found["config"] == json.loads(config)
    assert [layer["digest"] for layer in found["layers"]] == [layer.digest for layer in image.platforms[0].layers]
    assert found["platform"] == "linux/amd64"


def test_inspect_raw_writes_the_very_bytes(registry: Registry, repo: str, image: Image) -> None:
    stored = remote.get_manifest(registry, repo, "v1")
    assert stored is not None
    assert stored.digest == image.digest

    done = liftlock("inspect", f"{registry.host}/{repo}:v1", "--raw")

    assert done.out.encode() == stored.raw


def test_inspect_reads_layouts_too(image: Image) -> None:
    assert image.digest in liftlock("inspect", f"oci:{image.layout}:v1").out


def test_what_an_image_says_cannot_steer_a_terminal(registry: Registry, repo: str, tmp_path: Path) -> None:
    made = images.make_image(tmp_path / "l", "v1", annotations={"title": "\x1b]0;owned\x07 \u202egpj.exe"})
    remote.push(tmp_path / "l", "v1", registry, repo)

    out = liftlock("inspect", f"{registry.host}/{repo}@{made.digest}").out

    assert "owned" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_ls_lists_tags_one_per_line(registry: Registry, repo: str, push_image: Callable[..., Image]) -> None:
    push_image("v1")
    push_image("v2")

    listed = liftlock("ls", f"{registry.host}/{repo}").out.splitlines()

    assert listed == remote.list_tags(registry, repo)
    assert {"v1", "v2"} <= set(listed)


@pytest.mark.parametrize("slash", ["", "/"])
def test_ls_of_a_bare_host_lists_repositories(registry: Registry, repo: str, image: Image, slash: str) -> None:
    assert image.digest
    assert repo in liftlock("ls", registry.host + slash).out.splitlines()
    assert repo in liftlock("ls", registry.host.replace("127.0.0.1", "localhost") + slash).out.splitlines()


def test_ls_as_json_and_ndjson(registry: Registry, repo: str, image: Image) -> None:
    place = f"{registry.host}/{repo}"
    tags = remote.list_tags(registry, repo)
    assert image.tag in tags

    whole = liftlock("ls", place, "-o", "json").json()
    lines = liftlock("ls", place, "-o", "ndjson").lines()

    assert whole == {"apiVersion": "liftlock/v1", "kind": "TagList", "name": place, "items": tags}
    assert lines == [{"apiVersion": "liftlock/v1", "kind": "Tag", "name": tag} for tag in tags]


def test_ls_of_a_layout(image: Image) -> None:
    assert "v1" in liftlock("ls", f"oci:{image.layout}").out.splitlines()


def test_ls_of_what_is_not_there_is_an_error(registry: Registry, repo: str) -> None:
    done = liftlock("ls", f"{registry.host}/{repo}", check=False)

    assert (done.code, done.out) == (5, "")
    assert f"{registry.host}/{repo} has no tags" in done.err


def test_ls_takes_no_tag(registry: Registry) -> None:
    done = liftlock("ls", f"{registry.host}/team/app:v1", check=False)

    assert done.code == 2
    assert f"hint: liftlock ls {registry.host}/team/app" in done.err


def test_digest_is_one_request(registry: Registry, repo: str, image: Image) -> None:
    registry.forget()

    done = liftlock("digest", f"{registry.host}/{repo}:v1")

    assert done.out == f"{image.digest}\n"
    assert [request.method for request in registry.requests()] == ["HEAD"]


def test_digest_as_json(registry: Registry, repo: str, image: Image) -> None:
    name = f"{registry.host}/{repo}:v1"

    assert liftlock("digest", name, "-o", "json").json() == {
        "apiVersion": "liftlock/v1", "kind": "Digest", "name": name, "digest": image.digest,
    }  # fmt: skip


def test_tag_is_a_get_and_a_put(registry: Registry, repo: str, image: Image) -> None:
    registry.forget()

    done = liftlock("tag", f"{registry.host}/{repo}:v1", "stable", "-o", "json")

    assert [request.method for request in registry.requests()] == ["GET", "PUT"]
    assert remote.digest_of(registry, repo, "stable") == image.digest
    assert done.json() == {
        "apiVersion": "liftlock/v1", "kind": "Tagged",
        "name": f"{registry.host}/{repo}", "digest": image.digest, "tags": ["stable"],
    }  # fmt: skip


def test_tag_refuses_what_is_no_tag(registry: Registry, repo: str, image: Image) -> None:
    done = liftlock("tag", f"{registry.host}/{repo}:v1", "good", "b/ad", check=False)

    assert done.code == 2
    assert "'b/ad' is not a tag" in done.err
    assert remote.digest_of(registry, repo, "good") is None
    assert image.digest


def test_delete_by_digest_removes_image_and_tags(registry: Registry, repo: str, image: Image) -> None:
    done = liftlock("delete", f"{registry.host}/{repo}@{image.digest}", "--yes")

    assert done.out == f"deleted {registry.host}/{repo}@{image.digest}\n"
    assert remote.digest_of(registry, repo, "v1") is None


def test_delete_of_a_tag_is_refused_where_it_would_take_the_image_along(
    registry: Registry, repo: str, image: Image
) -> None:
    done = liftlock("delete", f"{registry.host}/{repo}:v1", "--yes", check=False)

    assert done.code == 3
    assert "every other tag" in done.err
    assert f"hint: if that is what you want: liftlock delete {registry.host}/{repo}@{image.digest}" in done.err
    assert remote.digest_of(registry, repo, "v1") == image.digest


def test_delete_of_a_tag_leaves_the_image_in_a_layout(image: Image) -> None:
    done = liftlock("delete", f"oci:{image.layout}:v1", "--yes", "-o", "json").json()

    assert (done["tag"], done["digest"]) == ("v1", image.digest)
    assert "v1" not in images.tags(image.layout)
    assert images.read_blob(image.layout, image.digest)


@pytest.mark.parametrize("reference", ["", ":v1@{digest}"])
def test_what_is_deleted_is_never_guessed(registry: Registry, repo: str, image: Image, reference: str) -> None:
    place = f"{registry.host}/{repo}{reference.format(digest=image.digest)}"

    done = liftlock("delete", place, "--yes", check=False)

    assert done.code == 2
    assert remote.digest_of(registry, repo, "v1") == image.digest


def test_delete_asks_a_person_and_nobody_else(registry: Registry, repo: str, image: Image) -> None:
    done = liftlock("delete", f"{registry.host}/{repo}@{image.digest}", check=False, input="y\n")

    assert done.code == 2
    assert "--yes" in done.err
    assert remote.digest_of(registry, repo, "v1") == image.digest


def test_delete_where_it_is_switched_off(make_registry: MakeRegistry, tmp_path: Path) -> None:
    locked = make_registry(delete=False)
    made = images.make_image(tmp_path / "l", "v1")
    remote.push(tmp_path / "l", "v1", locked, "app")

    done = liftlock("delete", f"{locked.host}/app@{made.digest}", "--yes", check=False)

    assert done.code == 1
    assert "405" in done.err
    assert remote.digest_of(locked, "app", "v1") == made.digest
