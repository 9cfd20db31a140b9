"""``docker login``: credentials are tried, kept where Docker keeps them, and used by whoever looks there."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.ci.docker.conftest import Docker
from tests.conftest import MakeRegistry
from tests.support import images, peers, remote
from tests.support.registry import Registry


@pytest.fixture
def private(make_registry: MakeRegistry) -> Registry:
    return make_registry(user="deployer", password="opensesame")


def entry(config: Path, host: str) -> str:
    return base64.b64decode(json.loads(config.read_text())["auths"][host]["auth"]).decode()


def test_a_password_from_stdin_is_kept_for_docker_and_others(docker: Docker, private: Registry, tmp_path: Path) -> None:
    ended = docker("login", "--username", "deployer", "--password-stdin", private.host, stdin="opensesame\n")

    assert ended.out == "Login Succeeded\n"
    assert "WARNING! Your credentials are stored unencrypted in " in ended.err
    assert entry(docker.home / ".docker" / "config.json", private.host) == "deployer:opensesame"

    peers.require("skopeo")
    images.make_image(tmp_path / "layout")
    authfile = docker.home / ".docker" / "config.json"
    peers.run(
        *("skopeo", "copy", "--dest-tls-verify=false", "--authfile", authfile),
        *(f"oci:{tmp_path / 'layout'}:latest", f"docker://{private.host}/app:1"),
    )
    assert docker("pull", "-q", f"{private.host}/app:1").lines == [f"{private.host}/app:1"]


@pytest.mark.parametrize("server", ["{}", "http://{}/", "https://{}/v1/", "{}/team/app"])
def test_a_server_is_written_in_many_ways(docker: Docker, private: Registry, server: str) -> None:
    ended = docker("login", "-u", "deployer", "-popensesame", server.format(private.host))

    assert ended.out == "Login Succeeded\n"
    assert ended.err.startswith("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n")
    assert entry(docker.home / ".docker" / "config.json", private.host) == "deployer:opensesame"


def test_a_config_folder_of_its_own(docker: Docker, private: Registry, tmp_path: Path) -> None:
    layout = images.make_image(tmp_path / "layout").layout
    remote.push(layout, "latest", private, "app")
    folder, name = tmp_path / "config", f"{private.host}/app"
    docker("--config", folder, "login", "-u", "deployer", "--password-stdin", private.host, stdin="opensesame")

    assert not (docker.home / ".docker").exists()
    assert entry(folder / "config.json", private.host) == "deployer:opensesame"
    assert docker("--config", folder, "pull", "-q", name).lines == [f"{name}:latest"]
    assert docker("pull", "-q", name, env={"DOCKER_CONFIG": str(folder)}).lines == [f"{name}:latest"]


def test_wrong_credentials_are_refused_and_not_kept(docker: Docker, private: Registry) -> None:
    ended = docker("login", "-u", "deployer", "--password-stdin", private.host, stdin="opensesami", code=1)

    assert ended.out == ""
    assert ended.err.splitlines()[0] == (
        f"Error response from daemon: login attempt to {private.url}/v2/ failed with status: 401 Unauthorized"
    )
    assert "opensesami" not in ended.err
    assert not (docker.home / ".docker").exists()


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        ("-u a -p b --password-stdin", "", "conflicting options: cannot specify both --password and --password-stdin"),
        ("--password-stdin", "x", "the --password-stdin option requires --username to be set"),
        ("-u a --password-stdin", "", "Error: Cannot perform an interactive login from a non TTY device"),
        ("", "", "Error: Cannot perform an interactive login from a non TTY device"),
    ],
)
def test_a_login_that_cannot_be(docker: Docker, arguments: str, stdin: str, said: str) -> None:
    assert docker("login", *arguments.split(), "127.0.0.1:1", stdin=stdin, code=1).err.splitlines()[0] == said


def test_a_logout_forgets(docker: Docker, private: Registry) -> None:
    docker("login", "-u", "deployer", "--password-stdin", private.host, stdin="opensesame")

    for _ in range(2):
        assert docker("logout", private.host).out == f"Removing login credentials for {private.host}\n"
    assert docker("logout").out == "Removing login credentials for https://index.docker.io/v1/\n"
    assert docker("pull", f"{private.host}/app", code=1).err.splitlines()[0] == (
        "Error response from daemon: no basic auth credentials"
    )
