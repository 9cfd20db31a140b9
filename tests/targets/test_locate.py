"""Places as people write them, and the opener of their targets."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.auth.authorizer import Authorizer
from liftlock.errors import Cancelled, LiftlockError, UsageError
from liftlock.oci.digest import Digest
from liftlock.targets.locate import Location, Targets
from liftlock.targets.registry_profile import Profile
from tests.conftest import MakeRegistry, MakeTokenServer
from tests.support.registry import Registry
from tests.targets.content import Content

SHA = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    ("text", "kind", "target", "tag", "digest"),
    [
        ("registry.example/team/app", "registry", "registry.example/team/app", None, None),
        ("localhost:5000/app:1", "registry", "localhost:5000/app", "1", None),
        ("alpine", "registry", "docker.io/library/alpine", None, None),
        ("docker:24", "registry", "docker.io/library/docker", "24", None),
        ("registry:2", "registry", "docker.io/library/registry", "2", None),
        (f"ghcr.io/o/app:v1@{SHA}", "registry", "ghcr.io/o/app", "v1", SHA),
        ("oci:build/app", "oci", "oci:build/app", None, None),
        ("oci:build/app:v1", "oci", "oci:build/app", "v1", None),
        ("oci:/abs/app:v1", "oci", "oci:/abs/app", "v1", None),
        ("oci:app@2x:v1", "oci", "oci:app@2x", "v1", None),
        (f"oci:app@{SHA}", "oci", "oci:app", None, SHA),
        (f"oci:app:v1@{SHA}", "oci", "oci:app", "v1", SHA),
        ("oci:dir:docker.io/library/app:1", "oci", "oci:dir", "docker.io/library/app:1", None),
        ("oci-archive:app.tar", "oci-archive", "oci-archive:app.tar", None, None),
        ("oci-archive:/tmp/app.tar:v1", "oci-archive", "oci-archive:/tmp/app.tar", "v1", None),
        ("docker-archive:app.tar", "docker-archive", "docker-archive:app.tar", None, None),
        ("docker-archive:app.tar:app:1", "docker-archive", "docker-archive:app.tar", "app:1", None),
        (
            "docker-archive:app.tar:localhost:5000/app:1",
            "docker-archive",
            "docker-archive:app.tar",
            "localhost:5000/app:1",
            None,
        ),
        (f"docker-archive:app.tar@{SHA}", "docker-archive", "docker-archive:app.tar", None, SHA),
    ],
)
def test_what_people_write(text: str, kind: str, target: str, tag: str | None, digest: str | None) -> None:
    location = Location.parse(text)

    assert location == (kind, target, tag, digest)
    assert location.reference == (digest or tag)
    assert Location.parse(str(location)) == location


@pytest.mark.parametrize("place", ["bucket/app:1", f"bucket@{SHA}"])
@pytest.mark.parametrize("scheme", ["s3", "https", "docker"])
def test_a_password_in_a_place_is_not_shown(scheme: str, place: str) -> None:
    with pytest.raises(UsageError, match="without user and password") as caught:
        Location.parse(f"{scheme}://me:hidden@{place}")
    assert "hidden" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("docker://registry.example/app:1", "drop it"),
        ("https://registry.example/app", "without a scheme"),
        ("oci://app", "oci:folder"),
        ("docker-archive:///app.tar", "docker-archive:file"),
        ("docker-daemon:app:1", "docker save"),
        ("containers-storage:app", "podman save"),
        ("dir:app", "oci:folder"),
        ("ftp://app", "registry/repository"),
        ("oci:", "oci:folder"),
        ("oci-archive::v1", "oci-archive:file"),
        ("oci:app:", "name the tag"),
        ("oci:app@sha256:abcd", "64"),
        ("registry.example/App", "lower-case"),
        ("", ""),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        Location.parse(text)
    assert hint in caught.value.hint


@given(st.text(max_size=80) | st.from_regex(r"(oci|oci-archive|docker-archive):[a-z./]{0,9}(:[a-z:/.]{0,9})?(@.*)?"))
def test_any_text_is_a_location_or_a_usage_error(text: str) -> None:
    try:
        location = Location.parse(text)
    except UsageError:
        return
    assert Location.parse(str(location)) == location
    assert Location.parse(location.target).target == location.target


def test_each_target_is_opened_once_whoever_asks(authorizer: Authorizer, tmp_path: Path) -> None:
    targets = Targets(authorizer)
    names = ["registry.example/app", f"oci:{tmp_path}/layout", f"oci-archive:{tmp_path}/app.tar"]
    found: list[int] = []

    def ask() -> None:
        found.extend(id(targets.open(name)) for name in names)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(found)) == len(names)
    for name in names:
        assert targets.open(name).name == name
        assert targets.open_writable(name) is targets.open(name)


def test_a_name_with_a_tag_is_no_target(authorizer: Authorizer) -> None:
    with pytest.raises(UsageError, match="names an image"):
        Targets(authorizer).open("registry.example/app:1")


def test_a_docker_archive_is_no_destination(authorizer: Authorizer) -> None:
    with pytest.raises(UsageError) as caught:
        Targets(authorizer).open_writable("docker-archive:app.tar")
    assert "oci-archive" in caught.value.hint


def test_a_profile_given_by_the_user_is_used(authorizer: Authorizer) -> None:
    targets = Targets(authorizer, profiles={"registry.example": Profile(name="own", metered=True)})

    assert targets.open("registry.example/app").metered
    assert not targets.open("other.example/app").metered
    assert targets.open("alpine").metered


def test_what_one_repository_learnt_the_other_knows(authorizer: Authorizer, registry: Registry, repo: str) -> None:
    targets = Targets(authorizer)
    first, second = (targets.open(f"{registry.host}/{repo}{each}") for each in "ab")
    digest = Digest(SHA)
    registry.forget()

    assert list(first.referrers(digest)) == []
    assert list(second.referrers(digest)) == []
    assert registry.count("GET", "/referrers/") == 1


def test_a_destination_gets_a_token_that_allows_all_of_it_at_once(
    authorizer: Authorizer, make_registry: MakeRegistry, make_token_server: MakeTokenServer
) -> None:
    tokens = make_token_server()
    registry = make_registry(token=tokens)
    targets = Targets(authorizer)
    source = targets.open(f"{registry.host}/from")
    destination = targets.open_writable(f"{registry.host}/to")
    blob = Content(b"one token")

    assert destination.resolve("v1") is None
    assert source.resolve("v1") is None
    destination.put_blob(blob.descriptor, blob.open, mount_from=[source.name])

    assert [set(request.scopes) for request in tokens.requests()] == [
        {"repository:to:pull,push", "repository:from:pull"}
    ]


def test_after_an_abort_nothing_is_opened(authorizer: Authorizer, registry: Registry, repo: str) -> None:
    targets = Targets(authorizer)
    target = targets.open(f"{registry.host}/{repo}")

    targets.abort()

    with pytest.raises(Cancelled):
        target.resolve("v1")
    with pytest.raises(Cancelled):
        targets.open("registry.example/other")


def test_closing_goes_through_all_targets_and_says_what_failed(authorizer: Authorizer, tmp_path: Path) -> None:
    targets = Targets(authorizer)
    blob = Content(b"content")
    destination = targets.open_writable(f"oci-archive:{tmp_path}/gone/app.tar")
    with pytest.raises(LiftlockError):
        destination.put_blob(blob.descriptor, blob.open)

    targets.close()

    assert targets.open("registry.example/app").name == "registry.example/app"


def test_opening_a_layout_imports_no_registry() -> None:
    code = (
        "import sys\n"
        "from liftlock.targets.locate import Location, Targets\n"
        "Targets(None).open('oci:somewhere')\n"
        "bad = {'ssl', 'http.client', 'tarfile', 'isal', 'dataclasses', 'logging', 'tempfile', 'subprocess',"
        " 'liftlock.targets.registry', 'liftlock.targets.docker_archive'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(bad)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_opening_a_registry_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from liftlock.targets import registry\n"
        "bad = {'ssl', 'http.client', 'email', 'urllib.request', 'dataclasses', 'logging', 'tempfile', 'subprocess',"
        " 'pathlib', 'concurrent.futures', 'random', 'tarfile'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(bad)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
