"""Docker's words and codes: what scripts match, wait for and test. Compared with what Docker 28.2 prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.ci.docker.commands import COMMANDS, ELSEWHERE
from liftlock.ci.docker.flags import Flag, parse
from liftlock.ci.docker.words import Said
from tests.ci.docker.conftest import Docker
from tests.support.processes import environment

NOT_SERVED = "docker: --{} is not served by liftlock-docker: "


def test_it_is_docker_by_a_link_of_that_name(home: Path) -> None:
    program = Path(sys.executable).parent / "liftlock-docker"
    (home / "docker").symlink_to(program)

    done = subprocess.run([home / "docker", "--version"], env=environment(home), capture_output=True, check=True)

    assert done.stdout.startswith(b"Docker version 28.")


def test_versions_can_be_compared(docker: Docker) -> None:
    for template in ("{{.Client.Version}}", "{{ .Server.Version }}"):
        major, minor, _ = docker("version", "--format", template).out.split(".")
        assert (int(major), int(minor)) >= (20, 10)
    assert docker("version").lines[1].startswith(" Version: ")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("pull", "docker: 'docker pull' requires 1 argument"),
        ("pull a b", "docker: 'docker pull' requires 1 argument"),
        ("tag a", "docker: 'docker tag' requires 2 arguments"),
        ("image tag a", "docker: 'docker image tag' requires 2 arguments"),
        ("image push", "docker: 'docker image push' requires 1 argument"),
        ("save", "docker: 'docker save' requires at least 1 argument"),
        ("load x", "docker: 'docker load' accepts no arguments"),
        ("images a b", "docker: 'docker images' requires at most 1 argument"),
        ("bogus", "docker: unknown command: docker bogus"),
        ("image bogus", "docker: unknown command: docker image bogus"),
        ("push -a foo:bar", "tag can't be used with --all-tags/-a"),
        ("pull -a foo:bar", "tag can't be used with --all-tags/-a"),
        (f"push x@sha256:{'a' * 64}", "cannot push a digest reference"),
        (f"tag x y@sha256:{'a' * 64}", "refusing to create a tag with a digest reference"),
        ("pull BAD/Ref", "invalid reference format: repository name (Ref) must be lowercase"),
        ("pull x:", "invalid reference format"),
        ("tag x y:", 'Error parsing reference: "y:" is not a valid repository/tag: invalid reference format'),
        ("-l bogus images", "Unable to parse logging level: bogus"),
        ("tag missing x", "Error response from daemon: No such image: missing:latest"),
        ("rmi missing", "Error response from daemon: No such image: missing:latest"),
        ("save missing", "Error response from daemon: reference does not exist"),
        ("push missing:1", "An image does not exist locally with the tag: missing"),
        ("inspect missing", "Error: No such object: missing"),
        ("inspect --type container missing", "Error: No such container: missing"),
        ("image inspect missing", "Error response from daemon: No such image: missing:latest"),
        ("-H tcp://docker:2375 images", NOT_SERVED.format("host")),
        ("images -f dangling=true", NOT_SERVED.format("filter")),
        ("save --platform linux/amd64 x", NOT_SERVED.format("platform")),
    ],
)
def test_failures_have_dockers_words_and_code(docker: Docker, arguments: str, complaint: str) -> None:
    assert docker(*arguments.split(), code=1).err.splitlines()[0].startswith(complaint)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("pull -x a", "unknown shorthand flag: 'x' in -x"),
        ("pull -qz a", "unknown shorthand flag: 'z' in -z"),
        ("pull --bogus a", "unknown flag: --bogus"),
        ("login -u a -p", "flag needs an argument: 'p' in -p"),
        ("save --output", "flag needs an argument: --output"),
        ("--config", "flag needs an argument: --config"),
        (
            "pull --quiet=maybe a",
            'invalid argument "maybe" for "-q, --quiet" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
    ],
)
def test_options_that_docker_does_not_have_end_with_125(docker: Docker, arguments: str, complaint: str) -> None:
    assert docker(*arguments.split(), code=125).err.splitlines()[0] == complaint


def test_usage_stands_below_a_complaint(docker: Docker) -> None:
    assert docker("pull", code=1).err == (
        "docker: 'docker pull' requires 1 argument\n\n"
        "Usage:  docker pull [OPTIONS] NAME[:TAG|@DIGEST]\n\n"
        "Run 'docker pull --help' for more information\n"
    )


@pytest.mark.parametrize(
    ("command", "code"), [("build .", 1), ("run alpine", 125), ("compose up", 1), ("image prune", 1)]
)
def test_what_is_not_its_job_is_said(docker: Docker, command: str, code: int) -> None:
    said = docker(*command.split(), code=code).err

    assert "is not the job of liftlock-docker" in said
    assert "hint: liftlock-docker moves images between registries" in said


def test_a_missing_image_is_an_empty_answer(docker: Docker) -> None:
    assert docker("inspect", "missing", code=1).out == "[]\n"
    assert docker("image", "inspect", "-f", "{{.Id}}", "missing", code=1).out == "\n"
    assert docker("images", "-q", "missing").out == ""
    assert docker("images").lines == ["REPOSITORY   TAG       IMAGE ID   CREATED   SIZE"]


def test_a_forced_removal_of_nothing_is_no_failure(docker: Docker) -> None:
    assert "No such image: missing:latest" in docker("rmi", "-f", "missing").err


def test_help_shows_what_is_served(docker: Docker) -> None:
    top = docker("--help").out

    assert all(f"  {name}" in top for name in COMMANDS)
    assert docker().out == top
    assert docker("help").out == top
    assert "--all-tags" in docker("image", "push", "--help").out
    assert "--platform" not in docker("push", "--help").out
    assert "  ls " in docker("image").out


def test_no_command_is_both_served_and_elsewhere() -> None:
    assert set(COMMANDS) & ELSEWHERE == set()


FLAGS = (Flag("all", "a"), Flag("quiet", "q"), Flag("output", "o", kind="string"))
WORDS = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1)


@given(
    switches=st.sets(st.sampled_from(["all", "quiet"])),
    value=st.none() | WORDS,
    arguments=st.lists(WORDS, max_size=3),
    form=st.integers(0, 3),
    at=st.integers(0, 3),
)
def test_every_way_to_write_options_means_the_same(
    switches: set[str], value: str | None, arguments: list[str], form: int, at: int
) -> None:
    letters = "".join(name[0] for name in sorted(switches))
    written = []
    if value is not None and form < 2:
        written = [f"-{letters}o{value}"] if form else [f"-{letters}o", value]
    else:
        written = [f"--{name}" for name in switches] if form % 2 else [f"-{letters}"] if letters else []
        if value is not None:
            written += [f"--output={value}"] if form % 2 else ["--output", value]

    read = parse(FLAGS, [*arguments[:at], *written, *arguments[at:]], "usage")

    assert set(read.on) == switches
    assert dict(read.values) == ({"output": value} if value else {})
    assert list(read.arguments) == arguments


def test_notarys_signatures_are_not_pretended(docker: Docker) -> None:
    ended = docker("pull", "app", env={"DOCKER_CONTENT_TRUST": "1"}, code=1)

    assert ended.err.startswith("DOCKER_CONTENT_TRUST is set, and liftlock-docker does not verify")


def test_an_output_that_is_full_is_a_failure(docker: Docker) -> None:
    ended = docker.script("docker version > /dev/full", code=1)

    assert ended.err == "Error response from daemon: No space left on device\n"


def test_two_dashes_end_the_options() -> None:
    assert parse(FLAGS, ["-q", "--", "-a"], "").arguments == ["-a"]


def test_a_refused_option_is_no_matter_while_it_is_off() -> None:
    flags = (Flag("tls", refused="no daemon"),)

    assert parse(flags, ["--tls=false"], "").on == frozenset()
    with pytest.raises(Said, match="no daemon"):
        parse(flags, ["--tls"], "")
