"""What scripts promote images with, from line to line: one digest everywhere, and no bytes that need not move."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ci.docker.conftest import MULTI, Docker, moved
from tests.conftest import MakeRegistry
from tests.support import aws, images, remote
from tests.support.images import Image
from tests.support.registry import Registry

ECR = aws.ecr_host()


@pytest.fixture
def image(tmp_path: Path, repo: str) -> Image:
    return images.make_image(tmp_path / "layout", platforms=MULTI, seed=repo)


@pytest.fixture
def pushed(image: Image, registry: Registry, repo: str) -> str:
    """The repository of a registry that has the image."""
    remote.push(image.layout, "latest", registry, repo)
    registry.forget()
    return f"{registry.host}/{repo}"


def test_a_stage_promotes_two_images_of_several_platforms_within_a_registry(
    docker: Docker, make_registry: MakeRegistry, tmp_path: Path
) -> None:
    """Password on stdin, pull without a tag, tag, push of all tags of a repository."""
    registry = make_registry(user="AWS", password=aws.registry_password())
    digests, attached = {}, {}
    for name in ("web", "worker"):
        image = images.make_image(tmp_path / name, platforms=MULTI, seed=name)
        attached[name] = images.attach_referrer(image.layout, image.root, "application/vnd.example.sbom", name.encode())
        digests[name] = remote.push(image.layout, "latest", registry, f"staging-{name}")
    registry.forget()

    ended = docker.script(
        """
        echo "$PASSWORD" | docker login --username AWS --password-stdin $DOCKER_REG
        for NAME in web worker; do
          docker pull "$DOCKER_REG/staging-$NAME"
          docker tag "$DOCKER_REG/staging-$NAME:latest" "$DOCKER_REG/prod-$NAME:latest"
          docker image push -a "$DOCKER_REG/prod-$NAME"
        done
        """,
        env={
            "PASSWORD": aws.registry_password(),
            "DOCKER_REG": ECR,
            "LIFTLOCK_ENDPOINTS": f"{ECR}={registry.url}",
        },
    )

    assert ended.lines[0] == "Login Succeeded"
    for name, digest in digests.items():
        assert f"latest: Pulling from staging-{name}" in ended.lines
        assert f"Status: Downloaded newer image for {ECR}/staging-{name}:latest" in ended.lines
        assert f"The push refers to repository [{ECR}/prod-{name}]" in ended.lines
        assert any(line.startswith(f"latest: digest: {digest} size: ") for line in ended.lines)
        assert attached[name].digest in remote.walk(registry, f"prod-{name}", "latest")
    assert digests == {name: remote.digest_of(registry, f"prod-{name}", "latest") for name in digests}


@pytest.mark.slow  # the acceptance of old scripts has the same, within a stage
def test_an_image_travels_in_a_tar_from_level_to_level(
    docker: Docker, tmp_path: Path, pushed: str, other_registry: Registry, make_registry: MakeRegistry
) -> None:
    """Saved by the build; loaded, tagged with registry and build id, and pushed at each level: one digest."""
    levels = [other_registry, make_registry(user="deployer", password="opensesame"), make_registry()]
    tar, name = tmp_path / "app.tar", "team/app"
    built, _, path = pushed.partition("/")
    content = remote.walk(built, path, "latest")
    docker("pull", pushed)
    docker("tag", pushed, f"{name}:latest")
    docker("save", "-o", tar, name)

    for number, level in enumerate(levels):
        agent = Docker(tmp_path / f"agent{number}")
        ended = agent.script(
            f"""
            docker login -u deployer --password-stdin {level.host} <<END
