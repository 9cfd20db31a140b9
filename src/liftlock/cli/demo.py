"""`liftlock demo`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from liftlock.cli.lazy import Verb
from liftlock.cli.output import line, table
from liftlock.errors import LiftlockError, UsageError

__all__ = ["demo"]

IMAGES = ("web", "worker")
STAGES = ("dev", "test", "prod")
BUILD = "42"

_PASSED_ON = {"HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "TERM", "TMPDIR", "VIRTUAL_ENV"}

PIPELINE = """\
pipeline: demo-app
images: [web, worker]              # what one build makes
store: ./artifacts                 # published artifacts are kept here

stages:
  - name: dev
    to: oci:dev/{image}            # a registry would be written registry.example/dev/{image}
    tags: ["{build}", latest]
  - name: test
    after: [dev]
    to: oci:test/{image}
    tags: ["{build}"]
  - name: prod
    after: [test]
    to: oci:prod/{image}
    tags: ["{build}", stable]
"""


@click.command(cls=Verb, examples=("liftlock demo", "liftlock demo --keep demo"))
@click.option("--keep", metavar="DIR", help="Work in this new folder and leave it there, to look at and play with.")
def demo(keep: str | None) -> None:
    """Promote a small application through three stages.

    A docker-save tar with two images is made, published, released, and promoted to dev, test and prod, which here are
    OCI layouts. Nothing is needed but Liftlock; nothing outside the folder is touched.
    """
    from liftlock.cli.demo_application import save

    with _folder(keep) as folder:
        save(folder / "app.tar", tag=BUILD)
        (folder / "liftlock.yaml").write_text(PIPELINE)
        line(f"In {folder} are app.tar, as docker save writes it,")
        line(f"with the images {' and '.join(IMAGES)} in it, and liftlock.yaml:")
        line("")
        for text in PIPELINE.splitlines():
            line(f"    {text}".rstrip())
        sources = [f"{name}=docker-archive:app.tar:{name}:{BUILD}" for name in IMAGES]
        _run(folder, "artifact", "publish", *sources, "--build", BUILD, "--commit", "3f2c1e9")
        _run(folder, "release", "create", BUILD)
        for stage in STAGES:
            _run(folder, "promote", BUILD, "--to", stage)
        _run(folder, "status")
        _run(folder, "trace", "oci:prod/web:stable")
        _compare(folder)
        if keep:
            line("")
            line(f"All of it is in {folder}: try `liftlock status` there.")


@contextlib.contextmanager
def _folder(keep: str | None) -> Iterator[Path]:
    if keep is None:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="liftlock-demo-") as made:
            yield Path(made)
        return
    folder = Path(keep).absolute()
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UsageError(f"{folder} exists already", hint="name a new folder") from None
    yield folder


def _run(folder: Path, *words: str) -> None:
    """Run a command as a user would, showing both what is typed and what is printed."""
    sys.stdout.write(f"\n$ liftlock {shlex.join(words)}\n")
    sys.stdout.flush()
    # No variable of a surrounding CI system, since the demo's build is its own; and no folder but the demo's.
    env = {name: value for name, value in os.environ.items() if name in _PASSED_ON}
    env |= {f"XDG_{kind}_HOME": str(folder / ".user") for kind in ("CACHE", "CONFIG", "STATE")}
    done = subprocess.run(
        [sys.executable, "-m", "liftlock", *words], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    sys.stdout.write(done.stdout)
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise LiftlockError(f"liftlock {words[0]} ended with {done.returncode}", hint="what it said is above")


def _compare(folder: Path) -> None:
    """The proof, without Liftlock's own word for it: the manifests in every stage's layout are hashed."""
    rows = []
    for name in IMAGES:
        digests = {stage: _digest(folder / stage / name, BUILD) for stage in STAGES}
        if len(set(digests.values())) != 1:
            raise LiftlockError(f"{name} is not the same image in every stage: {digests}")
        rows += [[name, *item] for item in digests.items()]
    line("")
    line("The same images at every level, as the manifests in each stage's layout hash to:")
    line("")
    table(rows, indent="  ")


def _digest(layout: Path, tag: str) -> str:
    """What the manifest under a tag hashes to (OCI image layout: ``index.json``, ``blobs/<algorithm>/<encoded>``)."""
    entries = json.loads((layout / "index.json").read_bytes())["manifests"]
    named = next(each for each in entries if each["annotations"]["org.opencontainers.image.ref.name"] == tag)
    manifest = layout.joinpath("blobs", *named["digest"].split(":")).read_bytes()
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"
