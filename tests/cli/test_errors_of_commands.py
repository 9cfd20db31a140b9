"""How failures end: exit codes, one message with a hint, JSON where JSON was asked for, no secrets, no tracebacks."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from liftlock import errors
from tests.conftest import MakeFront, MakeRegistry, MakeTokenServer, NewRepository
from tests.support import faults, images, remote
from tests.support.images import Image
from tests.support.processes import command, environment, liftlock
from tests.support.registry import Registry

pytestmark = pytest.mark.acceptance

PASSWORD = "hunter2-very-secret"
EXIT_CODES = Path(__file__).parents[2] / "docs" / "reference" / "exit-codes.md"


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["copy", "--frobnicate"],
        ["digest"],
        ["digest", "a.example/App"],
        ["digest", "a.example/app@sha256:123"],
        ["inspect", "https://a.example/app"],
        ["ls", "a.example/app", "-o", "yaml"],
        ["digest", "a.example/app", "--ca-file", "/does/not/exist"],
        ["completion", "tcsh"],
    ],
)
def test_what_cannot_be_understood_ends_with_2(arguments: list[str]) -> None:
    done = liftlock(*arguments, check=False)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert "\nhint: " in done.err
    assert "Traceback" not in done.err


def test_a_mistyped_command_is_recognised() -> None:
    assert "did you mean 'inspect'?" in liftlock("inspct", check=False).err


def test_what_is_not_there_ends_with_5(registry: Registry, repo: str, new_repo: NewRepository) -> None:
    missing = f"{registry.host}/{repo}:v1"

    for arguments in (["digest", missing], ["inspect", missing], ["tag", missing, "v2"], ["delete", missing, "--yes"]):
        done = liftlock(*arguments, check=False)
        assert done.code == 5, str(done)
        assert done.err.startswith(f"error: {missing} does not exist"), str(done)

    copied = liftlock("copy", missing, f"{registry.host}/{new_repo()}", check=False)
    assert copied.code == 5
    assert copied.err.startswith("error: source: ")


def test_a_wrong_password_ends_with_4(make_registry: MakeRegistry) -> None:
    locked = make_registry(user="alice", password=PASSWORD)
    env = {"LIFTLOCK_REGISTRY": locked.host, "LIFTLOCK_USERNAME": "alice", "LIFTLOCK_PASSWORD": "wrong"}

    for given in (env, {}):
        done = liftlock("digest", f"{locked.host}/app:v1", env=given, check=False)
        assert done.code == 4, str(done)
        assert f"liftlock login {locked.host}" in done.err


def test_a_registry_that_is_not_there_ends_with_1(registry: Registry) -> None:
    assert registry.host
    done = liftlock("digest", "127.0.0.1:1/app:v1", env={"LIFTLOCK_ATTEMPTS": "1"}, check=False)

    assert done.code == 1
    assert "127.0.0.1:1 refuses connections" in done.err


def test_a_broken_setting_ends_with_2(registry: Registry) -> None:
    done = liftlock("digest", f"{registry.host}/app:v1", env={"LIFTLOCK_ATTEMPTS": "many"}, check=False)

    assert done.code == 2
    assert "LIFTLOCK_ATTEMPTS" in done.err


def test_content_that_is_not_what_its_digest_says_ends_with_1(
    registry: Registry, repo: str, image: Image, make_front: MakeFront, new_repo: NewRepository
) -> None:
    front = make_front(registry)
    front.rule("GET", "/blobs/", faults.corrupt_response(), times=None)
    destination = new_repo()

    done = liftlock(
        "copy", f"{front.host}/{repo}:v1", f"{registry.host}/{destination}:v1", "--progress", "none", check=False
    )

    assert done.code == 1
    assert done.out == ""
    assert remote.digest_of(registry, destination, "v1") is None
    assert image.digest


def test_errors_are_one_json_object_where_json_was_asked_for(registry: Registry, repo: str) -> None:
    missing = f"{registry.host}/{repo}:v1"

    for output in ("json", "ndjson"):
        done = liftlock("copy", missing, f"{registry.host}/{repo}:v2", "-o", output, check=False)
        failure = json.loads(done.err)
        assert done.out == ""
        assert failure == {
            "apiVersion": "liftlock/v1", "kind": "Error", "code": "not-found", "exitCode": 5,
            "message": f"{missing} does not exist", "side": "source",
        }  # fmt: skip


def test_usage_errors_are_json_too_wherever_the_option_stands() -> None:
    for arguments in (["copy", "-o", "json", "--frobnicate"], ["digest", "-o", "json"]):
        done = liftlock(*arguments, check=False)
        failure = json.loads(done.err)
        assert (failure["kind"], failure["code"], failure["exitCode"]) == ("Error", "usage", 2)
        assert done.code == 2


def test_a_line_of_a_file_is_named_in_json(tmp_path: Path) -> None:
    listing = tmp_path / "images.txt"
    listing.write_text("\njust-one-word\n")

    failure = json.loads(liftlock("copy", "--from", listing, "-o", "json", check=False).err)

    assert (failure["code"], failure["path"], failure["line"]) == ("config", str(listing), 2)


def test_a_listing_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    done = liftlock("copy", "--from", tmp_path / "absent.txt", check=False)

    assert done.code == 1
    assert done.err == f"error: {tmp_path / 'absent.txt'}: No such file or directory\n"


def test_debug_shows_where_it_failed(registry: Registry, repo: str) -> None:
    done = liftlock("digest", f"{registry.host}/{repo}:v1", "--debug", check=False)

    assert done.code == 5
    assert "Traceback" in done.err
    assert done.err.rstrip().splitlines()[-1].startswith("error: ")


def test_a_reader_that_leaves_is_no_failure_worth_words(registry: Registry, repo: str, image: Image) -> None:
    assert image.digest
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            command(["ls", f"{registry.host}/{repo}"]),
            stdout=writer,
            stderr=subprocess.PIPE,
            env=environment(),
            check=False,
        )
    finally:
        os.close(writer)

    assert (done.returncode, done.stderr) == (141, b"")


def test_a_stdout_that_is_full_is_an_error(registry: Registry, repo: str, image: Image) -> None:
    assert image.digest
    for arguments in (["--version"], ["digest", f"{registry.host}/{repo}:v1"]):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                command(arguments), stdout=full, stderr=subprocess.PIPE, env=environment(), check=False
            )
        assert (done.returncode, done.stderr) == (1, b"error: No space left on device\n")


def test_what_was_found_before_a_failure_is_shown(registry: Registry, make_front: MakeFront) -> None:
    front = make_front(registry)
    page = faults.respond(200, b'{"tags": ["v1", "v2"]}', {"Link": '</v2/app/tags/list?last=v2>; rel="next"'})
    front.rule("GET", "/tags/list", page)
    front.rule("GET", "/tags/list", faults.error(403, "DENIED"), times=None)

    done = liftlock("ls", f"{front.host}/app", check=False)

    assert (done.code, done.out) == (4, "v1\nv2\n")


def test_closed_streams_are_no_mistake_of_ours(registry: Registry, repo: str, image: Image) -> None:
    assert image.digest
    place = f"{registry.host}/{repo}"
    for arguments, redirect, code in (
        (["digest", f"{place}:v1"], ">&-", 0),
        (["digest", f"{place}:v2"], "2>&-", 5),
        (["delete", f"{place}@{image.digest}"], "<&-", 2),
    ):
        script = f'"$@" {redirect}'
        done = subprocess.run(
            ["/bin/sh", "-c", script, "sh", *command(arguments)], capture_output=True, env=environment(), check=False
        )
        assert done.returncode == code, done
        assert b"mistake" not in done.stderr


def test_a_locale_without_the_characters_still_shows_the_rest(image: Image, tmp_path: Path) -> None:
    assert image.digest
    layout = tmp_path / "l"
    images.make_image(layout, "v1", annotations={"title": "caf\u00e9 \u2192"})

    done = liftlock("inspect", f"oci:{layout}:v1", env={"PYTHONIOENCODING": "ascii"})

    assert "caf\\xe9 \\u2192" in done.out


def test_no_secret_is_ever_shown(
    make_registry: MakeRegistry, make_token_server: MakeTokenServer, new_repo: NewRepository, tmp_path: Path
) -> None:
    """Neither in success nor in failure, with everything switched on that could show one."""
    tokens = make_token_server(user="alice", password=PASSWORD)
    locked = make_registry(token=tokens)
    image = images.make_image(tmp_path / "l", "v1")
    remote.push(tmp_path / "l", "v1", locked, "team/app")
    env = {"LIFTLOCK_REGISTRY": locked.host, "LIFTLOCK_USERNAME": "alice", "LIFTLOCK_PASSWORD": PASSWORD}
    source = f"{locked.host}/team/app:v1"

    copied = liftlock("copy", source, f"{locked.host}/prod/app", "-v", "--debug", env=env)
    missing = liftlock("inspect", f"{locked.host}/team/none:v1", "-v", "--debug", env=env, check=False)
    wrong = liftlock(
        "digest", source, "-v", "--debug", "-o", "json",
        env={**env, "LIFTLOCK_PASSWORD": PASSWORD[::-1]}, check=False,
    )  # fmt: skip

    assert image.digest in copied.out
    assert (missing.code, wrong.code) == (5, 4)
    for done in (copied, missing, wrong):
        shown = done.out + done.err
        assert PASSWORD not in shown
        assert PASSWORD[::-1] not in shown
        assert "Bearer " not in shown
        assert "eyJ" not in shown, "the beginning of every signed token"


@pytest.mark.parametrize("home", ["", "/dev/null"])
def test_without_a_home_state_goes_to_a_folder_of_this_user_alone(
    registry: Registry, repo: str, image: Image, tmp_path: Path, home: str
) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    env = {"HOME": home, "TMPDIR": str(scratch)}

    done = liftlock("copy", f"{registry.host}/{repo}:v1", f"{registry.host}/{repo}:v2", env=env)

    assert image.digest in done.out
    assert [stat.S_IMODE(path.stat().st_mode) for path in scratch.iterdir()] == [0o700]


def test_every_exit_code_is_documented() -> None:
    page = EXIT_CODES.read_text()
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ") and line[2].isdigit()]

    tree: list[type[errors.LiftlockError]] = [errors.LiftlockError, *errors.LiftlockError.__subclasses__()]
    raised = {str(each.exit_code) for each in tree}
    assert {"0", "7", "8", "129", "130", "141", "143", *raised} == set(rows)
