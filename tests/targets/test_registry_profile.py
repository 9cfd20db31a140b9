"""What is known of registries: the right profile for a host, and what a profile changes on the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.errors import Cancelled
from liftlock.targets.base import Placed
from liftlock.targets.registry_home import Pace
from liftlock.targets.registry_profile import PROFILES, Profile, profile_of, recognised
from liftlock.transport.messages import Headers
from tests.conftest import NewRepository
from tests.support import remote
from tests.support.registry import Registry
from tests.targets.conftest import OpenRegistry
from tests.targets.content import Content, some_bytes


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "Amazon ECR"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "Amazon ECR"),
        ("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", "Amazon ECR"),
        ("public.ecr.aws", "Amazon ECR Public"),
        ("docker.io", "Docker Hub"),
        ("GHCR.io", "GitHub Container Registry"),
        ("quay.io", "Quay"),
        ("acme.jfrog.io", "Artifactory"),
        ("registry.gitlab.com:443", "GitLab"),
        ("registry.cn-hangzhou.aliyuncs.com", "Alibaba Container Registry"),
        ("swr.cn-north-4.myhuaweicloud.com", "Huawei SWR"),
        ("localhost:5000", "unknown"),
        ("evil-ghcr.io", "unknown"),
        ("ghcr.io.evil.example", "unknown"),
        ("dkr.ecr.amazonaws.com.evil.example", "unknown"),
        (".dkr.ecr.amazonaws.com", "unknown"),
    ],
)
def test_a_host_has_its_profile(host: str, name: str) -> None:
    assert profile_of(host).name == name


@given(st.lists(st.text("ab.", max_size=6), min_size=1, max_size=4), st.data())
def test_stars_stand_for_anything(parts: list[str], data: st.DataObject) -> None:
    from liftlock.oci.hosts import matches

    fillings = [data.draw(st.text("ab.", max_size=4)) for _ in parts[1:]]
    name = parts[0] + "".join(filling + part for filling, part in zip(fillings, parts[1:], strict=True))
    assert matches("*".join(parts), name)
    assert not matches("*".join(parts), f"x{name}x") or not parts[0] or not parts[-1]


def test_every_profile_differs_from_the_unknown_one() -> None:
    for _, profile in PROFILES:
        assert profile != Profile(name=profile.name)


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ([("X-Artifactory-Id", "abc")], "Artifactory"),
        ([("Gitlab-Container-Registry-Version", "4")], "GitLab"),
    ],
)
def test_a_self_hosted_registry_is_recognised(headers: list[tuple[str, str]], name: str) -> None:
    profile = recognised(Headers(headers))
    assert profile is not None
    assert profile.name == name
    assert profile.denied_means_absent


def test_other_registries_are_not_recognised() -> None:
    assert recognised(Headers([("Docker-Distribution-Api-Version", "registry/2.0")])) is None


def test_without_self_mounts_presence_is_asked_for(registry: Registry, repo: str, open_registry: OpenRegistry) -> None:
    target = open_registry(registry.host, repo, profile=Profile(self_mount=False))
    blob = Content(some_bytes(1000, "no self mount"))
    registry.forget()

    assert target.put_blob(blob.descriptor, blob.open) is Placed.COPIED
    assert target.put_blob(blob.descriptor, blob.open) is Placed.PRESENT
    assert [request.method for request in registry.requests()] == ["HEAD", "POST", "PUT", "HEAD"]
    assert registry.count(path="mount=") == 0


def test_without_mounts_none_is_asked_for(
    registry: Registry, repo: str, new_repo: NewRepository, open_registry: OpenRegistry
) -> None:
    target = open_registry(registry.host, repo, profile=Profile(mount=False))
    blob, other = Content(some_bytes(1000, "no mount")), new_repo("other")
    remote.put_blob(registry, other, blob.data)
    registry.forget()

    placed = target.put_blob(blob.descriptor, blob.open, mount_from=[f"{registry.host}/{other}"], absent=True)

    assert placed is Placed.COPIED
    assert not any("mount" in request.parameters for request in registry.requests())


def test_a_pace_gives_each_caller_a_turn_of_its_own() -> None:
    now = 0.0
    waits: list[float] = []
    pace = Pace(10, clock=lambda: now)

    def wait(timeout: float | None = None) -> bool:
        waits.append(timeout or 0.0)
        return False

    pace._stopped.wait = wait  # type: ignore[method-assign]

    for _ in range(3):
        pace.wait()
    now = 5.0
    pace.wait()

    assert waits == pytest.approx([0.0, 0.1, 0.2, 0.0])


def test_a_stopped_pace_lets_nobody_through() -> None:
    pace = Pace(0.001)
    pace.wait()
    pace.stop()

    with pytest.raises(Cancelled):
        pace.wait()
