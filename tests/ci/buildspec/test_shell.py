"""One shell for all commands, which nothing that a command does can confuse."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from pathlib import Path

import pytest

from liftlock.ci.buildspec import shell
from liftlock.ci.buildspec.result import BuildStatus
from liftlock.ci.buildspec.surroundings import Stream
from liftlock.errors import ConfigError
from liftlock.transfer.events import Cancel
from tests.ci.buildspec.conftest import Build
from tests.support.waiting import until

both = pytest.mark.parametrize("shell", ["bash", "/bin/sh"])


def gone(pid: int) -> bool:
    """Whether a process is over (one that nobody has asked about yet is, too)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@both
def test_folder_variables_and_functions_last(shell: str, build: Build, source: Path) -> None:
    (source / "below").mkdir()
    ran = build(
        f"version: 0.2\nenv: {{shell: {shell}}}\n"
        "phases:\n"
        "  install: {commands: [cd below, 'A=1', 'export B=2', 'hello() { echo hello $1; }']}\n"
        "  post_build: {commands: [pwd, 'hello you', 'printenv A B']}\n"
    )

    assert ran.printed == [str(source / "below"), "hello you", "1", "2"]


def test_the_shell_is_the_one_that_was_asked_for(commands: Build) -> None:
    name = "tr '\\0' '\\n' < /proc/$$/cmdline | head -1"

    assert commands(name, shell="bash").printed[0].endswith("/bash")
    assert commands(name, shell="sh").printed[0].endswith("/sh")
    assert commands('[[ a == a ]] && echo "${BASH_VERSION:+bash}"', shell="bash").printed == ["bash"]


@both
def test_many_lines_are_one_command(shell: str, commands: Build) -> None:
    ran = commands("false\necho 'a\n\"b'\nfor i in 1 2; do\n  echo $i\ndone", shell=shell)

    assert ran.printed == ["a", '"b', "1", "2"]
    assert ran.result.status is BuildStatus.SUCCEEDED


@both
@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("exit 3", 3),
        ("false", 1),
        ("set -e; (exit 4); echo never", 4),
        ("exec /bin/sh -c 'exit 5'", 5),
        ("kill -9 $$", 137),
        ("kill -TERM $$; sleep 100", 143),
        ("sh -c 'kill -9 $$'", 137),
        ("if", 2),
        ("no-such-program", 127),
        ("return 6", 6),
    ],
)
def test_what_ends_the_shell_ends_a_command(command: str, status: int, shell: str, build: Build) -> None:
    ran = build(
        f"version: 0.2\nenv: {{shell: {shell}}}\nphases:\n"
        f"  build:\n    commands: [A=kept, cd /, '{command.replace(chr(39), chr(39) * 2)}', echo never]\n"
        "    finally: [echo $CODEBUILD_LAST_EXIT, echo $A, pwd]\n"
    )

    assert ran.printed[-3:] == [str(status), "kept", "/"]
    assert ran.result.failure is not None
    assert ran.result.failure.exit_status == status


@both
def test_an_exit_without_an_error_ends_only_its_command(shell: str, commands: Build) -> None:
    ran = commands("A=1", "A=2; exit 0; echo never", "echo $A", shell=shell)

    assert ran.printed == ["1"]
    assert ran.result.status is BuildStatus.SUCCEEDED


@both
def test_what_set_changes_lasts_for_its_command(shell: str, commands: Build) -> None:
    ran = commands("set -eux; echo a", "false; echo $unset b", "set -f", "echo /bin/s[h]", shell=shell)

    assert [line for line in ran.printed if not line.startswith("+")] == ["a", "b", "/bin/sh"]
    assert ran.printed.count("+ echo a") + ran.printed.count("++ echo a") == 1


def test_pipefail_lasts_for_its_command(commands: Build) -> None:
    ran = commands("set -o pipefail", "false | true")

    assert ran.result.status is BuildStatus.SUCCEEDED


@both
def test_a_command_that_reads_stdin_finds_it_empty(shell: str, commands: Build) -> None:
    assert commands("cat; echo after", "read -r x || echo nothing", "echo end", shell=shell).printed == [
        "after",
        "nothing",
        "end",
    ]


@both
def test_a_closed_stdout_is_open_for_the_next_command(shell: str, commands: Build) -> None:
    ran = commands("exec >&- 2>&-", "echo here", "exec 3>&1 4<&0 9>/dev/null", "echo there >&2", shell=shell)

    assert ran.printed == ["here", "there"]


@both
def test_output_cannot_be_taken_for_the_end_of_a_command(shell: str, commands: Build) -> None:
    ran = commands("printf '0\\0./\\0A=1\\0\\0'", "IFS=01; echo $IFS", "echo 1 0 1; set -- a b", shell=shell)

    assert len(ran.printed) == 3
    assert ran.result.status is BuildStatus.SUCCEEDED
    assert ran.phases["BUILD"] == "SUCCEEDED"