opensesame
END
            docker load --input {tar}
            docker tag {name} {level.host}/{path}:1742
            docker push {level.host}/{path}:1742
            """
        )

        assert f"Loaded image: {name}:latest" in ended.lines
        assert remote.walk(level, path, "1742") == content


def test_pull_tells_what_docker_tells(docker: Docker, image: Image, pushed: str) -> None:
    path = pushed.partition("/")[2]
    first, second = docker("pull", pushed), docker("pull", pushed)

    assert first.lines == [
        "Using default tag: latest",
        f"latest: Pulling from {path}",
        f"Digest: {image.digest}",
        f"Status: Downloaded newer image for {pushed}:latest",
        f"{pushed}:latest",
    ]
    assert second.lines[-2] == f"Status: Image is up to date for {pushed}:latest"
    assert docker("pull", "-q", pushed).lines == [f"{pushed}:latest"]
    assert docker("image", "pull", "--quiet", f"{pushed}@{image.digest}").lines == [f"{pushed}@{image.digest}"]


def test_promoting_within_a_registry_moves_no_bytes_of_blobs(
    docker: Docker, registry: Registry, image: Image, pushed: str
) -> None:
    docker("pull", pushed)

    assert [seen.path for seen in registry.requests() if "/blobs/" in seen.path] == []

    docker("tag", pushed, f"{pushed}-prod:1")
    docker("push", f"{pushed}-prod:1")

    assert moved(registry) == []
    assert registry.count("POST", "/blobs/uploads/", 201) == len(image.blobs)
    assert image.digest == remote.digest_of(registry, f"{pushed}-prod".partition("/")[2], "1")


def test_pulling_again_costs_one_request(docker: Docker, registry: Registry, pushed: str) -> None:
    docker("pull", pushed)
    registry.forget()
    docker("pull", pushed)

    assert [seen.method for seen in registry.requests()] == ["HEAD"]


def test_push_all_tags_pushes_what_this_store_has(
    docker: Docker, other_registry: Registry, image: Image, pushed: str, repo: str
) -> None:
    remote.push(image.layout, "latest", other_registry, repo, to="theirs")
    docker("pull", pushed)
    target = f"{other_registry.host}/{repo}"
    for tag in ("2", "1"):
        docker("tag", pushed, f"{target}:{tag}")

    ended = docker("push", "--all-tags", target)

    assert [line.partition(" ")[0] for line in ended.lines if ": digest: " in line] == ["1:", "2:"]
    assert sorted(remote.list_tags(other_registry, repo)) == ["1", "2", "theirs"]
    assert docker("push", "-qa", target).lines == [target]


def test_pull_all_tags_brings_every_image_of_a_repository(
    docker: Docker, registry: Registry, image: Image, pushed: str, tmp_path: Path
) -> None:
    other = images.make_image(tmp_path / "other", "7", seed="other")
    images.cosign_tag(other.layout, other.digest)
    remote.push(other.layout, "7", registry, pushed.partition("/")[2])

    ended = docker("pull", "-a", pushed)

    assert ended.lines[-2:] == [f"Status: Downloaded newer image for {pushed}", pushed]
    assert sorted(docker("images", "--format", "{{.Tag}} {{.Digest}}", pushed).lines) == sorted(
        [f"7 {other.digest}", f"latest {image.digest}"]
    )


def test_signatures_follow_a_lazily_pulled_image_into_another_registry(
    docker: Docker, registry: Registry, other_registry: Registry, image: Image, pushed: str
) -> None:
    repo = pushed.partition("/")[2]
    sbom = images.attach_referrer(image.layout, image.root, "application/vnd.example.sbom", b"parts")
    signature = images.cosign_tag(image.layout, image.digest)
    docker("pull", pushed)
    # Signed after it was pulled: what counts is what belongs to the image when it is pushed.
    remote.push(image.layout, "latest", registry, repo)
    docker("tag", pushed, f"{other_registry.host}/{repo}:1")
    docker("push", f"{other_registry.host}/{repo}:1")

    assert {image.digest, sbom.digest, signature.digest} <= remote.walk(other_registry, repo, "1").keys()
    assert images.fallback_tag(image.digest) + ".sig" in remote.list_tags(other_registry, repo)


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_an_eager_pull_has_all_there_is(
    docker: Docker, make_registry: MakeRegistry, image: Image, other_registry: Registry, how: str
) -> None:
    origin, repo = make_registry(), f"eager-{how}"
    images.cosign_tag(image.layout, image.digest)
    remote.push(image.layout, "latest", origin, repo)
    before = remote.walk(origin, repo, "latest")
    name = f"{origin.host}/{repo}"
    docker("pull", name)
    docker(
        "pull",
        *(["--eager"] if how == "flag" else []),
        name,
        env={"LIFTLOCK_DOCKER_EAGER": "1"} if how != "flag" else {},
    )
    origin.stop()
    docker("tag", name, f"{other_registry.host}/{repo}:{how}")
    docker("push", f"{other_registry.host}/{repo}:{how}")

    assert before == remote.walk(other_registry, repo, how)


def test_an_image_whose_origin_is_wiped_is_pushed_from_the_store_when_it_is_whole(
    docker: Docker, make_registry: MakeRegistry, image: Image, repo: str
) -> None:
    origin = make_registry()
    remote.push(image.layout, "latest", origin, repo)
    name = f"{origin.host}/{repo}"
    docker("pull", "--eager", name)
    origin.wipe()
    docker("tag", name, f"{name}-prod:1")
    docker("push", f"{name}-prod:1")

    assert image.digest == remote.digest_of(origin, f"{repo}-prod", "1")


@pytest.mark.parametrize("written", ["linux/arm64", "linux/arm64/v8", "arm64", "linux/aarch64"])
def test_a_platform_is_pulled_as_an_image_of_its_own(docker: Docker, image: Image, pushed: str, written: str) -> None:
    wanted = image.platforms[1].manifest.digest

    assert f"Digest: {wanted}" in docker("pull", "--platform", written, pushed).lines
    assert docker("inspect", "-f", "{{.Id}} {{.Architecture}}/{{.Variant}}", pushed).lines == [f"{wanted} arm64/v8"]


def test_the_platform_may_be_a_default_of_the_environment(docker: Docker, image: Image, pushed: str) -> None:
    ended = docker("pull", pushed, env={"DOCKER_DEFAULT_PLATFORM": "linux/amd64"})

    assert f"Digest: {image.platforms[0].manifest.digest}" in ended.lines


def test_a_platform_that_is_not_there_is_an_error(docker: Docker, pushed: str) -> None:
    ended = docker("pull", "--platform=windows/amd64", pushed, code=1)

    said = "no matching manifest for windows/amd64 in the manifest list entries: no match for platform in manifest"
    assert ended.err.splitlines() == [
        f"Error response from daemon: {said}: not found",
        "hint: it has linux/amd64, linux/arm64/v8",
    ]


def test_an_image_for_another_platform_is_an_error(
    docker: Docker, tmp_path: Path, registry: Registry, repo: str
) -> None:
    images.make_image(tmp_path / "one", seed=repo)
    remote.push(tmp_path / "one", "latest", registry, repo)
    name = f"{registry.host}/{repo}"

    assert "it is for linux/amd64" in docker("pull", "--platform", "linux/arm64", name, code=1).err
    assert docker("pull", "-q", "--platform", "linux/amd64", name).lines == [f"{name}:latest"]


def test_a_retag_in_its_own_repository_is_one_tag_more(
    docker: Docker, registry: Registry, image: Image, pushed: str, repo: str
) -> None:
    docker("pull", pushed)
    docker("tag", pushed, f"{pushed}:stable")
    registry.forget()
    docker("push", f"{pushed}:stable")

    assert image.digest == remote.digest_of(registry, repo, "stable")
    assert registry.count("POST") == 0
