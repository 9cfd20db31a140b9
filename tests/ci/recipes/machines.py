"""Where a recipe's steps run: jobs that share nothing, each in an empty home, and registries that want a password.

What is taken out of a recipe is only the one step that installs Liftlock: it is on the ``PATH`` already, and ``pip`` is
not, so that no other step could install anything. ``docker`` there is a stand-in for a daemon: it builds nothing, and
saves what the test has made.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

import yaml

from tests.acceptance.workshop import two_images
from tests.support import archives, remote
from tests.support.images import Image
from tests.support.registry import Registry

PASSWORD = "correct horse battery staple"
USER = "deployer"

THREE_STAGES = """\
    pipeline: shop
    images: [web, worker]
    stages:
      - name: dev
        trigger: on-publish
        to: dev.example/dev-{image}
        tags: ["{build}", latest]
      - name: test
        after: [dev]
        to: dev.example/test-{image}
        tags: ["{build}"]
      - name: prod-eu
        after: [test]
        to: prod.example/prod-{image}
        tags: ["{build}", stable]
"""

TWO_STAGES = """\
    pipeline: shop
    images: [web, worker]
    stages:
      - name: dev
        to: dev.example/dev-{image}
        tags: ["{build}", latest]
      - name: prod-eu
        after: [dev]
        to: prod.example/prod-{image}
        tags: ["{build}", stable]
"""

SOURCE = """\
    pipeline: shop
    images: [web, worker]
    source: dev.example/staging-{image}:{tag}
    stages:
      - name: test
        to: dev.example/test-{image}
        tags: ["{tag}"]
      - name: prod-eu
        after: [test]
        to: prod.example/prod-{image}
        tags: ["{build}", stable]
"""


@dataclass(kw_only=True)
class Ran:
    """How a step ended."""

    code: int
    out: str
    """Both streams."""
    env: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out}"


class Machines:
    """Makes jobs; ``folder`` is the test's own."""

    def __init__(self, folder: Path, dev: Registry, prod: Registry) -> None:
        self.folder = folder
        self.registries = {"dev": dev, "test": dev, "staging": dev, "prod": prod}
        self.said = ""
        """All that any step has printed."""
        self._numbers = itertools.count(1)
        self._stubs = folder / "stubs"
        self._stubs.mkdir()
        self._env = {
            "PATH": f"{self._stubs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LIFTLOCK_ENDPOINTS": f"dev.example={dev.url},prod.example={prod.url}",
        }
        for name in ("pip", "pip3", "apt-get", "curl"):
            self._stub(name, f"echo {name} is not to be used here >&2; exit 97")

    def _stub(self, name: str, script: str) -> None:
        path = self._stubs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def builds(self, build: str) -> dict[str, Image]:
        """Two images that the stand-in for docker saves under this build's tag; by name."""
        made = two_images(self.folder / "built", build)
        archives.synthetic_docker25(self.folder / "daemon.tar", {f"{n}:{build}": i for n, i in made.items()})
        self._stub(
            "docker",
            f'case "$1 $2" in\n"build --tag") exit 0 ;;\n"save --output") cp {self.folder / "daemon.tar"} "$3" ;;\n'
            '*) echo "docker $*: not here" >&2; exit 97 ;;\nesac',
        )
        return made

    def stages(self, tag: str, seed: str = "") -> dict[str, Image]:
        """Two images, which staging has under this tag from now on."""
        made = two_images(self.folder / f"staged{seed}", seed)
        for name, image in made.items():
            remote.push(image.layout, image.tag, self.registries["staging"], f"staging-{name}", to=tag)
        return made

    def digests(self, stage: str, tag: str) -> dict[str, str | None]:
        """What a stage's registry holds."""
        return {n: remote.digest_of(self.registries[stage], f"{stage}-{n}", tag) for n in ("web", "worker")}

    def room(self, pipeline: str) -> Room:
        """A job's own: a fresh checkout, and nothing else."""
        room = Room(self, self.folder / f"job-{next(self._numbers)}", dict(self._env))
        for each in (room.checkout, room.home, room.temp):
            each.mkdir(parents=True)
        (room.checkout / "liftlock.yaml").write_text(dedent(pipeline))
        return room


@dataclass
class Room:
    """One job's machine."""

    machines: Machines
    folder: Path
    env: dict[str, str]

    @property
    def checkout(self) -> Path:
        return self.folder / "checkout"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def temp(self) -> Path:
        return self.folder / "temp"

    def bash(self, script: str, env: Mapping[str, str], *options: str) -> Ran:
        """Run a step as the runners do; what it printed is also kept with the machines."""
        assert not re.search(r"\bpip\b|\bapt(-get)?\b|\bcurl\b", script), "only one step installs anything"
        file = self.temp / "step.sh"
        file.write_text(script)
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", *options, str(file)],
            env={**self.env, "HOME": str(self.home), **env}, cwd=self.checkout, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=100,
        )  # fmt: skip
        self.machines.said += done.stdout
        return Ran(code=done.returncode, out=done.stdout)


class _Loader(yaml.SafeLoader):
    """Words stay words: ``on`` is a key of GitHub's, and no truth (YAML 1.2)."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as PyYAML has it
        first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def written(folder: Path, name: str) -> object:
    """A YAML file of a recipe."""
    return yaml.load((folder / name).read_text(), _Loader)


def is_install(script: str) -> bool:
    """Whether this is the step that installs, and nothing but that."""
    return bool(re.fullmatch(r'python3 -m pip install --quiet "liftlock(\[[a-z,]+\])?(==[0-9a-z.]+)?"', script.strip()))