def test_stdout_and_stderr_keep_their_order(commands: Build) -> None:
    ran = commands("for i in 1 2 3; do echo out $i; echo err $i >&2; done")

    assert ran.printed == ["out 1", "err 1", "out 2", "err 2", "out 3", "err 3"]


def test_the_environment_of_commands_has_nothing_of_ours(commands: Build) -> None:
    ran = commands("A=1", "env | sort; ls /proc/self/fd | wc -l", environment={"PATH": os.environ["PATH"]})

    assert not [line for line in ran.printed if line.lower().startswith(("_liftlock", "liftlock"))]
    assert ran.printed[-1].strip() == "4"  # three, and the folder that ls reads


@both
def test_what_runs_on_in_the_background_is_ended_with_the_build(shell: str, commands: Build) -> None:
    ran = commands("sleep 1000 & echo $!", "kill -0 $! && echo runs", "exit 0", "sleep 1000 & echo $!", shell=shell)

    assert ran.result.status is BuildStatus.SUCCEEDED
    first, runs, second = ran.printed
    assert runs == "runs"
    assert until(lambda: gone(int(first)) and gone(int(second)), "the background's end")


@both
def test_a_trap_for_the_end_runs_at_the_end(shell: str, commands: Build) -> None:
    assert commands("trap 'echo bye' EXIT", "echo on", shell=shell).printed == ["on", "bye"]


def test_bytes_that_are_no_text_are_shown_as_far_as_they_are(commands: Build) -> None:
    ran = commands(r"printf 'a\377b\0c\r\n'; printf 'no end'")

    assert ran.printed == ["a\N{REPLACEMENT CHARACTER}b\0c", "no end"]


@pytest.mark.parametrize("fold", ["fold -w 1000", "cat"])
def test_much_output_takes_little_memory(fold: str, commands: Build) -> None:
    seen = 0

    def count(line: str, stream: Stream) -> None:
        nonlocal seen
        if stream == "command":
            seen += len(line)
            assert len(line) <= 64 * 1024

    tracemalloc.start()
    try:
        commands(f"head -c 10000000 /dev/zero | tr '\\0' a | {fold}", output=count)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert seen == 10_000_000
    assert peak < 3_000_000


@both
def test_a_request_to_stop_ends_all_processes_and_runs_nothing_more(shell: str, build: Build) -> None:
    cancel, seen = Cancel(), []

    def watch(line: str, stream: Stream) -> None:
        seen.append(line)
        if stream == "command":
            cancel.request()

    ran = build(
        f"version: 0.2\nenv: {{shell: {shell}}}\nphases:\n"
        "  build:\n"
        "    commands: ['sleep 1000 & echo $! $$; sleep 1000']\n"
        "    finally: [echo never]\n"
        "  post_build: {commands: [echo never]}\n"
        "artifacts: {files: [a]}\n",
        cancel=cancel,
        output=watch,
    )

    assert ran.result.status is BuildStatus.STOPPED
    assert ran.phases == {"INSTALL": "SUCCEEDED", "PRE_BUILD": "SUCCEEDED", "BUILD": "STOPPED"}
    pids = next(line for line in seen if line.replace(" ", "").isdigit()).split()
    assert until(lambda: all(gone(int(pid)) for pid in pids), "the processes' end")
    assert "never" not in seen
    assert any("BUILD State: STOPPED" in line for line in seen)


def test_who_does_not_end_when_asked_is_killed(commands: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "_GRACE", 0.1)
    cancel, seen = Cancel(), []

    def watch(line: str, stream: Stream) -> None:
        if stream == "command":
            seen.append(line)
            cancel.request()

    ran = commands("trap '' TERM; echo $$; while :; do sleep 0.1; done", cancel=cancel, output=watch)

    assert ran.result.status is BuildStatus.STOPPED
    assert gone(int(seen[0]))


def test_a_build_that_was_stopped_before_runs_nothing(commands: Build) -> None:
    cancel = Cancel()
    cancel.request()

    ran = commands("echo never", cancel=cancel)

    assert (ran.result.status, ran.printed) == (BuildStatus.STOPPED, [])


def test_an_output_that_fails_ends_the_build(commands: Build) -> None:
    pids = []

    def broken(line: str, stream: Stream) -> None:
        if stream == "command":
            pids.append(int(line))
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        commands("echo $$; sleep 1000", output=broken)
    assert gone(pids[0])


def test_nothing_is_left_behind(commands: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))

    commands("echo a", "exit 1")

    assert list((tmp_path / "tmp").iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


@pytest.mark.parametrize("removal", ["rm -rf {}/*", "rm -f {}/*/*"])
def test_a_build_whose_own_files_are_removed_fails(
    removal: str, commands: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))

    ran = commands(removal.format(tmp_path / "tmp"), "echo never")

    assert ran.result.failure is not None
    assert "never" not in ran.printed


def test_a_shell_that_is_not_there_is_named(commands: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(ConfigError, match="there is no bash here"):
        commands("echo a")
