"""`liftlock demo`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from liftlock.cli.lazy import Verb
from liftlock.cli.output import line, table
from liftlock.cli.promoted import WAITS
from liftlock.errors import LiftlockError, RefusedError, UsageError

if TYPE_CHECKING:
    from liftlock.cli.demo_receiver import Receiver

__all__ = ["demo"]

IMAGES = ("web", "worker")
STAGES = ("dev", "test", "prod")
BUILD = "42"
SUCCESS = "promotion.success"
OCCASIONS = ("promotion.approval-needed", SUCCESS)
"""What the receiver has to be told in the end."""

_PASSED_ON = {"HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "TERM", "TMPDIR", "VIRTUAL_ENV"}

PIPELINE = """\
pipeline: demo-app
images: [web, worker]              # what one build makes
store: ./artifacts                 # published artifacts are kept here
groups:
  leads: [anna, lead]

stages:
  - name: dev
    trigger: on-publish            # goes there by itself
    to: oci:dev/{image}            # a registry would be written registry.example/dev/{image}
    tags: ["{build}", latest]
  - name: test
    after: [dev]
    trigger: on-success            # follows by itself
    to: oci:test/{image}
    tags: ["{build}"]
    gates: [{soak: 2s}]            # after so long in dev
    sampling: {every: 1s}
  - name: prod
    after: [test]
    to: oci:prod/{image}
    tags: ["{build}", stable]
    approvals: {from: [leads]}     # of somebody else than who asked for it
    notify:
      - webhook: {url: env:DEPLOY_HOOK, secret: env:DEPLOY_SECRET, allow-private: true}
        on: [approval-needed, success]
"""


@click.command(cls=Verb, examples=("liftlock demo", "liftlock demo --keep demo"))
@click.option("--keep", metavar="DIR", help="Work in this new folder and leave it there, to look at and play with.")
def demo(keep: str | None) -> None:
    """Promote a small application through three stages.

    A docker-save tar with two images is made and published. It goes to dev by itself, to test after a soak, and to
    prod once somebody else has approved it; a local receiver is told, with a signed webhook. The stages are OCI
    layouts here. Nothing is needed but Liftlock; nothing outside the folder is touched.
    """
    from liftlock.cli.demo_application import save
    from liftlock.cli.demo_receiver import Receiver

    with _folder(keep) as folder, Receiver() as receiver:
        save(folder / "app.tar", tag=BUILD)
        (folder / "liftlock.yaml").write_text(PIPELINE)
        line(f"In {folder} are app.tar, as docker save writes it,")
        line(f"with the images {' and '.join(IMAGES)} in it, and liftlock.yaml:")
        line("")
        for text in PIPELINE.splitlines():
            line(f"    {text}".rstrip())
        line("")
        line(f"DEPLOY_HOOK is {receiver.url}, where a receiver listens; DEPLOY_SECRET is known to it.")
        _promote(_Shell(folder, {"DEPLOY_HOOK": receiver.url, "DEPLOY_SECRET": receiver.secret}))
        _require_told(receiver, _compare(folder))
        if keep:
            line("")
            line(f"All of it is in {folder}: try `liftlock status` there.")


def _promote(shell: _Shell) -> None:
    """From the tar to production."""
    sources = [f"{name}=docker-archive:app.tar:{name}:{BUILD}" for name in IMAGES]
    shell.run("artifact", "publish", *sources, "--build", BUILD, "--commit", "3f2c1e9", "--author", "anna", by="anna")
    shell.run("release", "watch", BUILD)
    shell.run("promote", BUILD, "--to", "prod", by="anna", code=WAITS)
    shell.run("approve", BUILD, "--to", "prod", by="anna", code=RefusedError.exit_code)
    shell.run("approve", BUILD, "--to", "prod", "--comment", "smoke test is green", by="lead")
    shell.run("release", "watch", BUILD)
    shell.run("status")
    shell.run("trace", "oci:prod/web:stable")
    shell.run("ledger", "verify")


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


class _Shell:
    """Runs commands as a user would, showing both what is typed and what is printed."""

    def __init__(self, folder: Path, secrets: Mapping[str, str]) -> None:
        self._folder = folder
        # No variable of a surrounding CI system, since the demo's build is its own; and no folder but the demo's.
        self._env = {name: value for name, value in os.environ.items() if name in _PASSED_ON}
        self._env |= {f"XDG_{kind}_HOME": str(folder / ".user") for kind in ("CACHE", "CONFIG", "STATE")}
        self._env |= secrets

    def run(self, *words: str, by: str = "", code: int = 0) -> None:
        """Raises `LiftlockError` when it does not end with this code."""
        person = {"LIFTLOCK_USER": by} if by else {}
        sys.stdout.write(f"\n$ {f'LIFTLOCK_USER={by} ' if by else ''}liftlock {shlex.join(words)}\n")
        sys.stdout.flush()
        done = subprocess.run(
            [sys.executable, "-m", "liftlock", *words],
            cwd=self._folder,
            env=self._env | person,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        sys.stdout.write(done.stdout)
        if done.returncode:
            line(f"(exit {done.returncode})")
        sys.stdout.flush()
        if done.returncode != code:
            raise LiftlockError(
                f"liftlock {words[0]} ended with {done.returncode} instead of {code}", hint="what it said is above"
            )


def _compare(folder: Path) -> dict[str, str]:
    """The proof, without Liftlock's own word for it: the manifests in every stage's layout are hashed.

    Answers with the digest of each image; raises `LiftlockError` when it differs from stage to stage.
    """
    rows = []
    found = {}
    for name in IMAGES:
        digests = {stage: _digest(folder / stage / name, BUILD) for stage in STAGES}
        if len(set(digests.values())) != 1:
            raise LiftlockError(f"{name} is not the same image in every stage: {digests}")
        rows += [[name, *item] for item in digests.items()]
        found[name] = digests["prod"]
    line("")
    line("The same images at every level, as the manifests in each stage's layout hash to:")
    line("")
    table(rows, indent="  ")
    return found


def _require_told(receiver: Receiver, digests: Mapping[str, str]) -> None:
    """Raises `LiftlockError` unless the receiver knows of the approval that was needed, and of these images."""
    for each in receiver.told:
        receiver.verify(each)
    messages = {each.content["type"]: each.content for each in receiver.told}
    if sorted(messages) != sorted(OCCASIONS):
        raise LiftlockError(f"the receiver was told {sorted(messages)} instead of {sorted(OCCASIONS)}")
    told = {each["image"]: each["digest"] for each in messages[SUCCESS]["images"]}
    if told != digests:
        raise LiftlockError(f"the receiver was told of {told}, and not of {digests}")
    line("")
    line("What the receiver was told; each signature is right for DEPLOY_SECRET (Standard Webhooks):")
    line("")
    table([[each.content["type"], each.headers["webhook-signature"]] for each in receiver.told], indent="  ")
    line("")
    for text in json.dumps(messages[SUCCESS], indent=2).splitlines():
        line(f"  {text}")


def _digest(layout: Path, tag: str) -> str:
    """What the manifest under a tag hashes to (OCI image layout: ``index.json``, ``blobs/<algorithm>/<encoded>``)."""
    entries = json.loads((layout / "index.json").read_bytes())["manifests"]
    named = next(each for each in entries if each["annotations"]["org.opencontainers.image.ref.name"] == tag)
    manifest = layout.joinpath("blobs", *named["digest"].split(":")).read_bytes()
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"
