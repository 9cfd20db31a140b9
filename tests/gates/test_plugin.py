"""A kind of gate from outside: the example is installed as any package is, and used by its name."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.processes import TIMEOUT, environment, liftlock

EXAMPLE = Path(__file__).parent.parent.parent / "examples/gate-plugin"

FILE = """\
pipeline: demo
images: [web]
stages:
  - name: prod
    to: oci:prod/{{image}}
    tags: ["{{build}}"]
    gates:
      - {gate}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example as pip leaves it: the package, and what its pyproject.toml says of it."""
    folder = tmp_path_factory.mktemp("site")
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    for package in (EXAMPLE / "src").iterdir():
        shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


def write(folder: Path, gate: str) -> None:
    (folder / "liftlock.yaml").write_text(FILE.format(gate=gate))


def test_its_own_tests_pass(site: Path, tmp_path: Path) -> None:
    tests = shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", EXAMPLE / "pyproject.toml", tests],
        env=environment(more={"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_a_pipeline_that_uses_it_is_read(site: Path, tmp_path: Path) -> None:
    write(tmp_path, "change-ticket: {url: env:TICKETS, token: env:TOKEN, approved: [done]}")

    liftlock("validate", cwd=tmp_path, env={"PYTHONPATH": str(site)})


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (
            "change-ticket: {url: env:TICKETS, tokens: env:TOKEN}",
            "'tokens' is not a key of a gate of the kind change-ticket",
        ),
        ("change-ticket: {url: env:TICKETS, token: t0k3n}", "token is a secret, written out"),
        ("change-tickets: {url: env:TICKETS}", "change-ticket"),
    ],
)
def test_what_is_wrong_about_it_is_named_with_its_line(site: Path, tmp_path: Path, gate: str, message: str) -> None:
    write(tmp_path, gate)

    result = liftlock("validate", cwd=tmp_path, env={"PYTHONPATH": str(site)}, check=False)

    assert result.code == 2
    assert "liftlock.yaml:8" in result.err
    assert message in result.err


def test_without_the_package_it_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, "change-ticket: {url: env:TICKETS}")

    result = liftlock("validate", cwd=tmp_path, check=False)

    assert (result.code, "Traceback" in result.err) == (2, False)
    assert "there is no gate of the kind 'change-ticket'" in result.err


BROKEN = {
    "missing": ("import nothing_of_that_name", "does not load"),
    "newer": ("class Gate:\n    api_version = 2", "is written for version 2 of this interface, not 1"),
    "bare": ("class Gate:\n    api_version = 1", "does not say its options"),
    "raising": ("class Gate:\n    def __init__(self):\n        raise RuntimeError('no')", "does not load"),
}


def test_one_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    about = tmp_path / "broken-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[liftlock.gates]\n" + "".join(f"{name} = broken_{name}:Gate\n" for name in BROKEN)
    )
    for name, (code, _) in BROKEN.items():
        (tmp_path / f"broken_{name}.py").write_text(code)
    write(tmp_path, "missing: {}")
    script = (
        "from liftlock.gates.table import GATES\n"
        "from liftlock.errors import ConfigError\n"
        f"for name in {list(BROKEN)}:\n"
        "    try: GATES.get(name)\n"
        "    except ConfigError as error: print(error)\n"
    )
    env = environment(more={"PYTHONPATH": str(tmp_path)})
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    result = liftlock("validate", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, check=False)

    for line, (name, (_, message)) in zip(done.stdout.splitlines(), BROKEN.items(), strict=True):
        assert f"'{name}' (broken_{name}:Gate, of broken)" in line
        assert message in line
    assert (result.code, "Traceback" in result.err) == (2, False)
    assert "liftlock.yaml:8" in result.err
    assert "of broken) does not load" in result.err
