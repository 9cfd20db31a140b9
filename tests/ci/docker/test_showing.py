"""``docker images``, ``inspect`` and templates: what scripts read about images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from liftlock.ci.docker.template import fields, render
from liftlock.ci.docker.words import Said
from tests.architecture.test_start import HEAVY
from tests.ci.docker.conftest import MULTI, Docker
from tests.support import images, remote
from tests.support.images import Image
from tests.support.processes import environment
from tests.support.registry import Registry

VALUE = {
    "Id": "sha256:1",
    "Size": 7,
    "Lists": {"Empty": [], "Two": ["a", "b"]},
    "Config": {"Labels": {"org.example.a": "x"}, "Tty": True, "User": None},
}


@pytest.fixture
def image(tmp_path: Path, repo: str) -> Image:
    return images.make_image(tmp_path / "layout", platforms=MULTI, seed=repo)


@pytest.fixture
def name(image: Image, registry: Registry, repo: str) -> str:
    remote.push(image.layout, "latest", registry, repo)
    registry.forget()
    return f"{registry.host}/{repo}"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Id}}", "sha256:1"),
        ("{{ .Id }}-{{.Size}}", "sha256:1-7"),
        ("{{index .Lists.Two 1}}", "b"),
        ('{{ index .Config.Labels "org.example.a" }}', "x"),
        ('{{index .Config.Labels "none"}}', ""),
        ("{{json .Lists}}", '{"Empty":[],"Two":["a","b"]}'),
        ("{{.Lists.Two}}\\t{{.Config.Tty}}", "[a b]\ttrue"),
        ("{{.Config.User}}", "<no value>"),
        ("plain", "plain"),
    ],
)
def test_what_scripts_write_is_served(template: str, text: str) -> None:
    assert render(template, VALUE) == text


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{range .Lists.Two}}{{.}}{{end}}", "{{range .Lists.Two}} is not served"),
        ("{{.Id | lower}}", "{{.Id | lower}} is not served"),
        ("{{if .Id}}", "{{if .Id}} is not served"),
        ("{{.None}}", 'map has no entry for key "None"'),
        ("{{.Id.More}}", 'map has no entry for key "More"'),
        ("{{index .Lists.Empty 0}}", "error calling index: reflect: slice index out of range"),
        ("{{.Config}}", "{{.Config}} is an object"),
    ],
)
def test_what_is_not_served_is_refused_by_name(template: str, said: str) -> None:
    with pytest.raises(Said, match="template parsing error: ") as caught:
        render(template, VALUE)

    assert said in caught.value.message


def test_the_fields_of_a_template() -> None:
    assert fields('{{.Id}} {{index .Config.Labels "a.b"}} {{json .Size}}') == {"Id", "Config", "Size"}
    assert fields("{{json .}}") == fields("json") == {""}
    assert fields("none") == set()


def test_an_image_is_described(docker: Docker, image: Image, name: str) -> None:
    docker("pull", name)
    docker("tag", name, "short:1")
    first, second = json.loads(docker("image", "inspect", "short:1", image.digest).out)

    assert first["Id"] == second["Id"] == image.digest
    assert first["RepoTags"] == ["short:1", f"{name}:latest"]
    assert first["RepoDigests"] == [f"short@{image.digest}", f"{name}@{image.digest}"]
    assert first["Os"] == "linux"
    assert first["Config"]["Cmd"] == ["/bin/true"]
    assert first["RootFS"]["Layers"] in [list(each.diff_ids) for each in image.platforms]
    assert first["Descriptor"] == image.root.descriptor()


def test_the_digest_is_told_without_asking_the_registry(
    docker: Docker, registry: Registry, image: Image, name: str
) -> None:
    docker("pull", name)
    registry.forget()

    assert docker("inspect", "--format={{index .RepoDigests 0}}", name).lines == [f"{name}@{image.digest}"]
    assert registry.requests() == []


def test_a_configuration_is_fetched_once(docker: Docker, registry: Registry, name: str) -> None:
    docker("pull", name)
    registry.forget()
    for _ in range(2):
        docker("inspect", name)

    assert registry.count("GET", "/blobs/") == 1


def test_the_table_of_images(docker: Docker, image: Image, name: str) -> None:
    docker("pull", name)
    docker("tag", name, "short:1")
    docker("pull", f"{name}@{image.digest}")
    heading, *rows = [line.split() for line in docker("images", "--digests").lines]

    assert heading == ["REPOSITORY", "TAG", "DIGEST", "IMAGE", "ID", "CREATED", "SIZE"]
    assert [row[:4] for row in rows] == [
        [repository, tag, image.digest, image.digest[7:19]]
        for repository, tag in ((name, "<none>"), ("short", "1"), (name, "latest"))
    ]
    assert docker("images", "short").lines[1].startswith("short ")
    assert docker("image", "ls", "-q", "sho*:1").lines == [image.digest[7:19]]


def test_a_template_may_ask_for_a_table(docker: Docker, name: str) -> None:
    docker("pull", name)
    docker("tag", name, "short:1")

    assert docker("images", "--format", "table {{.Tag}}\\t{{.Repository}}:").lines == [
        "TAG       REPOSITORY:",
        "1         short:",
        f"latest    {name}:",
    ]
    assert docker("history", "--format", "table {{.CreatedAt}}", name).lines[0] == "CREATED AT"


def test_names_of_docker_hub_are_short(docker: Docker, registry: Registry, image: Image) -> None:
    remote.push(image.layout, "latest", registry, "library/tool")
    hub = {"LIFTLOCK_ENDPOINTS": f"docker.io={registry.url}"}

    assert docker("pull", "tool", env=hub).lines == [
        "Using default tag: latest",
        "latest: Pulling from library/tool",
        f"Digest: {image.digest}",
        "Status: Downloaded newer image for tool:latest",
        "docker.io/library/tool:latest",
    ]
    docker("tag", "docker.io/library/tool", "team/tool:2")
    assert docker("push", "team/tool:2", env=hub).lines[0] == "The push refers to repository [docker.io/team/tool]"
    assert docker("images", "--format", "{{.Repository}}:{{.Tag}}").lines == ["team/tool:2", "tool:latest"]


def test_a_name_comes_before_an_id(docker: Docker, registry: Registry, image: Image, name: str) -> None:
    docker("pull", name)
    docker("pull", "--platform", "linux/amd64", f"{name}@{image.digest}")
    for digit in "0123456789abcdef":
        docker("tag", image.digest, f"{digit}:latest")

    assert docker("inspect", "-f", "{{.Id}}", image.digest[7]).lines == [image.digest]


def test_info_answers(docker: Docker) -> None:
    assert docker("info", "--format", "{{.DockerRootDir}} {{.Images}}").lines == [f"{docker.store} 0"]
    assert "Server Version: " in docker("info").out


def test_small_commands_load_nothing_heavy(docker: Docker) -> None:
    program = (
        "import sys\n"
        "from liftlock.ci.docker.main import run\n"
        "for words in (['--version'], ['images'], ['tag', 'a', 'b'], ['version']): run(words)\n"
        "print(*sorted(sys.modules), sep='\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(docker.home), capture_output=True, text=True, check=True
    )

    assert HEAVY & set(done.stdout.splitlines()) == set()
    assert "click" not in done.stdout.splitlines()


def test_azures_task_gets_what_it_asks_for_after_a_push(docker: Docker, image: Image, name: str) -> None:
    """``Docker@2`` runs these two commands (azure-pipelines-tasks, docker-common), and waits for the first."""
    docker("pull", name)
    template = "createdAt:{{.CreatedAt}}; layerSize:{{.Size}}; createdBy:{{.CreatedBy}}; layerId:{{.ID}}"
    lines = docker("history", "--format", template, "--no-trunc", name).lines
    layers = docker("inspect", image.digest, "-f", "{{.RootFS.Layers}}").out

    assert lines[0].endswith(f"; layerId:{image.digest}")
    assert all(line.endswith("; layerId:<missing>") for line in lines[1:])
    assert len(lines) >= len(image.platforms[0].layers)
    assert layers in [f"[{' '.join(each.diff_ids)}]\n" for each in image.platforms]


def test_the_history_of_an_image(docker: Docker, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    image = images.make_image(layout, layers=1)
    config = images.read_json(layout, image.platforms[0].config.digest)
    config["history"] = [
        {"created": "2024-01-01T00:00:00Z", "created_by": "COPY " + "x" * 60, "comment": "made"},
        {"created_by": "CMD app", "empty_layer": True},
    ]
    made = images.put_json(layout, images.OCI_CONFIG, config)
    manifest = images.read_json(layout, image.digest)
    manifest["config"] = made.descriptor()
    images.set_tag(layout, "reg.example/app:1", images.put_json(layout, images.OCI_MANIFEST, manifest))
    tar = tmp_path / "app.tar"
    subprocess.run(["tar", "-C", layout, "-cf", tar, "."], check=True)
    docker("load", "-i", tar)

    heading, last, first = docker("image", "history", "reg.example/app:1").lines

    assert heading.split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert "CMD app" in last
    assert last.split()[-1] == "0B"
    assert first.startswith("<missing>")
    assert "COPY " + "x" * 39 + "… " in first
    assert first.endswith("made")
    assert "No such image: missing:latest" in docker("history", "missing", code=1).err


def test_azures_command_line_finds_a_daemon(docker: Docker) -> None:
    """``az acr login`` runs ``docker ps`` first, and gives up when that writes to stderr (azure-cli, acr/custom.py)."""
    ended = docker("ps")

    assert ended.err == ""
    assert ended.out.startswith("CONTAINER ID")
    assert docker("ps", "-aq").out == ""
