"""What goes wrong has Docker's words, a place and a hint; and nothing is left that the next run trips over."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.ci.docker.conftest import MULTI, Docker, moved
from tests.conftest import MakeFront, MakeRegistry
from tests.support import faults, images, remote
from tests.support.front import Exchange
from tests.support.images import Image
from tests.support.registry import Registry


@pytest.fixture
def image(tmp_path: Path, repo: str) -> Image:
    return images.make_image(tmp_path / "layout", platforms=MULTI, seed=repo)


@pytest.fixture
def name(image: Image, registry: Registry, repo: str) -> str:
    remote.push(image.layout, "latest", registry, repo)
    registry.forget()
    return f"{registry.host}/{repo}"


def test_a_missing_image(docker: Docker, registry: Registry, name: str) -> None:
    for missing in (f"{name}:none", f"{registry.host}/nothing/here:1"):
        ended = docker("pull", missing, code=1)
        assert ended.err == (
            f"Error response from daemon: manifest for {missing} not found: manifest unknown: manifest unknown\n"
        )
    assert docker("pull", "-a", f"{registry.host}/nothing/here", code=1).err.startswith(
        f"Error response from daemon: repository {registry.host}/nothing/here not found: name unknown: "
    )


def test_a_push_without_credentials_and_with_wrong_ones(docker: Docker, make_registry: MakeRegistry, name: str) -> None:
    private = make_registry(user="deployer", password="opensesame")
    docker("pull", name)
    docker("tag", name, f"{private.host}/app:1")

    stranger = docker("push", f"{private.host}/app:1", code=1)
    config = docker.home / ".docker" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"auths": {private.host: {"username": "deployer", "password": "wrong"}}}))
    wrong = docker("push", f"{private.host}/app:1", code=1)

    assert stranger.out == f"The push refers to repository [{private.host}/app]\n"
    assert stranger.err.splitlines()[0] == "no basic auth credentials"
    assert f"{private.host} refuses pull/push of app, asked without credentials" in stranger.err
    assert wrong.err.splitlines()[0] == "unauthorized: authentication required"


def test_a_source_that_denies_is_not_needed_when_the_store_has_it_all(
    docker: Docker, make_front: MakeFront, image: Image, name: str
) -> None:
    host, _, path = name.partition("/")
    front = make_front(host)
    docker("pull", "--eager", f"{front.host}/{path}")
    docker("tag", f"{front.host}/{path}", f"{front.host}/{path}-again:1")
    front.rule("GET", f"/v2/{path}/", faults.error(403, "DENIED"), times=None)
    docker("push", f"{front.host}/{path}-again:1")

    assert remote.digest_of(host, f"{path}-again", "1") == image.digest


def test_a_lazily_pulled_image_whose_source_denies_is_told(
    docker: Docker, make_front: MakeFront, other_registry: Registry, name: str
) -> None:
    host, _, path = name.partition("/")
    front = make_front(host)
    docker("pull", f"{front.host}/{path}")
    docker("tag", f"{front.host}/{path}", f"{other_registry.host}/{path}:1")
    front.rule("GET", f"/v2/{path}/", faults.error(403, "DENIED"), times=None)

    ended = docker("push", f"{other_registry.host}/{path}:1", code=1)

    assert ended.err.splitlines()[0] == "denied: requested access to the resource is denied"
    assert ended.err.splitlines()[1].startswith(f"source: {front.host}/{path}: ")
    assert f"hint: docker login {front.host}" in ended.err


def test_a_push_that_is_denied(docker: Docker, make_front: MakeFront, other_registry: Registry, name: str) -> None:
    front = make_front(other_registry)
    front.rule("POST", "/blobs/uploads/", faults.error(403, "DENIED", "not yours"), times=None)
    docker("pull", name)
    docker("tag", name, f"{front.host}/app:1")

    ended = docker("push", f"{front.host}/app:1", code=1)

    assert ended.err.splitlines()[0] == "denied: requested access to the resource is denied"
    assert f"{front.host}/app" in ended.err.splitlines()[1]
    assert "not yours" in ended.err


def test_a_pull_that_is_denied(docker: Docker, make_front: MakeFront, registry: Registry, name: str) -> None:
    front = make_front(registry)
    front.rule("HEAD", "/manifests/", faults.respond(403), times=None)
    path = name.partition("/")[2]

    assert docker("pull", f"{front.host}/{path}", code=1).err.startswith(
        f"Error response from daemon: pull access denied for {front.host}/{path}, "
        "repository does not exist or may require 'docker login': denied: "
    )


def test_a_registry_that_is_not_there(docker: Docker) -> None:
    ended = docker("pull", "127.0.0.1:1/app", env={"LIFTLOCK_ATTEMPTS": "1"}, code=1)

    assert ended.err.startswith("Error response from daemon: ")
    assert "127.0.0.1:1" in ended.err


def test_a_lazily_pulled_image_that_is_gone_is_named(docker: Docker, make_registry: MakeRegistry, image: Image) -> None:
    origin, target = make_registry(), make_registry()
    remote.push(image.layout, "latest", origin, "app")
    docker("pull", f"{origin.host}/app")
    docker("tag", f"{origin.host}/app", f"{target.host}/app:1")
    origin.wipe()

    pushed = docker("push", f"{target.host}/app:1", code=1)
    inspected = docker("inspect", f"{origin.host}/app", code=1)

    for ended in (pushed, inspected):
        assert ended.err.splitlines()[0] == f"{origin.host}/app@{image.digest} is gone from where it was pulled"
        assert "docker pull --eager" in ended.err
    assert remote.digest_of(target, "app", "1") is None


def test_a_layer_that_is_gone_is_named(docker: Docker, make_registry: MakeRegistry, image: Image) -> None:
    origin, target = make_registry(), make_registry()
    remote.push(image.layout, "latest", origin, "app")
    docker("pull", f"{origin.host}/app")
    docker("tag", f"{origin.host}/app", f"{target.host}/app:1")
    layer = image.platforms[1].layers[0].digest
    origin.blob_path(layer).unlink()

    ended = docker("push", f"{target.host}/app:1", code=1)

    assert ended.err.splitlines()[0] == f"{origin.host}/app@{image.digest} is gone from where it was pulled"
    assert layer in ended.err


def test_a_store_that_cannot_be_written(docker: Docker, name: str) -> None:
    ended = docker("pull", name, env={"LIFTLOCK_DOCKER_STORE": "/dev/null/store"}, code=1)

    assert ended.err.startswith("Error response from daemon: the layout /dev/null/store cannot be made: ")


def test_a_full_disk_leaves_nothing_half_done(docker: Docker, name: str) -> None:
    """The limit on a file's size stands for the disk's: the same write fails in the same way."""
    # Python would cut the bytecode that it keeps beside its modules, too.
    ended = docker.script(f"ulimit -f 16; docker pull --eager {name}", env={"PYTHONDONTWRITEBYTECODE": "1"}, code=1)

    assert f"{docker.store}/blobs/sha256/" in ended.err
    assert docker("images", "-q").out == ""
    docker("pull", "--eager", name)


def test_a_folder_of_other_things_is_no_store(docker: Docker, tmp_path: Path, name: str) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mine").touch()
    ended = docker("pull", name, env={"LIFTLOCK_DOCKER_STORE": str(tmp_path / "work")}, code=1)

    assert "is not empty, and no image layout" in ended.err


def held(exchange: Exchange) -> None:
    """Answer nothing before the front ends."""
    exchange.front.ending.wait()


@pytest.mark.crash
@pytest.mark.parametrize(
    ("options", "pattern"), [(["--eager"], "/blobs/"), ([], "/manifests/sha256")], ids=["eager", "lazy"]
)
def test_a_pull_that_was_killed_is_done_again(
    docker: Docker, make_front: MakeFront, name: str, options: list[str], pattern: str
) -> None:
    host, _, path = name.partition("/")
    front = make_front(host)
    rule = front.rule("GET", pattern, held, nth=3)
    reference = f"{front.host}/{path}"
    process = docker.start("pull", *options, reference)
    rule.wait()
    process.kill()
    process.communicate()
    front.clear()

    assert docker("images", "-q").out == ""
    docker("pull", *options, reference)
    assert docker("inspect", "-f", "{{.Id}}", reference).lines == [remote.digest_of(host, path, "latest")]


@pytest.mark.crash
def test_a_push_that_was_killed_is_done_again(
    docker: Docker, make_front: MakeFront, other_registry: Registry, image: Image, name: str
) -> None:
    front = make_front(other_registry)
    rule = front.rule("PUT", "/manifests/", held)
    repository = f"{name.partition('/')[2]}-killed"
    docker("pull", name)
    docker("tag", name, f"{front.host}/{repository}:1")
    process = docker.start("push", f"{front.host}/{repository}:1")
    rule.wait()
    process.kill()
    process.communicate()
    front.clear()

    assert remote.digest_of(other_registry, repository, "1") is None
    other_registry.forget()
    docker("push", f"{front.host}/{repository}:1")
    assert remote.digest_of(other_registry, repository, "1") == image.digest
    assert [line for line in moved(other_registry) if line.startswith("PUT")] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(
    docker: Docker, make_front: MakeFront, registry: Registry, name: str, number: signal.Signals
) -> None:
    front = make_front(registry)
    rule = front.rule("GET", "/blobs/", held)
    process = docker.start("pull", "--eager", f"{front.host}/{name.partition('/')[2]}")
    rule.wait()
    process.send_signal(number)
    _, err = process.communicate()

    assert process.returncode == 128 + number
    assert err.startswith(b"Error response from daemon: ")
    assert b"Traceback" not in err


def test_many_processes_share_a_store(docker: Docker, registry: Registry, tmp_path: Path, repo: str) -> None:
    made = {}
    for number in range(3):
        image = images.make_image(tmp_path / str(number), seed=f"{repo}{number}", shared_layers=2)
        remote.push(image.layout, "latest", registry, f"{repo}{number}")
        made[f"{registry.host}/{repo}{number}"] = image.digest
    running = [docker.start("pull", "--eager", name) for name in made for _ in range(2)]
    removing = [docker.start("rmi", "-f", "nothing") for _ in range(2)]

    for process in (*running, *removing):
        out, err = process.communicate()
        assert process.returncode == 0, (out + err).decode()
    listed = docker("images", "--no-trunc", "--format", "{{.Repository}} {{.ID}}").lines
    assert sorted(listed) == sorted(f"{name} {digest}" for name, digest in made.items())
    for name in made:
        docker("save", "-o", tmp_path / "whole.tar", name)


def test_removing_the_last_name_frees_the_disk(docker: Docker, name: str, image: Image) -> None:
    docker("pull", "--eager", name)
    docker("tag", name, "other:1")
    blobs = docker.store / "blobs" / "sha256"

    assert docker("rmi", name).lines == [f"Untagged: {name}:latest"]
    assert {path.name for path in blobs.iterdir()} >= {blob.digest.partition(":")[2] for blob in image.blobs}
    assert docker("image", "rm", "other:1").lines == ["Untagged: other:1", f"Deleted: {image.digest}"]
    assert list(blobs.iterdir()) == []


def test_an_image_of_several_names_is_removed_by_id_with_force(docker: Docker, name: str, image: Image) -> None:
    docker("pull", name)
    docker("tag", name, "other:1")
    short = image.digest[7:19]

    assert docker("rmi", short, code=1).err.startswith(
        f"Error response from daemon: conflict: unable to delete {short} (must be forced) - "
    )
    assert docker("rmi", "-f", short).lines[-1] == f"Deleted: {image.digest}"
    assert docker("images", "-q").out == ""


def test_removing_keeps_signatures_of_what_stays_and_no_others(
    docker: Docker, registry: Registry, tmp_path: Path, repo: str
) -> None:
    signatures = {}
    for which in ("gone", "kept"):
        image = images.make_image(tmp_path / which, seed=f"{repo}{which}")
        signatures[which] = images.cosign_tag(image.layout, image.digest).digest
        remote.push(image.layout, "latest", registry, f"{repo}-{which}")
        docker("pull", "--eager", f"{registry.host}/{repo}-{which}")

    docker("rmi", f"{registry.host}/{repo}-gone")

    there = {f"sha256:{path.name}" for path in (docker.store / "blobs" / "sha256").iterdir()}
    assert signatures["kept"] in there
    assert signatures["gone"] not in there


def test_no_secret_is_told(docker: Docker, make_registry: MakeRegistry) -> None:
    private = make_registry(user="deployer", password="opensesame")
    for options in ([], ["-D"]):
        ended = docker(*options, "login", "-u", "deployer", "--password-stdin", private.host, stdin="opensesame")
        assert "opensesame" not in ended.out + ended.err
    assert "level=debug" in docker("-D", "pull", f"{private.host}/app", code=1).err
