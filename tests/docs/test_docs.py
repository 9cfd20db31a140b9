"""What the pages show is true: commands run, pipeline files validate, links lead somewhere.

A ``console`` block is run line by line, in the page's order, in a folder with the tar of the demo's application, with
the example hosts standing for real registries. ``# exit N`` behind a command says how it ends; what is shown
below it has to be what it says. A ``yaml`` block with a pipeline becomes the folder's ``liftlock.yaml`` from there on,
one with a buildspec its ``buildspec.yml``, one with CloudFormation its ``template.yaml``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from liftlock.cli.commands import liftlock as root
from liftlock.cli.demo_application import save
from liftlock.gates.table import GATES
from liftlock.notify.table import NOTIFIERS
from liftlock.pipeline.load import load
from tests.conftest import MakeRegistry
from tests.support import images, remote
from tests.support.registry import Registry

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
RUN = [page for page in PAGES if page.parent.name == "how-to" or page.name in ("README.md", "tutorial.md")]
RUN = [page for page in RUN if "```console" in page.read_text()]

BLOCK = re.compile(r"^```(console|yaml)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SET_UP = ("python3 -m venv", ".venv/bin/pip")
"""The README's first two commands, which script/demo runs."""
DEMO = ("liftlock demo --keep demo", "mkdir demo && cp app.tar demo")
"""What the tutorial needs of the demo, which has a test of its own."""


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def staging(make_registry: MakeRegistry, tmp_path: Path) -> Registry:
    """A registry with what the pages promote: images of two platforms, signed, with an SBOM."""
    registry = make_registry()
    for repository, tag in (
        ("app", "1.4"),
        ("web", "2.0"),
        ("web", "latest"),
        ("worker", "latest"),
        ("staging-web", "latest"),
        ("staging-worker", "latest"),
    ):
        layout = tmp_path / "staging" / repository
        image = images.make_image(layout, tag, platforms=("linux/amd64", "linux/arm64"), seed=f"{repository}:{tag}")
        images.attach_referrer(layout, image.root, "application/vnd.example.sbom", b"parts of " + repository.encode())
        images.cosign_tag(layout, image.digest, payload=b"signature of " + repository.encode())
        remote.push(layout, tag, registry, repository)
    return registry


@pytest.mark.acceptance
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", RUN, ids=name)
def test_commands_run(page: Path, staging: Registry, make_registry: MakeRegistry, tmp_path: Path) -> None:
    if "--password-stdin" in page.read_text():
        production = make_registry(user="deployer", password="opensesame")
    else:
        production = make_registry()
    folder = tmp_path / "work"
    folder.mkdir()
    save(folder / "app.tar", tag="42")
    hosts = {"staging.example": staging.host, "registry.example": staging.host, "prod.example": production.host}
    shell = Shell(folder)
    for kind, text in BLOCK.findall(page.read_text()):
        for host, real in hosts.items():
            text = text.replace(host, real)  # noqa: PLW2901
        if kind == "console":
            for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text.replace(*DEMO), re.MULTILINE):
                if not command.startswith(SET_UP):
                    said = shell.run(command)
                    assert shown in said, f"$ {command}\n{said}"
        elif text.startswith("pipeline:"):
            shell.run("cat > liftlock.yaml <<'END'\n" + text + "END")
        elif text.startswith("version: 0.2"):
            shell.run("cat > buildspec.yml <<'END'\n" + text + "END")
        elif text.startswith(("Parameters:\n", "Resources:\n")):
            shell.run("cat > template.yaml <<'END'\n" + text + "END")


class Shell:
    """Runs commands one after the other, as somebody does who types them; folder and variables stay."""

    def __init__(self, folder: Path) -> None:
        self._state = folder.parent / "shell-state"
        self._state.write_text(f"cd {folder}\n")
        self._env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "REGISTRY_PASSWORD": "opensesame",
        }

    def run(self, command: str) -> str:
        """What it printed; it has to end as the comment behind it says."""
        wanted = re.search(r"# exit (\d+)$", command)
        script = (
            f'. "{self._state}"\n{command}\nstatus=$?\n'
            f'{{ echo "cd \'$PWD\'"; set | grep "^[A-Z]*="; }} > "{self._state}.new"\nexit $status'
        )
        done = subprocess.run(
            ["/bin/sh", "-c", script], env=self._env, capture_output=True, text=True, timeout=120, check=False
        )

        assert done.returncode == (int(wanted[1]) if wanted else 0), f"$ {command}\n{done.stdout}{done.stderr}"

        lines = Path(f"{self._state}.new").read_text().splitlines()
        kept = [line for line in lines if line.startswith(("cd ", "RELEASE=", "DIGEST="))]
        self._state.write_text("\n".join(kept) + "\n")
        return done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pipeline_files_validate(page: Path) -> None:
    for kind, text in BLOCK.findall(page.read_text()):
        if kind == "yaml" and text.startswith("pipeline:"):
            assert load(text, name(page), GATES, NOTIFIERS).stages


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#][^)]*)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path
        assert target.exists(), f"{link} in {name(page)}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}, link


def test_every_command_has_a_place_in_a_page() -> None:
    """The reference is made of the commands themselves, so it does not count."""
    text = "\n".join(page.read_text() for page in PAGES if page.name != "cli.md")

    missing = [words for words in _commands(root, "liftlock") if not re.search(rf"{words}\b", text)]

    assert missing == []


def _commands(group: click.Group, words: str) -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _commands(command, f"{words} {name}")
        else:
            yield f"{words} {name}"


def test_every_how_to_is_reached_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(docs/how-to/([^)#]+)", (ROOT / "README.md").read_text()))

    assert linked == {page.name for page in (ROOT / "docs" / "how-to").glob("*.md")}
