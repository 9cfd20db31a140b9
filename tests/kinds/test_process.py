"""A kind's one program: what it is given, how it ends, and that nothing of it stays."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from liftlock.errors import Cancelled, ConfigError, TransportError
from liftlock.kinds.process import MAX_OUTPUT, Finished, run
from liftlock.kinds.tools import Tools
from tests.support.waiting import until


def tools(folder: Path, **environment: str) -> Tools:
    return Tools(folder=folder, environment={"PATH": os.environ["PATH"], **environment})


def python(script: str, folder: Path, *, stdin: bytes = b"", timeout: float = 30, **environment: str) -> Finished:
    return run([sys.executable, "-c", script], tools(folder, **environment), timeout=timeout, stdin=stdin)


def test_what_it_is_given_and_what_comes_back(tmp_path: Path) -> None:
    script = "import os, sys; print(os.getcwd(), os.environ['SAY'], sys.stdin.read()); sys.exit(3)"

    done = python(script, tmp_path, stdin=b"word", SAY="this")

    assert (done.status, done.output.decode()) == (3, f"{tmp_path} this word\n")


def test_nothing_goes_through_a_shell(tmp_path: Path) -> None:
    done = run(["echo", "$HOME; touch here", "*"], tools(tmp_path), timeout=30)

    assert (done.output, list(tmp_path.iterdir())) == (b"$HOME; touch here *\n", [])


def test_the_given_path_is_searched(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/greet"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)

    on_path = run(["greet"], Tools(folder=tmp_path, environment={"PATH": str(tmp_path / "bin")}), timeout=30)
    relative = run(["bin/greet"], Tools(folder=tmp_path, environment={"PATH": ""}), timeout=30)

    assert (on_path.output, relative.output) == (b"hello\n", b"hello\n")


@pytest.mark.parametrize("program", ["no-such-program", "./no-such-program", "a\0b"])
def test_a_program_that_cannot_be_run(tmp_path: Path, program: str) -> None:
    with pytest.raises(ConfigError, match="cannot be run"):
        run([program], tools(tmp_path), timeout=30)


def test_endless_output_is_cut(tmp_path: Path) -> None:
    done = python(f"import sys; sys.stdout.write('x' * {MAX_OUTPUT * 3}); sys.stderr.write('why')", tmp_path)

    assert (done.status, len(done.output), done.complaint) == (0, MAX_OUTPUT, "why")


def test_a_program_that_closes_its_outputs_early_is_waited_for(tmp_path: Path) -> None:
    done = python("import os; os.close(1); os.close(2); open('done', 'w').close()", tmp_path)

    assert (done.status, (tmp_path / "done").exists()) == (0, True)


def test_at_the_deadline_it_and_its_children_end(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys; child = subprocess.Popen(['sleep', '1000']);"
        "open('pid', 'w').write(str(child.pid)); child.wait()"
    )
    with pytest.raises(TransportError, match="does not end within") as caught:
        python(script, tmp_path, timeout=1)

    assert caught.value.temporary
    child = int((tmp_path / "pid").read_text())
    until(lambda: _is_gone(child), "the child's end")


def test_what_it_leaves_behind_is_ended_and_not_waited_for(tmp_path: Path) -> None:
    script = "import subprocess; print(subprocess.Popen(['sleep', '1000']).pid)"

    done = python(script, tmp_path)

    until(lambda: _is_gone(int(done.output)), "the end of what was left behind")


def test_one_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    script = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "open('pid', 'w').write(str(os.getpid())); time.sleep(1000)"
    )

    def cancelled() -> bool:
        return (tmp_path / "pid").exists() and bool((tmp_path / "pid").read_text())

    with pytest.raises(Cancelled):
        run(
            [sys.executable, "-c", script],
            Tools(folder=tmp_path, environment={}, cancelled=cancelled),
            timeout=60,
        )

    assert _is_gone(int((tmp_path / "pid").read_text()))


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
